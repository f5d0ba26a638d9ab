//! `cleanup`: deletes expired sessions, a limited number in each statement; and the statement that the
//! engine runs in the background.

mod pass;
mod size;
mod statements;

pub(in crate::ops) use statements::OVERDUE;

use crate::Error;
use crate::db::{Db, Fault};
use crate::host::lock;
use crate::op::ParamKind::{Count, Flag};
use crate::op::{Args, Epoch, Group, Operation, Param, Spec};
use pass::{Next, Pass, Step};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Deletes sessions that expired a minute ago or more.
pub struct Cleanup {
    limit: Option<u32>,
    now: Epoch,
    dry_run: bool,
    /// How often another process has had the turn.
    missed: AtomicU32,
}

impl Cleanup {
    /// Those that had expired a minute before `now` on the caller's clock, and on the database's; at most
    /// `limit`.
    pub fn new(limit: Option<u32>, now: Epoch) -> Self {
        Cleanup { limit, now, dry_run: false, missed: AtomicU32::new(0) }
    }

    /// Deletes nothing: answers how many would be deleted.
    #[must_use]
    pub fn dry_run(self) -> Self {
        Cleanup { dry_run: true, ..self }
    }
}

impl Operation for Cleanup {
    const SPEC: Spec = Spec {
        name: "cleanup",
        group: Group::Administration,
        summary: "Delete sessions that expired a minute ago or more, at once instead of in the \
                  background.",
        details: "The minute covers callers whose clocks are behind the database's. It takes up to \
                  half of the time that an operation may take, and about 5 seconds at most; if more \
                  is left, call it again. One process at a time cleans a table up; another one waits \
                  for its turn. Sessions that cannot be deleted, because a foreign key of another \
                  table forbids it, for example, are passed over and logged.",
        params: &[
            Param::optional(
                "limit",
                Count,
                "sessions at most (defaults to as many as the time allows)",
            ),
            Param::CURRENT_TIME,
            Param::optional("dry_run", Flag, "true deletes nothing"),
        ],
        returns: "how many were deleted, or with `dry_run` are to be deleted",
    };

    const LONG: bool = true;

    type Answer = u64;

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        let limit = args.optional_count("limit", u32::MAX)?;
        let cleanup = Cleanup::new(limit, args.current_time()?);
        Ok(Cleanup { dry_run: args.flag("dry_run")?, ..cleanup })
    }

    fn run(&self, db: &mut Db<'_>) -> Result<u64, Fault> {
        if self.dry_run {
            let limit = self.limit.map(i64::from);
            let (count,): (i64,) = db.row(&statements::EXPIRED, &[&self.now, &limit])?;
            return Ok(count.unsigned_abs());
        }
        // Half of the time that there is: the last statement must not be the one that is too late.
        let mut end = Instant::now() + db.time_left() / 2;
        let anyway = self.missed.load(Ordering::Relaxed) >= MOST_MISSED;
        let limit = self.limit.map_or(u64::MAX, u64::from);
        let mut pass = Pass::default();
        let mut deleted: u64 = 0;
        loop {
            let step = match pass.step(db, self.now, limit - deleted, anyway) {
                // The engine tries again later, and gives the connection back until then.
                Ok(Step { next: Next::Taken, .. }) if deleted == 0 => {
                    self.missed.fetch_add(1, Ordering::Relaxed);
                    db.report_strangers("clean-ups");
                    return Err(db.locked("another process cleans up"));
                }
                // What was deleted before stays deleted, and is counted.
                Err(_) if deleted > 0 => return Ok(deleted),
                step => step?,
            };
            if deleted == 0 && step.deleted > 0 {
                end = end.min(Instant::now() + LONGEST);
            }
            deleted = limit.min(deleted + step.deleted);
            db.note_cleaned(step.deleted);
            let is_over = matches!(step.next, Next::Taken | Next::End);
            if is_over || deleted >= limit || Instant::now() > end {
                return Ok(deleted);
            }
        }
    }
}

/// How long a call goes on after it has deleted the first session: a caller can show how far it is.
const LONGEST: Duration = Duration::from_secs(5);

/// One statement of a clean-up, which the engine runs in the background.
pub(crate) struct Sweep {
    pub(crate) pace: Arc<SweepPace>,
}

impl Operation for Sweep {
    const SPEC: Spec = Spec { name: "sweep", params: &[], ..Cleanup::SPEC };

    const LONG: bool = true;

    type Answer = u64;

    fn read(_: &Args<'_>) -> Result<Self, Error> {
        Err(Error::internal("the engine's own operation"))
    }

    fn run(&self, db: &mut Db<'_>) -> Result<u64, Fault> {
        let (mut pass, anyway) = self.pace.begin();
        let start = Instant::now();
        let step = pass.step(db, Epoch::now(), u64::MAX, anyway);
        self.pace.end(pass, step.as_ref().ok(), start.elapsed());
        let step = step?;
        match step.next {
            Next::Taken => db.report_strangers("clean-ups"),
            _ => db.note_cleaned(step.deleted),
        }
        Ok(step.deleted)
    }
}

/// How far the background clean-up of one pair of tables is, and how soon its statements follow each
/// other.
#[derive(Default)]
pub(crate) struct SweepPace(Mutex<Pace>);

#[derive(Default)]
struct Pace {
    pass: Pass,
    /// Until the next statement, where there is more to do.
    pause: Option<Duration>,
    /// How many turns in a row another process has had.
    missed: u32,
}

/// After so many turns that another process has had in a row, this one no longer waits for its own: a
/// clean-up holds its lock for milliseconds, so it is not a clean-up that has it.
const MOST_MISSED: u32 = 10;

/// The pause after a statement is so many times as long as the statement, so that a busy server has most
/// of its time for others.
const PAUSE_FACTOR: u32 = 9;

impl SweepPace {
    /// How far the clean-up is, and whether the next statement is to be without a turn.
    fn begin(&self) -> (Pass, bool) {
        let mut pace = lock(&self.0);
        pace.pause = None;
        (std::mem::take(&mut pace.pass), pace.missed >= MOST_MISSED)
    }

    /// A statement has ended; without a step it has failed.
    fn end(&self, pass: Pass, step: Option<&Step>, took: Duration) {
        let mut pace = lock(&self.0);
        let next = step.map(|step| step.next);
        match next {
            Some(Next::Taken) => pace.missed += 1,
            Some(Next::More) if pace.missed >= MOST_MISSED => {}
            // The next clean-up waits for its turn again.
            Some(Next::End) if pace.missed >= MOST_MISSED => pace.missed = MOST_MISSED - 1,
            Some(Next::More | Next::End) => pace.missed = 0,
            None => {}
        }
        if let Some(Next::More) = next {
            pace.pass = pass;
            pace.pause = Some(took * PAUSE_FACTOR);
            return;
        }
        pace.pass = pass.at_rest();
    }

    /// The pause until the next statement; `None` where the last one found nothing more to do.
    pub(crate) fn pause(&self) -> Option<Duration> {
        lock(&self.0).pause
    }
}
