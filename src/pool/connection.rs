//! One connection: statements prepared once and kept with it, or run as they are where the session
//! may not be relied on; each under a deadline.

use super::cancel::Canceller;
use super::client::{Client, ClientError};
use super::fault::{Fault, causes, classify, undecodable};
use super::server_session::ServerSession;
use super::text::{Text, with_settings};
use super::traits::Traits;
use crate::sql::{Shape, Tables};
use postgres::error::SqlState;
use postgres::types::{ToSql, Type};
use postgres::{Row, Statement};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection to a server.
pub(crate) struct Connection {
    client: Client,
    session: ServerSession,
    /// Where the server does not end by itself a statement that was given up.
    canceller: Option<Canceller>,
    /// By the tables' address; tables are interned and live as long as the process.
    tables: HashMap<usize, PreparedTables>,
    broken: bool,
}

#[derive(Default)]
pub(super) struct PreparedTables {
    statements: HashMap<Shape, Ready>,
    /// What the tables do by themselves, and until when that is believed.
    pub(super) traits: Option<(Traits, Instant)>,
}

/// A statement that is ready to be run.
#[derive(Clone)]
enum Ready {
    /// In the server's session.
    Prepared(Statement),
    /// By its text.
    Text(Arc<Text>),
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

type Params<'a> = [&'a (dyn ToSql + Sync)];

impl Drop for Connection {
    fn drop(&mut self) {
        if self.client.has_expired()
            && let Some(canceller) = self.canceller.take()
        {
            canceller.cancel();
        }
    }
}

impl Connection {
    pub(super) fn new(
        client: Client,
        session: ServerSession,
        canceller: Option<Canceller>,
    ) -> Self {
        Connection {
            client,
            session,
            canceller,
            tables: HashMap::new(),
            broken: false,
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken || self.client.is_closed() || self.session.is_mistaken()
    }

    /// How long what is run now may still take.
    pub(crate) fn time_left(&self) -> Duration {
        let until = self.client.deadline();
        until.saturating_duration_since(Instant::now())
    }

    /// Sees to it that nobody uses this connection again.
    pub(crate) fn mark_broken(&mut self) {
        self.broken = true;
    }

    /// Runs the statements of `body`, all of them before `until`.
    pub(crate) fn run<T>(
        &mut self,
        until: Instant,
        body: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.client.set_deadline(until);
        let result = body(self);
        if let Err(fault) = &result
            && fault.breaks_the_connection()
        {
            self.broken = true;
        }
        result
    }

    /// Runs a statement that has rows.
    pub(crate) fn query(
        &mut self,
        tables: &Arc<Tables>,
        shape: Shape,
        params: &Params<'_>,
    ) -> Result<Vec<Row>, Fault> {
        let result = match self.ready(tables, shape)? {
            Ready::Prepared(statement) => self.client.query(&statement, params),
            Ready::Text(text) => self.client.query_typed(&text.sql, &typed(params, &text)),
        };
        result.map_err(|error| self.fault(error))
    }

    /// Runs a statement that has none.
    pub(crate) fn execute(
        &mut self,
        tables: &Arc<Tables>,
        shape: Shape,
        params: &Params<'_>,
    ) -> Result<(), Fault> {
        let result = match self.ready(tables, shape)? {
            Ready::Prepared(statement) => self.client.execute(&statement, params),
            Ready::Text(text) => self.client.execute_typed(&text.sql, &typed(params, &text)),
        };
        result.map(drop).map_err(|error| self.fault(error))
    }

    /// Runs several statements as one transaction: all of it takes place, or nothing. Each statement
    /// sees what was committed when it began, which those after a lock rely on, whatever
    /// `default_transaction_isolation` says.
    pub(crate) fn transaction<T>(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.session.settings_hold {
            self.batch(BEGIN)?;
        } else {
            let settings = self.session.settings.as_query();
            self.batch(&format!("{BEGIN}; {settings}"))?;
        }
        let result = body(self).and_then(|result| self.batch("COMMIT").map(|()| result));
        if let Err(fault) = &result
            && (fault.breaks_the_connection() || self.batch("ROLLBACK").is_err())
        {
            self.broken = true;
        }
        result
    }

    /// Runs statements that have neither parameters nor rows.
    pub(crate) fn batch(&mut self, sql: &str) -> Result<(), Fault> {
        let result = self.client.batch_execute(sql);
        result.map_err(|error| self.fault(error))
    }

    /// Asks anew what the tables do by themselves, when it matters next.
    pub(crate) fn forget(&mut self, tables: &Arc<Tables>) {
        self.prepared(tables).traits = None;
    }

    pub(super) fn prepared(&mut self, tables: &Arc<Tables>) -> &mut PreparedTables {
        self.tables.entry(Arc::as_ptr(tables) as usize).or_default()
    }

    fn ready(&mut self, tables: &Arc<Tables>, shape: Shape) -> Result<Ready, Fault> {
        if let Some(ready) = self.prepared(tables).statements.get(&shape) {
            return Ok(ready.clone());
        }
        let sql = tables.sql(shape);
        let sql = if self.session.settings_hold {
            sql
        } else {
            with_settings(&sql, &self.session.settings)
        };
        let ready = if self.session.prepares {
            let prepared = self.client.prepare(&sql);
            Ready::Prepared(prepared.map_err(|error| self.fault(error))?)
        } else {
            let text = Text::new(sql).map_err(|reason| undecodable(&reason))?;
            Ready::Text(Arc::new(text))
        };
        self.prepared(tables)
            .statements
            .insert(shape, ready.clone());
        Ok(ready)
    }

    fn fault(&self, error: ClientError) -> Fault {
        let error = match error {
            ClientError::Expired => return Fault::Expired,
            ClientError::Failed(error) => error,
        };
        match error.as_db_error() {
            Some(answer) => {
                self.session.lost_a_statement(answer.code());
                // Nothing of ours ends a statement there: that was meant for what a pooler's server
                // ran before, and this one may be tried again.
                if self.canceller.is_some()
                    && *answer.code() == SqlState::QUERY_CANCELED
                    && !self.time_left().is_zero()
                {
                    return Fault::Locked(answer.message().into());
                }
                classify(answer)
            }
            None if self.client.is_closed() => Fault::Lost(causes(&error).into()),
            None => undecodable(&causes(&error)),
        }
    }
}

fn typed<'a>(params: &Params<'a>, text: &Text) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    params
        .iter()
        .copied()
        .zip(text.types.iter().cloned())
        .collect()
}
