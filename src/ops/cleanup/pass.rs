//! One pass over the expired sessions, the first ones first. A session that cannot be deleted is found by
//! halves, passed over, and tried again in a later pass.

use super::size::{MOST, Sizes};
use super::statements::{Found, delete, find};
use crate::Error;
use crate::db::{Db, Fault, Retry};
use crate::host::log::{self, Level, Limited};
use crate::op::Epoch;
use crate::ops::schema::missing_indexes;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How long after its start a pass that has passed sessions over may be followed by another one, which
/// tries them again.
const AGAIN_AFTER: Duration = Duration::from_secs(600);

/// After so many failures in a row that may have another reason than the sessions, the pass is over.
const MOST_FAILURES: u32 = 10;

#[derive(Default)]
pub(super) struct Pass {
    /// Sessions that are to be deleted next.
    found: VecDeque<Found>,
    /// There may be more than those.
    is_full: bool,
    /// Where it is: what expired before that has been tried.
    since: Option<Epoch>,
    /// What expired in that second, was tried, and may be there.
    left: Vec<Found>,
    /// When it first passed a session over.
    passed_over: Option<Instant>,
    /// Failures in a row.
    failures: u32,
    sizes: Sizes,
}

/// What one statement did, and what follows.
pub(super) struct Step {
    /// Sessions; marks of ended ones do not count.
    pub(super) deleted: u64,
    pub(super) next: Next,
}

#[derive(Clone, Copy)]
pub(super) enum Next {
    /// There may be more to delete.
    More,
    /// All has been tried.
    End,
    /// Another process has the turn.
    Taken,
}

impl Pass {
    /// Runs one statement, which deletes `most` sessions at most.
    pub(super) fn step(
        &mut self,
        db: &mut Db<'_>,
        now: Epoch,
        most: u64,
        anyway: bool,
    ) -> Result<Step, Fault> {
        if self.found.is_empty() {
            let left: Vec<&str> = self.left.iter().map(|(key, _)| key.as_str()).collect();
            self.found = find(db, now, self.since, &left, MOST)?.into();
            self.is_full = self.found.len() >= MOST as usize;
        }
        let known = &db.tables().deletions;
        let size = self.sizes.next(known).min(u32::try_from(most).unwrap_or(MOST));
        let keys: Vec<&str> =
            self.found.iter().take(size as usize).map(|it| it.0.as_str()).collect();
        let size = keys.len() as u32;
        if size == 0 {
            return Ok(Step { deleted: 0, next: Next::End });
        }
        let start = Instant::now();
        let result = delete(db, now, &keys, anyway);
        let took = start.elapsed();
        let mut deleted = 0;
        match result {
            Ok(None) => return Ok(Step { deleted, next: Next::Taken }),
            Ok(Some(done)) => {
                deleted = done.count - done.marks;
                self.failures = 0;
                self.tried(size, done.count);
                let count = size.min(done.count as u32);
                self.sizes.note(known, count, took);
                if self.sizes.is_slow() {
                    report_slow(db, took / count.max(1));
                }
            }
            Err(fault) => self.failed(db, fault, size)?,
        }
        let is_end = self.found.is_empty() && !self.is_full;
        Ok(Step { deleted, next: if is_end { Next::End } else { Next::More } })
    }

    /// A statement of so many sessions has failed: the next one is smaller, or without the session that is
    /// at fault.
    ///
    /// # Errors
    ///
    /// The same where the sessions are not at fault.
    fn failed(&mut self, db: &mut Db<'_>, fault: Fault, size: u32) -> Result<(), Fault> {
        let known = &db.tables().deletions;
        let is_late = matches!(fault.error, Error::Timeout { .. });
        if !is_late && fault.retry != Retry::Split && !fault.is_lock() {
            return Err(fault);
        }
        if size > 1 {
            // After one that was late the size has to be found anew.
            self.sizes.shrink(known, if is_late { 0 } else { size / 2 });
        } else {
            self.failures += 1;
            self.passed_over.get_or_insert_with(Instant::now);
            let key = self.found.front().map(|(key, _)| key.clone());
            self.tried(1, 0);
            db.note_passed_over();
            report_passed_over(db, &fault.error, key.as_deref().unwrap_or_default());
        }
        let is_over = self.failures >= MOST_FAILURES && !is_about_rows(&fault.error);
        if is_late || is_over { Err(fault) } else { Ok(()) }
    }

