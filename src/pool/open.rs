//! Opens a connection to one of the servers within its time, or reports why none could be opened.

use super::cancel::Canceller;
use super::client::{Client, Driver};
use super::connection::Connection;
use super::credentials::Credentials;
use super::endpoint::{Address, Endpoint};
use super::open_error::{OpenError, Remedy};
use super::resolve;
use super::server_session::{ServerSessions, Wanted, inspect};
use super::settings::Settings;
use super::status::Status;
use crate::config::{ConnectionConfig, Host, Server, Timeouts};
use crate::tls::{AlreadyNegotiated, Tls};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};

/// How long a statement waits for a row that another transaction has locked. A batch waits this long
/// at most for each lock; a normal save holds its rows for about the time of one flush to disk.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_millis(20);

/// Opens connections.
pub(super) struct Opener {
    config: ConnectionConfig,
    timeouts: Timeouts,
    tls: Arc<Tls>,
    credentials: Arc<Credentials>,
    sessions: ServerSessions,
    status: Arc<Status>,
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
            tls: Arc::new(tls),
            credentials,
            status: Arc::default(),
        }
    }

    pub(super) fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// The servers, for messages.
    pub(super) fn describe(&self) -> Arc<str> {
        self.config.describe()
    }

    /// Tries one server after the other, and of each, one address after the other.
    pub(super) fn open(&self) -> Result<Connection, OpenError> {
        let end = Instant::now() + self.timeouts.connect;
        let mut servers = self.config.servers.clone();
        self.shuffle(&mut servers);
        try_each(&servers, end, |server, end| {
            let options = self.options(server)?;
            let endpoints = self.endpoints(server, end)?;
            try_each(&endpoints, end, |endpoint, end| {
                self.open_session(endpoint, &options, end)
            })
        })
    }

    /// If the load is to be balanced, each has the same chance to be the first.
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

    /// Where a server may be reached.
    fn endpoints(&self, server: &Server, end: Instant) -> Result<Vec<Endpoint>, OpenError> {
        let (host, addresses) = match &server.host {
            Host::Unix(folder) => {
                let path = folder.join(format!(".s.PGSQL.{}", server.port));
                ("", vec![Address::Unix(path)])
            }
            Host::Tcp(host) => {
                let found = resolve::addresses(host, end)
                    .map_err(|error| OpenError::failed("name look-up", error))?;
                let with_port = |address| Address::Tcp(SocketAddr::new(address, server.port));
                (&**host, found.into_iter().map(with_port).collect())
            }
        };
        let endpoint = |address| Endpoint {
            address,
            host: host.to_owned(),
            tls: Arc::clone(&self.tls),
            encrypt: true,
            user_timeout: self.timeouts.statement,
        };
        let mut endpoints: Vec<_> = addresses.into_iter().map(endpoint).collect();
        self.shuffle(&mut endpoints);
        Ok(endpoints)
    }

    /// Opens a connection whose settings are made when its session starts; if a pooler refuses these,
    /// one without.
    fn open_session(
        &self,
        endpoint: &Endpoint,
        options: &Config,
        end: Instant,
    ) -> Result<Connection, OpenError> {
        let mut refused = OpenError::failed("start-up", "no attempt was made");
        for wanted in self.sessions.tries() {
            let mut options = options.clone();
            self.sessions.prepare(&wanted, &mut options);
            match self.open_endpoint(endpoint, &options, &wanted, end) {
                Err(error) if error.remedy == Remedy::NoSettings => refused = error,
                opened => return opened,
            }
        }
        Err(refused)
    }

    /// Opens a connection. What fails for its encryption is tried again with renewed certificates,
    /// and without encryption if that is allowed.
    fn open_endpoint(
        &self,
        endpoint: &Endpoint,
        options: &Config,
        wanted: &Wanted,
        end: Instant,
    ) -> Result<Connection, OpenError> {
        let attempt = |encrypt| {
            let mut endpoint = endpoint.clone();
            endpoint.encrypt = encrypt;
            self.attempt(endpoint, options, wanted, end)
        };
        let concerns_tls = |opened: &Result<_, OpenError>| {
            let remedy = opened.as_ref().err().map(|error| error.remedy);
            endpoint.is_tcp() && remedy == Some(Remedy::Encryption)
        };
        let mut opened = attempt(true);
        if concerns_tls(&opened) && self.tls.read_again() {
            opened = attempt(true);
        }
        if concerns_tls(&opened) && self.tls.is_optional() {
            opened = attempt(false);
        }
        opened
    }

    fn attempt(
        &self,
        endpoint: Endpoint,
        options: &Config,
        wanted: &Wanted,
        end: Instant,
    ) -> Result<Connection, OpenError> {
        let connect_failed = |error| OpenError::failed("connect", error);
        let mut driver = Driver::new(end, self.status.interrupt()).map_err(connect_failed)?;
        let socket = driver
            .wait(endpoint.dial())
            .ok_or_else(|| OpenError::failed("connect", "connection timed out"))?
            .map_err(connect_failed)?;
        let start = async {
            let negotiated = endpoint.negotiate(socket).await;
            let stream = negotiated.map_err(|error| OpenError::tls(&error))?;
            let started = options.connect_raw(stream, AlreadyNegotiated).await;
            started.map_err(OpenError::from)
        };
        let (client, connection) = driver.wait(start).ok_or_else(OpenError::no_answer)??;
        let mut client = Client::new(driver, client, connection);
        let settings_hold = inspect(&mut client, wanted)?;
        let session = self.sessions.session(settings_hold);
        let canceller = (!settings_hold).then(|| Canceller {
            token: client.cancel_token(),
            endpoint,
        });
        Ok(Connection::new(client, self.describe(), session, canceller))
    }

    fn options(&self, server: &Server) -> Result<Config, OpenError> {
        let mut options = Config::new();
        options
            .user(&self.config.username)
            .dbname(&self.config.database)
            .application_name(&self.config.application)
            // See `AlreadyNegotiated`.
            .ssl_mode(SslMode::Require)
            .ssl_negotiation(SslNegotiation::Direct)
            .channel_binding(match self.config.tls.channel_binding {
                "disable" => ChannelBinding::Disable,
                "require" => ChannelBinding::Require,
                _ => ChannelBinding::Prefer,
            });
        if let Some(password) = self.credentials.password(server)? {
            options.password(password.reveal());
        }
        Ok(options)
    }
}

/// Tries one after the other until one opens. Each gets an equal share of the time that is left, so
/// that one that does not answer leaves time for the others.
fn try_each<T>(
    items: &[T],
    end: Instant,
    open: impl Fn(&T, Instant) -> Result<Connection, OpenError>,
) -> Result<Connection, OpenError> {
    let mut failure = OpenError::refused("connect", "no server is configured");
    for (n, item) in items.iter().enumerate() {
        let now = Instant::now();
        let share = end.saturating_duration_since(now) / (items.len() - n) as u32;
        match open(item, now + share) {
            Ok(connection) => return Ok(connection),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
