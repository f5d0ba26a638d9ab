//! `migrate`: makes the tables, or makes of older ones what they should be.

use super::structure::{relation, structure};
use super::{Alone, Described};
use crate::op::Output;
use crate::pool::{Connection, Fault, column};
use crate::sql::{Shape, Tables, schema as sql};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Creates what is missing of the tables, and repairs what [`super::Check`] finds about their
/// structure, each in a transaction of its own. Where there is nothing to do it changes nothing. Several
/// may run at the same time: each waits for the one before.
#[derive(Debug, Clone, Default)]
pub struct Migrate {
    /// New tables are unlogged: faster, and empty after a crash of the server. Where there is one of
    /// them it stays as it is, and the other will be like it.
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

/// Before a step is tried again for which others were in the way.
const PAUSE: Duration = Duration::from_millis(100);

impl Alone for Migrate {
    fn name(&self) -> &'static str {
        DESCRIBED.name
    }

    fn run(&self, connection: &mut Connection, tables: &Arc<Tables>) -> Result<Output, Fault> {
        let mut done = Vec::new();
        loop {
            let step = connection.transaction(|connection| self.step(connection, tables, &done));
            // What was believed of the tables may have changed.
            connection.forget(tables);
            match step {
                Ok(Some(statement)) => done.push(statement),
                Ok(None) => return Ok(Output::Count(done.len() as u64)),
                // What was done before stays done, and is to be counted.
                Err(Fault::Locked(_)) if !done.is_empty() && connection.time_left() > PAUSE => {
                    thread::sleep(PAUSE);
                }
                Err(fault) => return Err(fault),
            }
        }
    }
}

impl Migrate {
    /// Does the first thing that is to be done. An index that takes long to make is so never made
    /// again because of what comes after it.
    fn step(
        &self,
        connection: &mut Connection,
        tables: &Arc<Tables>,
        done: &[String],
    ) -> Result<Option<String>, Fault> {
        connection.query(tables, Shape::Other(sql::LOCK), &[])?;
        // Whoever had the lock before may have changed the tables.
        connection.forget(tables);
        let findings = structure(connection, tables, self.unlogged)?.into_iter();
        let repairs = findings.filter(|finding| finding.structural);
        let mut statements: Vec<String> = repairs.map(|finding| finding.repair).collect();
        statements.extend(improvements(connection, tables)?);
        let next = statements.into_iter().find(|next| !done.contains(next));
        if let Some(statement) = &next {
            connection.batch(statement)?;
        }
        Ok(next)
    }
}

/// What is no defect, but better with it, where the user may do it.
fn improvements(connection: &mut Connection, tables: &Arc<Tables>) -> Result<Vec<String>, Fault> {
    let [sessions, _] = tables.names();
    let mut statements = Vec::new();
    let Some(relation) = relation(connection, tables, &sessions)? else {
        return Ok(statements);
    };
    if !relation.is_table || !relation.owned {
        return Ok(statements);
    }
    if !relation.set_up {
        statements.push(tables.store_well());
    }
    let columns = connection.query(tables, Shape::Other(sql::COLUMNS), &[&sessions])?;
    let names: Result<Vec<&str>, Fault> = columns.iter().map(|row| column(row, 0)).collect();
    if !names?.contains(&"created") {
        statements.push(tables.note_creation());
    }
    Ok(statements)
}
