//! Opens a connection to one of the servers, within its time, and says why none could be opened.

use super::cancel::Canceller;
use super::connection::Connection;
use super::credentials::Credentials;
use super::refusal::{Refusal, Remedy, explain};
use super::resolve;
use super::server_session::{ServerSessions, Wanted, inspect, refuses_settings};
use super::settings::Settings;
use super::status::{Failure, Status};
use crate::config::{Binding, ConnectionConfig, Host, Server, Timeouts};
use crate::host::thread;
use crate::tls::Tls;
use postgres::config::{ChannelBinding, SslMode, SslNegotiation};
use postgres::{Client, NoTls};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// A silent peer is found dead after these: 30 s, then three probes 10 s apart.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// How long a statement waits for a row that another transaction holds. A batch meets a locked row
/// for this long at most; a healthy save holds its rows for about the time of one flush to disk.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_millis(20);

/// Opens connections.
pub(super) struct Opener {
    config: ConnectionConfig,
    timeouts: Timeouts,
    tls: Tls,
    credentials: Arc<Credentials>,
    sessions: ServerSessions,
    status: Arc<Status>,
    /// Shared with an attempt at a Unix socket for as long as that takes.
    unix_attempt: Arc<()>,
}

impl Opener {
    pub(super) fn new(
        config: ConnectionConfig,
        timeouts: Timeouts,
        tls: Tls,
        credentials: Arc<Credentials>,
    ) -> Self {
        let settings = Settings {
            lock_timeout: LOCK_TIMEOUT,
            statement_timeout: timeouts.statement,
            synchronous_commit: config.session.synchronous_commit,
        };
        Opener {
            sessions: ServerSessions::new(config.session.clone(), settings),
            config,
            timeouts,
            tls,
            credentials,
            status: Arc::default(),
            unix_attempt: Arc::default(),
        }
    }

    pub(super) fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// The servers, for messages.
    pub(super) fn describe(&self) -> Arc<str> {
        self.config.describe()
    }

    /// Tries each server in turn; each gets its share of the time that is left.
    pub(super) fn open(&self) -> Result<Connection, Failure> {
        let end = Instant::now() + self.timeouts.connect;
        let mut servers: Vec<&Server> = self.config.servers.iter().collect();
        self.shuffle(&mut servers);
        let mut failure = Failure::new("connect", "no server is configured", true);
        for (n, server) in servers.iter().enumerate() {
            let end = share(end, servers.len() - n);
            match self.open_server(server, end) {
                Ok(connection) => return Ok(connection),
                Err(failed) => failure = failed,
            }
        }
        Err(failure)
    }

    /// Where the load is to be balanced, each has the same chance to be the first.
    fn shuffle<T>(&self, items: &mut [T]) {
        if self.config.session.balance {
            let random = RandomState::new();
            let mut place = 0_usize;
            items.sort_by_cached_key(|_| {
                place += 1;
                random.hash_one(place)
            });
        }
    }

    fn open_server(&self, server: &Server, end: Instant) -> Result<Connection, Failure> {
        let mut options = self.options(server)?;
        match &server.host {
            Host::Unix(folder) => {
                options.host_path(folder).ssl_mode(SslMode::Disable);
                self.open_session(&options, |options, wanted| {
                    self.open_unix(options, wanted, end)
                })
            }
            Host::Tcp(host) => {
                let mut addresses = resolve::addresses(host, end)
                    .map_err(|error| Failure::new("name look-up", error, false))?;
                self.shuffle(&mut addresses);
                options.host(host).ssl_mode(SslMode::Require);
                // See `crate::tls`: this hands the raw socket to our connector.
                options.ssl_negotiation(SslNegotiation::Direct);
                let mut failure = Failure::new("connect", "no time left", false);
                for (n, &address) in addresses.iter().enumerate() {
                    let end = share(end, addresses.len() - n);
                    let opened = self.open_session(&options, |options, wanted| {
                        self.open_address(&options, &wanted, address, end)
                    });
                    match opened {
                        Ok(connection) => return Ok(connection),
                        Err(failed) => failure = failed,
                    }
                }
                Err(failure)
            }
        }
    }

    /// Opens a connection with all that is asked of its session, or with less where a pooler refuses
    /// that.
    fn open_session(
        &self,
        options: &postgres::Config,
        open: impl Fn(postgres::Config, Wanted) -> Result<Connection, Refusal>,
    ) -> Result<Connection, Failure> {
        let mut refused = Failure::new("start-up", "no attempt was made", false);
        for wanted in self.sessions.tries() {
            let mut options = options.clone();
            self.sessions.prepare(&wanted, &mut options);
            match open(options, wanted) {
                Ok(connection) => return Ok(connection),
                Err(refusal) if refusal.remedy == Remedy::Settings => refused = refusal.failure,
                Err(refusal) => return Err(refusal.failure),
            }
        }
        Err(refused)
    }

