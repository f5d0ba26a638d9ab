//! One connection: statements prepared once and kept with it, or sent as text where the server's
//! session may not be relied on; each under a deadline.

use super::client::Driver;
use super::fault::{Fault, Retry, Verdict, causes, classify};
use super::given_up::{Backend, GivenUp, terminate};
use super::server_session::ServerSessions;
use super::statement::{Sql, StatementId};
use crate::host::log::Level;
use crate::tls::{Negotiator, Refused};
use postgres::error::SqlState;
use postgres::types::{FromSql, ToSql, Type};
use postgres::{Error, Row, Statement};
use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

pub(crate) struct Connection {
    // Dropped before the driver, which makes tokio-postgres send the Terminate message.
    pub(super) client: Client,
    pub(super) driver: Driver,
    pub(super) sessions: Arc<ServerSessions>,
    /// The settings that statements need were made when the session started, and stay. If not,
    /// there may be a pooler.
    pub(super) settings_hold: bool,
    /// The server's process, where it is this connection's own.
    pub(super) backend: Option<Backend>,
    pub(super) given_up: Arc<GivenUp>,
    /// Makes the stream of a request to cancel what this connection runs.
    pub(super) negotiator: Negotiator,
    /// The Unix socket that it was opened to.
    pub(super) socket: Option<PathBuf>,
    /// The servers, for messages.
    pub(crate) server: Arc<str>,
    /// How long the current operations may take in all.
    pub(crate) timeout: Duration,
    pub(super) statements: HashMap<StatementId, Ready>,
    pub(super) broken: bool,
}

/// A statement that is ready to be run.
pub(super) enum Ready {
    /// In the server's session.
    Prepared(Statement),
    /// By its text, with the types of its parameters.
    Text(String, Vec<Type>),
}

/// How many statements are kept ready. A pair of tables usually has some forty; a site with many pairs on
/// one pool, and many kinds of saves, could have thousands, which take memory of the server. When there
/// are so many, all are given up.
const MOST_STATEMENTS: usize = 256;

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// The time for a request to cancel: usually, and where the pool ends, which leaves more of it. A pooler
/// finds the statement by the client's connection, so that one must stay open for as long.
const CANCEL_TIME: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(200));

/// How long a server may take to end what was given up there.
const END_TIME: Duration = Duration::from_secs(1);

pub(crate) type Params<'a> = [&'a (dyn ToSql + Sync)];

impl Drop for Connection {
    /// A statement that was given up is ended by the `statement_timeout` of the server's own session, and
    /// before this pool uses another connection. Behind a pooler it would run on and hold its locks, and
    /// where the pool itself ends, it may run for long: it is cancelled. The request for that has
    /// a connection of its own, and always takes [`CANCEL_TIME`]; errors are ignored.
    fn drop(&mut self) {
        if !self.driver.expired || (self.settings_hold && !self.driver.is_stopped()) {
            return;
        }
        let time = if self.driver.is_stopped() { CANCEL_TIME.1 } else { CANCEL_TIME.0 };
        let until = Instant::now() + time;
        let (token, negotiator) = (self.client.cancel_token(), self.negotiator.to_cancel());
        if let Ok(mut driver) = Driver::new(until, CancellationToken::new()) {
            driver.wait(async {
                match &self.socket {
                    None => drop(token.cancel_query(negotiator).await),
                    Some(path) => {
                        if let Ok(socket) = UnixStream::connect(path).await {
                            let _ = token.cancel_query_raw(socket, negotiator).await;
                        }
                    }
                }
                pending::<()>().await;
            });
        }
    }
}

impl Connection {
    pub(super) fn is_broken(&self) -> bool {
        let is_mistaken = self.sessions.is_mistaken(self.settings_hold);
        self.broken || self.client.is_closed() || is_mistaken
    }

    /// Has this connection closed instead of used again.
    pub(crate) fn mark_broken(&mut self) {
        self.broken = true;
    }

    /// Whether settings that are made stay, and are seen by nobody else.
    pub(crate) fn keeps_settings(&self) -> bool {
        self.settings_hold
    }

    /// Sets the deadline of the statements to come: `until`, which is `timeout` after their
    /// operations began.
    pub(crate) fn set_deadline(&mut self, until: Instant, timeout: Duration) {
        self.driver.until = until;
        self.timeout = timeout;
    }

