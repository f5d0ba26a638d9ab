//! `list`: live sessions, a page at a time.

use super::{Alone, Described, Scope};
use crate::op::{Epoch, Output, Session};
use crate::pool::{Connection, Fault, column};
use crate::sql::{Shape, Tables, manage as sql};
use std::sync::Arc;

/// Lists live sessions in the order of their keys.
#[derive(Debug, Clone)]
pub struct List {
    /// Whose.
    pub scope: Scope,
    /// Sessions that ended before are left out.
    pub now: Epoch,
    /// Those with greater keys alone: the last key of the page before.
    pub after: Option<String>,
    /// How many at most.
    pub limit: u32,
}

/// cbindgen:ignore
impl List {
    /// The most sessions of a page.
    pub const MOST: u32 = 10_000;
    /// A page's size, unless a caller says otherwise.
    pub const PAGE: u32 = 1_000;
}

pub(super) const DESCRIBED: Described = Described {
    name: "list",
    parameters: &[
        "name",
        "audience",
        "subject",
        "current_time",
        "after_key",
        "limit",
    ],
    read: |arguments| {
        arguments.unused_name()?;
        let limit = arguments.optional_count("limit", List::MOST)?;
        let list = List {
            scope: Scope::read(arguments)?,
            now: arguments.time("current_time")?,
            after: arguments.optional_key("after_key")?,
            limit: limit.unwrap_or(List::PAGE),
        };
        Ok(list.into())
    },
};

impl Alone for List {
    fn name(&self) -> &'static str {
        DESCRIBED.name
    }

    fn run(&self, connection: &mut Connection, tables: &Arc<Tables>) -> Result<Output, Fault> {
        // No key is empty, so all come after that.
        let (after, limit) = (self.after.as_deref().unwrap_or(""), i64::from(self.limit));
        let (statement, params) = self
            .scope
            .select(sql::LIST, vec![&self.now, &after, &limit]);
        let rows = connection.query(tables, Shape::Other(statement), &params)?;
        let session = |row| {
            Ok(Session {
                key: column(row, 0)?,
                name: column::<Option<String>>(row, 1)?.unwrap_or_default(),
                expires: column(row, 2)?,
                created: column(row, 3)?,
            })
        };
        let sessions: Result<_, Fault> = rows.iter().map(session).collect();
        Ok(Output::Sessions(sessions?))
    }
}
