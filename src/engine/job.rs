//! A job: an operation with what the engine knows of it.

use super::batch::{Footprint, Group, Planned, Round};
use crate::Error;
use crate::completion::Reply;
use crate::config::Timeouts;
use crate::db::Tables;
use crate::op::AnyOperation;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

pub(crate) struct Job {
    pub(super) operation: Box<dyn AnyOperation>,
    pub(super) tables: Arc<Tables>,
    pub(super) timeouts: Timeouts,
    pub(super) reply: Reply,
    pub(super) submitted: Instant,
    /// Until when it may take; set when its first statement starts.
    pub(super) deadline: Option<Instant>,
    /// How often it was interrupted by a lost connection.
    pub(super) losses: u32,
    /// How long it last paused before it was tried again.
    pub(super) pause: Duration,
    /// Why it was not carried out when it was last tried; the answer, should its time run out.
    pub(super) last_error: Option<Error>,
    pub(super) footprint: Footprint,
}

/// The queue moves jobs often, and they are large.
pub(crate) type BoxedJob = Box<Job>;

impl Job {
    pub(crate) fn new(
        operation: Box<dyn AnyOperation>,
        tables: &Arc<Tables>,
        timeouts: Timeouts,
        reply: Reply,
    ) -> BoxedJob {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let kind = operation.kind();
        Box::new(Job {
            footprint: Footprint {
                group: group(&*operation, tables, Round::default()),
                writes: kind.writes,
                sessions: operation.keys().map(|key| Some(HASHER.hash_one(key?))),
                bytes: operation.bytes(),
                batch_size: kind.batch_size,
            },
            timeouts: kind.time_limit.map_or(timeouts, |limit| timeouts.at_most(limit)),
            operation,
            tables: Arc::clone(tables),
            reply,
            submitted: Instant::now(),
            deadline: None,
            losses: 0,
            pause: Duration::ZERO,
            last_error: None,
        })
    }

    /// Its group in the round of those that have its deadline.
    pub(super) fn group_again(&self, part: u32) -> Option<Group> {
        group(&*self.operation, &self.tables, Round { deadline: self.deadline, part })
    }

    /// Until when it may wait: for a connection first, then for its answer.
    pub(super) fn expires(&self) -> Instant {
        self.deadline.unwrap_or_else(|| self.submitted + self.timeouts.connect)
    }
}

fn group(operation: &dyn AnyOperation, tables: &Arc<Tables>, round: Round) -> Option<Group> {
    operation.batches(tables).then_some((tables.id, operation.kind().id, round))
}

impl Planned for BoxedJob {
    fn footprint(&self) -> &Footprint {
        &self.footprint
    }
}
