//! `check`: what is wrong or slow about the tables, in words, and the statement that repairs it.

use super::{Alone, Described};
use crate::op::{Finding, Output};
use crate::pool::{Connection, Fault, column};
use crate::sql::{Shape, Tables, schema as sql};
use std::sync::Arc;

/// Looks at the tables. Answers what is wrong or slow about them; nothing where all is well.
#[derive(Debug, Clone, Default)]
pub struct Check {}

pub(super) const DESCRIBED: Described = Described {
    name: "check",
    parameters: &[],
    read: |_| Ok(Check::default().into()),
};

impl Alone for Check {
    fn name(&self) -> &'static str {
        DESCRIBED.name
    }

    fn run(&self, connection: &mut Connection, tables: &Arc<Tables>) -> Result<Output, Fault> {
        connection.forget(tables);
        findings(connection, tables).map(Output::Findings)
    }
}

const TEXT: &[&str] = &["text", "character varying"];
const TIME: &[&str] = &["timestamp with time zone"];

/// A table as it should be.
struct Wanted {
    /// The columns and the types that each may have; the first is the right one.
    columns: &'static [(&'static str, &'static [&'static str])],
    /// The columns that are unique together, in any order.
    unique: &'static [&'static str],
    /// What to look up by, and what is slow without that.
    lookup: (&'static str, &'static str),
    privileges: &'static [&'static str],
}

const SESSIONS: Wanted = Wanted {
    columns: &[("sid", TEXT), ("name", TEXT), ("data", TEXT), ("exp", TIME)],
    unique: &["sid"],
    lookup: ("exp", "each clean-up reads the whole table"),
    privileges: &["SELECT", "INSERT", "UPDATE", "DELETE"],
};

const METADATA: Wanted = Wanted {
    columns: &[("aud", TEXT), ("sub", TEXT), ("sid", TEXT)],
    unique: &["aud", "sub", "sid"],
    lookup: ("sid", "each deleted session reads the whole table"),
    privileges: &["SELECT", "INSERT", "DELETE"],
};

/// All that is found, in an order in which it can be repaired.
pub(super) fn findings(
    connection: &mut Connection,
    tables: &Arc<Tables>,
) -> Result<Vec<Finding>, Fault> {
    let mut found = Found(Vec::new());
    let [sessions, metadata] = tables.names();
    let has_sessions = found.table(connection, tables, &sessions, &SESSIONS)?;
    if !has_sessions {
        let problem = format!("There is no table {sessions}.");
        found.structural(problem, tables.create_sessions(false));
        return Ok(found.0);
    }
    if found.table(connection, tables, &metadata, &METADATA)? {
        let traits = connection.traits(tables)?;
        if traits.leaves_metadata {
            let problem = format!(
                "{metadata} has no foreign key to {sessions} that deletes with the session: each \
                 deletion takes two steps, and what others delete leaves metadata behind."
            );
            found.structural(problem, tables.cascade(traits.distributed));
        }
    } else {
        let problem =
            format!("There is no table {metadata}: sessions with metadata cannot be saved.");
        let cascade = tables.cascade(connection.traits(tables)?.distributed);
        let create = tables.create_metadata(false);
        let repair = format!("{create}; CREATE INDEX ON {metadata} (sid); {cascade}");
        found.structural(problem, repair);
    }
    found.expiries(connection, tables, &sessions)?;
    Ok(found.0)
}

struct Found(Vec<Finding>);

impl Found {
    fn add(&mut self, problem: String, repair: String, structural: bool) {
        self.0.push(Finding {
            problem,
            repair,
            structural,
        });
    }

    fn structural(&mut self, problem: String, repair: String) {
        self.add(problem, repair, true);
    }

    /// Looks at a table. Answers whether there is one.
    fn table(
        &mut self,
        connection: &mut Connection,
        tables: &Arc<Tables>,
        table: &String,
        wanted: &Wanted,
    ) -> Result<bool, Fault> {
        let rows = connection.query(tables, Shape::Other(sql::COLUMNS), &[table])?;
        if rows.is_empty() {
            return Ok(false);
        }
        let mut columns: Vec<(&str, &str)> = Vec::new();
        for row in &rows {
            columns.push((column(row, 0)?, column(row, 1)?));
        }
        for (name, types) in wanted.columns {
            self.column(table, name, types, &columns);
        }
        let rows = connection.query(tables, Shape::Other(sql::INDEXES), &[table])?;
        let mut indexes: Vec<(bool, Vec<String>)> = Vec::new();
        for row in &rows {
            indexes.push((column(row, 0)?, column(row, 1)?));
        }
        self.indexes(table, wanted, &indexes);
        self.privileges(connection, tables, table, wanted.privileges)?;
        Ok(true)
    }

