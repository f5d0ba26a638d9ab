//! How many sessions a statement of a clean-up deletes: as many as take a few milliseconds. What one costs
//! differs by a thousand times: where the metadata has no index by session, each reads all of it.

use crate::db::Deletions;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The most sessions of one statement.
pub(super) const MOST: u32 = 1_000;

/// The times, for the sessions of one statement alone, from which on statements do not grow any more, and
/// shrink: a statement holds a connection and rows for so long.
const TIME: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(10));

/// A statement of up to so many sessions may take longer: at the speed of a busy server, few sessions at a
/// time would never be done.
const FEW: u32 = 100;
const TIME_OF_FEW: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(40));

/// The sizes of the first two statements, and of two more after one that took too long. The time that does
/// not grow from the one to the other (the way to the server, triggers for each statement) is no reason for
/// small statements.
const PROBES: [u32; 2] = [1, 2];

/// After so many small statements in a row that did not grow there are probes again: those before may have
/// met a busy server.
const PROBE_AGAIN: u32 = 8;

/// The sizes of the statements of one round.
#[derive(Default)]
pub(super) struct Sizes {
    /// What the first probe took, if that was the last statement.
    first: Option<Duration>,
    /// There were probes in this round.
    probed: bool,
    /// Statements in a row that took long for each session.
    slow: u32,
    /// Statements in a row that took too long.
    late: u32,
    /// Small statements in a row that did not grow.
    stuck: u32,
}

impl Sizes {
    pub(super) fn next(&self, known: &Deletions) -> u32 {
        match known.at_once.load(Relaxed) {
            0 => PROBES[usize::from(self.first.is_some())],
            size => size,
        }
    }

    /// A statement has deleted so many sessions.
    pub(super) fn note(&mut self, known: &Deletions, count: u32, took: Duration) {
        let mut size = known.at_once.load(Relaxed);
        if count == 0 {
            return;
        }
        if size == 0 {
            match (count, self.first.take()) {
                (1, _) => self.first = Some(took),
                (2, Some(first)) => {
                    let fixed = (first * 2).saturating_sub(took).min(first);
                    known.fixed_micros.store(fixed.as_micros() as u64, Relaxed);
                    self.probed = true;
                    size = 2;
                }
                _ => {}
            }
        }
        if size == 0 {
            return;
        }
        let fixed = Duration::from_micros(known.fixed_micros.load(Relaxed));
        let took = took.saturating_sub(fixed);
        self.slow = if took > SLOW * count { self.slow + 1 } else { 0 };
        self.late = if took > TIME_OF_FEW.1 { self.late + 1 } else { 0 };
        let mut next = next(size, count, took);
        if self.late == 1 && !self.probed {
            // On a busy server any statement may be late once.
            next = next.max(size / 4).max(1);
        }
        self.stuck = if size < FEW && next <= size { self.stuck + 1 } else { 0 };
        if self.stuck >= PROBE_AGAIN || self.late >= 2 && !self.probed {
            (self.late, self.stuck, next) = (0, 0, 0);
        }
        known.at_once.store(next, Relaxed);
    }

    /// Those of the next round: a round of a single statement has had no second probe.
    pub(super) fn of_next_round(self) -> Sizes {
        let Sizes { first, late, stuck, .. } = self;
        Sizes { first, late, stuck, ..Sizes::default() }
    }

    /// Whether a session takes long, and has several times in a row.
    pub(super) fn is_slow(&self) -> bool {
        self.slow >= 3
    }

    /// A statement has failed, because of one of its sessions: the next one has so many.
    pub(super) fn shrink(&mut self, known: &Deletions, to: u32) {
        self.first = None;
        known.at_once.store(to, Relaxed);
    }
}

/// The size after a statement of `count` sessions, which took so long for them.
fn next(size: u32, count: u32, took: Duration) -> u32 {
    let limit = if size < FEW { TIME_OF_FEW.0 } else { TIME.0 };
    if count >= size && took < limit {
        return (size * if took < limit / 4 { 4 } else { 2 }).min(MOST);
    }
    let fit = |time: Duration| (f64::from(count) * time.as_secs_f64() / took.as_secs_f64()) as u32;
    if took > TIME_OF_FEW.1 {
        size.min(fit(TIME_OF_FEW.1)).max(1)
    } else if took > TIME.1 {
        size.min(fit(TIME.1).max(FEW))
    } else {
        size
    }
}

/// From this time for one session on, deletions are slow.
const SLOW: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of the first statements of a round that each take `fixed` microseconds, and `each` for
    /// each session.
    fn sizes(known: &Deletions, fixed: u64, each: u64) -> Vec<u32> {
        let mut sizes = Sizes::default();
        let statement = |_| {
            let size = sizes.next(known);
            let took = Duration::from_micros(fixed + each * u64::from(size));
            sizes.note(known, size, took);
            size
        };
        (0..20).map(statement).collect()
    }

    #[test]
    fn statements_grow_until_they_take_a_few_milliseconds() {
        let known = Deletions::default();
        assert_eq!(sizes(&known, 500, 30)[..6], [1, 2, 8, 32, 128, 256]);
        assert!(sizes(&known, 500, 30).iter().all(|size| (100..=400).contains(size)));
        assert_eq!(sizes(&known, 500, 1).last(), Some(&MOST));
    }

    #[test]
    fn slow_deletions_are_one_by_one_and_grow_again_later() {
        let known = Deletions::default();
        assert_eq!(sizes(&known, 500, 1).last(), Some(&MOST));
        assert_eq!(sizes(&known, 500, 50_000)[..6], [MOST, MOST / 4, 1, 2, 1, 1]);
        assert!(sizes(&known, 500, 9_000).iter().all(|size| *size <= 8));
        assert_eq!(sizes(&known, 500, 1).last(), Some(&MOST));
    }

    #[test]
    fn probes_that_met_a_busy_server_are_repeated() {
        let (known, mut pass) = (Deletions::default(), Sizes::default());
        // Of the first two statements only the second is late.
        for busy in [200, 30] {
            for n in 0..40 {
                let size = pass.next(&known);
                let took = 60 + if n == 1 { busy } else { 0 };
                pass.note(&known, size, Duration::from_millis(took));
            }
            assert_eq!(pass.next(&known), MOST);
            pass.shrink(&known, 0);
        }
    }

    #[test]
    fn a_far_server_is_no_reason_for_small_statements() {
        assert_eq!(sizes(&Deletions::default(), 150_000, 1).last(), Some(&MOST));
        assert!(sizes(&Deletions::default(), 150_000, 30).last() >= Some(&FEW));
        // It was near before.
        let known = Deletions::default();
        sizes(&known, 500, 1);
        assert_eq!(sizes(&known, 150_000, 1).last(), Some(&MOST));
    }
}
