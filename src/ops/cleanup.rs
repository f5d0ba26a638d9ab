//! `cleanup`: deletes expired sessions, a limited number in each statement; and the statement that the
//! engine runs in the background.

use crate::Error;
use crate::db::{Db, Effect, Fault, Fixed, ParamType, column};
use crate::op::{Answers, Args, Epoch, Group, Operation, Param, Spec};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Deletes sessions that expired a minute ago or more.
pub struct Cleanup {
    limit: Option<u32>,
    now: Epoch,
}

impl Cleanup {
    /// Those that had expired a minute before `now` on the caller's clock, and on the database's; at most
    /// `limit`.
    pub fn new(limit: Option<u32>, now: Epoch) -> Self {
        Cleanup { limit, now }
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
            Param::count(
                "limit",
                "sessions at most (defaults to as many as the time allows)",
            ),
            Param::current_time(),
        ],
        returns: "how many were deleted",
    };

    type Answer = u64;

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        Ok(Cleanup {
            limit: args.optional_count("limit", u32::MAX)?,
            now: args.current_time()?,
        })
    }

    fn run(batch: &[&Self], db: &mut Db<'_>) -> Result<Answers<u64>, Fault> {
        batch
            .iter()
            .map(|cleanup| cleanup.run(db).map(Ok))
            .collect()
    }
}

