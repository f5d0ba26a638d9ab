//! What is wrong or slow about the structure of the tables, and which privileges on them are missing: for
//! `check`, which reports it, and `migrate`, which repairs it.

mod catalog;

use crate::db::{Db, Fault, Tables};
use crate::op::Finding;
use catalog::{CASCADE, Definition, METADATA, ON_UPDATE, SESSIONS};

/// A comment says that no expiry is shifted.
pub(super) const EXPIRIES_ARE_RIGHT: &str = "COMMENT ON COLUMN {sessions}.exp IS 'true instants'";

/// What a table is.
#[derive(Clone, Copy)]
struct Relation {
    /// It is a table, not a view.
    is_table: bool,
    unlogged: bool,
}

/// All that is found, in an order in which it can be repaired. Where both tables are missing, new ones
/// are unlogged if that is wanted; otherwise they are as the other one is.
pub(super) fn findings(db: &mut Db<'_>, unlogged: bool) -> Result<Vec<Finding>, Fault> {
    let [sessions, metadata] = db.tables().names();
    let ours = relation(db, &sessions)?;
    let theirs = relation(db, &metadata)?;
    let mut found = Vec::new();
    found.extend(missing(db, ours, theirs, unlogged)?);
    let tables = [(&sessions, ours, SESSIONS), (&metadata, theirs, METADATA)];
    for (table, relation, wanted) in tables {
        let Some(relation) = relation else {
            continue;
        };
        found.extend(columns(db, table, &wanted)?);
        // A view has the indexes of its table.
        if relation.is_table {
            found.extend(unique(db, table, &wanted)?);
            found.extend(lookup(db, table, &wanted)?);
        }
        found.extend(privileges(db, table, &wanted)?);
        found.extend(others(db, table)?);
    }
    if theirs.is_some_and(|theirs| theirs.is_table) && ours.is_none_or(|ours| ours.is_table) {
        let is_unlogged = |relation: Option<Relation>| relation.is_some_and(|it| it.unlogged);
        found.extend(foreign_keys(db, is_unlogged(ours) && !is_unlogged(theirs))?);
    }
    Ok(found)
}

fn relation(db: &mut Db<'_>, table: &String) -> Result<Option<Relation>, Fault> {
    let found = db.rows(&catalog::RELATION, &[table])?.pop();
    Ok(found.map(|(is_table, unlogged)| Relation { is_table, unlogged }))
}

fn structural(problem: String, repair: &[String]) -> Finding {
    Finding { problem, repair: Some(repair.join("; ")), structural: true }
}

/// The tables that are missing, made in one step.
fn missing(
    db: &mut Db<'_>,
    ours: Option<Relation>,
    theirs: Option<Relation>,
    unlogged: bool,
) -> Result<Option<Finding>, Fault> {
    let tables = db.tables();
    let [sessions, metadata] = tables.names();
    let problem = match (ours, theirs) {
        (Some(_), Some(_)) => return Ok(None),
        (None, Some(_)) => format!("There is no table {sessions}."),
        (Some(_), None) => {
            format!("There is no table {metadata}: sessions with metadata cannot be saved.")
        }
        (None, None) => format!("There is no table {sessions}, and no {metadata}."),
    };
    let unlogged = ours.or(theirs).map_or(unlogged, |other| other.unlogged);
    let create = |wanted: Definition| {
        let statement = tables.fill_in(wanted.create);
        match unlogged {
            true => statement.replacen("CREATE TABLE", "CREATE UNLOGGED TABLE", 1),
            false => statement,
        }
    };
    // IF NOT EXISTS needs the privilege to create one, even where there is one.
    let schemas: Vec<(String,)> = db.rows(&catalog::MISSING_SCHEMAS, &[&tables.schemas()])?;
    let schemas = schemas.into_iter();
    let mut repair: Vec<String> =
        schemas.map(|(schema,)| format!("CREATE SCHEMA IF NOT EXISTS {schema}")).collect();
    if ours.is_none() {
        repair.push(create(SESSIONS));
        repair.push(tables.fill_in(EXPIRIES_ARE_RIGHT));
    }
    if theirs.is_none() {
        let distributed = db.table_info()?.distributed;
        repair.push(create(METADATA));
        if ours.is_none() && distributed {
            repair.push(distribute(tables));
        }
        if ours.is_none_or(|ours| ours.is_table) {
            repair.push(cascade(tables, distributed));
        }
    }
    Ok(Some(structural(problem, &repair)))
}

/// On Citus: distributes tables that have no foreign key yet.
fn distribute(tables: &Tables) -> String {
    let literal = |name: String| format!("'{}'", name.replace('\'', "''"));
    let [sessions, metadata] = tables.names().map(literal);
    format!(
        "SELECT pg_catalog.create_distributed_table({sessions}, 'sid'); \
         SELECT pg_catalog.create_distributed_table({metadata}, 'sid', colocate_with => {sessions})"
    )
}

