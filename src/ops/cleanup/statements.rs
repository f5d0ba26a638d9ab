//! The statements of a clean-up: which sessions it finds, and how it deletes them.

use crate::db::types::{BOOL, INT, TEXTS, TIME};
use crate::db::{Db, Effect, Fault, Fixed, column, texts};
use crate::op::Epoch;

/// A session must have expired before that: a minute before the database's clock, and before $1.
macro_rules! before {
    () => {
        "least($1, pg_catalog.date_trunc('second', pg_catalog.now())) - interval '60 seconds'"
    };
}

/// Which rows are deleted: sessions, and the marks of ended ones that are no longer remembered.
macro_rules! expired {
    ($before:expr) => {
        concat!("exp < ", $before, " AND ({is_deleted} OR {is_revoked}) IS NOT TRUE")
    };
}

/// A session to delete, and when it expired; `None` for '-infinity'.
pub(super) type Found = (String, Option<Epoch>);

/// At most $4 that expired at $2 or later, if it is not null, but for those of the keys $3.
const FIND: Fixed = Fixed::reads(
    concat!(
        "SELECT sid, CASE WHEN pg_catalog.isfinite(exp) THEN exp END FROM {sessions} WHERE ",
        expired!(before!()),
        " AND exp >= coalesce($2, '-infinity') AND sid IS NOT NULL AND NOT (sid::text = ANY ($3)) \
         ORDER BY exp LIMIT $4"
    ),
    &[TIME, TIME, TEXTS, INT],
);

/// How many there are to delete, at most $2 if it is not null. Marks are not counted.
pub(super) const EXPIRED: Fixed = Fixed::reads(
    concat!(
        "SELECT pg_catalog.count(*) FROM (SELECT FROM {sessions} WHERE ",
        expired!(before!()),
        " AND exp >= {deleted_to} LIMIT $2) AS expired"
    ),
    &[TIME, INT],
);

/// How many, 1000 at most, should have been deleted a day ago.
pub(in crate::ops) const OVERDUE: Fixed = Fixed::reads(
    concat!(
        "SELECT pg_catalog.count(*) FROM (SELECT FROM {sessions} WHERE ",
        expired!("pg_catalog.now() - interval '1 day'"),
        " AND exp >= {deleted_to} LIMIT 1000) AS overdue"
    ),
    &[],
);

/// Deletes those of the keys $2 that are expired still, unless another process does so at the moment and
/// $3 is false. Answers whether it was this one's turn, how many rows were deleted, and how many of them were
/// marks. Rows that others lock stay.
///
/// Sessions that a crash of the server brings back are expired as before, so the commit does not wait
/// for the disk.
macro_rules! delete {
    ($metadata:literal) => {
        concat!(
            "turn AS MATERIALIZED ( \
               SELECT pg_catalog.pg_try_advisory_xact_lock({locks}, 16) OR $3 AS ours, ",
            before!(),
            " AS before, pg_catalog.set_config('synchronous_commit', 'off', true)), \
             dead AS MATERIALIZED ( \
               SELECT sid FROM {sessions} WHERE (SELECT ours FROM turn) AND sid::text = ANY ($2) AND ",
            expired!("(SELECT before FROM turn)"),
            " FOR UPDATE SKIP LOCKED), ",
            $metadata,
            "gone AS ( \
               DELETE FROM {sessions} WHERE sid::text = ANY (ARRAY(SELECT sid::text FROM dead)) AND ",
            expired!("(SELECT before FROM turn)"),
            " RETURNING exp)"
        )
    };
}

const DELETE: Fixed = Fixed {
    with: delete!(""),
    body: "SELECT ours, (SELECT pg_catalog.count(*) FROM gone), \
           (SELECT pg_catalog.count(*) FROM gone WHERE exp < {deleted_to}) FROM turn",
    types: &[TIME, TEXTS, BOOL],
    effect: Effect::WritesAndAnswers,
};

/// The same for tables that do not delete metadata by themselves.
const DELETE_BOTH: Fixed = Fixed {
    with: delete!(
        "metadata AS (DELETE FROM {metadata} AS m USING dead WHERE m.sid::text = dead.sid::text), "
    ),
    ..DELETE
};

/// Whether it is this process's turn, and before when a session must have expired.
const TURN: Fixed = Fixed::reads(
    concat!("SELECT pg_catalog.pg_try_advisory_xact_lock({locks}, 16) OR $2, ", before!()),
    &[TIME, BOOL],
);

/// Deletes those of $1 that are expired still. Answers their keys, and whether each is that of a mark.
const DELETE_SESSIONS: Fixed = Fixed::answers(
    concat!(
        "DELETE FROM {sessions} WHERE sid::text = ANY ($1) AND ",
        expired!("$2"),
        " RETURNING sid, exp < {deleted_to}"
    ),
    &[TEXTS, TIME],
);

const DELETE_METADATA: Fixed = Fixed {
    with: "",
    body: "DELETE FROM {metadata} WHERE sid::text = ANY ($1)",
    types: &[TEXTS],
    effect: Effect::Writes,
};

/// What a statement of a clean-up did.
pub(super) struct Deleted {
    pub(super) count: u64,
    /// How many of them were marks of ended sessions (see `crate::db::End`).
    pub(super) marks: u64,
}

/// The sessions that expired before `now` and the database's clock, at `since` or later, the first ones
/// first.
pub(super) fn find(
    db: &mut Db<'_>,
    now: Epoch,
    since: Option<Epoch>,
    but: &[&str],
    most: u32,
) -> Result<Vec<Found>, Fault> {
    db.rows(&FIND, &[&now, &since, &but, &i64::from(most)])
}

/// Deletes those of the keys that are expired still, and answers how many. `None` where another process
/// cleans up at the moment, unless this one is to do so `anyway`.
pub(super) fn delete(
    db: &mut Db<'_>,
    now: Epoch,
    keys: &[&str],
    anyway: bool,
) -> Result<Option<Deleted>, Fault> {
    let info = db.table_info()?;
    if !info.is_plain {
        return db.transaction(|db| delete_in_steps(db, now, keys, anyway));
    }
    let delete = if info.leaves_metadata { &DELETE_BOTH } else { &DELETE };
    let (ours, count, marks): (bool, i64, i64) = db.row(delete, &[&now, &keys, &anyway])?;
    let (count, marks) = (count.unsigned_abs(), marks.unsigned_abs());
    Ok(ours.then_some(Deleted { count, marks }))
}

/// The same in several statements of one transaction: distributed tables, views and partitions do not
/// take the single statement.
fn delete_in_steps(
    db: &mut Db<'_>,
    now: Epoch,
    keys: &[&str],
    anyway: bool,
) -> Result<Option<Deleted>, Fault> {
    let (ours, before): (bool, Epoch) = db.row(&TURN, &[&now, &anyway])?;
    if !ours {
        return Ok(None);
    }
    let gone = db.query(&DELETE_SESSIONS, &[&keys, &before])?;
    // Only that of deleted sessions: another one may have been saved again in between.
    if !gone.is_empty() && db.table_info()?.leaves_metadata {
        db.execute(&DELETE_METADATA, &[&texts(&gone)?])?;
    }
    let mut marks = 0;
    for row in &gone {
        marks += u64::from(column::<bool>(row, 1)?);
    }
    Ok(Some(Deleted { count: gone.len() as u64, marks }))
}
