//! An operation on its way: who asked, how long it may take, what has been tried.

use super::batch::{Batchable, Footprint, Group, Kind};
use crate::Error;
use crate::completion::Reply;
use crate::config::Timeouts;
use crate::op::{Epoch, Get, Operation, ReadMetadata, Set};
use crate::sql::Tables;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// What operations go to: one for each storage, and so the identity by which they may share
/// statements.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) tables: Arc<Tables>,
    pub(crate) timeouts: Timeouts,
    /// By how many seconds callers' clocks were seen to be behind, at most: since the clean-up before
    /// the last one, and since the last one.
    lag: [AtomicI64; 2],
}

impl Target {
    pub(crate) fn new(tables: Arc<Tables>, timeouts: Timeouts) -> Self {
        Target {
            tables,
            timeouts,
            lag: Default::default(),
        }
    }

    /// Notes the time that a caller goes by: what is alive then must not be cleaned up.
    fn note_clock(&self, now: Epoch) {
        let lag = Epoch::now().seconds() - now.seconds();
        if lag > 0 {
            self.lag[1].fetch_max(lag, Ordering::Relaxed);
        }
    }

    /// By how many seconds callers' clocks were behind lately, at most.
    pub(super) fn lag(&self) -> i64 {
        let [before, recent] = &self.lag;
        before
            .load(Ordering::Relaxed)
            .max(recent.load(Ordering::Relaxed))
    }

    /// The same, of which only the newer half is remembered for the next time.
    pub(super) fn take_lag(&self) -> i64 {
        let recent = self.lag[1].swap(0, Ordering::Relaxed);
        let before = self.lag[0].swap(recent, Ordering::Relaxed);
        recent.max(before)
    }
}

/// An operation with all that the engine knows of it.
pub(crate) struct Job {
    pub(crate) operation: Operation,
    pub(crate) target: Arc<Target>,
    pub(crate) reply: Reply,
    pub(crate) submitted: Instant,
    /// Until when it may take; set when its first statement starts.
    pub(crate) deadline: Option<Instant>,
    /// It failed in company, or was interrupted: from now on it runs alone.
    pub(crate) alone: bool,
    /// How often it was interrupted by a lost connection.
    pub(crate) losses: u32,
    /// How long it waits before it tries a locked row again.
    pub(crate) lock_pause: Duration,
    /// Nobody waits for it: it is the engine's own.
    pub(crate) background: bool,
    /// What stood in its way last; the answer, should its time run out.
    pub(crate) obstacle: Option<Error>,
    footprint: Footprint,
}

impl Job {
    pub(crate) fn new(operation: Operation, target: Arc<Target>, reply: Reply) -> Self {
        if let Operation::Get(Get { now, .. }) | Operation::ReadMetadata(ReadMetadata { now, .. }) =
            &operation
        {
            target.note_clock(*now);
        }
        let footprint = footprint(&operation);
        Job {
            operation,
            target,
            reply,
            submitted: Instant::now(),
            deadline: None,
            alone: false,
            losses: 0,
            lock_pause: Duration::ZERO,
            background: false,
            obstacle: None,
            footprint,
        }
    }

    fn is_limited(&self, set: &Set) -> bool {
        self.target.tables.limit().is_some() && !set.metadata.is_empty()
    }

    /// Until when it may wait: for a connection first, then for its answer.
    pub(crate) fn expires(&self) -> Instant {
        self.deadline
            .unwrap_or_else(|| self.submitted + self.target.timeouts.connect)
    }
}

fn footprint(operation: &Operation) -> Footprint {
    static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let hash = |key: &str| Some(HASHER.hash_one(key));
    let (writes, sessions) = match operation {
        Operation::Get(get) => (false, [hash(&get.key), None]),
        Operation::Set(set) => {
            let old = set.old.as_ref().and_then(|old| hash(old.key()));
            (true, [hash(&set.key), old])
        }
        Operation::Delete { key } => (true, [hash(key), None]),
        Operation::ReadMetadata(_) => (false, [None, None]),
        Operation::Manage(operation) => (true, [operation.0.key().and_then(hash), None]),
    };
    Footprint { writes, sessions }
}

fn bytes_of(set: &Set) -> usize {
    let metadata = set
        .metadata
        .iter()
        .map(|(audience, subject)| audience.len() + subject.len() + set.key.len());
    set.name.len() + set.key.len() + set.value.len() + metadata.sum::<usize>()
}

impl Batchable for Job {
    fn group(&self) -> Option<Group> {
        let kind = match &self.operation {
            Operation::Get(_) => Kind::Get,
            // A transaction of several statements.
            Operation::Set(set) if self.is_limited(set) => return None,
            Operation::Set(_) => Kind::Set,
            Operation::Delete { .. } => Kind::Delete,
            Operation::ReadMetadata(_) => Kind::ReadMetadata,
            Operation::Manage(_) => return None,
        };
        let target = Arc::as_ptr(&self.target) as usize;
        (!self.alone).then_some(Group { target, kind })
    }

    fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    fn bytes(&self) -> usize {
        match &self.operation {
            Operation::Set(set) => bytes_of(set),
            Operation::Get(get) => get.key.len(),
            Operation::Delete { key } => key.len(),
            Operation::ReadMetadata(read) => read.audience.len() + read.subject.len(),
            Operation::Manage(_) => 0,
        }
    }
}