fn cascade(tables: &Tables, distributed: bool) -> String {
    let on_update = if distributed { "" } else { ON_UPDATE };
    tables.fill_in(CASCADE) + on_update
}

fn columns(db: &mut Db<'_>, table: &String, wanted: &Definition) -> Result<Vec<Finding>, Fault> {
    let columns: Vec<(String, String)> = db.rows(&catalog::COLUMNS, &[table])?;
    let mut found = Vec::new();
    for (name, types) in wanted.columns {
        let right = types[0];
        let (problem, action, is_right) = match columns.iter().find(|(column, _)| column == name) {
            Some((_, kind)) if types.contains(&&**kind) => continue,
            Some((_, kind)) => {
                let (using, is_right) = match (&**kind, right) {
                    // What upstream's statements mean by a time without a zone.
                    ("timestamp without time zone", _) => {
                        (format!("{name} AT TIME ZONE 'UTC'"), true)
                    }
                    (
                        "bigint" | "integer" | "double precision" | "numeric",
                        "timestamp with time zone",
                    ) => (format!("pg_catalog.to_timestamp({name})"), true),
                    _ => (format!("{name}::{right}"), false),
                };
                let problem =
                    format!("The column {name} of {table} is of type {kind}, not {right}.");
                let action = format!("ALTER {name} TYPE {right} USING {using}");
                (problem, action, is_right)
            }
            None => {
                let problem = format!("{table} has no column {name}.");
                (problem, format!("ADD {name} {right}"), true)
            }
        };
        let mut repair = vec![format!("ALTER TABLE {table} {action}")];
        // The expiries that the repair makes are right.
        if *name == "exp" && is_right {
            repair.push(db.tables().fill_in(EXPIRIES_ARE_RIGHT));
        }
        found.push(structural(problem, &repair));
    }
    Ok(found)
}

fn unique(db: &mut Db<'_>, table: &String, wanted: &Definition) -> Result<Option<Finding>, Fault> {
    let (names, otherwise) = wanted.unique;
    let columns = names.join(", ");
    let indexes: Vec<(bool, Option<String>)> =
        db.rows(&catalog::UNIQUE_INDEXES, &[table, &names])?;
    let has_one = indexes.iter().any(|(immediate, _)| *immediate);
    let deferrable = indexes.iter().filter(|(immediate, _)| !immediate);
    let mut repair: Vec<String> = deferrable
        .filter_map(|(_, constraint)| constraint.as_ref())
        .map(|name| format!("ALTER TABLE {table} DROP CONSTRAINT {name}"))
        .collect();
    let problem = if !repair.is_empty() {
        format!("{table} has a deferrable unique constraint on ({columns}): saving fails.")
    } else if has_one {
        return Ok(None);
    } else {
        let keep_one = db.tables().fill_in(wanted.keep_one);
        let mut problem = format!("{table} has no unique index on ({columns}): {otherwise}.");
        match wanted.rows_differ {
            true => {
                problem += " It cannot be made while a key is there twice; this keeps the row that \
                            expires last: ";
                problem += &keep_one;
                problem.push(';');
            }
            false => repair.push(keep_one),
        }
        problem
    };
    if !has_one {
        repair.push(format!("CREATE UNIQUE INDEX ON {table} ({columns})"));
    }
    Ok(Some(structural(problem, &repair)))
}

fn lookup(db: &mut Db<'_>, table: &String, wanted: &Definition) -> Result<Option<Finding>, Fault> {
    let (by, slow) = wanted.lookup;
    let (has_index,): (bool,) = db.row(&catalog::HAS_INDEX, &[table, &by])?;
    let problem = format!("{table} has no index on ({by}): {slow}.");
    let repair = format!("CREATE INDEX ON {table} ({by})");
    Ok((!has_index).then(|| structural(problem, &[repair])))
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
        structural: false,
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
    let finding = |problem| Finding { problem, repair: None, structural: false };
    Ok(problems.into_iter().flatten().map(finding).collect())
}

/// A foreign key that does not delete with the session forbids its deletion, whatever the others do.
fn foreign_keys(db: &mut Db<'_>, becomes_unlogged: bool) -> Result<Option<Finding>, Fault> {
    let tables = db.tables();
    let [sessions, metadata] = tables.names();
    let keys: Vec<(bool, String)> = db.rows(&catalog::FOREIGN_KEYS, &[&sessions, &metadata])?;
    let cascades = keys.iter().any(|(cascades, _)| *cascades);
    let others = keys.iter().filter(|(cascades, _)| !cascades);
    let mut repair: Vec<String> =
        others.map(|(_, key)| format!("ALTER TABLE {metadata} DROP CONSTRAINT {key}")).collect();
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
        repair.push(cascade(tables, db.table_info()?.distributed));
    }
    let problem =
        format!("{metadata} {has}: each deletion takes two statements, and {consequence}.");
    Ok(Some(structural(problem, &repair)))
}
