//! Which waiting operations share one statement. Pure: it knows queues and footprints, neither
//! threads nor a database.
//!
//! Operations on a common session keep the order in which they came and never share a statement
//! (reads of it may). All others may overtake each other: their callers have not been answered
//! yet, so none of them can tell.

use std::any::TypeId;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// What the planner must know of an operation.
pub(crate) trait Batchable {
    /// Operations of equal groups may share a statement; `None` has a statement of its own.
    fn group(&self) -> Option<Group>;
    /// The sessions it touches.
    fn footprint(&self) -> &Footprint;
    /// About how many bytes it sends.
    fn bytes(&self) -> usize;
    /// The largest batch, of at most `count` operations of its group, that one statement should hold.
    fn batch_size(&self, count: usize) -> usize;
}

/// Says which operations may share a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    /// The address of their tables.
    pub(crate) tables: usize,
    /// The type of the operations.
    pub(crate) kind: TypeId,
}

/// Hashes of the sessions that an operation touches: its own and, of a set, the one it replaces.
/// Two sessions with one hash merely wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footprint {
    pub(crate) writes: bool,
    pub(crate) sessions: [Option<u64>; 2],
}

impl Footprint {
    fn sessions(&self) -> impl Iterator<Item = u64> {
        self.sessions.into_iter().flatten()
    }
}

/// Sessions in use, with how many reads use each.
#[derive(Debug, Default)]
struct Busy(HashMap<u64, Use, BuildHasherDefault<AlreadyHashed>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// By so many reads.
    Read(usize),
    /// By one write.
    Written,
}

impl Busy {
    /// Whether no session is in use.
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `footprint` must wait for what uses its sessions.
    fn conflicts(&self, footprint: &Footprint) -> bool {
        !self.0.is_empty()
            && footprint
                .sessions()
                .any(|session| match self.0.get(&session) {
                    None => false,
                    Some(Use::Read(_)) => footprint.writes,
                    Some(Use::Written) => true,
                })
    }

    /// Notes the use of `footprint`'s sessions. A write that is noted over a read stays a write.
    fn insert(&mut self, footprint: &Footprint) {
        for session in footprint.sessions() {
            let entry = self.0.entry(session).or_insert(Use::Read(0));
            match (&mut *entry, footprint.writes) {
                (Use::Read(readers), false) => *readers += 1,
                (entry, true) => *entry = Use::Written,
                (Use::Written, false) => {}
            }
        }
    }

    /// Whether any of `footprint`'s sessions is in use.
    fn touches(&self, footprint: &Footprint) -> bool {
        !self.0.is_empty()
            && footprint
                .sessions()
                .any(|session| self.0.contains_key(&session))
    }

    /// Ends the use of `footprint`'s sessions.
    fn remove(&mut self, footprint: &Footprint) {
        for session in footprint.sessions() {
            match self.0.get_mut(&session) {
                Some(Use::Read(readers)) if *readers > 1 && !footprint.writes => *readers -= 1,
                _ => {
                    self.0.remove(&session);
                }
            }
        }
    }
}

/// Limits of one batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Operations at most.
    pub(crate) operations: usize,
    /// Bytes sent at most, but for a single operation that is larger.
    pub(crate) bytes: usize,
}

/// How many waiting operations are looked at for one batch, as a multiple of its size: behind a
/// long row of others, a fuller batch is not worth the search under the queue's lock.
const LOOK_AHEAD: usize = 4;

/// The operations that wait.
#[derive(Debug)]
pub(crate) struct Planner<T> {
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

impl<T: Batchable> Planner<T> {
    /// How many operations wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.blocked.len()
    }

    /// Whether no session is in use.
    pub(crate) fn is_idle(&self) -> bool {
        self.busy.is_empty()
    }

    /// Adds an operation behind all others.
    pub(crate) fn push(&mut self, operation: T) {
        self.waiting.push_back(operation);
    }

    /// Ends the use of a taken operation's sessions.
    pub(crate) fn release(&mut self, footprint: &Footprint) {
        self.busy.remove(footprint);
        self.recheck |= self.claimed.touches(footprint);
    }

    /// Puts operations that were taken back before all others, in their order.
    pub(crate) fn put_back(&mut self, operations: Vec<T>) {
        // What waits for their sessions is younger than they are.
        self.unblock();
        for operation in operations.into_iter().rev() {
            self.busy.remove(operation.footprint());
            self.waiting.push_front(operation);
        }
    }

    /// Takes out the waiting operations that `which` picks.
    pub(crate) fn remove_if(&mut self, mut which: impl FnMut(&T) -> bool) -> Vec<T> {
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
    pub(crate) fn first(&mut self) -> Option<&T> {
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
    pub(crate) fn take(&mut self, limits: Limits) -> Vec<T> {
        let Some(first) = self.first() else {
            return Vec::new();
        };
        let group = first.group();
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
                || group.is_some() && next.group() == group && bytes + next.bytes() <= limits.bytes;
            if joins && !follows {
                bytes += next.bytes();
                batch.push((place, next));
            } else {
                left.push((place, next));
            }
            if group.is_none() {
                break;
            }
        }
        if let Some((_, first)) = batch.first() {
            let size = first.batch_size(batch.len()).max(1);
            if size < batch.len() {
                left.extend(batch.split_off(size));
                left.sort_unstable_by_key(|(place, _)| *place);
            }
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

/// Passes a hash on as it is.
#[derive(Debug, Default)]
pub(crate) struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only u64 keys are hashed");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
