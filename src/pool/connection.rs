//! One connection: statements prepared once and kept with it, each run under a deadline.

use super::deadline::Deadline;
use super::fault::{Fault, causes, classify, undecodable};
use crate::op::{Operation, Output};
use crate::sql::{Shape, Tables};
use postgres::types::ToSql;
use postgres::{Client, Row, Statement};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection to a server.
pub(crate) struct Connection {
    client: Client,
    deadline: Arc<Deadline>,
    bounded: bool,
    /// By the tables' address; tables are interned and live as long as the process.
    tables: HashMap<usize, PreparedTables>,
    broken: bool,
}

#[derive(Default)]
pub(super) struct PreparedTables {
    statements: HashMap<Shape, Statement>,
    /// Whether deleting a session leaves its metadata behind, and until when that is believed.
    pub(super) leaves_metadata: Option<(bool, Instant)>,
}

/// How long a connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_millis(100);

impl Drop for Connection {
    fn drop(&mut self) {
        // The client sends Terminate and waits for the server when it is dropped.
        self.deadline.set(Instant::now() + GOODBYE);
    }
}

impl Connection {
    pub(crate) fn new(client: Client, deadline: Arc<Deadline>, bounded: bool) -> Self {
        Connection {
            client,
            deadline,
            bounded,
            tables: HashMap::new(),
            broken: false,
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken || self.client.is_closed()
    }

    /// Whether its socket keeps the deadline (see [`super::deadline`]).
    pub(crate) fn is_bounded(&self) -> bool {
        self.bounded
    }

    /// Sees to it that nobody uses this connection again.
    pub(crate) fn mark_broken(&mut self) {
        self.broken = true;
    }

    /// Carries out operations of one kind on one pair of tables, in one statement. The outputs are
    /// in the order of the operations.
    pub(crate) fn run(
        &mut self,
        tables: &Arc<Tables>,
        operations: &[&Operation],
        until: Instant,
    ) -> Result<Vec<Output>, Fault> {
        self.deadline.set(until);
        let result = self.dispatch(tables, operations);
        if let Err(Fault::Lost(_) | Fault::Expired | Fault::Stale { .. }) = result {
            self.broken = true;
        }
        result
    }

    pub(super) fn query(
        &mut self,
        tables: &Arc<Tables>,
        shape: Shape,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        let statement = self.prepare(tables, shape)?;
        let result = self.client.query(&statement, params);
        result.map_err(|error| self.fault(&error))
    }

    pub(super) fn execute(
        &mut self,
        tables: &Arc<Tables>,
        shape: Shape,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<(), Fault> {
        let statement = self.prepare(tables, shape)?;
        let result = self.client.execute(&statement, params);
        result.map(drop).map_err(|error| self.fault(&error))
    }

    pub(super) fn prepared(&mut self, tables: &Arc<Tables>) -> &mut PreparedTables {
        self.tables.entry(Arc::as_ptr(tables) as usize).or_default()
    }

    fn prepare(&mut self, tables: &Arc<Tables>, shape: Shape) -> Result<Statement, Fault> {
        if let Some(statement) = self.prepared(tables).statements.get(&shape) {
            return Ok(statement.clone());
        }
        let prepared = self.client.prepare(&tables.sql(shape));
        let statement = prepared.map_err(|error| self.fault(&error))?;
        self.prepared(tables)
            .statements
            .insert(shape, statement.clone());
        Ok(statement)
    }

    fn fault(&self, error: &postgres::Error) -> Fault {
        if self.deadline.has_passed() {
            return Fault::Expired;
        }
        match error.as_db_error() {
            Some(answer) => classify(answer),
            None if self.client.is_closed() => Fault::Lost(causes(error).into()),
            None => undecodable(&causes(error)),
        }
    }
}
