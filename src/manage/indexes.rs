//! Which indexes the tables have and should have: what is unique, and what is looked up by.

use super::structure::{Found, Wanted};
use crate::pool::{Connection, Fault, column};
use crate::sql::{Shape, Tables, schema as sql};
use std::sync::Arc;

/// An index of a table.
struct Index {
    /// Its columns; an expression has no name.
    columns: Vec<String>,
    unique: bool,
    /// It is unique after each row, and not only at the end.
    immediate: bool,
    /// The constraint that it stands for, quoted.
    constraint: Option<String>,
}

impl Index {
    /// Whether it is on these columns, in any order, and on nothing else.
    fn has_just(&self, names: &[&str]) -> bool {
        self.columns.len() == names.len()
            && names
                .iter()
                .all(|name| self.columns.iter().any(|column| column == name))
    }
}

impl Found {
    pub(super) fn indexes(
        &mut self,
        connection: &mut Connection,
        tables: &Arc<Tables>,
        table: &String,
        wanted: &Wanted,
    ) -> Result<(), Fault> {
        let rows = connection.query(tables, Shape::Other(sql::INDEXES), &[table])?;
        let read = |row| {
            Ok(Index {
                columns: column(row, 0)?,
                unique: column(row, 1)?,
                immediate: column(row, 2)?,
                constraint: column(row, 3)?,
            })
        };
        let indexes: Result<Vec<Index>, Fault> = rows.iter().map(read).collect();
        let indexes = indexes?;
        self.unique(table, wanted, &indexes);
        self.lookup(table, wanted, &indexes);
        Ok(())
    }

    fn unique(&mut self, table: &str, wanted: &Wanted, indexes: &[Index]) {
        let (names, otherwise) = wanted.unique;
        let columns = names.join(", ");
        let (at_once, deferrable): (Vec<_>, Vec<_>) = indexes
            .iter()
            .filter(|index| index.unique && index.has_just(names))
            .partition(|index| index.immediate);
        let mut repair = Vec::new();
        let problem = if !deferrable.is_empty() {
            for constraint in deferrable
                .iter()
                .filter_map(|index| index.constraint.as_ref())
            {
                repair.push(format!("ALTER TABLE {table} DROP CONSTRAINT {constraint}"));
            }
            format!("{table} has a deferrable unique constraint on ({columns}): saving fails.")
        } else if at_once.is_empty() {
            let problem = format!("{table} has no unique index on ({columns}): {otherwise}.");
            let tell_apart = one_of_each(table, names, wanted.latest);
            if wanted.latest.is_some() {
                format!(
                    "{problem} It cannot be made while a key is there twice; this keeps what ends \
                     last: {tell_apart};"
                )
            } else {
                repair.push(tell_apart);
                problem
            }
        } else {
            return;
        };
        if at_once.is_empty() {
            repair.push(format!("CREATE UNIQUE INDEX ON {table} ({columns})"));
        }
        self.structural(problem, repair.join("; "));
    }

    fn lookup(&mut self, table: &str, wanted: &Wanted, indexes: &[Index]) {
        let (by, slow) = wanted.lookup;
        let found = indexes
            .iter()
            .any(|index| index.columns.first().is_some_and(|first| first == by));
        if !found {
            let problem = format!("{table} has no index on ({by}): {slow}.");
            self.structural(problem, format!("CREATE INDEX ON {table} ({by})"));
        }
    }
}

/// Leaves one row of those that have these columns alike.
fn one_of_each(table: &str, columns: &[&str], latest: Option<&str>) -> String {
    let alike = columns
        .iter()
        .map(|name| format!("a.{name} = b.{name} AND "));
    let alike: String = alike.collect();
    let order = |row: &str| match latest {
        Some(latest) => format!("(coalesce({row}.{latest}, '-infinity'), {row}.ctid)"),
        None => format!("{row}.ctid"),
    };
    let (a, b) = (order("a"), order("b"));
    format!("DELETE FROM {table} AS a USING {table} AS b WHERE {alike}{a} < {b}")
}
