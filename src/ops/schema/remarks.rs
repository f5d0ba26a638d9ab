//! What else there is to say about the tables: privileges that the user lacks, what others have put on a table,
//! and the order of keys. Nothing here is for `migrate` to change.

use super::catalog::{self, Definition, METADATA, SESSIONS};
use crate::db::{Db, Fault};
use crate::op::Finding;

/// The remarks on both tables.
pub(in crate::ops) fn remarks(db: &mut Db<'_>) -> Result<Vec<Finding>, Fault> {
    let [sessions, metadata] = db.tables().names();
    let mut found = Vec::new();
    for (table, wanted) in [(&sessions, SESSIONS), (&metadata, METADATA)] {
        found.extend(privileges(db, table, &wanted)?);
        found.extend(others(db, table)?);
    }
    found.extend(collations(db, &sessions, &metadata)?);
    Ok(found)
}

/// A problem that no statement of this library repairs.
fn remark(problem: String) -> Finding {
    Finding { problem, repair: None, advice: false }
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
