//! The configuration: set key by key, checked, then immutable.

mod auth;
mod keys;
mod libpq;
mod secret;
mod tls;
mod value;

pub(crate) use auth::{AuthConfig, AuthMethod, AuthMethods};
pub use keys::{KEYS, Key};
pub(crate) use secret::Secret;
pub(crate) use tls::{TlsConfig, TlsMode, Verify};
pub(crate) use value::TableName;
pub use value::{Host, Kind, Server, Value};

use crate::Error;
use crate::host::fork::ForkLocal;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A checked configuration. Equal configurations reach the same pool of connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Config {
    /// How to reach the database: what two configurations must share to share connections.
    pub connection: ConnectionConfig,
    /// The size and the name of the pool.
    pub pool: PoolConfig,
    pub(crate) sessions: TableName,
    pub(crate) metadata: TableName,
    pub(crate) timeouts: Timeouts,
    /// The time between two clean-ups in the background, if there are any.
    pub(crate) cleanup_interval: Option<Duration>,
    pub(crate) limit: Option<SessionLimit>,
    /// For how long an ended session is remembered as ended; not at all if zero.
    pub(crate) ended_ttl: Duration,
}

/// How to reach the database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConnectionConfig {
    /// The servers, in the order in which they are tried.
    pub servers: Vec<Server>,
    /// The database user.
    pub username: String,
    /// How sessions with the server are used.
    pub session: ServerSessionConfig,
    pub(crate) application: String,
    pub(crate) password: Option<Secret>,
    pub(crate) passfile: Option<PathBuf>,
    pub(crate) auth: AuthConfig,
    pub(crate) database: String,
    pub(crate) tls: TlsConfig,
}

/// How sessions with the server are used.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerSessionConfig {
    /// Whether to prepare statements, a word of `prepared_statements`. With `false`, nothing else is left
    /// in a server session either.
    pub prepared: &'static str,
    /// Which of several servers to use, a word of `target_session_attrs`.
    pub(crate) target: &'static str,
    /// Whether to try the servers, and the addresses of each, in a random order.
    pub(crate) balance: bool,
    /// `None` keeps the server's setting.
    pub(crate) synchronous_commit: Option<&'static str>,
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
    /// How long a connection may idle, if there is a limit.
    pub keepalive: Option<Duration>,
}

/// The limits of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Timeouts {
    /// From the call until a usable connection is held.
    pub(crate) connect: Duration,
    /// From then until the answer is there: the sum of the send and the read timeout.
    pub(crate) statement: Duration,
}

impl Timeouts {
    /// The same, each no longer than `most`.
    pub(crate) fn at_most(&self, most: Duration) -> Self {
        Timeouts { connect: self.connect.min(most), statement: self.statement.min(most) }
    }

    /// The longest that a caller may have to wait.
    pub(crate) fn total(&self) -> Duration {
        self.connect + self.statement
    }
}

/// A limit of a subject's live sessions in an audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionLimit {
    pub(crate) sessions: u32,
    /// Whether one more is refused. If not, it is saved, and those that would expire first are ended.
    pub(crate) refuses: bool,
}

impl ConnectionConfig {
    /// The servers for messages: "host:port, host:port".
    pub(crate) fn describe(&self) -> Arc<str> {
        let servers: Vec<String> = self.servers.iter().map(Server::to_string).collect();
        servers.join(", ").into()
    }
}

impl Default for Config {
    fn default() -> Self {
        Draft::default().build().expect("the defaults are valid")
    }
}

/// A configuration in the making. A key may be set again: the last value holds. `build` checks what
/// concerns several keys.
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
#[derive(Clone, Default)]
pub struct Draft {
    values: Values,
}

/// Accepted values, by the names of their keys.
type Values = BTreeMap<&'static str, Value>;

/// Made once, because some sites make a configuration for each request.
fn defaults() -> &'static Values {
    static DEFAULTS: ForkLocal<Values> = ForkLocal::new();
    let default = |key: &Key| Some((key.name, Value::Text(key.default.ok()?.into())));
    DEFAULTS.get_or_init(|| KEYS.iter().filter_map(default).collect())
}

