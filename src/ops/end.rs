//! Ends sessions by their keys: makes marks of their rows where ended sessions are remembered (see
//! `crate::db::End`), and deletes them otherwise.

use crate::db::types::TEXTS;
use crate::db::{Db, Effect, End, Fault, Fixed, Sql, Statement, Tables};

/// What becomes of the metadata of sessions that are ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metadata {
    /// It is deleted with them.
    Deleted,
    /// It stays, unless the tables delete it by themselves: the caller deletes it later.
    Stays,
}

/// Ends the sessions of these keys, each of them only once. Returns how many of them were alive on the
/// database's clock.
pub(super) fn end(
    mut keys: Vec<&str>,
    how: End,
    metadata: Metadata,
    db: &mut Db<'_>,
) -> Result<u64, Fault> {
    let info = db.table_info()?;
    let with_metadata = metadata == Metadata::Deleted;
    // Statements that share rows lock them in the same order.
    keys.sort_unstable();
    let ended: Vec<(bool,)> = if !db.tables().remember_ended() {
        let delete = if with_metadata && info.leaves_metadata { &DELETE_BOTH } else { &DELETE };
        db.rows(delete, &[&keys])?
    } else if info.distributed {
        return mark_in_steps(&keys, how, with_metadata && info.has_metadata, db);
    } else {
        let metadata = with_metadata && info.has_metadata;
        db.rows(&Mark { how, metadata }, &[&keys])?
    };
    Ok(ended.iter().filter(|(alive,)| *alive).count() as u64)
}

/// Answers for each session that was deleted whether it was alive.
const DELETE: Fixed = Fixed::answers(
    "DELETE FROM {sessions} WHERE sid::text = ANY ($1) \
     RETURNING coalesce(exp >= pg_catalog.date_trunc('second', pg_catalog.now()), false)",
    &[TEXTS],
);

/// The same for tables that do not delete metadata by themselves.
const DELETE_BOTH: Fixed = Fixed {
    with: "ended AS (DELETE FROM {sessions} WHERE sid::text = ANY ($1) RETURNING sid, exp), \
           metadata AS (DELETE FROM {metadata} WHERE sid::text = ANY (ARRAY(SELECT sid::text FROM ended)))",
    body: ALIVE,
    ..DELETE
};

/// Makes marks of the sessions $1. Answers of each whether it was alive.
struct Mark {
    how: End,
    /// Deletes their metadata, too: only of those whose rows it holds, so that no save of the same session
    /// takes place beside it and loses its own.
    metadata: bool,
}

/// The rows are locked in an order that does not depend on the plan of the update.
const FOUND: &str = "found AS MATERIALIZED ( \
       SELECT sid, exp FROM {sessions} WHERE sid::text = ANY ($1) AND ({is_revoked}) IS NOT TRUE \
       ORDER BY sid::text COLLATE pg_catalog.\"C\" FOR NO KEY UPDATE)";

const METADATA: &str = ", metadata AS ( \
       DELETE FROM {metadata} WHERE sid::text = ANY (ARRAY(SELECT sid::text FROM ended)))";

const ALIVE: &str =
    "SELECT coalesce(exp >= pg_catalog.date_trunc('second', pg_catalog.now()), false) FROM ended";

fn mark(how: End) -> &'static str {
    match how {
        End::Deleted => "{deleted}",
        End::Revoked => "{revoked}",
    }
}

impl Statement for Mark {
    fn id(&self) -> (usize, usize) {
        let variant = usize::from(self.metadata) * 2 + usize::from(self.how == End::Revoked);
        (FOUND.as_ptr() as usize, variant)
    }

    fn sql(&self, tables: &Tables) -> Sql {
        let with = format!(
            "{FOUND}, ended AS ( \
               UPDATE {{sessions}} AS s SET data = '', exp = {} FROM found \
               WHERE s.sid::text = found.sid::text RETURNING s.sid, found.exp){}",
            mark(self.how),
            if self.metadata { METADATA } else { "" }
        );
        Sql {
            with: tables.fill_in(&with),
            body: ALIVE.to_owned(),
            types: vec![TEXTS],
            effect: Effect::WritesAndAnswers,
        }
    }
}

const COUNT: Fixed = Fixed::reads(
    "SELECT pg_catalog.count(*) FROM {sessions} WHERE sid::text = ANY ($1) \
     AND exp >= pg_catalog.date_trunc('second', pg_catalog.now())",
    &[TEXTS],
);

const fn writes(body: &'static str) -> Fixed {
    Fixed { effect: Effect::Writes, ..Fixed::reads(body, &[TEXTS]) }
}

const MARK_DELETED: Fixed = writes(
    "UPDATE {sessions} SET data = '', exp = {deleted} \
     WHERE sid::text = ANY ($1) AND ({is_revoked}) IS NOT TRUE",
);

const MARK_REVOKED: Fixed = writes(
    "UPDATE {sessions} SET data = '', exp = {revoked} \
     WHERE sid::text = ANY ($1) AND ({is_revoked}) IS NOT TRUE",
);

const DELETE_METADATA: Fixed = writes("DELETE FROM {metadata} WHERE sid::text = ANY ($1)");

/// The same in several statements of the caller's transaction: distributed tables do not take the single
/// one.
fn mark_in_steps(keys: &[&str], how: End, metadata: bool, db: &mut Db<'_>) -> Result<u64, Fault> {
    let (alive,): (i64,) = db.row(&COUNT, &[&keys])?;
    let mark = if how == End::Deleted { &MARK_DELETED } else { &MARK_REVOKED };
    db.execute(mark, &[&keys])?;
    if metadata {
        db.execute(&DELETE_METADATA, &[&keys])?;
    }
    Ok(alive.unsigned_abs())
}
