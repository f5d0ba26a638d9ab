//! `check`: what is wrong or slow about the tables, in words, and the statement that repairs it.

use super::structure::structure;
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
        let mut findings = structure(connection, tables, false)?;
        findings.extend(expiries(connection, tables)?);
        Ok(Output::Findings(findings))
    }
}

/// How long, in seconds, a session that is over may be waiting for the clean-up.
const GRACE: i64 = 600;

/// Later than any session ends.
const FAR: i64 = 100 * 365 * 86_400;

/// Upstream's statements write an instant that is off by the server's distance from UTC: in the east
/// sessions end too early, in the west too late. Which rows it has written, nothing tells; but in the
/// east, what it saves has been over for long when it is saved. Without that proof the rows stay.
fn expiries(connection: &mut Connection, tables: &Arc<Tables>) -> Result<Option<Finding>, Fault> {
    let [sessions, _] = tables.names();
    let rows = connection.query(tables, Shape::Other(sql::TIME_ZONE), &[&sessions])?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let (zone, offset): (&str, i32) = (column(row, 0)?, column(row, 1)?);
    let offset = i64::from(offset);
    let (from, to, how) = match offset {
        0 => return Ok(None),
        east if east > 0 => (-east, -GRACE, "early"),
        _ => (0, FAR, "late"),
    };
    let rows = connection.query(tables, Shape::Other(sql::ENDING), &[&from, &to])?;
    let count: i64 = rows.first().map_or(Ok(0), |row| column(row, 0))?;
    if count == 0 {
        return Ok(None);
    }
    let many = match count {
        sql::ENDING_MOST => format!("{count} or more"),
        _ => count.to_string(),
    };
    let hours = offset.abs() as f64 / 3600.0;
    let shift = format!(
        "The server's TimeZone is {zone}: sessions that lua-resty-session's own storage has saved \
         end {hours} hours too {how}, and {many} may be such."
    );
    let moves = tables.move_expiries(zone, from, to);
    let (problem, repair) = if offset > 0 && are_proven(connection, tables, from, to)? {
        let proof = "Some had been over for long when they were saved, so it did save here. Move \
                     them once, when it no longer saves.";
        (format!("{shift} {proof}"), moves)
    } else {
        let other = match offset {
            east if east > 0 => "Or they merely wait to be cleaned up, and are over",
            _ => "Or this storage has saved them, and they end when they should",
        };
        let problem = format!(
            "{shift} {other}: the rows do not tell. The repair says so of all of them, and moves \
             none. If lua-resty-session's own storage has saved to {sessions} with that TimeZone, \
             move them instead, once, when it no longer saves: {moves};"
        );
        (problem, tables.expiries_are_true())
    };
    Ok(Some(Finding {
        problem,
        repair,
        structural: false,
    }))
}

/// Whether any of the sessions that ended between so many seconds from now was over when it was saved.
fn are_proven(
    connection: &mut Connection,
    tables: &Arc<Tables>,
    from: i64,
    to: i64,
) -> Result<bool, Fault> {
    // The transactions of several servers cannot be compared.
    if connection.traits(tables)?.distributed {
        return Ok(false);
    }
    let query = Shape::Other(sql::SAVED_AFTER_ITS_END);
    match connection.query(tables, query, &[&from, &to]) {
        Ok(rows) => rows.first().map_or(Ok(false), |row| column(row, 0)),
        // A view has no transactions, and some of PostgreSQL's kin do not tell of their checkpoints.
        Err(Fault::Rejected { .. } | Fault::Stale { .. }) => Ok(false),
        Err(fault) => Err(fault),
    }
}