impl Draft {
    /// Sets a key of [`KEYS`].
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for an unknown key or a value that the key does not accept. The draft is
    /// then unchanged.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<(), Error> {
        let key = Key::find(name).ok_or_else(|| {
            let reason = format!("unknown key{}", Key::suggestion(name));
            Error::config(name, reason)
        })?;
        if !key.kind.accepts(value) {
            let (accepted, got) = (key.kind.accepted(), key.kind.describe(value));
            let reason = format!("expected {accepted}, got {got}");
            return Err(Error::config(name, reason));
        }
        self.values.insert(key.name, value.clone());
        Ok(())
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key).or_else(|| defaults().get(key))
    }

    /// The number of a key that has a default.
    fn number(&self, key: &str) -> u32 {
        let number = self.value(key).and_then(Value::number);
        number.unwrap_or_default()
    }

    /// The text of a key, or the name of its boolean.
    fn text(&self, key: &str) -> Option<&str> {
        self.value(key)?.word()
    }

    /// The same of a key of words, as the table of keys has it.
    fn word(&self, key: &str) -> Option<&'static str> {
        let (given, key) = (self.text(key)?, Key::find(key)?);
        match key.kind {
            Kind::Word(words) => words.iter().copied().find(|word| *word == given),
            _ => None,
        }
    }

    /// The configuration.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if keys contradict each other.
    pub fn build(self) -> Result<Config, Error> {
        let (sessions, metadata) = self.tables()?;
        let time = |key| Duration::from_millis(self.number(key).into());
        let unless_zero = |key| Some(time(key)).filter(|time| !time.is_zero());
        let max_sessions = self.number("max_sessions_per_subject");
        Ok(Config {
            connection: self.connection()?,
            pool: PoolConfig {
                name: self.text("pool").map(str::to_owned),
                size: self.number("pool_size") as usize,
                backlog: self.number("backlog") as usize,
                keepalive: unless_zero("keepalive_timeout"),
            },
            sessions,
            metadata,
            timeouts: Timeouts {
                connect: time("connect_timeout"),
                statement: time("send_timeout") + time("read_timeout"),
            },
            cleanup_interval: unless_zero("cleanup_interval"),
            limit: (max_sessions > 0).then_some(SessionLimit {
                sessions: max_sessions,
                refuses: self.text("max_sessions_beyond") == Some("refuse"),
            }),
            ended_ttl: time("ended_ttl"),
        })
    }

    fn connection(&self) -> Result<ConnectionConfig, Error> {
        let text = |key| self.text(key).map(str::to_owned);
        let username = text("username").unwrap_or_default();
        Ok(ConnectionConfig {
            servers: self.servers()?,
            application: text("application").unwrap_or_default(),
            database: text("database").unwrap_or_else(|| username.clone()),
            username,
            password: self.text("password").map(Secret::new),
            passfile: text("passfile").map(PathBuf::from),
            auth: AuthConfig {
                allow_cleartext: self.text("allow_cleartext") == Some("true"),
                methods: self
                    .text("require_auth")
                    .and_then(AuthMethods::parse)
                    .unwrap_or(AuthMethods::ANY),
            },
            tls: TlsConfig::of(self)?,
            session: ServerSessionConfig {
                prepared: self.word("prepared_statements").unwrap_or("auto"),
                target: self.word("target_session_attrs").unwrap_or("any"),
                balance: self.text("load_balance_hosts") == Some("random"),
                synchronous_commit: self.word("synchronous_commit"),
            },
        })
    }

    fn servers(&self) -> Result<Vec<Server>, Error> {
        let hosts = self.value("host").and_then(Value::hosts);
        let ports = self.value("port").and_then(Value::ports);
        let (hosts, ports) = (hosts.unwrap_or_default(), ports.unwrap_or_default());
        let (expected, given) = (hosts.len(), ports.len());
        if given != 1 && given != expected {
            let hosts = format!("one for each of the {expected} hosts");
            let reason = format!("expected one port, or {hosts}, got {given}");
            return Err(Error::config("port", reason));
        }
        let pairs = hosts.into_iter().zip(ports.into_iter().cycle());
        Ok(pairs.map(|(host, port)| Server { host, port }).collect())
    }

    fn tables(&self) -> Result<(TableName, TableName), Error> {
        let table = |key| self.text(key).and_then(TableName::parse);
        let sessions = table("table_name").expect("it has a default");
        let metadata = table("table_name_meta").or_else(|| sessions.with_suffix("_meta"));
        let metadata = metadata.ok_or_else(|| {
            let reason = "with _meta at its end it is longer than 63 bytes: set table_name_meta";
            Error::config("table_name", reason)
        })?;
        if metadata == sessions {
            let reason = format!("the same table as table_name, {metadata}");
            return Err(Error::config("table_name_meta", reason));
        }
        Ok((sessions, metadata))
    }
}

#[cfg(test)]
mod tests;
