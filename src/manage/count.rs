//! `count`: how many sessions are alive.

use super::{Alone, Described, Scope};
use crate::op::{Epoch, Output};
use crate::pool::{Connection, Fault, column};
use crate::sql::{Shape, Tables, manage as sql};
use std::sync::Arc;

/// Counts live sessions.
#[derive(Debug, Clone)]
pub struct Count {
    /// Whose.
    pub scope: Scope,
    /// Sessions that ended before do not count.
    pub now: Epoch,
    /// Of all sessions, what PostgreSQL's statistics say is enough: it costs next to nothing, is as
    /// old as the last vacuum or analyze, and holds sessions that have ended and are not yet cleaned
    /// up. Where the statistics say nothing, and for other scopes, the count is exact.
    pub estimate: bool,
}

pub(super) const DESCRIBED: Described = Described {
    name: "count",
    parameters: &["name", "audience", "subject", "current_time", "estimate"],
    read: |arguments| {
        arguments.unused_name()?;
        let count = Count {
            scope: Scope::read(arguments)?,
            now: arguments.time("current_time")?,
            estimate: arguments.flag("estimate")?,
        };
        Ok(count.into())
    },
};

impl Alone for Count {
    fn name(&self) -> &'static str {
        DESCRIBED.name
    }

    fn run(&self, connection: &mut Connection, tables: &Arc<Tables>) -> Result<Output, Fault> {
        if self.estimate && self.scope == Scope::All {
            let [sessions, _] = tables.names();
            let rows = connection.query(tables, Shape::Other(sql::ESTIMATE), &[&sessions])?;
            let rows: i64 = rows.first().map_or(Ok(0), |row| column(row, 0))?;
            if rows > 0 {
                return Ok(Output::Count(rows.unsigned_abs()));
            }
        }
        let (statement, params) = self.scope.select(sql::COUNT, vec![&self.now]);
        let rows = connection.query(tables, Shape::Other(statement), &params)?;
        let count: i64 = rows.first().map_or(Ok(0), |row| column(row, 0))?;
        Ok(Output::Count(count.unsigned_abs()))
    }
}
