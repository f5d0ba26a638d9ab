//! `cleanup`: deletes expired sessions, a limited number in each statement; and the statement that the
//! engine runs in the background.

use crate::Error;
use crate::db::types::{BOOL, INT, TEXTS, TIME};
use crate::db::{Db, Effect, Fault, Fixed, texts};
use crate::host::lock;
use crate::op::ParamKind::Count;
use crate::op::{Args, Epoch, Group, Operation, Param, Spec};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Deletes sessions that expired a minute ago or more.
pub struct Cleanup {
    limit: Option<u32>,
    now: Epoch,
    /// How often another process has had the turn.
    missed: AtomicU32,
}

impl Cleanup {
    /// Those that had expired a minute before `now` on the caller's clock, and on the database's; at most
    /// `limit`.
    pub fn new(limit: Option<u32>, now: Epoch) -> Self {
        Cleanup { limit, now, missed: AtomicU32::new(0) }
    }
}

/// The most rows of one statement, and the fewest of one that may be followed by another: far from the
/// server, a statement of a few rows would be all travel.
const ROWS: (u32, u32) = (100, 1_000);

impl Operation for Cleanup {
    const SPEC: Spec = Spec {
        name: "cleanup",
        group: Group::Administration,
        summary: "Delete sessions that expired a minute ago or more, at once instead of in the \
                  background.",
        details: "The minute covers callers whose clocks are behind the database's. It takes up to \
                  half of the time that an operation may take; if more is left, call it again. One \
                  process at a time cleans a table up; another one waits for its turn.",
        params: &[
            Param::optional(
                "limit",
                Count,
                "sessions at most (defaults to as many as the time allows)",
            ),
            Param::CURRENT_TIME,
        ],
        returns: "how many were deleted",
    };

    const LONG: bool = true;

    type Answer = u64;

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        let limit = args.optional_count("limit", u32::MAX)?;
        Ok(Cleanup::new(limit, args.current_time()?))
    }

    fn run(&self, db: &mut Db<'_>) -> Result<u64, Fault> {
        // Half of the time that there is: the last statement must not be the one that is too late.
        let end = Instant::now() + db.time_left() / 2;
        let anyway = self.missed.load(Ordering::Relaxed) >= MOST_MISSED;
        let mut removed: u64 = 0;
        let mut since = None;
        loop {
            let limit = self.limit.map_or(u64::MAX, u64::from);
            let rows = (limit - removed).min(ROWS.1.into()) as u32;
            match sweep(db, self.now, rows, since, anyway) {
                // The engine tries again later, and gives the connection back until then.
                Ok(None) if removed == 0 => {
                    self.missed.fetch_add(1, Ordering::Relaxed);
                    db.report_strangers("clean-ups");
                    return Err(db.locked("another process cleans up"));
                }
                Ok(None) => return Ok(removed),
                Ok(Some(swept)) => {
                    removed += u64::from(swept.removed);
                    db.note_cleaned(swept.removed.into());
                    if swept.removed < rows || removed >= limit || Instant::now() > end {
                        return Ok(removed);
                    }
                    since = swept.until;
                }
                // What was deleted before stays deleted, and is counted.
                Err(fault) if fault.is_lock() && removed > 0 => return Ok(removed),
                Err(fault) => return Err(fault),
            }
        }
    }
}

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
        let (rows, since, anyway) = self.pace.begin();
        let start = Instant::now();
        let swept = sweep(db, Epoch::now(), rows, since, anyway)?;
        self.pace.end(rows, swept.as_ref(), start.elapsed());
        match &swept {
            Some(swept) => db.note_cleaned(swept.removed.into()),
            None => db.report_strangers("clean-ups"),
        }
        Ok(swept.map_or(0, |swept| swept.removed.into()))
    }
}

/// How much the background statements of one pair of tables do, and how soon they follow each other.
pub(crate) struct SweepPace(Mutex<Pace>);

struct Pace {
    rows: u32,
    /// While one full statement follows another: what the last one reached.
    since: Option<Epoch>,
    /// Until the next statement, where there is more to do.
    pause: Option<Duration>,
    /// How many turns in a row another process has had.
    missed: u32,
}

/// After so many turns that another process has had in a row, this one no longer waits for its own: a
/// clean-up holds its lock for milliseconds, so it is not a clean-up that has it.
const MOST_MISSED: u32 = 10;

/// The time that one statement should take, since it holds a connection and rows for so long.
const STATEMENT_TIME: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(6));

/// The pause after a full statement is so many times as long as the statement, so that a busy server
/// has most of its time for others.
const PAUSE_FACTOR: u32 = 9;

impl Default for SweepPace {
    fn default() -> Self {
        SweepPace(Mutex::new(Pace { rows: ROWS.0, since: None, pause: None, missed: 0 }))
    }
}

impl SweepPace {
    /// The next statement: its rows, what the last one reached, and whether it is to be without a turn.
    fn begin(&self) -> (u32, Option<Epoch>, bool) {
        let mut pace = lock(&self.0);
        pace.pause = None;
        (pace.rows, pace.since.take(), pace.missed >= MOST_MISSED)
    }

    fn end(&self, rows: u32, swept: Option<&Swept>, took: Duration) {
        let mut pace = lock(&self.0);
        let Some(swept) = swept else {
            pace.missed += 1;
            return;
        };
        if swept.removed < rows {
            // The next clean-up waits for its turn again.
            pace.missed = if pace.missed < MOST_MISSED { 0 } else { MOST_MISSED - 1 };
            return;
        }
        pace.since = swept.until;
        if took < STATEMENT_TIME.0 {
            pace.rows = (rows * 2).min(ROWS.1);
        } else if took > STATEMENT_TIME.1 {
            pace.rows = (rows / 2).max(ROWS.0);
        }
        pace.pause = Some(took * PAUSE_FACTOR);
    }

