//! Which indexes a table has and should have: what is unique, and what is looked up by.

use super::catalog::{self, Index};
use super::definition::Definition;
use crate::db::{Db, Fault};

impl Index {
    /// Whether it is on these columns, in any order, and on nothing else.
    fn has_just(&self, names: &[&str]) -> bool {
        let has = |name: &&str| self.columns.iter().any(|column| column == name);
        self.columns.len() == names.len() && names.iter().all(has)
    }
}

/// Each problem with its repair.
pub(super) fn problems(
    db: &mut Db<'_>,
    table: &String,
    wanted: &Definition,
) -> Result<Vec<(String, String)>, Fault> {
    let indexes = catalog::indexes(db, table)?;
    let mut found = Vec::new();
    found.extend(unique(table, wanted, &indexes));
    let (by, slow) = wanted.lookup;
    let begins_with = |index: &Index| index.columns.first().is_some_and(|first| first == by);
    if !indexes.iter().any(begins_with) {
        let problem = format!("{table} has no index on ({by}): {slow}.");
        found.push((problem, format!("CREATE INDEX ON {table} ({by})")));
    }
    Ok(found)
}

fn unique(table: &str, wanted: &Definition, indexes: &[Index]) -> Option<(String, String)> {
    let (names, otherwise) = wanted.unique;
    let columns = names.join(", ");
    let (immediate, deferrable): (Vec<_>, Vec<_>) = indexes
        .iter()
        .filter(|index| index.unique && index.has_just(names))
        .partition(|index| index.immediate);
    let mut repair = Vec::new();
    let problem = if !deferrable.is_empty() {
        let constraints = deferrable
            .iter()
            .filter_map(|index| index.constraint.as_ref());
        repair
            .extend(constraints.map(|name| format!("ALTER TABLE {table} DROP CONSTRAINT {name}")));
        format!("{table} has a deferrable unique constraint on ({columns}): saving fails.")
    } else if immediate.is_empty() {
        let problem = format!("{table} has no unique index on ({columns}): {otherwise}.");
        let keep_one = keep_one_of_each(table, names, wanted.latest);
        if wanted.latest.is_some() {
            format!(
                "{problem} It cannot be made while a key is there twice; this keeps the row that \
                 expires last: {keep_one};"
            )
        } else {
            repair.push(keep_one);
            problem
        }
    } else {
        return None;
    };
    if immediate.is_empty() {
        repair.push(format!("CREATE UNIQUE INDEX ON {table} ({columns})"));
    }
    Some((problem, repair.join("; ")))
}

/// Leaves one row of those that are alike in these columns.
fn keep_one_of_each(table: &str, columns: &[&str], latest: Option<&str>) -> String {
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
