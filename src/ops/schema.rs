//! What is wrong or slow about the structure of the tables, with the steps that change it: for `check`, which
//! reports it, and `migrate`, which does it. `remarks` has what only an administrator can change.

mod catalog;
mod foreign_key;
mod remarks;

pub(super) use remarks::remarks;

use crate::db::{Db, Fault, Tables};
use crate::op::Finding;
use catalog::{Definition, METADATA, SESSIONS};

/// A comment says that no expiry is shifted.
pub(super) const EXPIRIES_ARE_RIGHT: &str = "COMMENT ON COLUMN {sessions}.exp IS 'true instants'";

/// A change of the tables' structure.
pub(super) struct Change {
    /// What is wrong or slow without it.
    problem: String,
    pub(super) steps: Vec<Step>,
    /// Nothing is wrong without it.
    advice: bool,
}

/// A part of a change that takes place as a whole.
pub(super) enum Step {
    /// Statements of one transaction.
    Together(String),
    /// A statement that PostgreSQL runs outside of transactions only.
    Alone(String),
}

impl Change {
    fn new(problem: String, steps: Vec<Step>) -> Self {
        Change { problem, steps, advice: false }
    }

    /// As the finding that asks for it.
    pub(super) fn finding(&self) -> Finding {
        let steps: Vec<&str> = self.steps.iter().map(Step::sql).collect();
        let (problem, repair) = (self.problem.clone(), Some(steps.join("; ")));
        Finding { problem, repair, advice: self.advice }
    }
}

impl Step {
    fn together(statements: &[String]) -> Self {
        Step::Together(statements.join("; "))
    }

    pub(super) fn sql(&self) -> &str {
        match self {
            Step::Together(sql) | Step::Alone(sql) => sql,
        }
    }
}

/// What a table is.
#[derive(Clone, Copy)]
struct Relation {
    /// It is a table, not a view.
    is_table: bool,
    unlogged: bool,
    partitioned: bool,
}

/// All changes that the tables need, in an order in which they can be made. Where both tables are missing,
/// new ones are unlogged if that is wanted; otherwise they are as the other one is.
pub(super) fn changes(db: &mut Db<'_>, unlogged: bool) -> Result<Vec<Change>, Fault> {
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
            found.extend(lookup(db, table, relation, &wanted)?);
        }
    }
    if let Some(theirs) = theirs.filter(|it| it.is_table)
        && ours.is_none_or(|ours| ours.is_table)
    {
        found.extend(foreign_key::changes(db, ours, theirs)?);
    }
    found.extend(created(db, &sessions)?);
    Ok(found)
}

fn relation(db: &mut Db<'_>, table: &String) -> Result<Option<Relation>, Fault> {
    let found = db.rows(&catalog::RELATION, &[table])?.pop();
    Ok(found.map(|(is_table, unlogged, partitioned)| Relation { is_table, unlogged, partitioned }))
}

/// The tables that are missing, made in one step.
fn missing(
    db: &mut Db<'_>,
    ours: Option<Relation>,
    theirs: Option<Relation>,
    unlogged: bool,
) -> Result<Option<Change>, Fault> {
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
    // PostgreSQL compares columns of two collations only where one of them is the database's.
    let other = if ours.is_some() { &sessions } else { &metadata };
    let collation: Option<(String,)> = db.rows(&catalog::SID_COLLATION, &[other])?.pop();
    let collation = collation.map(|(name,)| format!("sid text COLLATE {name}"));
    let create = |wanted: Definition| {
        let mut statement = tables.fill_in(wanted.create);
        if let Some(sid) = &collation {
            statement = statement.replacen("sid text COLLATE pg_catalog.\"C\"", sid, 1);
        }
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
            repair.extend(foreign_key::add(tables, distributed));
        }
    }
    Ok(Some(Change::new(problem, vec![Step::together(&repair)])))
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