    /// Opens a connection over TCP. What fails for its encryption is tried again with renewed
    /// certificates, and without encryption where that is allowed.
    fn open_address(
        &self,
        options: &postgres::Config,
        wanted: &Wanted,
        address: IpAddr,
        end: Instant,
    ) -> Result<Connection, Refusal> {
        let attempt = |encrypt| self.attempt(options.clone(), wanted, address, end, encrypt);
        let mut opened = attempt(true);
        let unfit = |opened: &Result<_, Refusal>| {
            let remedy = opened.as_ref().err().map(|refusal| refusal.remedy);
            remedy == Some(Remedy::Encryption)
        };
        if unfit(&opened) && self.tls.read_again() {
            opened = attempt(true);
        }
        if unfit(&opened) && self.tls.does_without() {
            opened = attempt(false);
        }
        opened
    }

    fn attempt(
        &self,
        mut options: postgres::Config,
        wanted: &Wanted,
        address: IpAddr,
        end: Instant,
        encrypt: bool,
    ) -> Result<Connection, Refusal> {
        let deadline = self.status.deadline(end);
        let connector = self.tls.connector(Arc::clone(&deadline), encrypt);
        options.hostaddr(address).connect_timeout(remaining(end));
        let opened = start(wanted, || options.connect(connector));
        let (client, settings_hold) = opened.map_err(|refusal| {
            if deadline.has_passed() {
                Failure::new("start-up", "no answer from the server", false).into()
            } else {
                refusal
            }
        })?;
        let session = self.sessions.session(settings_hold);
        let canceller = (!settings_hold).then(|| self.canceller(&client, encrypt));
        let server = self.describe();
        Ok(Connection::new(
            client, server, deadline, true, session, canceller,
        ))
    }

    fn canceller(&self, client: &Client, encrypt: bool) -> Canceller {
        let deadline = Arc::default();
        Canceller {
            token: client.cancel_token(),
            connector: self.tls.connector(Arc::clone(&deadline), encrypt),
            deadline,
        }
    }

    /// The client takes a Unix socket's stream from nobody, so that its reads have no limit but the
    /// server's own. A server that accepts and then says nothing must not hold this thread: the
    /// attempt has one of its own, which is left behind, and no further one is made until it ends.
    fn open_unix(
        &self,
        mut options: postgres::Config,
        wanted: Wanted,
        end: Instant,
    ) -> Result<Connection, Refusal> {
        let hanging = Arc::strong_count(&self.unix_attempt) > 1;
        if hanging {
            let reason = "an earlier attempt still waits for the server";
            return Err(Failure::new("start-up", reason, false).into());
        }
        options.connect_timeout(remaining(end));
        let attempt = Arc::clone(&self.unix_attempt);
        let (sender, receiver) = mpsc::sync_channel(1);
        let connect = move || {
            let opened = start(&wanted, || options.connect(NoTls));
            drop(attempt);
            let _ = sender.send(opened);
        };
        thread::spawn("rsp-unix", connect)
            .map_err(|error| Failure::new("connect", error, false))?;
        let (client, settings_hold) = receiver
            .recv_timeout(remaining(end))
            .map_err(|_| Failure::new("start-up", "no answer from the server", false))??;
        let session = self.sessions.session(settings_hold);
        let deadline = self.status.deadline(end);
        let server = self.describe();
        Ok(Connection::new(
            client, server, deadline, false, session, None,
        ))
    }

    fn options(&self, server: &Server) -> Result<postgres::Config, Failure> {
        let mut options = postgres::Config::new();
        options
            .port(server.port)
            .user(&self.config.username)
            .dbname(&self.config.database)
            .application_name(&self.config.application)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(self.timeouts.statement)
            .channel_binding(match self.config.tls.channel_binding {
                Binding::Disable => ChannelBinding::Disable,
                Binding::Prefer => ChannelBinding::Prefer,
                Binding::Require => ChannelBinding::Require,
            });
        if let Some(password) = self.credentials.password(server)? {
            options.password(password.reveal());
        }
        Ok(options)
    }
}

/// Connects, and looks at the session. Says whether its settings hold.
fn start(
    wanted: &Wanted,
    connect: impl FnOnce() -> Result<Client, postgres::Error>,
) -> Result<(Client, bool), Refusal> {
    let mut client = connect().map_err(|error| {
        let mut refusal = explain(&error);
        if refuses_settings(wanted, &error) {
            refusal.remedy = Remedy::Settings;
        }
        refusal
    })?;
    let settings_hold = inspect(&mut client, wanted)?;
    Ok((client, settings_hold))
}

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
