//! The configuration: read key by key, checked once, then immutable.

pub mod keys;
mod limit;
mod server;
mod server_session;
pub mod spelling;
mod table_name;
mod tls;
mod value;

pub use limit::{Beyond, SessionLimit};
pub use server::{Host, Server};
pub use server_session::{
    PreparedStatements, ServerSessionConfig, SynchronousCommit, TargetSession,
};
pub use table_name::TableName;
pub use tls::{Binding, ClientCertificate, TlsConfig, TlsMode, TlsVersion, Verify};
pub use value::Value;

use crate::Error;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tls::TlsDraft;

/// A checked configuration. Equal configurations reach the same pool of connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Config {
    /// How to reach the database: what two configurations must share to share connections.
    pub connection: ConnectionConfig,
    /// The size and the name of the pool.
    pub pool: PoolConfig,
    /// The sessions table.
    pub sessions: TableName,
    /// The metadata table.
    pub metadata: TableName,
    /// The limits of an operation.
    pub timeouts: Timeouts,
    /// How often sessions that are over are cleaned up in the background; `None` for never.
    pub cleanup_interval: Option<Duration>,
    /// How many sessions a subject may have.
    pub limit: Option<SessionLimit>,
}

/// How to reach the database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConnectionConfig {
    /// The servers, in the order in which they are tried.
    pub servers: Vec<Server>,
    /// `application_name`.
    pub application: String,
    /// The database user.
    pub username: String,
    /// The user's password.
    pub password: Option<Secret>,
    /// The file with passwords, for where none is given.
    pub passfile: Option<PathBuf>,
    /// Whether a password may go in clear text over a connection that is not encrypted.
    pub allow_cleartext: bool,
    /// The database.
    pub database: String,
    /// How connections are encrypted, and whom they trust.
    pub tls: TlsConfig,
    /// What is asked of a session of the server's.
    pub session: ServerSessionConfig,
}

/// The pool's limits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolConfig {
    /// A name that lets different configurations share one pool.
    pub name: Option<String>,
    /// Connections at most.
    pub size: usize,
    /// Waiting operations at most.
    pub backlog: usize,
    /// How long a connection may idle; `None` is for ever.
    pub keepalive: Option<Duration>,
}

/// The limits of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// From the call until a usable connection is held.
    pub connect: Duration,
    /// From then until the answer is there: the sum of the send and the read timeout.
    pub statement: Duration,
}

impl Timeouts {
    /// The same, each no longer than `most`.
    pub(crate) fn at_most(&self, most: Duration) -> Self {
        Timeouts {
            connect: self.connect.min(most),
            statement: self.statement.min(most),
        }
    }

    /// The longest that a caller may have to wait.
    pub fn total(&self) -> Duration {
        self.connect + self.statement
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Secret(text)
    }

    /// The text, for the server alone.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl ConnectionConfig {
    /// The servers for messages: "host:port, host:port".
    pub fn describe(&self) -> Arc<str> {
        let servers: Vec<String> = self.servers.iter().map(Server::to_string).collect();
        servers.join(", ").into()
    }
}

