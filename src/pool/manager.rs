//! Opens connections, within their time, and says why one could not be opened.

use super::connection::Connection;
use super::resolve;
use super::status::{Failure, Status};
use crate::config::{ConnectionConfig, Host, Server, Timeouts};
use crate::host::thread;
use crate::tls::{Tls, TlsFailure};
use postgres::NoTls;
use postgres::config::{SslMode, SslNegotiation};
use postgres::error::SqlState;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// r2d2's manager of our connections.
pub(crate) struct Manager {
    config: ConnectionConfig,
    timeouts: Timeouts,
    tls: Tls,
    status: Arc<Status>,
    /// Shared with an attempt at a Unix socket for as long as that takes.
    unix_attempt: Arc<()>,
}

impl Manager {
    pub(crate) fn new(config: ConnectionConfig, timeouts: Timeouts, tls: Tls) -> Self {
        Manager {
            config,
            timeouts,
            tls,
            status: Arc::default(),
            unix_attempt: Arc::default(),
        }
    }

    pub(crate) fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Tries each server in turn; each gets its share of the time that is left.
    fn open(&self) -> Result<Connection, Failure> {
        let end = Instant::now() + self.timeouts.connect;
        let mut failure = Failure::new("connect", "no server is configured", true);
        for (n, server) in self.config.servers.iter().enumerate() {
            let end = share(end, self.config.servers.len() - n);
            match self.open_server(server, end) {
                Ok(connection) => return Ok(connection),
                Err(failed) => failure = failed,
            }
        }
        Err(failure)
    }

    fn open_server(&self, server: &Server, end: Instant) -> Result<Connection, Failure> {
        let mut options = self.options(server.port);
        match &server.host {
            Host::Unix(folder) => {
                options.host_path(folder).ssl_mode(SslMode::Disable);
                options.connect_timeout(remaining(end));
                self.open_unix(options, end)
            }
            Host::Tcp(host) => {
                let addresses = resolve::addresses(host, end)
                    .map_err(|error| Failure::new("name look-up", error, false))?;
                options.host(host).ssl_mode(SslMode::Require);
                // See `crate::tls`: this hands the raw socket to our connector.
                options.ssl_negotiation(SslNegotiation::Direct);
                let mut failure = Failure::new("connect", "no time left", false);
                for (n, &address) in addresses.iter().enumerate() {
                    let end = share(end, addresses.len() - n);
                    match self.open_address(options.clone(), address, end) {
                        Ok(connection) => return Ok(connection),
                        Err(failed) => failure = failed,
                    }
                }
                Err(failure)
            }
        }
    }

    fn open_address(
        &self,
        mut options: postgres::Config,
        address: IpAddr,
        end: Instant,
    ) -> Result<Connection, Failure> {
        let deadline = self.status.deadline(end);
        let connector = self.tls.connector(Arc::clone(&deadline));
        options.hostaddr(address).connect_timeout(remaining(end));
        let client = options.connect(connector).map_err(|error| {
            if deadline.has_passed() {
                Failure::new("start-up", "no answer from the server", false)
            } else {
                explain(&error)
            }
        })?;
        Ok(Connection::new(client, deadline, true))
    }

    /// The client takes a Unix socket's stream from nobody, so that its reads have no limit but the
    /// server's own. A server that accepts and then says nothing must not hold this thread: the
    /// attempt has one of its own, which is left behind, and no further one is made until it ends.
    fn open_unix(&self, options: postgres::Config, end: Instant) -> Result<Connection, Failure> {
        let hanging = Arc::strong_count(&self.unix_attempt) > 1;
        if hanging {
            let reason = "an earlier attempt still waits for the server";
            return Err(Failure::new("start-up", reason, false));
        }
        let attempt = Arc::clone(&self.unix_attempt);
        let (sender, receiver) = mpsc::sync_channel(1);
        let connect = move || {
            let client = options.connect(NoTls);
            drop(attempt);
            let _ = sender.send(client);
        };
        thread::spawn("rsp-unix", connect)
            .map_err(|error| Failure::new("connect", error, false))?;
        let client = receiver
            .recv_timeout(remaining(end))
            .map_err(|_| Failure::new("start-up", "no answer from the server", false))?
            .map_err(|error| explain(&error))?;
        Ok(Connection::new(client, self.status.deadline(end), false))
    }

