//! `migrate`: makes the tables, or makes of older ones what they should be.

use super::check::findings;
use super::{Alone, Described};
use crate::op::Output;
use crate::pool::{Connection, Fault, column};
use crate::sql::{Shape, Tables, schema as sql};
use std::sync::Arc;

/// Creates what is missing of the tables, and repairs what [`super::Check`] finds about their
/// structure, in one transaction. Where there is nothing to do it changes nothing. Several may run at
/// the same time: each waits for the one before.
#[derive(Debug, Clone, Default)]
pub struct Migrate {
    /// New tables are unlogged: faster, and empty after a crash of the server. Those that there are
    /// stay as they are.
    pub unlogged: bool,
}

pub(super) const DESCRIBED: Described = Described {
    name: "migrate",
    parameters: &["unlogged"],
    read: |arguments| {
        let unlogged = arguments.flag("unlogged")?;
        Ok(Migrate { unlogged }.into())
    },
};

impl Alone for Migrate {
    fn name(&self) -> &'static str {
        DESCRIBED.name
    }

    fn run(&self, connection: &mut Connection, tables: &Arc<Tables>) -> Result<Output, Fault> {
        let changes = connection.transaction(|connection| {
            connection.query(tables, Shape::Other(sql::LOCK), &[])?;
            let mut changes = self.create(connection, tables)?;
            for finding in findings(connection, tables)? {
                if finding.structural {
                    connection.batch(&finding.repair)?;
                    changes += 1;
                }
            }
            Ok(changes + improve(connection, tables)?)
        });
        // What was believed of the tables may have changed.
        connection.forget(tables);
        changes.map(Output::Count)
    }
}

impl Migrate {
    fn create(&self, connection: &mut Connection, tables: &Arc<Tables>) -> Result<u64, Fault> {
        let distributed = connection.traits(tables)?.distributed;
        let [has_sessions, has_metadata] = [0, 1].map(|table| exists(connection, tables, table));
        let (has_sessions, has_metadata) = (has_sessions?, has_metadata?);
        if has_sessions && has_metadata {
            return Ok(0);
        }
        for schema in tables.schemas() {
            connection.batch(&format!("CREATE SCHEMA IF NOT EXISTS {schema}"))?;
        }
        if !has_sessions {
            connection.batch(&tables.create_sessions(self.unlogged))?;
        }
        if !has_metadata {
            connection.batch(&tables.create_metadata(self.unlogged))?;
        }
        if distributed && !has_sessions && !has_metadata {
            connection.batch(&tables.distribute())?;
        }
        connection.forget(tables);
        Ok(u64::from(!has_sessions) + u64::from(!has_metadata))
    }
}

fn exists(connection: &mut Connection, tables: &Arc<Tables>, table: usize) -> Result<bool, Fault> {
    let name = &tables.names()[table];
    let columns = connection.query(tables, Shape::Other(sql::COLUMNS), &[name])?;
    Ok(!columns.is_empty())
}

/// What is no defect, but better with it.
fn improve(connection: &mut Connection, tables: &Arc<Tables>) -> Result<u64, Fault> {
    let mut changes = 0;
    let [sessions, _] = tables.names();
    let rows = connection.query(tables, Shape::Other(sql::SETTINGS), &[&sessions])?;
    if let Some(row) = rows.first() {
        let (settings, kind): (Vec<String>, &str) = (column(row, 0)?, column(row, 1)?);
        if settings.is_empty() && kind == "r" {
            connection.batch(&tables.store_well())?;
            changes += 1;
        }
    }
    let columns = connection.query(tables, Shape::Other(sql::COLUMNS), &[&sessions])?;
    let names: Result<Vec<&str>, Fault> = columns.iter().map(|row| column(row, 0)).collect();
    if !names?.contains(&"created") {
        connection.batch(&tables.note_creation())?;
        changes += 1;
    }
    Ok(changes)
}