impl Config {
    /// What tells these tables from others: the same in every process that uses them alike.
    pub(crate) fn identity(&self) -> String {
        let mut hasher = DefaultHasher::new();
        let servers = self.connection.describe();
        (servers, &self.connection.database, &self.sessions).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

impl Default for Config {
    fn default() -> Self {
        Draft::default().build().expect("the defaults are valid")
    }
}

/// A configuration in the making. Each key may be set once or again; `build` checks what concerns
/// several keys.
///
/// ```
/// use resty_session_postgres::config::{Draft, Value};
///
/// let mut draft = Draft::default();
/// draft.set("host", &Value::Text("db.example".into()))?;
/// draft.set("pool_size", &Value::Number(2.0))?;
/// let config = draft.build()?;
/// assert_eq!(config.pool.size, 2);
/// # Ok::<(), resty_session_postgres::Error>(())
/// ```
#[derive(Clone)]
pub struct Draft {
    hosts: Vec<Host>,
    ports: Vec<u16>,
    application: String,
    username: String,
    password: Option<String>,
    database: Option<String>,
    sessions: TableName,
    metadata: Option<TableName>,
    connect_timeout: Duration,
    send_timeout: Duration,
    read_timeout: Duration,
    keepalive_timeout: Option<Duration>,
    max_sessions: u32,
    beyond: Beyond,
    cleanup_interval: Option<Duration>,
    pool: Option<String>,
    pool_size: usize,
    backlog: usize,
    passfile: Option<PathBuf>,
    allow_cleartext: bool,
    tls: TlsDraft,
    session: ServerSessionConfig,
}

impl Default for Draft {
    fn default() -> Self {
        Draft {
            hosts: vec![Host::Tcp("127.0.0.1".into())],
            ports: vec![5432],
            application: "pgmoon".into(),
            username: "postgres".into(),
            password: None,
            database: None,
            sessions: TableName::parse("sessions").expect("a valid name"),
            metadata: None,
            connect_timeout: Duration::from_secs(5),
            send_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(5),
            keepalive_timeout: Some(Duration::from_secs(60)),
            max_sessions: 0,
            beyond: Beyond::default(),
            cleanup_interval: Some(Duration::from_secs(60)),
            pool: None,
            pool_size: 4,
            backlog: 1024,
            passfile: None,
            allow_cleartext: false,
            tls: TlsDraft::default(),
            session: ServerSessionConfig::default(),
        }
    }
}

impl Draft {
    /// Sets a key of [`keys::KEYS`].
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for an unknown key or a value that the key does not accept.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<(), Error> {
        let key = keys::find(name).ok_or_else(|| {
            let nearest = spelling::nearest(name);
            Error::config(
                name,
                format!("unknown key; the nearest known one is {nearest}"),
            )
        })?;
        (key.apply)(self, value).map_err(|reason| Error::config(name, reason))
    }

    /// The configuration.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where keys contradict each other.
    pub fn build(self) -> Result<Config, Error> {
        let servers = pair(self.hosts, &self.ports)?;
        let metadata = match self.metadata {
            Some(name) => name,
            None => self
                .sessions
                .with_suffix("_meta")
                .map_err(|reason| Error::config("table_name", reason))?,
        };
        if metadata == self.sessions {
            let reason = format!("the same table as table_name, {metadata}");
            return Err(Error::config("table_name_meta", reason));
        }
        Ok(Config {
            connection: ConnectionConfig {
                servers,
                application: self.application,
                database: self.database.unwrap_or_else(|| self.username.clone()),
                username: self.username,
                password: self.password.map(Secret),
                passfile: self.passfile,
                allow_cleartext: self.allow_cleartext,
                tls: self.tls.build()?,
                session: self.session,
            },
            pool: PoolConfig {
                name: self.pool,
                size: self.pool_size,
                backlog: self.backlog,
                keepalive: self.keepalive_timeout,
            },
            sessions: self.sessions,
            metadata,
            cleanup_interval: self.cleanup_interval,
            limit: (self.max_sessions > 0).then_some(SessionLimit {
                sessions: self.max_sessions,
                beyond: self.beyond,
            }),
            timeouts: Timeouts {
                connect: self.connect_timeout,
                statement: self.send_timeout + self.read_timeout,
            },
        })
    }
}

/// Gives each host its port.
fn pair(hosts: Vec<Host>, ports: &[u16]) -> Result<Vec<Server>, Error> {
    if ports.len() != 1 && ports.len() != hosts.len() {
        let reason = format!(
            "expected one port, or one for each of the {} hosts, got {}",
            hosts.len(),
            ports.len()
        );
        return Err(Error::config("port", reason));
    }
    let ports = ports.iter().cycle();
    let servers = hosts.into_iter().zip(ports);
    Ok(servers.map(|(host, &port)| Server { host, port }).collect())
}

#[cfg(test)]
mod tests;
