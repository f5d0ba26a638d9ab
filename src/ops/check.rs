//! `check`: what is wrong or slow about the tables, in words, and the statement that repairs it.

mod trial;

use super::cleanup::OVERDUE;
use super::schema::{Change, EXPIRIES_ARE_RIGHT, changes, remarks};
use crate::Error;
use crate::db::types::{INT, TEXT};
use crate::db::{Db, Fault, Fixed};
use crate::op::ParamKind::Flag;
use crate::op::{Args, Finding, Group, Operation, Param, Spec};

/// Reports what is wrong or slow about the tables.
#[derive(Default)]
pub struct Check {
    tries: bool,
}

impl Check {
    /// Also saves a session with metadata, reads it and deletes it, and rolls all of that back.
    pub fn trying() -> Self {
        Check { tries: true }
    }
}

impl Operation for Check {
    const SPEC: Spec = Spec {
        name: "check",
        group: Group::Administration,
        summary: "Report what is wrong or slow about the tables, with the statements that repair it.",
        details: "A finding with `advice` is no defect: everything works without it.",
        params: &[Param::optional(
            "try",
            Flag,
            "true also saves a session with metadata, reads it, replaces it and deletes it, and rolls \
             all of that back",
        )],
        returns: "array of `{ problem = …, repair = …, advice = … }`: what, in words, the statements that \
                  repair it, if there are any, and whether it is advice; empty where nothing was found",
    };

    const LONG: bool = true;

    type Answer = Vec<Finding>;

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        Ok(Check { tries: args.flag("try")? })
    }

    fn run(&self, db: &mut Db<'_>) -> Result<Vec<Finding>, Fault> {
        db.tables().forget_info();
        let mut found: Vec<Finding> = changes(db, false)?.iter().map(Change::finding).collect();
        found.extend(remarks(db)?);
        found.extend(expiries(db)?);
        found.extend(undeletable(db)?);
        found.extend(overdue(db)?);
        if self.tries {
            found.extend(trial::findings(db)?);
        }
        Ok(found)
    }
}

/// The foreign keys of other tables than $2 that forbid the deletion of what they refer to in $1: table
/// and name, quoted.
const REFERENCES: Fixed = Fixed::reads(
    "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), \
     pg_catalog.quote_ident(k.conname) FROM pg_catalog.pg_constraint AS k \
     JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid \
     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
     WHERE k.contype = 'f' AND k.confdeltype IN ('a', 'r') AND k.conparentid = 0 \
     AND k.confrelid = pg_catalog.to_regclass($1)::oid \
     AND k.conrelid IS DISTINCT FROM pg_catalog.to_regclass($2)::oid",
    &[TEXT, TEXT],
);

fn undeletable(db: &mut Db<'_>) -> Result<Vec<Finding>, Fault> {
    let [sessions, metadata] = db.tables().names();
    let keys: Vec<(String, String)> = db.rows(&REFERENCES, &[&sessions, &metadata])?;
    let finding = |(table, key)| Finding {
        problem: format!(
            "{table} has the foreign key {key} to {sessions}: a session that it refers to cannot be \
             deleted. The clean-up passes over it, and a logout fails."
        ),
        repair: None,
        advice: false,
    };
    Ok(keys.into_iter().map(finding).collect())
}

/// A row where the expiries of the table $1 can be read.
const HAS_EXPIRIES: Fixed = Fixed::reads(
    "SELECT 1 FROM pg_catalog.pg_attribute WHERE attrelid = pg_catalog.to_regclass($1)::oid \
     AND pg_catalog.has_table_privilege(attrelid, 'SELECT') \
     AND attname = 'exp' AND atttypid = 'timestamptz'::regtype::oid",
    &[TEXT],
);

