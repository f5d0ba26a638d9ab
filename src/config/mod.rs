//! The configuration: set key by key, checked, then immutable.

mod draft;
mod keys;
mod libpq;
mod server;
mod table_name;
mod tls;
mod value;

pub use draft::Draft;
pub use keys::{DefaultValue, KEYS, Key};
pub use server::{Host, PreparedStatements, Server, ServerSessionConfig, TargetSession};
pub use table_name::TableName;
pub use tls::{Binding, ClientCertificate, TlsConfig, TlsMode, TlsVersion, Verify};
pub use value::{Kind, Value};

use crate::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use value::Setting;

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
    /// The time between two clean-ups of expired sessions in the background; `None` is never.
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
    /// The file with passwords, used if `password` is `None`.
    pub passfile: Option<PathBuf>,
    /// Whether a password may be sent in clear text over a connection without TLS.
    pub allow_cleartext: bool,
    /// The database.
    pub database: String,
    /// How connections are encrypted, and which certificates are trusted.
    pub tls: TlsConfig,
    /// How sessions with the server are used.
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
    /// How long a connection may be idle; `None` is no limit.
    pub keepalive: Option<Duration>,
}

/// The limits of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// From the call until a usable connection is held.
    pub connect: Duration,
    /// From then until the answer arrives: the sum of the send and the read timeout.
    pub statement: Duration,
}

/// A limit of a subject's sessions in an audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionLimit {
    /// Live sessions at most.
    pub sessions: u32,
    /// What happens to one more.
    pub beyond: Beyond,
}

/// What happens to a session beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Beyond {
    /// It is saved, and the sessions that would expire first are ended.
    EndOldest,
    /// It is not saved.
    Refuse,
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

    /// The text, to be sent to the server only.
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

impl Default for Config {
    fn default() -> Self {
        Draft::default().build().expect("the defaults are valid")
    }
}

impl Draft {
    /// The configuration.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if keys contradict each other.
    pub fn build(self) -> Result<Config, Error> {
        let (sessions, metadata) = tables(&self)?;
        let max_sessions = self.number("max_sessions_per_subject");
        Ok(Config {
            connection: connection(&self)?,
            pool: PoolConfig {
                name: self.text("pool").map(str::to_owned),
                size: self.number("pool_size") as usize,
                backlog: self.number("backlog") as usize,
                keepalive: self.time_unless_zero("keepalive_timeout"),
            },
            sessions,
            metadata,
            timeouts: Timeouts {
                connect: self.time("connect_timeout"),
                statement: self.time("send_timeout") + self.time("read_timeout"),
            },
            cleanup_interval: self.time_unless_zero("cleanup_interval"),
            limit: (max_sessions > 0).then_some(SessionLimit {
                sessions: max_sessions,
                beyond: match self.word("max_sessions_beyond") {
                    Some("refuse") => Beyond::Refuse,
                    _ => Beyond::EndOldest,
                },
            }),
        })
    }
}

fn connection(draft: &Draft) -> Result<ConnectionConfig, Error> {
    let text = |key| draft.text(key).map(str::to_owned);
    let username = text("username").unwrap_or_default();
    Ok(ConnectionConfig {
        servers: servers(draft.hosts(), draft.ports())?,
        application: text("application").unwrap_or_default(),
        database: text("database").unwrap_or_else(|| username.clone()),
        username,
        password: draft.secret("password"),
        passfile: draft.text("passfile").map(PathBuf::from),
        allow_cleartext: draft.flag("allow_cleartext") == Some(true),
        tls: TlsConfig::of(draft)?,
        session: ServerSessionConfig {
            target: match draft.word("target_session_attrs") {
                Some("read-write") => TargetSession::ReadWrite,
                Some("read-only") => TargetSession::ReadOnly,
                _ => TargetSession::Any,
            },
            balance: draft.word("load_balance_hosts") == Some("random"),
            prepared: match draft.word("prepared_statements") {
                Some("true") => PreparedStatements::Always,
                Some("false") => PreparedStatements::Never,
                _ => PreparedStatements::Auto,
            },
            synchronous_commit: draft.word("synchronous_commit"),
        },
    })
}

/// Gives each host its port.
fn servers(hosts: &[Host], ports: &[u16]) -> Result<Vec<Server>, Error> {
    let (given, expected) = (ports.len(), hosts.len());
    if given != 1 && given != expected {
        let reason =
            format!("expected one port, or one for each of the {expected} hosts, got {given}");
        return Err(Error::config("port", reason));
    }
    let pairs = hosts.iter().cloned().zip(ports.iter().cycle());
    Ok(pairs.map(|(host, &port)| Server { host, port }).collect())
}

/// The sessions table and the metadata table.
fn tables(draft: &Draft) -> Result<(TableName, TableName), Error> {
    let sessions = draft.table("table_name").expect("it has a default");
    let metadata = match draft.table("table_name_meta") {
        Some(name) => name,
        None => sessions.with_suffix("_meta").ok_or_else(|| {
            let reason = format!(
                "with _meta at its end it would be longer than {} bytes: set table_name_meta",
                TableName::MAX_BYTES
            );
            Error::config("table_name", reason)
        })?,
    };
    if metadata == sessions {
        let reason = format!("the same table as table_name, {metadata}");
        return Err(Error::config("table_name_meta", reason));
    }
    Ok((sessions, metadata))
}

#[cfg(test)]
mod tests;
