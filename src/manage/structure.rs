//! What is wrong or slow about the structure of the tables, and who may use them: for `check`, which
//! says it, and `migrate`, which repairs it.

use crate::op::Finding;
use crate::pool::{Connection, Fault, column};
use crate::sql::{Shape, Tables, schema as sql};
use std::sync::Arc;

const TEXT: &[&str] = &["text", "character varying"];
const TIME: &[&str] = &["timestamp with time zone"];

/// A table as it should be.
pub(super) struct Wanted {
    /// The columns and the types that each may have; the first is the right one.
    columns: &'static [(&'static str, &'static [&'static str])],
    /// The columns that are unique together, in any order, and what comes of it where they are not.
    pub(super) unique: (&'static [&'static str], &'static str),
    /// Which of several rows with the same is right: that with the greatest; none where all are alike.
    pub(super) latest: Option<&'static str>,
    /// What to look up by, and what is slow without that.
    pub(super) lookup: (&'static str, &'static str),
    privileges: &'static [&'static str],
}

const SESSIONS: Wanted = Wanted {
    columns: &[("sid", TEXT), ("name", TEXT), ("data", TEXT), ("exp", TIME)],
    unique: (&["sid"], "saving fails"),
    latest: Some("exp"),
    lookup: ("exp", "each clean-up reads the whole table"),
    privileges: &["SELECT", "INSERT", "UPDATE", "DELETE"],
};

const METADATA: Wanted = Wanted {
    columns: &[("aud", TEXT), ("sub", TEXT), ("sid", TEXT)],
    unique: (&["aud", "sub", "sid"], "each save adds the same rows again"),
    latest: None,
    lookup: ("sid", "each deleted session reads the whole table"),
    privileges: &["SELECT", "INSERT", "DELETE"],
};

/// What a table is.
pub(super) struct Relation {
    /// A table, and no view of one.
    pub(super) is_table: bool,
    pub(super) unlogged: bool,
    /// The user owns it.
    pub(super) owned: bool,
    /// It has settings of its own.
    pub(super) set_up: bool,
}

/// What the table of that name is, if there is one.
pub(super) fn relation(
    connection: &mut Connection,
    tables: &Arc<Tables>,
    name: &String,
) -> Result<Option<Relation>, Fault> {
    let rows = connection.query(tables, Shape::Other(sql::RELATION), &[name])?;
    let read = |row| {
        let kind: &str = column(row, 0)?;
        Ok(Relation {
            is_table: ["r", "p"].contains(&kind),
            unlogged: column(row, 1)?,
            owned: column(row, 2)?,
            set_up: column::<bool>(row, 3)? || kind == "p",
        })
    };
    rows.first().map(read).transpose()
}

/// All that is found, in an order in which it can be repaired. Where both tables are missing, new ones
/// are unlogged if that is wanted; otherwise they are as the other one is.
pub(super) fn structure(
    connection: &mut Connection,
    tables: &Arc<Tables>,
    unlogged: bool,
) -> Result<Vec<Finding>, Fault> {
    let mut found = Found(Vec::new());
    let [sessions, metadata] = tables.names();
    let ours = relation(connection, tables, &sessions)?;
    let theirs = relation(connection, tables, &metadata)?;
    found.missing(connection, tables, ours.as_ref(), theirs.as_ref(), unlogged)?;
    if let Some(ours) = &ours {
        found.table(connection, tables, &sessions, ours, &SESSIONS)?;
    }
    if let Some(theirs) = &theirs {
        found.table(connection, tables, &metadata, theirs, &METADATA)?;
        if theirs.is_table && ours.as_ref().is_none_or(|ours| ours.is_table) {
            let becomes_unlogged = !theirs.unlogged && ours.is_some_and(|ours| ours.unlogged);
            found.foreign_keys(connection, tables, becomes_unlogged)?;
        }
    }
    Ok(found.0)
}

pub(super) struct Found(Vec<Finding>);

impl Found {
    fn add(&mut self, problem: String, repair: String, structural: bool) {
        self.0.push(Finding {
            problem,
            repair,
            structural,
        });
    }

    pub(super) fn structural(&mut self, problem: String, repair: String) {
        self.add(problem, repair, true);
    }

    fn missing(
        &mut self,
        connection: &mut Connection,
        tables: &Arc<Tables>,
        ours: Option<&Relation>,
        theirs: Option<&Relation>,
        unlogged: bool,
    ) -> Result<(), Fault> {
        let [sessions, metadata] = tables.names();
        let distributed = connection.traits(tables)?.distributed;
        let (problem, create) = match (ours, theirs) {
            (Some(_), Some(_)) => return Ok(()),
            (None, Some(theirs)) => (
                format!("There is no table {sessions}."),
                vec![tables.create_sessions(theirs.unlogged)],
            ),
            (Some(ours), None) => {
                let mut create = vec![tables.create_metadata(ours.unlogged)];
                if ours.is_table {
                    create.push(tables.cascade(distributed));
                }
                let problem = format!(
                    "There is no table {metadata}: sessions with metadata cannot be saved."
                );
                (problem, create)
            }
            (None, None) => {
                let mut create = vec![
                    tables.create_sessions(unlogged),
                    tables.create_metadata(unlogged),
                ];
                if distributed {
                    create.push(tables.distribute());
                }
                create.push(tables.cascade(distributed));
                let problem = format!("There is no table {sessions}, and no {metadata}.");
                (problem, create)
            }
        };
        let mut repair = Vec::new();
        for schema in tables.schemas() {
            // IF NOT EXISTS wants the privilege to create one, even where there is one.
            let rows = connection.query(tables, Shape::Other(sql::SCHEMA), &[&schema])?;
            if !rows.first().map_or(Ok(false), |row| column(row, 0))? {
                repair.push(format!("CREATE SCHEMA IF NOT EXISTS {schema}"));
            }
        }
        repair.extend(create);
        self.structural(problem, repair.join("; "));
        Ok(())
    }

