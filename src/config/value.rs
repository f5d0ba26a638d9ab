//! A configuration value as a caller gives it, and what each kind of key accepts.

use super::{Host, TableName};
use std::ops::RangeInclusive;

/// A value for a configuration key, before it is checked.
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

/// A checked value.
#[derive(Clone)]
pub(super) enum Setting {
    Flag(bool),
    Number(u32),
    Word(&'static str),
    Text(String),
    Hosts(Vec<Host>),
    Ports(Vec<u16>),
    Table(TableName),
}

impl Value {
    /// Names the value for an error message.
    fn describe(&self) -> String {
        match self {
            Value::Flag(value) => format!("the boolean {value}"),
            Value::Number(value) => format!("the number {value}"),
            Value::Text(value) => format!("the string {value:?}"),
            Value::List(values) => format!("a list of {}", values.len()),
            Value::Other(kind) => format!("a {kind}"),
        }
    }

    /// A string without NUL bytes.
    fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) if !text.contains('\0') => Some(text),
            _ => None,
        }
    }

    fn number(&self, range: &RangeInclusive<u32>) -> Option<u32> {
        let number: f64 = match self {
            Value::Number(number) => *number,
            Value::Text(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        let whole = number as u32;
        (f64::from(whole) == number && range.contains(&whole)).then_some(whole)
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
            other => Some(vec![read(other)?]),
        };
        items.filter(|items| !items.is_empty())
    }
}

const PORTS: RangeInclusive<u32> = 1..=65_535;

impl Kind {
    pub(super) fn check(&self, value: &Value) -> Option<Setting> {
        let text = || value.text().filter(|text| !text.is_empty());
        let path = || text().filter(|text| text.starts_with('/'));
        match self {
            Kind::Flag => match value {
                Value::Flag(flag) => Some(Setting::Flag(*flag)),
                _ => None,
            },
            Kind::Number(_, range) => value.number(range).map(Setting::Number),
            Kind::Word(words) => {
                let given = match value {
                    Value::Flag(true) => "true",
                    Value::Flag(false) => "false",
                    _ => text()?,
                };
                let word = words.iter().find(|word| **word == given)?;
                Some(Setting::Word(word))
            }
            Kind::Text => text().map(|text| Setting::Text(text.into())),
            Kind::Secret => value.text().map(|text| Setting::Text(text.into())),
            Kind::Path => path().map(|path| Setting::Text(path.into())),
            Kind::PathOr(word) if text() == Some(word) => Some(Setting::Word(word)),
            Kind::PathOr(_) => Kind::Path.check(value),
            Kind::Hosts => value
                .each(|item| Host::parse(item.text()?))
                .map(Setting::Hosts),
            Kind::Ports => value
                .each(|item| item.number(&PORTS).map(|port| port as u16))
                .map(Setting::Ports),
            Kind::Table => TableName::parse(value.text()?).map(Setting::Table),
        }
    }

    /// What values the kind accepts.
    pub fn accepted(&self) -> String {
        let number = |unit: &str, range: &RangeInclusive<u32>| {
            let (least, most) = (range.start(), range.end());
            format!("a whole number {unit}from {least} to {most}")
        };
        match self {
            Kind::Flag => "a boolean".into(),
            Kind::Number(unit, range) => number(&format!("of {unit} "), range),
            Kind::Word(words) => format!("one of {}", words.join(", ")),
            Kind::Text => "a non-empty string without NUL bytes".into(),
            Kind::Secret => "a string without NUL bytes".into(),
            Kind::Path => "the absolute path of a file".into(),
            Kind::PathOr(word) => format!("the absolute path of a file, or {word:?}"),
            Kind::Hosts => "a host name, an address, or a socket folder (unix:/dir or /dir), or \
                            several as an array or comma-separated"
                .into(),
            Kind::Ports => number("", &PORTS) + ", or several as an array or comma-separated",
            Kind::Table => format!(
                "a table name or schema.table, each of letters, digits, _ and $ or in double \
                 quotes, at most {} bytes",
                TableName::MAX_BYTES
            ),
        }
    }

    /// Names a value that was not accepted. It shows no password.
    pub(super) fn describe(&self, value: &Value) -> String {
        match (self, value) {
            (Kind::Secret, Value::Text(_)) => "another string".into(),
            (Kind::Secret, Value::Number(_)) => "a number".into(),
            // A connection string that was given as the host has the password in it.
            (Kind::Hosts, Value::Text(text))
                if text.contains(['@', '=']) || text.contains("://") =>
            {
                "a connection string".into()
            }
            _ => value.describe(),
        }
    }
}