fn overdue(db: &mut Db<'_>) -> Result<Option<Finding>, Fault> {
    let [sessions, _] = db.tables().names();
    if db.query(&HAS_EXPIRIES, &[&sessions])?.is_empty() {
        return Ok(None);
    }
    let many = match db.row(&OVERDUE, &[])? {
        (0_i64,) => return Ok(None),
        (1000,) => "1000 or more".to_owned(),
        (count,) => count.to_string(),
    };
    let problem = format!(
        "{many} sessions in {sessions} expired more than a day ago and are still there. Either no \
         process cleans up, or the clean-up is behind, or it passes over them because they cannot be \
         deleted. The log says which; `cleanup` tries it at once."
    );
    Ok(Some(Finding { problem, repair: None, advice: false }))
}

/// The server's time zone for this user: its name, quoted, and its distance from UTC in seconds. No row
/// where that is 0, the expiries of the table $1 cannot be read, or a comment says that they are right.
const TIME_ZONE: Fixed = Fixed::reads(
    "SELECT pg_catalog.quote_literal(pg_catalog.current_setting('TimeZone')), distance \
     FROM pg_catalog.pg_attribute, CAST(extract(timezone FROM pg_catalog.now()) AS bigint) AS distance \
     WHERE distance <> 0 AND attrelid = pg_catalog.to_regclass($1)::oid \
     AND pg_catalog.has_table_privilege(attrelid, 'SELECT') \
     AND attname = 'exp' AND atttypid = 'timestamptz'::regtype::oid \
     AND pg_catalog.col_description(attrelid, attnum) IS DISTINCT FROM 'true instants'",
    &[TEXT],
);

/// How many sessions, 1000 at most, expire between $1 and $2 seconds from now.
const EXPIRING: Fixed = Fixed::reads(
    "SELECT pg_catalog.count(*) FROM (SELECT FROM {sessions} \
     WHERE exp > pg_catalog.now() + $1::float8 * interval '1 second' \
     AND exp < pg_catalog.now() + $2::float8 * interval '1 second' LIMIT 1000) AS expiring",
    &[INT, INT],
);

/// How long, in seconds, an expired session may be waiting for the clean-up.
const CLEANED_UP_AFTER: i64 = 600;

/// Later than any session expires.
const FAR: i64 = 100 * 365 * 86_400;

/// Upstream's statements write an instant that is off by the server's distance from UTC: east of UTC
/// sessions expire too early, west of it too late. The rows do not say which storage has written them.
fn expiries(db: &mut Db<'_>) -> Result<Option<Finding>, Fault> {
    let tables = db.tables();
    let [sessions, _] = tables.names();
    let zone: Option<(String, i64)> = db.rows(&TIME_ZONE, &[&sessions])?.pop();
    let Some((zone, offset)) = zone else {
        return Ok(None);
    };
    let (from, to, how, otherwise) = match offset > 0 {
        true => {
            (-offset, -CLEANED_UP_AFTER, "early", "they have expired and wait for the clean-up")
        }
        false => (0, FAR, "late", "this storage has saved them, and they expire when they should"),
    };
    let many = match db.row(&EXPIRING, &[&from, &to])? {
        (0_i64,) => return Ok(None),
        (1000,) => "1000 or more".to_owned(),
        (count,) => count.to_string(),
    };
    let hours = offset.abs() as f64 / 3600.0;
    // The comment comes first: a user who may not make it moves nothing, and nothing is moved twice.
    let comment = tables.fill_in(EXPIRIES_ARE_RIGHT);
    let problem = format!(
        "The server's TimeZone is {zone}: sessions that lua-resty-session's own storage has saved \
         expire {hours} hours too {how}, and {many} may be such. Or {otherwise}; the rows do not \
         say. If lua-resty-session's own storage has saved to {sessions} with that TimeZone, move \
         them instead, once it no longer saves: BEGIN; {comment}; UPDATE {sessions} \
         SET exp = (exp AT TIME ZONE {zone}) AT TIME ZONE 'UTC' \
         WHERE exp > pg_catalog.now() + interval '{from} seconds' \
         AND exp < pg_catalog.now() + interval '{to} seconds'; COMMIT; The repair notes that they are right."
    );
    Ok(Some(Finding { problem, repair: Some(comment), advice: false }))
}
