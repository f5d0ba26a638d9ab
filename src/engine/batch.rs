//! Which waiting operations share one statement. Pure: it knows queues and footprints, neither
//! threads nor a database.
//!
//! Operations on a common session keep the order in which they came and never share a statement
//! (reads of it may). All others may overtake each other: their callers have not been answered
//! yet, so none of them can tell.

use rustc_hash::FxHashMap;
use std::any::TypeId;
use std::collections::VecDeque;
use std::time::Instant;

/// Operations on the same tables (their id), of the same type and of the same round may share a
/// statement.
pub(super) type Group = (usize, TypeId, Round);

/// The round of operations that are tried again: those that have failed together, which have one deadline,
/// or a part of them. Others are in the default round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Round {
    pub(super) deadline: Option<Instant>,
    /// 0 for all, 1 and 2 for its halves, 3 and 4 for those of 1, and so on.
    pub(super) part: u32,
}

/// What the planner must know of an operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Footprint {
    /// With `None` it has a statement of its own.
    pub(super) group: Option<Group>,
    pub(super) writes: bool,
    /// Hashes of them: its own and, of a set, the one it replaces. Two sessions with one hash merely
    /// wait for each other.
    pub(super) sessions: [Option<u64>; 2],
    pub(super) bytes: usize,
    /// The largest batch, of at most so many operations of its group, that one statement should hold.
    pub(super) batch_size: fn(usize) -> usize,
}

pub(super) trait Planned {
    fn footprint(&self) -> &Footprint;
}

impl Footprint {
    fn sessions(&self) -> impl Iterator<Item = u64> {
        self.sessions.into_iter().flatten()
    }
}

/// Sessions in use: how many reads use each, or that a write does.
#[derive(Debug, Default)]
struct Busy(FxHashMap<u64, usize>);

/// In the place of a number of reads.
const WRITTEN: usize = usize::MAX;

impl Busy {
    /// Whether `footprint` must wait for what uses its sessions.
    fn conflicts(&self, footprint: &Footprint) -> bool {
        let must_wait = |session| match self.0.get(&session) {
            None => false,
            Some(reads) => footprint.writes || *reads == WRITTEN,
        };
        !self.0.is_empty() && footprint.sessions().any(must_wait)
    }

    /// Notes the use of `footprint`'s sessions. A write that is noted over a read stays a write.
    fn insert(&mut self, footprint: &Footprint) {
        for session in footprint.sessions() {
            let reads = self.0.entry(session).or_default();
            *reads = if footprint.writes { WRITTEN } else { reads.saturating_add(1) };
        }
    }

    /// Whether any of `footprint`'s sessions is in use.
    fn touches(&self, footprint: &Footprint) -> bool {
        let mut sessions = footprint.sessions();
        !self.0.is_empty() && sessions.any(|session| self.0.contains_key(&session))
    }

    fn remove(&mut self, footprint: &Footprint) {
        for session in footprint.sessions() {
            match self.0.get_mut(&session) {
                Some(reads @ 2..WRITTEN) => *reads -= 1,
                _ => drop(self.0.remove(&session)),
            }
        }
    }
}

/// Limits of one batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) operations: usize,
    /// Bytes sent at most, but for a single operation that is larger.
    pub(super) bytes: usize,
}

/// How many waiting operations are looked at for one batch, as a multiple of its size: behind a
/// long row of others, a fuller batch is not worth the search under the queue's lock.
const LOOK_AHEAD: usize = 4;

/// The operations that wait.
#[derive(Debug)]
pub(super) struct Planner<T> {
    /// In the order in which they came.
    waiting: VecDeque<T>,
    /// Operations whose sessions are in use, and those that must not overtake them; older than any
    /// in `waiting` on a common session. They are out of the way until a session is released, so
    /// that a crowd behind one session costs the others nothing.
    blocked: Vec<T>,
    /// The sessions of the blocked ones.
    claimed: Busy,
    /// The sessions of operations that were taken and not yet released.
    busy: Busy,
    /// A session was released that blocked ones may have waited for.
    recheck: bool,
}

impl<T> Default for Planner<T> {
    fn default() -> Self {
        Planner {
            waiting: VecDeque::new(),
            blocked: Vec::new(),
            claimed: Busy::default(),
            busy: Busy::default(),
            recheck: false,
        }
    }
}

