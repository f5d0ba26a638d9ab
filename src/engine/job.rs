//! An operation with what the engine knows of it: where its outcome goes, how long it may take, what has
//! been tried.

use super::batch::{Batchable, Footprint, Group};
use crate::Error;
use crate::completion::Reply;
use crate::config::Timeouts;
use crate::db::Tables;
use crate::op::AnyOperation;
use std::hash::{BuildHasher, RandomState};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// An operation with what the engine knows of it. The queue moves jobs often, so they are small.
pub(crate) struct Job(Box<JobData>);

/// What a [`Job`] holds.
pub(crate) struct JobData {
    pub(crate) operation: Box<dyn AnyOperation>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) timeouts: Timeouts,
    reply: Reply,
    pub(crate) submitted: Instant,
    /// Until when it may take; set when its first statement starts.
    pub(crate) deadline: Option<Instant>,
    /// It failed in a batch, or was interrupted: from now on it has a statement of its own.
    pub(crate) single: bool,
    /// How often it was interrupted by a lost connection.
    pub(crate) losses: u32,
    /// How long it last paused before it was tried again.
    pub(crate) pause: Duration,
    /// Why it was not carried out when it was last tried; the answer, should its time run out.
    pub(crate) last_error: Option<Error>,
    footprint: Footprint,
    batches: bool,
}

impl Job {
    pub(crate) fn new(
        operation: Box<dyn AnyOperation>,
        tables: &Arc<Tables>,
        timeouts: Timeouts,
        reply: Reply,
    ) -> Self {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let keys = operation.keys();
        let footprint = Footprint {
            writes: keys.writes,
            sessions: keys.keys.map(|key| Some(HASHER.hash_one(key?))),
        };
        let timeouts = match (operation.kind().time_limit)() {
            Some(limit) => timeouts.at_most(limit),
            None => timeouts,
        };
        Job(Box::new(JobData {
            batches: operation.batches(tables),
            operation,
            tables: Arc::clone(tables),
            timeouts,
            reply,
            submitted: Instant::now(),
            deadline: None,
            single: false,
            losses: 0,
            pause: Duration::ZERO,
            last_error: None,
            footprint,
        }))
    }

    /// The destination of its outcome, when the job is done.
    pub(crate) fn into_reply(self) -> Reply {
        self.0.reply
    }

    /// Until when it may wait: for a connection first, then for its answer.
    pub(crate) fn expires(&self) -> Instant {
        self.deadline
            .unwrap_or_else(|| self.submitted + self.timeouts.connect)
    }
}

impl Deref for Job {
    type Target = JobData;

    fn deref(&self) -> &JobData {
        &self.0
    }
}

impl DerefMut for Job {
    fn deref_mut(&mut self) -> &mut JobData {
        &mut self.0
    }
}

impl Batchable for Job {
    fn group(&self) -> Option<Group> {
        (self.batches && !self.single).then(|| Group {
            tables: Arc::as_ptr(&self.tables) as usize,
            kind: self.operation.kind().id,
        })
    }

    fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    fn bytes(&self) -> usize {
        self.operation.bytes()
    }

    fn batch_size(&self, count: usize) -> usize {
        (self.operation.kind().batch_size)(count)
    }
}
