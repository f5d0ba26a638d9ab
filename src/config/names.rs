//! What a configuration names, read from text: servers and tables.

use std::fmt;
use std::path::PathBuf;

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// Where it is.
    pub host: Host,
    /// Its port; of a Unix socket, the number in its name.
    pub port: u16,
}

/// A server's host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name or an address.
    Tcp(String),
    /// The folder of a Unix socket.
    Unix(PathBuf),
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

/// The name of a table, possibly in a schema, ready for use in SQL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    schema: Option<String>,
    table: String,
}

impl TableName {
    /// PostgreSQL cuts longer names silently (NAMEDATALEN - 1): two tables could become one.
    pub(super) const MAX_BYTES: usize = 63;

    /// Reads `table` or `schema.table`. As in SQL, a part is folded to lower case unless it is in
    /// double quotes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (first, rest) = part(text)?;
        let (schema, (table, rest)) = match rest.strip_prefix('.') {
            Some(second) => (Some(first), part(second)?),
            None => (None, (first, rest)),
        };
        rest.is_empty().then_some(TableName { schema, table })
    }

    /// The table's own name, without its schema and without quotes.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// Its schema, quoted, if it is named with one.
    pub(crate) fn schema(&self) -> Option<String> {
        self.schema.as_deref().map(quoted)
    }

    /// The name of the metadata table that belongs to this table when none is configured; `None` if
    /// it would be too long.
    pub(super) fn with_suffix(&self, suffix: &str) -> Option<Self> {
        let table = format!("{}{suffix}", self.table);
        let schema = self.schema.clone();
        (table.len() <= Self::MAX_BYTES).then_some(TableName { schema, table })
    }
}

/// The quoted form, as it goes into statements.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", quoted(schema))?;
        }
        f.write_str(&quoted(&self.table))
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Takes one part of a name off the front of `text`.
fn part(text: &str) -> Option<(String, &str)> {
    let (name, rest) = match text.strip_prefix('"') {
        Some(text) => {
            // A doubled quote stands for one, and does not end the name.
            let end = text.replace("\"\"", "__").find('"')?;
            (text[..end].replace("\"\"", "\""), &text[end + 1..])
        }
        None => {
            let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
            let (name, rest) = text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len()));
            let first = name.chars().next()?;
            let is_name = first.is_alphabetic() || first == '_';
            (is_name.then(|| name.to_ascii_lowercase())?, rest)
        }
    };
    let fits = (1..=TableName::MAX_BYTES).contains(&name.len()) && !name.contains('\0');
    fits.then_some((name, rest))
}
