//! What else there is to say about the tables: privileges that the user lacks, what others have put on a table,
//! and the order of keys. Nothing here is for `migrate` to change.

use super::catalog::{self, Definition, METADATA, SESSIONS};
use crate::db::{Db, Fault};
use crate::op::Finding;

/// The remarks on both tables.
pub(in crate::ops) fn remarks(db: &mut Db<'_>) -> Result<Vec<Finding>, Fault> {
    let [sessions, metadata] = db.tables().names();
    let mut found = Vec::new();
    found.extend(elsewhere(db, &sessions)?);
    for (table, wanted) in [(&sessions, SESSIONS), (&metadata, METADATA)] {
        let lacks = privileges(db, table, &wanted)?;
        let may_read = lacks.is_none();
        found.extend(lacks);
        found.extend(refusals(db, table, &wanted)?);
        found.extend(others(db, table)?);
        if table == &sessions && may_read {
            found.extend(without_expiry(db, table)?);
        }
    }
    found.extend(collations(db, &sessions, &metadata)?);
    Ok(found)
}

/// A problem that no statement of this library repairs.
fn remark(problem: String) -> Finding {
    Finding { problem, repair: None, advice: false }
}

/// lua-resty-session documents the key `table_name`, and reads `table`.
fn elsewhere(db: &mut Db<'_>, sessions: &String) -> Result<Option<Finding>, Fault> {
    let (is_elsewhere,): (bool,) = db.row(&catalog::ELSEWHERE, &[sessions])?;
    Ok(is_elsewhere.then(|| {
        remark(format!(
            "There is no table {sessions}, but a table sessions. lua-resty-session's own storage ignores \
             table_name and table_name_meta: what it has saved is in sessions and sessions_meta. To keep \
             these sessions, remove the two keys from the configuration."
        ))
    }))
}

fn privileges(
    db: &mut Db<'_>,
    table: &String,
    wanted: &Definition,
) -> Result<Option<Finding>, Fault> {
    let missing = db.rows(&catalog::MISSING_PRIVILEGES, &[table, &wanted.privileges])?;
    let finding = |(missing, user): &(String, String)| Finding {
        problem: format!("The user {user} may not {missing} on {table}."),
        repair: Some(format!("GRANT {missing} ON {table} TO {user}")),
        advice: false,
    };
    Ok(missing.first().map(finding))
}

/// What may refuse a row that a save writes.
fn refusals(db: &mut Db<'_>, table: &String, wanted: &Definition) -> Result<Vec<Finding>, Fault> {
    let [sessions, _] = db.tables().names();
    let known: Vec<&str> = wanted.columns.iter().map(|(name, _)| *name).collect();
    let columns: Vec<(String,)> = db.rows(&catalog::MUST_BE_GIVEN, &[table, &known])?;
    let column = |(name,)| {
        remark(format!(
            "The column {name} of {table} must not be NULL and has no default: each save fails. Give it a \
             default, or let it be NULL."
        ))
    };
    let mut found: Vec<Finding> = columns.into_iter().map(column).collect();
    let others: Vec<(String,)> =
        db.rows(&catalog::CONSTRAINTS, &[table, &wanted.unique.0, &sessions])?;
    let others: Vec<String> = others.into_iter().map(|(name,)| name).collect();
    if !others.is_empty() {
        let names = others.join(", ");
        found.push(remark(format!(
            "{table} has the constraints {names}: a save of what they do not allow fails. check with `try` \
             says whether a usual save does."
        )));
    }
    Ok(found)
}

fn without_expiry(db: &mut Db<'_>, sessions: &String) -> Result<Option<Finding>, Fault> {
    let is_time = |(name, kind, ..): &(String, String, Option<i32>, String)| {
        name == "exp" && kind == "timestamp with time zone"
    };
    if !db.rows(&catalog::COLUMNS, &[sessions])?.iter().any(is_time) {
        return Ok(None);
    }
    let many = match db.row(&catalog::WITHOUT_EXPIRY, &[])? {
        (0_i64,) => return Ok(None),
        (1000,) => "1000 or more".to_owned(),
        (count,) => count.to_string(),
    };
    let problem = format!(
        "{many} rows of {sessions} have no exp: no get finds them, and no clean-up deletes them."
    );
    let repair = Some(format!("DELETE FROM {sessions} WHERE exp IS NULL"));
    Ok(Some(Finding { repair, ..remark(problem) }))
}

/// What others have put on a table, which changes what statements do. A site may have it so.
fn others(db: &mut Db<'_>, table: &String) -> Result<Vec<Finding>, Fault> {
    type Others = (String, Option<String>, Option<String>, bool);
    let Some((owner, triggers, rules, hides)) =
        db.rows::<Others>(&catalog::OTHERS, &[table])?.pop()
    else {
        return Ok(Vec::new());
    };
    let code = |kind: &str, names: String| {
        format!(
            "{table}, which belongs to {owner}, has the {kind} {names}: each save and deletion runs \
             what they say, with the rights of the user that saves or deletes."
        )
    };
    let security =
        "Row security hides rows from this user, or refuses them: sessions may not be found.";
    let problems = [
        triggers.map(|names| code("triggers", names)),
        rules.map(|names| code("rules", names)),
        hides.then(|| format!("{table}, which belongs to {owner}, has row security. {security}")),
    ];
    Ok(problems.into_iter().flatten().map(remark).collect())
}

/// Columns with keys that PostgreSQL does not compare byte by byte. Such columns work; to change them, their
/// indexes are made anew while nobody can use the tables.
fn collations(
    db: &mut Db<'_>,
    sessions: &String,
    metadata: &String,
) -> Result<Option<Finding>, Fault> {
    let columns: Vec<(String, String, String, bool)> =
        db.rows(&catalog::COLLATIONS, &[sessions, metadata])?;
    let sids = columns.iter().filter(|(_, column, ..)| column == "sid");
    let mut named: Vec<_> = sids.map(|(.., collation, _)| &**collation).collect();
    named.dedup();
    if let &[ours, theirs] = &*named
        && ours != DEFAULT
        && theirs != DEFAULT
    {
        return Ok(Some(remark(format!(
            "The columns sid of {sessions} and {metadata} have the collations {ours} and {theirs}: PostgreSQL \
             refuses to compare them, and so {REFUSED}. ALTER TABLE … ALTER sid TYPE text COLLATE pg_catalog.\"C\" \
             repairs that."
        ))));
    }
    let slow: Vec<String> = columns
        .iter()
        .filter(|(.., bytewise)| !bytewise)
        .map(|(table, column, ..)| format!("{column} of {table}"))
        .collect();
    if slow.is_empty() {
        return Ok(None);
    }
    let problem = format!(
        "The indexes of {} are in the order of a language. Bytes would be compared faster, and an update of \
         the operating system may change the order of a language: such indexes then have to be made anew \
         (REINDEX), or sessions may not be found. New tables use COLLATE \"C\" here. To change these costs a \
         lock on both tables while their indexes are made anew: ALTER TABLE … ALTER … TYPE text COLLATE \
         pg_catalog.\"C\".",
        slow.join(", ")
    );
    Ok(Some(Finding { advice: true, ..remark(problem) }))
}

/// What PostgreSQL calls the collation of a column that names none.
const DEFAULT: &str = "pg_catalog.\"default\"";

/// What does not work where no order is common.
const REFUSED: &str =
    "metadata is not deleted with its sessions, and list and count of an audience fail";