impl<T: Planned> Planner<T> {
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.blocked.len()
    }

    /// Whether no session is in use.
    pub(super) fn is_idle(&self) -> bool {
        self.busy.0.is_empty()
    }

    /// Adds an operation behind all others.
    pub(super) fn push(&mut self, operation: T) {
        self.waiting.push_back(operation);
    }

    /// Ends the use of a taken operation's sessions.
    pub(super) fn release(&mut self, footprint: &Footprint) {
        self.busy.remove(footprint);
        self.recheck |= self.claimed.touches(footprint);
    }

    /// Puts operations that were taken back before all others, in their order.
    pub(super) fn put_back(&mut self, operations: Vec<T>) {
        // What waits for their sessions is younger than they are.
        self.unblock();
        for operation in operations.into_iter().rev() {
            self.busy.remove(operation.footprint());
            self.waiting.push_front(operation);
        }
    }

    /// Takes out the waiting operations that `which` picks.
    pub(super) fn remove_if(&mut self, mut which: impl FnMut(&T) -> bool) -> Vec<T> {
        if !self.blocked.iter().chain(&self.waiting).any(&mut which) {
            return Vec::new();
        }
        self.unblock();
        let all = std::mem::take(&mut self.waiting).into_iter();
        let (removed, kept): (Vec<T>, Vec<T>) = all.partition(which);
        self.waiting = kept.into();
        removed
    }

    fn unblock(&mut self) {
        self.recheck = false;
        self.claimed = Busy::default();
        for operation in std::mem::take(&mut self.blocked).into_iter().rev() {
            self.waiting.push_front(operation);
        }
    }

    fn is_blocked(&self, footprint: &Footprint) -> bool {
        self.busy.conflicts(footprint) || self.claimed.conflicts(footprint)
    }

    fn block(&mut self, operation: T) {
        self.claimed.insert(operation.footprint());
        self.blocked.push(operation);
    }

    /// The oldest operation that could be taken now.
    pub(super) fn first(&mut self) -> Option<&T> {
        if self.recheck {
            self.unblock();
        }
        while let Some(next) = self.waiting.front()
            && self.is_blocked(next.footprint())
            && let Some(next) = self.waiting.pop_front()
        {
            self.block(next);
        }
        self.waiting.front()
    }

    /// Takes the next batch; its sessions are in use until they are released. Empty where nothing
    /// can run now.
    pub(super) fn take(&mut self, limits: Limits) -> Vec<T> {
        let Some(first) = self.first() else {
            return Vec::new();
        };
        let Footprint { group, batch_size, .. } = *first.footprint();
        // With each its place among those that were looked at.
        let mut batch: Vec<(usize, T)> = Vec::new();
        let mut left: Vec<(usize, T)> = Vec::new();
        let mut seen = Busy::default();
        let mut bytes = 0;
        let look_at = limits.operations.saturating_mul(LOOK_AHEAD);
        while batch.len() < limits.operations
            && batch.len() + left.len() < look_at
            && let Some(next) = self.waiting.pop_front()
        {
            let place = batch.len() + left.len();
            let footprint = next.footprint();
            let follows = seen.conflicts(footprint);
            if !follows && self.is_blocked(footprint) {
                self.block(next);
                continue;
            }
            seen.insert(footprint);
            let joins = batch.is_empty()
                || group.is_some()
                    && footprint.group == group
                    && bytes + footprint.bytes <= limits.bytes;
            if joins && !follows {
                bytes += footprint.bytes;
                batch.push((place, next));
            } else {
                left.push((place, next));
            }
            if group.is_none() {
                break;
            }
        }
        let size = batch_size(batch.len()).max(1);
        if size < batch.len() {
            left.extend(batch.split_off(size));
            left.sort_unstable_by_key(|(place, _)| *place);
        }
        for (_, operation) in left.into_iter().rev() {
            self.waiting.push_front(operation);
        }
        let take = |(_, operation): (usize, T)| {
            self.busy.insert(operation.footprint());
            operation
        };
        batch.into_iter().map(take).collect()
    }
}

#[cfg(test)]
mod tests;