    fn table(
        &mut self,
        connection: &mut Connection,
        tables: &Arc<Tables>,
        table: &String,
        relation: &Relation,
        wanted: &Wanted,
    ) -> Result<(), Fault> {
        let rows = connection.query(tables, Shape::Other(sql::COLUMNS), &[table])?;
        let mut columns: Vec<(&str, &str)> = Vec::new();
        for row in &rows {
            columns.push((column(row, 0)?, column(row, 1)?));
        }
        for (name, types) in wanted.columns {
            let comment = (*name == "exp").then(|| tables.expiries_are_true());
            self.column(table, name, types, &columns, comment);
        }
        // A view has the indexes of its table.
        if relation.is_table {
            self.indexes(connection, tables, table, wanted)?;
        }
        self.privileges(connection, tables, table, wanted.privileges)
    }

    fn column(
        &mut self,
        table: &str,
        name: &str,
        types: &[&str],
        columns: &[(&str, &str)],
        comment: Option<String>,
    ) {
        let right = types.first().copied().unwrap_or_default();
        // The ends that it makes are true ones.
        let and_comment = comment.map_or(String::new(), |comment| format!("; {comment}"));
        let found = columns.iter().find(|(column, _)| *column == name);
        let Some((_, found)) = found else {
            let problem = format!("{table} has no column {name}.");
            let repair = format!("ALTER TABLE {table} ADD {name} {right}{and_comment}");
            self.structural(problem, repair);
            return;
        };
        if types.contains(found) {
            return;
        }
        let (using, and_comment) = match (*found, right) {
            // What upstream's statements mean by a time without a zone.
            ("timestamp without time zone", _) => {
                (format!("{name} AT TIME ZONE 'UTC'"), and_comment)
            }
            ("bigint" | "integer" | "double precision" | "numeric", "timestamp with time zone") => {
                (format!("to_timestamp({name})"), and_comment)
            }
            _ => (format!("{name}::{right}"), String::new()),
        };
        let problem = format!("The column {name} of {table} is of type {found}, not {right}.");
        let repair =
            format!("ALTER TABLE {table} ALTER {name} TYPE {right} USING {using}{and_comment}");
        self.structural(problem, repair);
    }

    fn privileges(
        &mut self,
        connection: &mut Connection,
        tables: &Arc<Tables>,
        table: &String,
        privileges: &[&str],
    ) -> Result<(), Fault> {
        let rows =
            connection.query(tables, Shape::Other(sql::PRIVILEGES), &[table, &privileges])?;
        let Some(row) = rows.first() else {
            return Ok(());
        };
        let (missing, user): (Vec<String>, &str) = (column(row, 0)?, column(row, 1)?);
        if !missing.is_empty() {
            let missing = missing.join(", ");
            let problem = format!("The user {user} may not {missing} on {table}.");
            self.add(
                problem,
                format!("GRANT {missing} ON {table} TO {user}"),
                false,
            );
        }
        Ok(())
    }

    /// A key that does not delete with the session forbids its deletion, whatever the others do.
    fn foreign_keys(
        &mut self,
        connection: &mut Connection,
        tables: &Arc<Tables>,
        becomes_unlogged: bool,
    ) -> Result<(), Fault> {
        let [sessions, metadata] = tables.names();
        let keys = Shape::Other(sql::FOREIGN_KEYS);
        let rows = connection.query(tables, keys, &[&sessions, &metadata])?;
        let (mut cascades, mut repair) = (false, Vec::new());
        for row in &rows {
            match column(row, 0)? {
                true => cascades = true,
                false => {
                    let key: &str = column(row, 1)?;
                    repair.push(format!("ALTER TABLE {metadata} DROP CONSTRAINT {key}"));
                }
            }
        }
        if cascades && repair.is_empty() {
            return Ok(());
        }
        let forbidden = match repair.is_empty() {
            true => "what others delete leaves metadata behind",
            false => "others cannot delete one that has metadata",
        };
        let problem = match cascades {
            true => format!(
                "{metadata} has a foreign key to {sessions} that does not delete with the session: \
                 each deletion takes two steps, and {forbidden}."
            ),
            false => format!(
                "{metadata} has no foreign key to {sessions} that deletes with the session: each \
                 deletion takes two steps, and {forbidden}."
            ),
        };
        if !cascades {
            if becomes_unlogged {
                // Of a table that is kept, no key may point to one that is not.
                repair.push(format!("ALTER TABLE {metadata} SET UNLOGGED"));
            }
            repair.push(tables.cascade(connection.traits(tables)?.distributed));
        }
        self.structural(problem, repair.join("; "));
        Ok(())
    }
}