    fn options(&self, port: u16) -> postgres::Config {
        let mut options = postgres::Config::new();
        options
            .port(port)
            .user(&self.config.username)
            .dbname(&self.config.database)
            .application_name(&self.config.application)
            .options(&self.session_settings())
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(self.timeouts.statement);
        if let Some(password) = &self.config.password {
            options.password(password.reveal());
        }
        options
    }

    /// What the server itself is to bound: a statement that nobody waits for any more, and the wait
    /// for a lock (the operation gives the connection back and tries again).
    fn session_settings(&self) -> String {
        format!(
            "-c statement_timeout={} -c lock_timeout={}",
            self.timeouts.statement.as_millis(),
            LOCK_TIMEOUT.as_millis()
        )
    }
}

/// A silent peer is found dead after these: 30 s, then three probes 10 s apart.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// How long a statement waits for a row that another transaction holds. A batch meets a locked row
/// for this long at most; a healthy save holds its rows for about the time of one flush to disk.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_millis(20);

/// The end of the first of so many equal parts of the time that is left: one server, or one
/// address, that does not answer must not use up the others' time.
fn share(end: Instant, parts: usize) -> Instant {
    let now = Instant::now();
    now + end.saturating_duration_since(now) / parts as u32
}

fn remaining(end: Instant) -> Duration {
    // Zero would mean "no limit".
    end.saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}

/// Says at which step a connection attempt failed, and whether the server meant it.
fn explain(error: &postgres::Error) -> Failure {
    if let Some(answer) = error.as_db_error() {
        let code = answer.code();
        let refused = code.code().starts_with("28")
            || [
                SqlState::INVALID_CATALOG_NAME,
                SqlState::INSUFFICIENT_PRIVILEGE,
            ]
            .contains(code);
        let message = format!("{} (SQLSTATE {})", answer.message(), code.code());
        return Failure::new("start-up", message, refused);
    }
    match error.source() {
        Some(source) if source.is::<TlsFailure>() => Failure::new("TLS", source, true),
        Some(source) => Failure::new("connect", source, false),
        None => Failure::new("start-up", error, false),
    }
}

/// What r2d2 pools. It tries a failed attempt again and again, whether anybody still waits or not,
/// and tells nobody of the failure; so a failure is handed out like a connection, once, to whoever
/// waits.
pub(crate) enum Attempt {
    /// A connection.
    Open(Box<Connection>),
    /// Why there is none.
    Failed(Failure),
}

impl r2d2::ManageConnection for Manager {
    type Connection = Attempt;
    type Error = Infallible;

    /// Runs on r2d2's thread. A panic there would lose a place in the pool for ever; the blocking
    /// client panics where it cannot make its runtime (no file descriptor left).
    fn connect(&self) -> Result<Attempt, Infallible> {
        if let Err(closed) = self.status.begin() {
            return Ok(Attempt::Failed(closed));
        }
        let opened = catch_unwind(AssertUnwindSafe(|| self.open())).unwrap_or_else(|_| {
            let reason = "the client could not start (is the limit of open files reached?)";
            Err(Failure::new("connect", reason, false))
        });
        self.status
            .end(&self.config.describe(), opened.as_ref().err());
        Ok(match opened {
            Ok(connection) => Attempt::Open(Box::new(connection)),
            Err(failure) => Attempt::Failed(failure),
        })
    }

    /// Never called: the pool is built without a test on check-out, because a round trip for each
    /// operation would double its cost. A stale connection shows at its first statement, which is
    /// then run on a fresh one.
    fn is_valid(&self, _: &mut Attempt) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, attempt: &mut Attempt) -> bool {
        match attempt {
            Attempt::Open(connection) => connection.is_broken(),
            Attempt::Failed(_) => true,
        }
    }
}