    /// Terminates the backends of other connections to the same server that were given up with a
    /// statement under way. To be called before the connection is used. Costs nothing if there are none.
    /// Behind a pooler, nothing is known of backends.
    pub(crate) fn end_given_up(&mut self) -> Result<(), Fault> {
        let Some(own) = self.backend else {
            return Ok(());
        };
        let given_up = self.given_up.of_server(own.server);
        if given_up.is_empty() {
            return Ok(());
        }
        // What the connection is for can still take place on another one.
        let until = self.driver.until;
        self.driver.until = until.min(Instant::now() + END_TIME.min(self.time_left() / 2));
        let ended = self.batch(&terminate(&given_up));
        self.driver.until = until;
        let reports = &self.given_up.reports;
        match ended {
            Ok(()) => reports.log(Level::Notice, || {
                let pids: Vec<String> = given_up.iter().map(|it| it.pid.to_string()).collect();
                let (server, pids) = (&self.server, pids.join(", "));
                format!("{server} was asked to end what was given up there: backends {pids}")
            }),
            Err(fault) if fault.connection == Verdict::Usable => reports.log(Level::Warn, || {
                format!("{} does not end what was given up there: {}", self.server, fault.error)
            }),
            Err(fault) => {
                self.given_up.not_ended(&given_up);
                return Err(Fault { retry: Retry::AtOnce, ..fault });
            }
        }
        self.given_up.forget(&given_up);
        Ok(())
    }

    pub(crate) fn time_left(&self) -> Duration {
        self.driver.until.saturating_duration_since(Instant::now())
    }

    /// Runs a statement. `make` is called where the connection does not know it yet.
    pub(crate) fn query(
        &mut self,
        id: StatementId,
        make: impl FnOnce() -> Sql,
        params: &Params<'_>,
    ) -> Result<Vec<Row>, Fault> {
        if !self.statements.contains_key(&id) {
            if self.statements.len() >= MOST_STATEMENTS {
                self.statements.clear();
            }
            let ready = self.prepare(&make())?;
            self.statements.insert(id, ready);
        }
        let result = match &self.statements[&id] {
            Ready::Prepared(statement) => self.driver.run(self.client.query(statement, params)),
            Ready::Text(text, types) => {
                let typed: Vec<_> = params.iter().copied().zip(types.iter().cloned()).collect();
                self.driver.run(self.client.query_typed(text, &typed))
            }
        };
        self.check(result)
    }

    /// Runs statements that have neither parameters nor rows.
    pub(crate) fn batch(&mut self, sql: &str) -> Result<(), Fault> {
        let result = self.driver.run(self.client.batch_execute(sql));
        self.check(result)
    }

    /// Begins a transaction. Each of its statements sees what was committed when the statement
    /// began, which those after a lock rely on, whatever `default_transaction_isolation` says.
    pub(crate) fn begin(&mut self) -> Result<(), Fault> {
        if self.settings_hold {
            return self.batch(BEGIN);
        }
        let begin = format!("{BEGIN}; {}", self.sessions.settings);
        self.batch(&begin)
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

    fn prepare(&mut self, sql: &Sql) -> Result<Ready, Fault> {
        let settings = Some(&*self.sessions.settings).filter(|_| !self.settings_hold);
        let text = sql.text(settings);
        let types: Vec<Type> = sql.types.iter().copied().filter_map(Type::from_oid).collect();
        if !self.sessions.prepares(self.settings_hold) {
            return Ok(Ready::Text(text, types));
        }
        let prepared = self.driver.run(self.client.prepare_typed(&text, &types));
        self.check(prepared).map(Ready::Prepared)
    }

    fn check<T>(&mut self, result: Option<Result<T, Error>>) -> Result<T, Fault> {
        // The server has not said how the statement ended.
        let is_lost = matches!(&result, Some(Err(error)) if error.as_db_error().is_none());
        let fault = match result {
            Some(Ok(value)) => return Ok(value),
            Some(Err(error)) => self.fault(&error),
            None => Fault::timed_out(&self.server, self.timeout),
        };
        self.broken |= fault.connection != Verdict::Usable;
        if (self.driver.expired || is_lost)
            && let Some(backend) = self.backend
        {
            self.given_up.add(backend);
        }
        Err(fault)
    }

    fn fault(&self, error: &Error) -> Fault {
        let Some(answer) = error.as_db_error() else {
            return match self.client.is_closed() {
                true if is_refused(error) => Fault::refused(&causes(error)),
                true => Fault::lost(&self.server, &causes(error)),
                // What follows cannot be made sense of either.
                false => {
                    Fault { connection: Verdict::Broken, ..Fault::undecodable(&causes(error)) }
                }
            };
        };
        self.sessions.failed_with(answer.code());
        // Behind a pooler no setting of ours ends a statement: this cancellation was meant for the
        // statement before, of another client, and the operation may be tried again.
        if !self.settings_hold
            && *answer.code() == SqlState::QUERY_CANCELED
            && !self.time_left().is_zero()
        {
            return Fault::locked(self.timeout, answer.message());
        }
        classify(answer, &self.server, self.timeout)
    }
}

/// Whether our stream would not read what the server sent.
fn is_refused(error: &Error) -> bool {
    let socket = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    let inner = socket.and_then(io::Error::get_ref);
    inner.is_some_and(|inner| inner.is::<Refused>())
}

/// A column of a row.
pub(crate) fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, Fault> {
    row.try_get(at).map_err(|error| Fault::undecodable(&causes(&error)))
}