fn columns(db: &mut Db<'_>, table: &String, wanted: &Definition) -> Result<Vec<Change>, Fault> {
    type Column = (String, String, Option<i32>, String);
    let columns: Vec<Column> = db.rows(&catalog::COLUMNS, &[table])?;
    let mut found = Vec::new();
    for (name, types) in wanted.columns {
        let right = types[0];
        let column = columns.iter().find(|(column, ..)| column == name);
        let (problem, action, is_right) = match column {
            Some((_, kind, Some(most), collation)) if types.contains(&&**kind) => {
                found.push(limited(table, name, *most, collation));
                continue;
            }
            Some((_, kind, ..)) if types.contains(&&**kind) => continue,
            Some((_, kind, ..)) => {
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
        found.push(Change::new(problem, vec![Step::together(&repair)]));
    }
    Ok(found)
}

/// The characters of lua-resty-session's keys.
const KEY_LENGTH: i32 = 43;

/// A column that takes so many characters at most.
fn limited(table: &str, column: &str, most: i32, collation: &str) -> Change {
    let problem = format!(
        "The column {column} of {table} takes {most} characters at most: a save with a longer text fails."
    );
    let alter = format!("ALTER TABLE {table} ALTER {column} TYPE text COLLATE {collation}");
    // Whatever sites save as data is longer one day; names, audiences and subjects may all be short.
    let advice = column != "data" && !(column == "sid" && most < KEY_LENGTH);
    Change { advice, ..Change::new(problem, vec![Step::Together(alter)]) }
}

fn unique(db: &mut Db<'_>, table: &String, wanted: &Definition) -> Result<Option<Change>, Fault> {
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
    // One transaction: nothing that is there twice may be saved in between, and where the sessions lack the
    // index no save succeeds anyway.
    Ok(Some(Change::new(problem, vec![Step::together(&repair)])))
}

fn lookup(
    db: &mut Db<'_>,
    table: &String,
    relation: Relation,
    wanted: &Definition,
) -> Result<Option<Change>, Fault> {
    let (by, slow) = wanted.lookup;
    let (has_index,): (bool,) = db.row(&catalog::HAS_INDEX, &[table, &by])?;
    let invalid: Vec<(String,)> = db.rows(&catalog::INVALID_INDEXES, &[table, &by])?;
    if has_index && invalid.is_empty() {
        return Ok(None);
    }
    let mut problem = match has_index {
        true => format!("{table} has an invalid index on ({by})."),
        false => format!("{table} has no index on ({by}): {slow}."),
    };
    if !invalid.is_empty() {
        problem += " An interrupted CREATE INDEX CONCURRENTLY leaves an invalid index: each save \
                    maintains it, and no query uses it.";
    }
    let drop = |(index,)| Step::Alone(format!("DROP INDEX CONCURRENTLY {index}"));
    let mut steps: Vec<Step> = invalid.into_iter().map(drop).collect();
    if !has_index {
        steps.push(match relation.partitioned {
            // Not there: PostgreSQL refuses it.
            true => Step::Together(format!("CREATE INDEX ON {table} ({by})")),
            false => Step::Alone(format!("CREATE INDEX CONCURRENTLY ON {table} ({by})")),
        });
    }
    Ok(Some(Change::new(problem, steps)))
}

/// The indexes whose lack makes deletions slow: each with its consequence, and the statement that makes it.
pub(super) fn missing_indexes(db: &mut Db<'_>) -> Result<Vec<String>, Fault> {
    let [sessions, metadata] = db.tables().names();
    let mut found = Vec::new();
    for (table, wanted) in [(&sessions, SESSIONS), (&metadata, METADATA)] {
        if let Some(relation) = relation(db, table)?.filter(|it| it.is_table)
            && let Some(change) = lookup(db, table, relation, &wanted)?
            && let Some(create) = change.steps.last().filter(|it| it.sql().starts_with("CREATE"))
        {
            found.push(format!("{} {}", change.problem, create.sql()));
        }
    }
    Ok(found)
}

/// The time of creation, where the user may add it. Rows that are there already have none.
fn created(db: &mut Db<'_>, sessions: &String) -> Result<Option<Change>, Fault> {
    if db.query(&catalog::LACKS_CREATED, &[sessions])?.is_empty() {
        return Ok(None);
    }
    let problem =
        format!("{sessions} has no column created: list cannot say when a key was first saved.");
    let steps = vec![Step::Together(db.tables().fill_in(catalog::ADD_CREATED))];
    Ok(Some(Change { advice: true, ..Change::new(problem, steps) }))
}