    fn column(&mut self, table: &str, name: &str, types: &[&str], columns: &[(&str, &str)]) {
        let right = types.first().copied().unwrap_or_default();
        let found = columns.iter().find(|(column, _)| *column == name);
        let Some((_, found)) = found else {
            let problem = format!("{table} has no column {name}.");
            self.structural(problem, format!("ALTER TABLE {table} ADD {name} {right}"));
            return;
        };
        if !types.contains(found) {
            let using = match (*found, right) {
                // What upstream's statements mean by a time without a zone.
                ("timestamp without time zone", _) => format!("{name} AT TIME ZONE 'UTC'"),
                (
                    "bigint" | "integer" | "double precision" | "numeric",
                    "timestamp with time zone",
                ) => {
                    format!("to_timestamp({name})")
                }
                _ => format!("{name}::{right}"),
            };
            let problem = format!("The column {name} of {table} is of type {found}, not {right}.");
            let repair = format!("ALTER TABLE {table} ALTER {name} TYPE {right} USING {using}");
            self.structural(problem, repair);
        }
    }

    fn indexes(&mut self, table: &str, wanted: &Wanted, indexes: &[(bool, Vec<String>)]) {
        let is_wanted = |columns: &[String]| {
            columns.len() == wanted.unique.len()
                && wanted
                    .unique
                    .iter()
                    .all(|name| columns.iter().any(|column| column == name))
        };
        if !indexes
            .iter()
            .any(|(unique, columns)| *unique && is_wanted(columns))
        {
            let columns = wanted.unique.join(", ");
            let problem = format!("{table} has no unique index on ({columns}): saving fails.");
            self.structural(
                problem,
                format!("CREATE UNIQUE INDEX ON {table} ({columns})"),
            );
        }
        let (by, slow) = wanted.lookup;
        let found = indexes
            .iter()
            .any(|(_, columns)| columns.first().is_some_and(|first| first == by));
        if !found {
            let problem = format!("{table} has no index on ({by}): {slow}.");
            self.structural(problem, format!("CREATE INDEX ON {table} ({by})"));
        }
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

    /// Upstream's statements write an instant that is off by the server's distance from UTC: in the
    /// east sessions end too early, in the west too late. Which rows it has written, nothing tells;
    /// but in the east, rows that seem to have been over for long should not be there any more.
    fn expiries(
        &mut self,
        connection: &mut Connection,
        tables: &Arc<Tables>,
        sessions: &String,
    ) -> Result<(), Fault> {
        let rows = connection.query(tables, Shape::Other(sql::TIME_ZONE), &[sessions])?;
        let Some(row) = rows.first() else {
            return Ok(());
        };
        let (zone, offset, noted): (&str, i32, bool) =
            (column(row, 0)?, column(row, 1)?, column(row, 2)?);
        let offset = i64::from(offset);
        let (from, to, how) = match offset {
            _ if noted
                || self
                    .0
                    .iter()
                    .any(|finding| finding.problem.contains("column exp")) =>
            {
                return Ok(());
            }
            0 => return Ok(()),
            east if east > 0 => (-east, -GRACE, "early"),
            _ => (0, FAR, "late"),
        };
        let rows = connection.query(tables, Shape::Other(sql::ENDING), &[&from, &to])?;
        let shifted: i64 = rows.first().map_or(Ok(0), |row| column(row, 0))?;
        if shifted == 0 {
            return Ok(());
        }
        let hours = offset.abs() as f64 / 3600.0;
        let problem = format!(
            "The server's TimeZone is {zone}: sessions that lua-resty-session's own storage has \
             saved end {hours} hours too {how}, and {shifted} may be such. Move them once, while \
             nobody saves. If that storage has never written to {sessions}, the COMMENT alone is \
             right, and says so.",
        );
        self.add(problem, tables.move_expiries(zone, from, to), false);
        Ok(())
    }
}

/// How long, in seconds, a session that is over may be waiting for the clean-up.
const GRACE: i64 = 600;

/// Later than any session ends.
const FAR: i64 = 100 * 365 * 86_400;