impl Cleanup {
    fn run(&self, db: &mut Db<'_>) -> Result<u64, Fault> {
        // Half of the time that there is: the last statement must not be the one that is too late.
        let end = Instant::now() + db.time_left() / 2;
        let mut removed: u64 = 0;
        let mut since = None;
        loop {
            let limit = self.limit.map_or(u64::MAX, u64::from);
            let rows = (limit - removed).min(ROWS.1.into()) as u32;
            match sweep(db, self.now, rows, since) {
                // The engine tries again later, and gives the connection back until then.
                Ok(None) if removed == 0 => return Err(db.locked("another process cleans up")),
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
    const SPEC: Spec = Spec {
        name: "sweep",
        group: Group::Administration,
        summary: "Delete expired sessions in the background.",
        details: "",
        params: &[],
        returns: "how many were deleted",
    };

    type Answer = u64;

    fn read(_: &Args<'_>) -> Result<Self, Error> {
        Err(Error::internal("the engine's own operation"))
    }

    fn run(batch: &[&Self], db: &mut Db<'_>) -> Result<Answers<u64>, Fault> {
        batch.iter().map(|sweep| sweep.run(db).map(Ok)).collect()
    }
}

impl Sweep {
    fn run(&self, db: &mut Db<'_>) -> Result<u64, Fault> {
        let (rows, since) = self.pace.begin();
        let start = Instant::now();
        let swept = sweep(db, Epoch::now(), rows, since)?;
        if let Some(swept) = &swept {
            db.note_cleaned(swept.removed.into());
        }
        self.pace.end(rows, swept.as_ref(), start.elapsed());
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
}

/// The time that one statement should take, since it holds a connection and rows for so long.
const STATEMENT_TIME: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(6));

/// The pause after a full statement is so many times as long as the statement, so that a busy server
/// has most of its time for others.
const PAUSE_FACTOR: u32 = 9;

/// The shortest and the longest pause, however slow the server is.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

impl Default for SweepPace {
    fn default() -> Self {
        SweepPace(Mutex::new(Pace {
            rows: ROWS.0,
            since: None,
            pause: None,
        }))
    }
}

impl SweepPace {
    fn lock(&self) -> MutexGuard<'_, Pace> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn begin(&self) -> (u32, Option<Epoch>) {
        let mut pace = self.lock();
        pace.pause = None;
        (pace.rows, pace.since.take())
    }

    fn end(&self, rows: u32, swept: Option<&Swept>, took: Duration) {
        let Some(swept) = swept.filter(|swept| swept.removed >= rows) else {
            return;
        };
        let mut pace = self.lock();
        pace.since = swept.until;
        if took < STATEMENT_TIME.0 {
            pace.rows = (rows * 2).min(ROWS.1);
        } else if took > STATEMENT_TIME.1 {
            pace.rows = (rows / 2).max(ROWS.0);
        }
        pace.pause = Some((took * PAUSE_FACTOR).clamp(PAUSE.0, PAUSE.1));
    }

    /// The pause until the next statement; `None` where the last one found nothing more to do.
    pub(crate) fn pause(&self) -> Option<Duration> {
        self.lock().pause
    }
}

/// What one statement did.
struct Swept {
    removed: u32,
    /// When the last of those deleted had expired; `None` where that is not known.
    until: Option<Epoch>,
}

/// Deletes at most `rows` sessions; all that had expired before `since` are known to be gone. `None`
/// where another process cleans up at the moment.
fn sweep(
    db: &mut Db<'_>,
    now: Epoch,
    rows: u32,
    since: Option<Epoch>,
) -> Result<Option<Swept>, Fault> {
    let info = db.table_info()?;
    let limit = i64::from(rows);
    if info.distributed || info.not_one_table {
        return db.transaction(|db| sweep_by_key(db, now, limit));
    }
    let statement = match info.leaves_metadata {
        true => &SWEEP_WITH_METADATA,
        false => &SWEEP,
    };
    let answer = db.query(statement, &[&now, &limit, &since])?;
    let Some(row) = answer.first() else {
        return Ok(None);
    };
    let removed: i64 = column(row, 1)?;
    let swept = Swept {
        removed: u32::try_from(removed).unwrap_or(rows),
        until: column(row, 2)?,
    };
    Ok(column::<bool>(row, 0)?.then_some(swept))
}

/// Deletes at most $2 sessions that had expired a minute before the database's clock and before $1,
/// unless another process does so at the moment. Answers whether it was this one's turn, how many were
/// deleted, and when the last of them had expired. Rows that others lock are left for the next time.
///
/// $3, where it is not null, is a time before which nothing is left: until the next VACUUM the index
/// keeps what is deleted, and each statement would go through all that those before it deleted. The
/// rows are locked, so their places (`ctid`) stay; a child table may have other rows at these places,
/// so the expiry is compared again. Sessions that a crash brings back are expired as before, so no
/// commit waits for the disk.
macro_rules! sweep {
    ($metadata:literal) => {
        concat!(
            "turn AS MATERIALIZED ( \
               SELECT pg_try_advisory_xact_lock({locks}, 16) AS ours, \
                 least($1, date_trunc('second', now())) - interval '60 seconds' AS before, \
                 set_config('synchronous_commit', 'off', true)), \
             dead AS MATERIALIZED ( \
               SELECT sid, ctid AS place FROM {sessions} \
               WHERE (SELECT ours FROM turn) AND exp < (SELECT before FROM turn) \
               AND exp >= coalesce($3, '-infinity') \
               ORDER BY exp LIMIT $2 FOR UPDATE SKIP LOCKED), ",
            $metadata,
            "gone AS ( \
               DELETE FROM {sessions} WHERE ctid = ANY (ARRAY(SELECT place FROM dead)) \
               AND exp < (SELECT before FROM turn) RETURNING exp)"
        )
    };
}

const SWEEP: Fixed = Fixed {
    with: sweep!(""),
    body: "SELECT ours, (SELECT count(*) FROM gone), \
           (SELECT max(exp) FROM gone WHERE isfinite(exp)) FROM turn",
    types: &[ParamType::Time, ParamType::Int, ParamType::Time],
    effect: Effect::WritesAndAnswers,
};

/// The same for tables that do not delete metadata by themselves.
const SWEEP_WITH_METADATA: Fixed = Fixed {
    with: sweep!("metadata AS (DELETE FROM {metadata} AS m USING dead WHERE m.sid = dead.sid), "),
    ..SWEEP
};

/// Whether it is this process's turn, and when a session must have expired.
const TURN: Fixed = Fixed::reads(
    "SELECT pg_try_advisory_xact_lock({locks}, 16), \
     least($1, date_trunc('second', now())) - interval '60 seconds'",
    &[ParamType::Time],
);

const FIND: Fixed = Fixed::reads(
    "SELECT sid FROM {sessions} WHERE exp < $1 ORDER BY exp LIMIT $2",
    &[ParamType::Time, ParamType::Int],
);

/// Deletes those of $1 that are still expired.
const DELETE: Fixed = Fixed {
    with: "",
    body: "DELETE FROM {sessions} WHERE sid = ANY ($1) AND exp < $2 RETURNING sid",
    types: &[ParamType::Texts, ParamType::Time],
    effect: Effect::WritesAndAnswers,
};

const DELETE_METADATA: Fixed = Fixed::writes(
    "DELETE FROM {metadata} WHERE sid = ANY ($1)",
    &[ParamType::Texts],
);

/// The same in several statements of one transaction: distributed tables, views and partitions do not
/// take the statement of one piece.
fn sweep_by_key(db: &mut Db<'_>, now: Epoch, limit: i64) -> Result<Option<Swept>, Fault> {
    let turn = db.query(&TURN, &[&now])?;
    let (ours, before): (bool, Epoch) = match turn.first() {
        Some(row) => (column(row, 0)?, column(row, 1)?),
        None => return Ok(None),
    };
    if !ours {
        return Ok(None);
    }
    let dead = db.query(&FIND, &[&before, &limit])?;
    let keys: Vec<&str> = dead
        .iter()
        .map(|row| column(row, 0))
        .collect::<Result<_, _>>()?;
    let mut gone = Vec::new();
    if !keys.is_empty() {
        gone = db.query(&DELETE, &[&keys, &before])?;
    }
    if db.leaves_metadata()? && !gone.is_empty() {
        let gone: Vec<&str> = gone
            .iter()
            .map(|row| column(row, 0))
            .collect::<Result<_, _>>()?;
        db.execute(&DELETE_METADATA, &[&gone])?;
    }
    let (removed, until) = (gone.len() as u32, None);
    Ok(Some(Swept { removed, until }))
}