    /// The next `size` sessions have been tried, and `deleted` of them are gone.
    fn tried(&mut self, size: u32, deleted: u64) {
        let mut tried = self.found.drain(..size as usize);
        let since = if deleted >= size.into() {
            tried.next_back().and_then(|(_, exp)| exp)
        } else {
            self.left.extend(&mut tried);
            self.left.last().and_then(|(_, exp)| *exp)
        };
        drop(tried);
        self.since = since;
        self.left.retain(|(_, exp)| *exp == since);
        // Too many of one second: the others of that second have to wait for another pass.
        if self.left.len() >= MOST as usize {
            self.left.clear();
            self.since = Some(since.map_or(Epoch::FIRST, |since| since.plus(1)));
        }
    }

    /// The pass at the end of a round: the next round begins at the start, unless sessions were passed over
    /// a short time ago.
    pub(super) fn at_rest(self) -> Pass {
        let sizes = self.sizes.of_next_round();
        match self.passed_over {
            Some(at) if at.elapsed() < AGAIN_AFTER => {
                let Pass { since, left, passed_over, .. } = self;
                Pass { since, left, passed_over, sizes, ..Pass::default() }
            }
            _ => Pass { sizes, ..Pass::default() },
        }
    }
}

/// Whether a session is at fault, certainly: a constraint forbids its deletion, or a trigger does.
fn is_about_rows(error: &Error) -> bool {
    let Error::Database { code, .. } = error else {
        return false;
    };
    ["22", "23", "P0"].iter().any(|class| code.starts_with(class))
}

/// The message is the server's, or a trigger's, which may have put the key into it.
fn report_passed_over(db: &Db<'_>, error: &Error, key: &str) {
    static REPORTS: Limited = Limited::new();
    REPORTS.log(Level::Warn, || {
        let [sessions, _] = db.tables().names();
        let error = error.to_string().replace(key, "…");
        format!("the clean-up of {sessions} passes over a session that cannot be deleted: {error}")
    });
}

/// How often it is looked at most why deletions are slow, and how often that is logged, in seconds.
const LOOK: i64 = 10;
const REPEAT: i64 = 3600;

/// Deletions are slow: says which index is missing, if one is, and if the server says so.
fn report_slow(db: &mut Db<'_>, each: Duration) {
    let (quiet_until, now) = (&db.tables().deletions.quiet_until, Epoch::now().seconds());
    if quiet_until.load(Relaxed) > now {
        return;
    }
    let missing = missing_indexes(db).unwrap_or_default().join(" ");
    quiet_until.store(now + if missing.is_empty() { LOOK } else { REPEAT }, Relaxed);
    if !missing.is_empty() {
        let ([sessions, _], each) = (db.tables().names(), each.as_millis());
        let text =
            format!("the clean-up of {sessions} takes {each} ms for each session: {missing}");
        log::log(Level::Warn, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_of_those_that_were_tried_are_kept() {
        let later = Epoch::FIRST.plus(10);
        let pass_of = |found| Pass { found, ..Pass::default() };
        for (exp, next) in [(None, Epoch::FIRST), (Some(later), later.plus(1))] {
            let found = |n| (format!("key {n}"), exp);
            let mut pass = pass_of((0..MOST + 1).map(found).collect());
            pass.tried(MOST - 1, 0);
            assert_eq!((pass.left.len(), pass.since), (MOST as usize - 1, exp));
            pass.tried(1, 0);
            assert_eq!((pass.left.len(), pass.since), (0, Some(next)));
        }
        // Those of an earlier second are behind it.
        let found = [("a", later), ("b", later), ("c", later.plus(1))];
        let mut pass = pass_of(found.map(|(key, exp)| (key.to_owned(), Some(exp))).into());
        pass.tried(1, 0);
        pass.tried(1, 1);
        assert_eq!(pass.left.len(), 1);
        pass.tried(1, 1);
        assert_eq!((pass.left.len(), pass.since), (0, Some(later.plus(1))));
    }
}
