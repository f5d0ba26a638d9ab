//! A configuration value as a caller gives it, and what each kind of key accepts.

use super::names::{Host, TableName};
use std::ops::RangeInclusive;

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
        }
    }

    /// What values the kind accepts.
    pub fn accepted(&self) -> String {
        match self {
            Kind::Flag => "a boolean".into(),
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
