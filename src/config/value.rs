//! A configuration value as a caller gives it, what each kind of key accepts, and what values name: servers
//! and tables.

use super::auth::AuthMethods;
use secrecy::zeroize::Zeroize;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// A value for a configuration key.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// A boolean.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// A value that no key accepts, by the name of its type.
    Other(&'static str),
}

/// The type of a key's value. It checks values, and describes itself in errors and documentation.
pub enum Kind {
    /// A boolean.
    Flag,
    /// A whole number in a range, with its unit. A numeric string counts as its number.
    Number(&'static str, RangeInclusive<u32>),
    /// One of a few words. A boolean counts as its name.
    Word(&'static [&'static str]),
    /// A string that PostgreSQL's startup packet can carry.
    Text,
    /// A string that no message may show.
    Secret,
    /// The path of a file. It is absolute, because nginx's master and workers may run in different
    /// folders.
    Path,
    /// The path of a file, or a word.
    PathOr(&'static str),
    /// Host names, addresses or socket folders.
    Hosts,
    /// Port numbers.
    Ports,
    /// The name of a table.
    Table,
    /// Methods of authentication.
    AuthMethods,
}

/// It may be a password.
impl Drop for Value {
    fn drop(&mut self) {
        if let Value::Text(text) = self {
            text.zeroize();
        }
    }
}

/// What a value means. The configuration is read with the functions that its values are checked with.
impl Value {
    /// A whole number.
    pub(super) fn number(&self) -> Option<u32> {
        let number: f64 = match self {
            Value::Number(number) => *number,
            Value::Text(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        let whole = number as u32;
        (f64::from(whole) == number).then_some(whole)
    }

    /// A string without NUL bytes.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) if !text.contains('\0') => Some(text),
            _ => None,
        }
    }

    /// A string, or the name of a boolean.
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Value::Flag(true) => Some("true"),
            Value::Flag(false) => Some("false"),
            _ => self.text(),
        }
    }

    pub(super) fn hosts(&self) -> Option<Vec<Host>> {
        self.each(|item| Host::parse(item.text()?))
    }

    pub(super) fn ports(&self) -> Option<Vec<u16>> {
        let port = |item: &Value| u16::try_from(item.number()?).ok();
        self.each(|item| port(item).filter(|port| *port > 0))
    }

    /// Reads each item of an array or of a comma-separated string, or the value itself. `None` if
    /// there is no item, or one that cannot be read.
    fn each<T>(&self, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
        let items: Option<Vec<T>> = match self {
            Value::List(values) => values.iter().map(read).collect(),
            Value::Text(text) => {
                let items = text.split(',').map(|item| Value::Text(item.trim().into()));
                items.map(|item| read(&item)).collect()
            }
            other => read(other).map(|item| vec![item]),
        };
        items.filter(|items| !items.is_empty())
    }
}

impl Kind {
    pub(super) fn accepts(&self, value: &Value) -> bool {
        let text = value.text().unwrap_or_default();
        match self {
            Kind::Flag => matches!(value, Value::Flag(_)),
            Kind::Number(_, range) => value.number().is_some_and(|number| range.contains(&number)),
            Kind::Word(words) => value.word().is_some_and(|word| words.contains(&word)),
            Kind::Text => !text.is_empty(),
            Kind::Secret => value.text().is_some(),
            Kind::Path => text.starts_with('/'),
            Kind::PathOr(word) => text == *word || text.starts_with('/'),
            Kind::Hosts => value.hosts().is_some(),
            Kind::Ports => value.ports().is_some(),
            Kind::Table => TableName::parse(text).is_some(),
            Kind::AuthMethods => !text.is_empty() && AuthMethods::parse(text).is_some(),
        }
    }

    /// What values the kind accepts.
    pub fn accepted(&self) -> String {
        match self {
            Kind::Flag => "a boolean (true or false)".into(),
            Kind::Number(unit, range) => {
                let (least, most) = (range.start(), range.end());
                format!("a whole number of {unit} from {least} to {most}")
            }
            Kind::Word(words) => format!("one of {}", words.join(", ")),
            Kind::Text => "a non-empty string without NUL bytes".into(),
            Kind::Secret => "a string without NUL bytes".into(),
            Kind::Path => "the absolute path of a file".into(),
            Kind::PathOr(word) => format!("the absolute path of a file, or {word:?}"),
            Kind::Hosts => "a host name, an address, or a socket folder (unix:/dir or /dir), or \
                            several as an array or comma-separated"
                .into(),
            Kind::Ports => "a whole number from 1 to 65535, or several as an array or \
                            comma-separated"
                .into(),
            Kind::Table => "a table name or schema.table, each of letters, digits, _ and $ or in \
                            double quotes, at most 63 bytes"
                .into(),
            Kind::AuthMethods => "several of none, password, md5, scram-sha-256, gss, sspi, \
                                  comma-separated, or with ! before each"
                .into(),
        }
    }

    /// Names a value that was not accepted. It shows no password.
    pub(super) fn describe(&self, value: &Value) -> String {
        // A connection string that was given as the host has the password in it.
        let is_dsn = |text: &str| text.contains(['@', '=']) || text.contains("://");
        match (self, value) {
            (Kind::Secret, Value::Text(_)) => "another string".into(),
            (Kind::Secret, Value::Number(_)) => "a number".into(),
            (Kind::Hosts, Value::Text(text)) if is_dsn(text) => "a connection string".into(),
            (_, Value::Flag(value)) => format!("the boolean {value}"),
            (_, Value::Number(value)) => format!("the number {value}"),
            (_, Value::Text(value)) => format!("the string {value:?}"),
            (_, Value::List(values)) => format!("a list of {}", values.len()),
            (_, Value::Other(kind)) => format!("a {kind}"),
        }
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
