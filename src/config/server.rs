//! Servers: where they are, and how sessions with them are used.

use std::fmt;
use std::path::PathBuf;

/// A server's host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name or an address.
    Tcp(String),
    /// The folder of a Unix socket.
    Unix(PathBuf),
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// Where it is.
    pub host: Host,
    /// Its port; of a Unix socket, the number in its name.
    pub port: u16,
}

/// How sessions with the server are used.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerSessionConfig {
    /// Which of several servers to use.
    pub target: TargetSession,
    /// Whether to try the servers, and the addresses of each, in a random order.
    pub balance: bool,
    /// Whether to prepare statements.
    pub prepared: PreparedStatements,
    /// PostgreSQL's `synchronous_commit`; `None` keeps the server's setting.
    pub synchronous_commit: Option<&'static str>,
}

/// Which of several servers to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetSession {
    /// Any server that accepts the connection.
    Any,
    /// A server that accepts writes.
    ReadWrite,
    /// A server that accepts none, such as a standby.
    ReadOnly,
}

/// Whether to prepare statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PreparedStatements {
    /// Unless a pooler is detected between here and the server.
    Auto,
    /// Always.
    Always,
    /// Never. Nothing else is left in a server session either.
    Never,
}

impl Host {
    /// Reads a name, an address (of IPv6 also in brackets), `unix:/dir` or `/dir`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let folder = text.strip_prefix("unix:").unwrap_or(text);
        if folder.starts_with('/') {
            return Some(Host::Unix(PathBuf::from(folder)));
        }
        let in_brackets = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        let name = in_brackets.unwrap_or(text);
        let plausible = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        let is_host = !name.is_empty() && folder == text && name.chars().all(plausible);
        is_host.then(|| Host::Tcp(name.to_owned()))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Tcp(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Host::Tcp(host) => write!(f, "{host}:{}", self.port),
            Host::Unix(folder) => write!(f, "{}/.s.PGSQL.{}", folder.display(), self.port),
        }
    }
}
