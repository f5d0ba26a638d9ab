//! What the tables of a connection do by themselves, as the catalog says.

use super::connection::Connection;
use super::fault::{Fault, causes, undecodable};
use crate::sql::{Shape, Tables};
use postgres::Row;
use postgres::types::FromSql;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For how long what the catalog said of the tables is believed. Their owner may change them at any
/// time; metadata that is left behind meanwhile is never listed.
const BELIEVED: Duration = Duration::from_secs(5);

/// What the tables do by themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    /// Deleting a session leaves its metadata behind: there is a metadata table, but it has no
    /// foreign key that deletes with the session.
    pub(crate) leaves_metadata: bool,
    /// They may be spread over several servers.
    pub(crate) distributed: bool,
    /// The sessions are no one table: a row's place does not tell it from all others.
    pub(crate) in_parts: bool,
}

impl Connection {
    /// Whether deleting a session leaves its metadata behind.
    pub(crate) fn leaves_metadata(&mut self, tables: &Arc<Tables>) -> Result<bool, Fault> {
        self.traits(tables).map(|traits| traits.leaves_metadata)
    }

    /// What the tables do by themselves.
    pub(crate) fn traits(&mut self, tables: &Arc<Tables>) -> Result<Traits, Fault> {
        let now = Instant::now();
        if let Some((known, until)) = self.prepared(tables).traits
            && now < until
        {
            return Ok(known);
        }
        let [sessions, metadata] = tables.names();
        let rows = self.query(tables, Shape::Traits, &[&sessions, &metadata])?;
        let traits = rows.first().ok_or_else(|| undecodable("no row"))?;
        let traits = Traits {
            leaves_metadata: column(traits, 0)? && !column::<bool>(traits, 1)?,
            distributed: column(traits, 2)?,
            in_parts: column(traits, 3)?,
        };
        self.prepared(tables).traits = Some((traits, now + BELIEVED));
        Ok(traits)
    }
}

/// A column of a row.
pub(crate) fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, Fault> {
    row.try_get(at)
        .map_err(|error| undecodable(&causes(&error)))
}