    /// The pause until the next statement; `None` where the last one found nothing more to do.
    pub(crate) fn pause(&self) -> Option<Duration> {
        lock(&self.0).pause
    }
}

/// What one statement did.
struct Swept {
    removed: u32,
    /// When the last of those deleted had expired; `None` where that is not known.
    until: Option<Epoch>,
}

/// Deletes at most `rows` sessions; all that had expired before `since` are known to be gone. `None`
/// where another process cleans up at the moment, unless this one is to do so `anyway`.
fn sweep(
    db: &mut Db<'_>,
    now: Epoch,
    rows: u32,
    since: Option<Epoch>,
    anyway: bool,
) -> Result<Option<Swept>, Fault> {
    let info = db.table_info()?;
    let rows = i64::from(rows);
    if !info.is_plain {
        return db.transaction(|db| sweep_in_steps(db, now, rows, anyway));
    }
    let sweep = match info.leaves_metadata {
        true => &SWEEP_WITH_METADATA,
        false => &SWEEP,
    };
    let (ours, removed, until): (bool, i64, Option<Epoch>) =
        db.row(sweep, &[&now, &rows, &since, &anyway])?;
    let removed = removed as u32;
    Ok(ours.then_some(Swept { removed, until }))
}

/// Deletes at most $2 sessions that had expired a minute before the database's clock and before $1,
/// unless another process does so at the moment. Answers whether it was this one's turn, how many were
/// deleted, and when the last of them had expired. Rows that others lock are left for the next time.
///
/// $3, where it is not null, is a time before which nothing is left: until the next VACUUM the index
/// keeps what is deleted, and each statement would go through all that those before it deleted.
/// Sessions that a crash of the server brings back are expired as before, so the commit does not wait
/// for the disk.
macro_rules! sweep {
    ($metadata:literal) => {
        concat!(
            "turn AS MATERIALIZED ( \
               SELECT pg_catalog.pg_try_advisory_xact_lock({locks}, 16) OR $4 AS ours, \
                 least($1, pg_catalog.date_trunc('second', pg_catalog.now())) - interval '60 seconds' AS before, \
                 pg_catalog.set_config('synchronous_commit', 'off', true)), \
             dead AS MATERIALIZED ( \
               SELECT sid FROM {sessions} \
               WHERE (SELECT ours FROM turn) AND exp < (SELECT before FROM turn) \
               AND exp >= coalesce($3, '-infinity') \
               ORDER BY exp LIMIT $2 FOR UPDATE SKIP LOCKED), ",
            $metadata,
            "gone AS ( \
               DELETE FROM {sessions} WHERE sid::text = ANY (ARRAY(SELECT sid::text FROM dead)) \
               AND exp < (SELECT before FROM turn) RETURNING exp)"
        )
    };
}

const SWEEP: Fixed = Fixed {
    with: sweep!(""),
    body: "SELECT ours, (SELECT pg_catalog.count(*) FROM gone), \
           (SELECT pg_catalog.max(exp) FROM gone WHERE pg_catalog.isfinite(exp)) FROM turn",
    types: &[TIME, INT, TIME, BOOL],
    effect: Effect::WritesAndAnswers,
};

/// The same for tables that do not delete metadata by themselves.
const SWEEP_WITH_METADATA: Fixed = Fixed {
    with: sweep!(
        "metadata AS (DELETE FROM {metadata} AS m USING dead WHERE m.sid::text = dead.sid::text), "
    ),
    ..SWEEP
};

/// Whether it is this process's turn, and before when a session must have expired.
const TURN: Fixed = Fixed::reads(
    "SELECT pg_catalog.pg_try_advisory_xact_lock({locks}, 16) OR $2, \
     least($1, pg_catalog.date_trunc('second', pg_catalog.now())) - interval '60 seconds'",
    &[TIME, BOOL],
);

const FIND: Fixed =
    Fixed::reads("SELECT sid FROM {sessions} WHERE exp < $1 ORDER BY exp LIMIT $2", &[TIME, INT]);

/// Deletes those of $1 that are still expired. Answers their keys.
const DELETE: Fixed = Fixed::answers(
    "DELETE FROM {sessions} WHERE sid::text = ANY ($1) AND exp < $2 RETURNING sid",
    &[TEXTS, TIME],
);

const DELETE_METADATA: Fixed = Fixed {
    with: "",
    body: "DELETE FROM {metadata} WHERE sid::text = ANY ($1)",
    types: &[TEXTS],
    effect: Effect::Writes,
};

/// The same in several statements of one transaction: distributed tables, views and partitions do not
/// take the single statement.
fn sweep_in_steps(
    db: &mut Db<'_>,
    now: Epoch,
    rows: i64,
    anyway: bool,
) -> Result<Option<Swept>, Fault> {
    let (ours, before): (bool, Epoch) = db.row(&TURN, &[&now, &anyway])?;
    if !ours {
        return Ok(None);
    }
    let dead = db.query(&FIND, &[&before, &rows])?;
    let mut gone = Vec::new();
    if !dead.is_empty() {
        gone = db.query(&DELETE, &[&texts(&dead)?, &before])?;
    }
    // Only that of deleted sessions: another one may have been saved again in between.
    if !gone.is_empty() && db.table_info()?.leaves_metadata {
        db.execute(&DELETE_METADATA, &[&texts(&gone)?])?;
    }
    let (removed, until) = (gone.len() as u32, None);
    Ok(Some(Swept { removed, until }))
}
