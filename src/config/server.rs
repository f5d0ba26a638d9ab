//! Where a server is: a host and a port.

use super::value::{Rejected, Value};
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

impl Host {
    pub(super) fn parse(value: &Value) -> Result<Self, Rejected> {
        let accepted = "a host name, an address, or a socket folder (unix:/dir or /dir)";
        let text = value.text().map_err(|_| value.reject(accepted))?;
        if let Some(folder) = text
            .strip_prefix("unix:")
            .or(Some(&*text))
            .filter(|folder| folder.starts_with('/'))
        {
            return Ok(Host::Unix(PathBuf::from(folder)));
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .unwrap_or(&text);
        let plausible = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if text.starts_with("unix:") || bare.is_empty() || !bare.chars().all(plausible) {
            // A whole connection string, pasted here, has the password in it.
            return Err(if text.contains(['@', '=']) || text.contains("://") {
                format!("expected {accepted}, got a connection string")
            } else {
                value.reject(accepted)
            });
        }
        Ok(Host::Tcp(bare.to_owned()))
    }
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// Where it is.
    pub host: Host,
    /// Its port; of a Unix socket, the number in its name.
    pub port: u16,
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
