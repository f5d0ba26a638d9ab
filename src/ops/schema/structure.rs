//! What is wrong or slow about the structure of the tables, and which privileges on them are missing: for
//! `check`, which reports it, and `migrate`, which repairs it.

use super::catalog::{self, Relation};
use super::definition::{self, Definition, METADATA, SESSIONS};
use super::indexes;
use crate::db::{Db, Fault};
use crate::op::Finding;

/// All that is found, in an order in which it can be repaired. Where both tables are missing, new ones
/// are unlogged if that is wanted; otherwise they are as the other one is.
pub(super) fn structure(db: &mut Db<'_>, unlogged: bool) -> Result<Vec<Finding>, Fault> {
    let [sessions, metadata] = db.tables().names();
    let ours = catalog::relation(db, &sessions)?;
    let theirs = catalog::relation(db, &metadata)?;
    let mut found = Vec::new();
    found.extend(missing(db, ours.as_ref(), theirs.as_ref(), unlogged)?);
    if let Some(ours) = &ours {
        found.extend(table(db, &sessions, ours, &SESSIONS)?);
    }
    if let Some(theirs) = &theirs {
        found.extend(table(db, &metadata, theirs, &METADATA)?);
        if theirs.is_table && ours.as_ref().is_none_or(|ours| ours.is_table) {
            let becomes_unlogged = !theirs.unlogged && ours.is_some_and(|ours| ours.unlogged);
            found.extend(foreign_keys(db, becomes_unlogged)?);
        }
    }
    Ok(found)
}

fn structural(problem: String, repair: String) -> Finding {
    Finding {
        problem,
        repair,
        structural: true,
    }
}

/// The tables that are missing, made in one step.
fn missing(
    db: &mut Db<'_>,
    ours: Option<&Relation>,
    theirs: Option<&Relation>,
    unlogged: bool,
) -> Result<Option<Finding>, Fault> {
    let tables = db.tables();
    let [sessions, metadata] = tables.names();
    let distributed = db.table_info()?.distributed;
    let mut repair = Vec::new();
    let problem = match (ours, theirs) {
        (Some(_), Some(_)) => return Ok(None),
        (None, Some(theirs)) => {
            repair.push(definition::create_sessions(tables, theirs.unlogged));
            format!("There is no table {sessions}.")
        }
        (Some(ours), None) => {
            repair.push(definition::create_metadata(tables, ours.unlogged));
            if ours.is_table {
                repair.push(definition::cascade(tables, distributed));
            }
            format!("There is no table {metadata}: sessions with metadata cannot be saved.")
        }
        (None, None) => {
            repair.push(definition::create_sessions(tables, unlogged));
            repair.push(definition::create_metadata(tables, unlogged));
            if distributed {
                repair.push(definition::distribute(tables));
            }
            repair.push(definition::cascade(tables, distributed));
            format!("There is no table {sessions}, and no {metadata}.")
        }
    };
    let mut schemas = Vec::new();
    for schema in definition::schemas(tables) {
        // IF NOT EXISTS needs the privilege to create one, even where there is one.
        if !catalog::has_schema(db, &schema)? {
            schemas.push(format!("CREATE SCHEMA IF NOT EXISTS {schema}"));
        }
    }
    schemas.extend(repair);
    Ok(Some(structural(problem, schemas.join("; "))))
}

/// The columns, indexes and privileges of a table.
fn table(
    db: &mut Db<'_>,
    table: &String,
    relation: &Relation,
    wanted: &Definition,
) -> Result<Vec<Finding>, Fault> {
    let mut found = Vec::new();
    let columns = catalog::columns(db, table)?;
    for (name, types) in wanted.columns {
        // The expiries that the repair makes are right.
        let comment = match *name {
            "exp" => format!("; {}", definition::expiries_are_right(db.tables())),
            _ => String::new(),
        };
        let kind = columns.iter().find(|(column, _)| column == name);
        let kind = kind.map(|(_, kind)| &**kind);
        found.extend(column(table, name, types, kind, &comment));
    }
    // A view has the indexes of its table.
    if relation.is_table {
        for (problem, repair) in indexes::problems(db, table, wanted)? {
            found.push(structural(problem, repair));
        }
    }
    let (missing, user) = catalog::missing_privileges(db, table, wanted.privileges)?;
    if !missing.is_empty() {
        let missing = missing.join(", ");
        found.push(Finding {
            problem: format!("The user {user} may not {missing} on {table}."),
            repair: format!("GRANT {missing} ON {table} TO {user}"),
            structural: false,
        });
    }
    Ok(found)
}

fn column(
    table: &str,
    name: &str,
    types: &[&str],
    found: Option<&str>,
    comment: &str,
) -> Option<Finding> {
    let right = types.first().copied().unwrap_or_default();
    let Some(found) = found else {
        let problem = format!("{table} has no column {name}.");
        let repair = format!("ALTER TABLE {table} ADD {name} {right}{comment}");
        return Some(structural(problem, repair));
    };
    if types.contains(&found) {
        return None;
    }
    let (using, comment) = match (found, right) {
        // What upstream's statements mean by a time without a zone.
        ("timestamp without time zone", _) => (format!("{name} AT TIME ZONE 'UTC'"), comment),
        ("bigint" | "integer" | "double precision" | "numeric", "timestamp with time zone") => {
            (format!("to_timestamp({name})"), comment)
        }
        _ => (format!("{name}::{right}"), ""),
    };
    let problem = format!("The column {name} of {table} is of type {found}, not {right}.");
    let repair = format!("ALTER TABLE {table} ALTER {name} TYPE {right} USING {using}{comment}");
    Some(structural(problem, repair))
}

/// A foreign key that does not delete with the session forbids its deletion, whatever the others do.
fn foreign_keys(db: &mut Db<'_>, becomes_unlogged: bool) -> Result<Option<Finding>, Fault> {
    let tables = db.tables();
    let [sessions, metadata] = tables.names();
    let keys = catalog::foreign_keys(db, &sessions, &metadata)?;
    let cascades = keys.iter().any(|(cascades, _)| *cascades);
    let others = keys.iter().filter(|(cascades, _)| !cascades);
    let mut repair: Vec<String> = others
        .map(|(_, key)| format!("ALTER TABLE {metadata} DROP CONSTRAINT {key}"))
        .collect();
    if cascades && repair.is_empty() {
        return Ok(None);
    }
    let consequence = match repair.is_empty() {
        true => "sessions that other programs delete leave metadata behind",
        false => "other programs cannot delete a session that has metadata",
    };
    let has = match cascades {
        true => format!("has a foreign key to {sessions} that does not delete with the session"),
        false => format!("has no foreign key to {sessions} that deletes with the session"),
    };
    if !cascades {
        if becomes_unlogged {
            // A foreign key of a logged table may not refer to an unlogged one.
            repair.push(format!("ALTER TABLE {metadata} SET UNLOGGED"));
        }
        let distributed = db.table_info()?.distributed;
        repair.push(definition::cascade(tables, distributed));
    }
    let problem =
        format!("{metadata} {has}: each deletion takes two statements, and {consequence}.");
    Ok(Some(structural(problem, repair.join("; "))))
}
