//! Opens a connection to one of the servers within its time, or reports why none could be opened.

use super::client::{Driver, Messages};
use super::connection::Connection;
use super::credentials::Credentials;
use super::given_up::GivenUp;
use super::open_error::{OpenError, Remedy};
use super::server_session::{ServerSessions, Start};
use super::status::Status;
use crate::config::{self, ConnectionConfig, Host, Server, Timeouts};
use crate::host::thread;
use crate::tls::Tls;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};

/// Opens connections.
pub(super) struct Opener {
    config: ConnectionConfig,
    timeouts: Timeouts,
    tls: Arc<Tls>,
    sessions: Arc<ServerSessions>,
    /// The servers, for messages.
    pub(super) server: Arc<str>,
    pub(super) credentials: Credentials,
    pub(super) status: Status,
    pub(super) given_up: Arc<GivenUp>,
}

impl Opener {
    pub(super) fn new(config: &config::Config, tls: Tls, credentials: Credentials) -> Self {
        let (connection, timeouts) = (config.connection.clone(), config.timeouts);
        let sessions = ServerSessions::new(connection.session.clone(), timeouts.statement);
        Opener {
            server: connection.describe(),
            config: connection,
            timeouts,
            tls: Arc::new(tls),
            sessions: Arc::new(sessions),
            credentials,
            status: Status::default(),
            given_up: Arc::default(),
        }
    }

    /// Tries one server after the other, and of each, one address after the other.
    pub(super) fn open(&self) -> Result<Connection, OpenError> {
        let end = Instant::now() + self.timeouts.connect;
        let mut servers = self.config.servers.clone();
        self.shuffle(&mut servers);
        try_each(&servers, end, |server, end| {
            let addresses = self.addresses(server, end)?;
            try_each(&addresses, end, |options, end| self.open_at(options, end))
        })
    }

    /// If the load is to be balanced, each has the same chance to be the first.
    fn shuffle<T>(&self, items: &mut [T]) {
        if self.config.session.balance {
            // The keys of each `RandomState` are others.
            items.sort_by_cached_key(|_| RandomState::new().hash_one(()));
        }
    }

    /// The options for a connection to each of a server's addresses.
    fn addresses(&self, server: &Server, end: Instant) -> Result<Vec<Config>, OpenError> {
        let mut options = Config::new();
        options
            .user(&self.config.username)
            .dbname(&self.config.database)
            .application_name(&self.config.application)
            .port(server.port)
            // A silent peer is found dead after 30 s, then three probes 10 s apart.
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(3)
            // How long sent data may stay unacknowledged.
            .tcp_user_timeout(self.timeouts.statement)
            // See `Negotiator`.
            .ssl_mode(SslMode::Require)
            .ssl_negotiation(SslNegotiation::Direct)
            .channel_binding(match self.config.tls.channel_binding {
                "disable" => ChannelBinding::Disable,
                "require" => ChannelBinding::Require,
                _ => ChannelBinding::Prefer,
            });
        if let Some(password) = self.credentials.password(&self.config, server)? {
            let password = password.reveal();
            let reason = "the process was forked while it was replaced";
            let password = password.ok_or_else(|| OpenError::failed("password", reason))?;
            options.password(password.as_str());
        }
        let host = match &server.host {
            Host::Tcp(host) => host,
            Host::Unix(folder) => {
                options.host_path(folder);
                return Ok(vec![options]);
            }
        };
        options.host(host);
        let found = look_up(host, end).map_err(|error| OpenError::failed("name look-up", error));
        let at = |address| options.clone().hostaddr(address).clone();
        let mut addresses: Vec<Config> = found?.into_iter().map(at).collect();
        self.shuffle(&mut addresses);
        Ok(addresses)
    }

    /// Opens a connection to an address. If a pooler refuses the settings of the session's start,
    /// that is tried again without them; what fails for its encryption, with renewed certificates,
    /// and without encryption if that is allowed.
    fn open_at(&self, options: &Config, end: Instant) -> Result<Connection, OpenError> {
        let mut encrypt = socket_path(options).is_none();
        let mut start = self.sessions.start();
        loop {
            let opened = self.open_once(options.clone(), encrypt, start.as_ref(), end);
            match opened.as_ref().map_err(|error| error.remedy) {
                Err(Remedy::NoSettings) if start.is_some() => start = None,
                Err(Remedy::Encryption) if encrypt && self.tls.read_again() => {}
                Err(Remedy::Encryption) if encrypt && self.tls.is_optional() => encrypt = false,
                _ => return opened,
            }
        }
    }

    fn open_once(
        &self,
        mut options: Config,
        encrypt: bool,
        start: Option<&Start>,
        end: Instant,
    ) -> Result<Connection, OpenError> {
        let path = socket_path(&options);
        let mut driver = Driver::new(end, self.status.stop.clone())
            .map_err(|error| OpenError::failed("connect", error))?;
        let left = end.saturating_duration_since(Instant::now());
        // Before the driver's time is up, so that the error names this step.
        options.connect_timeout(left * 19 / 20);
        if let Some(start) = start {
            options.options(&start.options);
        }
        let negotiator = self.tls.negotiator(encrypt, path.is_some(), &driver.allowance);
        let tls = negotiator.clone();
        let opened = driver.wait(async {
            let (client, connection): (_, Box<dyn Messages>) = match &path {
                None => {
                    let (client, connection) = options.connect(tls).await?;
                    (client, Box::new(connection))
                }
                Some(path) => {
                    let socket = UnixStream::connect(path).await;
                    let socket = socket.map_err(|error| OpenError::failed("connect", error))?;
                    let (client, connection) = options.connect_raw(socket, tls).await?;
                    (client, Box::new(connection))
                }
            };
            Ok::<_, OpenError>((client, connection))
        });
        let (client, connection) = opened.ok_or_else(OpenError::no_answer)??;
        driver.connection = Some(connection);
        let inspected = self.sessions.inspect(&mut driver, &client, start)?;
        Ok(Connection {
            settings_hold: inspected.settings_hold,
            backend: inspected.backend,
            given_up: Arc::clone(&self.given_up),
            client,
            driver,
            sessions: Arc::clone(&self.sessions),
            negotiator,
            socket: path,
            server: Arc::clone(&self.server),
            timeout: Duration::ZERO,
            statements: HashMap::new(),
            broken: false,
        })
    }
}

/// The path of the Unix socket that the options are for, if they are for one.
fn socket_path(options: &Config) -> Option<PathBuf> {
    match (options.get_hosts(), options.get_ports()) {
        ([tokio_postgres::config::Host::Unix(folder)], [port]) => {
            Some(folder.join(format!(".s.PGSQL.{port}")))
        }
        _ => None,
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

/// The addresses of `host` in the resolver's order, each once. Looked up for each connection, so
/// that a name that moves is followed. The system's resolver has no deadline, so it runs on a
/// thread of its own, which is left to itself if it does not answer in time.
fn look_up(host: &str, until: Instant) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let name = host.to_owned();
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn("rsp-resolve", move || {
        let found = (name.as_str(), 0).to_socket_addrs();
        let _ = sender.send(found.map(|found| found.map(|at| at.ip()).collect::<Vec<_>>()));
    })?;
    let mut addresses =
        receiver.recv_timeout(until.saturating_duration_since(Instant::now())).map_err(
            |_| io::Error::new(io::ErrorKind::TimedOut, "the resolver did not answer"),
        )??;
    addresses.dedup();
    if addresses.is_empty() {
        let reason = "the name has no address";
        return Err(io::Error::new(io::ErrorKind::NotFound, reason));
    }
    Ok(addresses)
}
