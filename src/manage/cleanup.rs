//! `cleanup`: deletes sessions that are over, a few at a time.

use super::{Alone, Described};
use crate::op::{Epoch, Output, Swept};
use crate::pool::{Connection, Fault, column};
use crate::sql::{Shape, Tables, manage as sql};
use postgres::types::ToSql;
use std::sync::Arc;
use std::time::Instant;

/// Deletes sessions that are over on the database's clock and at `now`. Answers how many.
///
/// It works in statements of up to 1,000 rows, each a transaction of its own, none of which waits
/// for a row that a save holds. One process at a time cleans a table up, in all of the cluster: where
/// another one does, this waits for its turn.
#[derive(Debug, Clone)]
pub struct Cleanup {
    /// How many sessions at most; `None` for as many as the time allows.
    pub limit: Option<u32>,
    /// What is alive at this time stays, whatever the database's clock says.
    pub now: Epoch,
}

/// What a [`Sweep`] is counted as.
pub(crate) const SWEEP: &str = "sweep";

/// One statement's worth of it, as the engine does in the background.
#[derive(Debug)]
pub(crate) struct Sweep {
    /// How many sessions at most.
    pub(crate) rows: u32,
    /// As in [`Cleanup`].
    pub(crate) now: Epoch,
    /// All that was over before this time is known to be gone.
    pub(crate) since: Option<Epoch>,
}

/// The most rows of one statement.
pub(crate) const MOST_ROWS: u32 = 1_000;

pub(super) const DESCRIBED: Described = Described {
    name: "cleanup",
    parameters: &["limit", "current_time"],
    read: |arguments| {
        let cleanup = Cleanup {
            limit: arguments.optional_count("limit", u32::MAX)?,
            now: arguments.time("current_time")?,
        };
        Ok(cleanup.into())
    },
};

impl Alone for Cleanup {
    fn name(&self) -> &'static str {
        DESCRIBED.name
    }

    fn run(&self, connection: &mut Connection, tables: &Arc<Tables>) -> Result<Output, Fault> {
        // Half of the time that there is: the last statement must not be the one that is too late.
        let end = Instant::now() + connection.time_left() / 2;
        let mut removed: u64 = 0;
        let mut next = Sweep {
            rows: 0,
            now: self.now,
            since: None,
        };
        loop {
            let whole = self.limit.map_or(u64::MAX, u64::from);
            let left = whole.saturating_sub(removed);
            next.rows = left.min(MOST_ROWS.into()) as u32;
            match next.sweep(connection, tables) {
                Ok(swept) if !swept.ours && removed == 0 => {
                    // The engine tries again later, and gives the connection back until then.
                    return Err(Fault::Locked("another process cleans up".into()));
                }
                Ok(swept) => {
                    removed += u64::from(swept.removed);
                    let enough = self.limit.is_some_and(|limit| removed >= limit.into());
                    if !swept.ours || swept.removed < next.rows || enough || Instant::now() > end {
                        return Ok(Output::Count(removed));
                    }
                    next.since = swept.until;
                }
                // What was deleted before stays deleted, and is to be counted.
                Err(Fault::Locked(_)) if removed > 0 => return Ok(Output::Count(removed)),
                Err(fault) => return Err(fault),
            }
        }
    }
}

impl Alone for Sweep {
    fn name(&self) -> &'static str {
        SWEEP
    }

    fn run(&self, connection: &mut Connection, tables: &Arc<Tables>) -> Result<Output, Fault> {
        self.sweep(connection, tables).map(Output::Swept)
    }
}

impl Sweep {
    fn sweep(&self, connection: &mut Connection, tables: &Arc<Tables>) -> Result<Swept, Fault> {
        let traits = connection.traits(tables)?;
        let start = Instant::now();
        let limit = i64::from(self.rows);
        let mut until = None;
        let (ours, removed) = if traits.distributed || traits.in_parts {
            connection
                .transaction(|connection| sweep_in_steps(connection, tables, self.now, limit))?
        } else {
            let sweep = match traits.leaves_metadata {
                false => sql::SWEEP,
                true => sql::SWEEP_UNLINKED,
            };
            let given: [&(dyn ToSql + Sync); 3] = [&self.now, &limit, &self.since];
            let rows = connection.query(tables, Shape::Other(sweep), &given)?;
            match rows.first() {
                Some(row) => {
                    until = column(row, 2)?;
                    (column(row, 0)?, column(row, 1)?)
                }
                None => (false, 0),
            }
        };
        Ok(Swept {
            ours,
            removed: u32::try_from(removed).unwrap_or(self.rows),
            took: start.elapsed(),
            until,
        })
    }
}

/// Distributed tables do not take the statement of one piece, nor do views and partitions.
fn sweep_in_steps(
    connection: &mut Connection,
    tables: &Arc<Tables>,
    now: Epoch,
    limit: i64,
) -> Result<(bool, i64), Fault> {
    let turn = connection.query(tables, Shape::Other(sql::SWEEP_TURN), &[&now])?;
    let (ours, before): (bool, Epoch) = match turn.first() {
        Some(row) => (column(row, 0)?, column(row, 1)?),
        None => return Ok((false, 0)),
    };
    if !ours {
        return Ok((false, 0));
    }
    let dead = connection.query(tables, Shape::Other(sql::SWEEP_FIND), &[&before, &limit])?;
    let keys: Result<Vec<&str>, Fault> = dead.iter().map(|row| column(row, 0)).collect();
    let keys = keys?;
    if keys.is_empty() {
        return Ok((true, 0));
    }
    let gone = connection.query(tables, Shape::Other(sql::SWEEP_FOUND), &[&keys, &before])?;
    if connection.leaves_metadata(tables)? && !gone.is_empty() {
        let gone: Result<Vec<&str>, Fault> = gone.iter().map(|row| column(row, 0)).collect();
        connection.execute(tables, Shape::Other(sql::SWEEP_METADATA), &[&gone?])?;
    }
    Ok((true, gone.len() as i64))
}
