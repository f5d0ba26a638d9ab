//! Which waiting operations share one statement. Pure: it knows queues and footprints, neither
//! threads nor a database.
//!
//! Operations on a common session keep the order in which they came and never share a statement
//! (reads of it may). All others may overtake each other: their callers have not been answered
//! yet, so none of them can tell.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// What the planner must know of an operation.
pub(crate) trait Batchable {
    /// Operations of equal groups may share a statement; `None` runs alone.
    fn group(&self) -> Option<Group>;
    /// The sessions it touches.
    fn footprint(&self) -> &Footprint;
    /// About how many bytes it sends.
    fn bytes(&self) -> usize;
}

/// Says which operations may share a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    /// What they go to, by its address.
    pub(crate) target: usize,
    /// What is done.
    pub(crate) kind: Kind,
}

/// The kinds of statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Get,
    Set,
    Delete,
    ReadMetadata,
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
pub(crate) struct Busy(HashMap<u64, Use, BuildHasherDefault<AlreadyHashed>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// By so many reads.
    Read(usize),
    /// By one write.
    Written,
}

impl Busy {
    /// Whether no session is in use.
    pub(crate) fn is_empty(&self) -> bool {
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

    /// Ends the use of `footprint`'s sessions.
    pub(crate) fn remove(&mut self, footprint: &Footprint) {
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
    /// Bytes sent at most, but for one operation that is larger alone.
    pub(crate) bytes: usize,
}

/// How many waiting operations are looked at for one batch, as a multiple of its size: behind a
/// long row of others, company is not worth the search under the queue's lock.
const LOOK_AHEAD: usize = 4;

/// The numbers of rows for which an upsert is prepared. A batch in between takes the next smaller
/// one and leaves the rest, which is at most a third, for the next batch.
pub(crate) const SET_SIZES: [usize; 14] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128];

/// Takes the next batch out of `waiting` and notes its sessions in `busy`. Empty where nothing can
/// run now.
pub(crate) fn take<T: Batchable>(
    waiting: &mut VecDeque<T>,
    busy: &mut Busy,
    limits: Limits,
) -> Vec<T> {
    let mut batch: Vec<T> = Vec::new();
    // What must come after an operation that is passed over, and what the batch itself uses.
    let mut passed = Busy::default();
    let mut left: Vec<T> = Vec::new();
    let mut bytes = 0;
    let look_at = limits.operations.saturating_mul(LOOK_AHEAD);
    let mut group = None;
    while batch.len() < limits.operations && batch.len() + left.len() < look_at {
        let Some(next) = waiting.pop_front() else {
            break;
        };
        let fits = match batch.first() {
            None => true,
            Some(_) => {
                group.is_some() && next.group() == group && bytes + next.bytes() <= limits.bytes
            }
        };
        let footprint = next.footprint();
        if fits && !busy.conflicts(footprint) && !passed.conflicts(footprint) {
            if batch.is_empty() {
                group = next.group();
            }
            bytes += next.bytes();
            busy.insert(footprint);
            batch.push(next);
            if group.is_none() {
                break;
            }
        } else {
            passed.insert(footprint);
            left.push(next);
        }
    }
    if group.is_some_and(|group| group.kind == Kind::Set) {
        let size = SET_SIZES.iter().rev().find(|&&size| size <= batch.len());
        for extra in batch
            .split_off(size.copied().unwrap_or(0))
            .into_iter()
            .rev()
        {
            busy.remove(extra.footprint());
            // Nothing that was passed over touches its sessions, or it would have been, too.
            left.insert(0, extra);
        }
    }
    for operation in left.into_iter().rev() {
        waiting.push_front(operation);
    }
    batch
}

/// The first operation that [`take`] would take now.
pub(crate) fn first<'a, T: Batchable>(
    waiting: &'a VecDeque<T>,
    busy: &Busy,
    limits: Limits,
) -> Option<&'a T> {
    let mut passed = Busy::default();
    let look_at = limits.operations.saturating_mul(LOOK_AHEAD);
    waiting.iter().take(look_at).find(|operation| {
        let footprint = operation.footprint();
        let free = !busy.conflicts(footprint) && !passed.conflicts(footprint);
        if !free {
            passed.insert(footprint);
        }
        free
    })
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
