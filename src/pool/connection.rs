//! One connection: statements prepared once and kept with it, or sent as text where the server's session
//! may not be relied on; each under a deadline.

use super::cancel::Canceller;
use super::client::{Client, ClientError};
use super::fault::{Fault, Verdict, causes, classify};
use super::server_session::ServerSession;
use super::statement::{Sql, StatementId};
use postgres::error::SqlState;
use postgres::types::{FromSql, ToSql, Type};
use postgres::{Row, Statement};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection to a server.
pub(crate) struct Connection {
    client: Client,
    /// The servers, for messages.
    server: Arc<str>,
    /// How long the current operations may take in all.
    timeout: Duration,
    session: ServerSession,
    /// Where the server does not end by itself a statement whose operations have been answered.
    canceller: Option<Canceller>,
    statements: HashMap<StatementId, Ready>,
    broken: bool,
}

/// A statement that is ready to be run.
#[derive(Clone)]
enum Ready {
    /// In the server's session.
    Prepared(Statement),
    /// By its text, with the types of its parameters.
    Text(Arc<(String, Vec<Type>)>),
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

pub(crate) type Params<'a> = [&'a (dyn ToSql + Sync)];

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
        server: Arc<str>,
        session: ServerSession,
        canceller: Option<Canceller>,
    ) -> Self {
        Connection {
            client,
            server,
            timeout: Duration::ZERO,
            session,
            canceller,
            statements: HashMap::new(),
            broken: false,
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken || self.client.is_closed() || self.session.is_mistaken()
    }

    /// The servers, for messages.
    pub(crate) fn server(&self) -> &Arc<str> {
        &self.server
    }

    /// How long the current operations may take in all.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How long the current operations may still take.
    pub(crate) fn time_left(&self) -> Duration {
        let until = self.client.deadline();
        until.saturating_duration_since(Instant::now())
    }

    /// Has this connection closed instead of used again.
    pub(crate) fn mark_broken(&mut self) {
        self.broken = true;
    }

    /// Sets the deadline of the statements to come: `until`, which is `timeout` after their operations
    /// began.
    pub(crate) fn set_deadline(&mut self, until: Instant, timeout: Duration) {
        self.client.set_deadline(until);
        self.timeout = timeout;
    }

    /// Runs a statement that answers rows. `make` is called where the connection does not know it yet.
    pub(crate) fn query(
        &mut self,
        id: StatementId,
        make: impl FnOnce() -> Sql,
        params: &Params<'_>,
    ) -> Result<Vec<Row>, Fault> {
        let result = match self.ready(id, make)? {
            Ready::Prepared(statement) => self.client.query(&statement, params),
            Ready::Text(text) => self.client.query_typed(&text.0, &typed(params, &text.1)),
        };
        result.map_err(|error| self.fault(error))
    }

    /// Runs a statement that answers no rows.
    pub(crate) fn execute(
        &mut self,
        id: StatementId,
        make: impl FnOnce() -> Sql,
        params: &Params<'_>,
    ) -> Result<(), Fault> {
        let result = match self.ready(id, make)? {
            Ready::Prepared(statement) => self.client.execute(&statement, params),
            Ready::Text(text) => self.client.execute_typed(&text.0, &typed(params, &text.1)),
        };
        result.map(drop).map_err(|error| self.fault(error))
    }

    /// Begins a transaction. Each of its statements sees what was committed when the statement began,
    /// which those after a lock rely on, whatever `default_transaction_isolation` says.
    pub(crate) fn begin(&mut self) -> Result<(), Fault> {
        if self.session.settings_hold {
            return self.batch(BEGIN);
        }
        let settings = self.session.settings.as_query();
        self.batch(&format!("{BEGIN}; {settings}"))
    }

    /// Ends a transaction as its result says: COMMIT or ROLLBACK.
    pub(crate) fn end<T>(&mut self, result: Result<T, Fault>) -> Result<T, Fault> {
        let result = result.and_then(|result| self.batch("COMMIT").map(|()| result));
        if let Err(fault) = &result
            && (fault.connection != Verdict::Usable || self.batch("ROLLBACK").is_err())
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

    fn ready(&mut self, id: StatementId, make: impl FnOnce() -> Sql) -> Result<Ready, Fault> {
        if let Some(ready) = self.statements.get(&id) {
            return Ok(ready.clone());
        }
        let sql = make();
        let text = match self.session.settings_hold {
            true => sql.text(),
            false => sql.text_with(&self.session.settings),
        };
        let types: Vec<Type> = sql.types.iter().map(|kind| kind.as_type()).collect();
        let ready = if self.session.prepares {
            let prepared = self.client.prepare(&text, &types);
            Ready::Prepared(prepared.map_err(|error| self.fault(error))?)
        } else {
            Ready::Text(Arc::new((text, types)))
        };
        self.statements.insert(id, ready.clone());
        Ok(ready)
    }

    fn fault(&mut self, error: ClientError) -> Fault {
        let fault = match error {
            ClientError::Expired => Fault::timed_out(&self.server, self.timeout),
            ClientError::Failed(error) => self.classify(&error),
        };
        self.broken |= fault.connection != Verdict::Usable;
        fault
    }

    fn classify(&self, error: &postgres::Error) -> Fault {
        match error.as_db_error() {
            Some(answer) => {
                self.session.lost_a_statement(answer.code());
                // Behind a pooler no setting of ours ends a statement: this cancellation was meant for
                // the statement before, of another client, and the operation may be tried again.
                if self.canceller.is_some()
                    && *answer.code() == SqlState::QUERY_CANCELED
                    && !self.time_left().is_zero()
                {
                    return Fault::locked(self.timeout, answer.message());
                }
                classify(answer, &self.server, self.timeout)
            }
            None if self.client.is_closed() => Fault::lost(&self.server, &causes(error)),
            None => Fault::undecodable(&causes(error)),
        }
    }
}

fn typed<'a>(params: &Params<'a>, types: &[Type]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    let types = types.iter().cloned();
    params.iter().copied().zip(types).collect()
}

/// A column of a row.
pub(crate) fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, Fault> {
    row.try_get(at)
        .map_err(|error| Fault::undecodable(&causes(&error)))
}
