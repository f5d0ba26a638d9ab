//! A configuration value as a caller gives it, and what each kind of key accepts.

use std::path::PathBuf;
use std::time::Duration;

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
    /// Something that no key accepts, by the name of its type.
    Other(&'static str),
}

/// Why a value was not taken: what is accepted, and what was given.
pub(super) type Rejected = String;

impl Value {
    /// Names the value for an error message.
    pub(super) fn describe(&self) -> String {
        match self {
            Value::Flag(value) => format!("the boolean {value}"),
            Value::Number(value) => format!("the number {value}"),
            Value::Text(value) => format!("the string {value:?}"),
            Value::List(values) => format!("a list of {}", values.len()),
            Value::Other(kind) => format!("a {kind}"),
        }
    }

    /// Says what was accepted instead of this value.
    pub(super) fn reject(&self, accepted: &str) -> Rejected {
        format!("expected {accepted}, got {}", self.describe())
    }

    /// The same, for a value that must not be shown.
    fn reject_secret(&self, accepted: &str) -> Rejected {
        let got = match self {
            Value::Text(_) => "another string".to_owned(),
            Value::Number(_) => "a number".to_owned(),
            Value::Flag(_) => "a boolean".to_owned(),
            other => other.describe(),
        };
        format!("expected {accepted}, got {got}")
    }

    pub(super) fn flag(&self) -> Result<bool, Rejected> {
        match self {
            Value::Flag(value) => Ok(*value),
            _ => Err(self.reject("a boolean")),
        }
    }

    /// One of a few words; a boolean counts as its name.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, Rejected> {
        let given = match self {
            Value::Text(text) => text.as_str(),
            Value::Flag(true) => "true",
            Value::Flag(false) => "false",
            _ => "",
        };
        let found = words.iter().find(|(word, _)| *word == given);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.reject(&format!("one of {}", words.join(", ")))
        })
    }

    /// A string that PostgreSQL's start-up packet can carry.
    pub(super) fn text(&self) -> Result<String, Rejected> {
        match self {
            Value::Text(text) if !text.is_empty() && !text.contains('\0') => Ok(text.clone()),
            _ => Err(self.reject("a non-empty string without NUL bytes")),
        }
    }

    pub(super) fn secret(&self) -> Result<String, Rejected> {
        match self {
            Value::Text(text) if !text.contains('\0') => Ok(text.clone()),
            _ => Err(self.reject_secret("a string without NUL bytes")),
        }
    }

    /// A file's path. Workers run in another folder than the master started in, so it must not depend
    /// on that.
    pub(super) fn path(&self) -> Result<PathBuf, Rejected> {
        let path = self.text().ok().filter(|text| text.starts_with('/'));
        path.map(PathBuf::from)
            .ok_or_else(|| self.reject("the path of a file, from the root (/…)"))
    }

    /// A whole number from `least` to `most`, also as a numeric string.
    pub(super) fn whole(&self, least: u32, most: u32) -> Result<u32, Rejected> {
        let number = match self {
            Value::Number(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        number
            .filter(|n| n.fract() == 0.0 && (f64::from(least)..=f64::from(most)).contains(n))
            .map(|n| n as u32)
            .ok_or_else(|| self.reject(&format!("a whole number from {least} to {most}")))
    }

    /// A time of `least` milliseconds to a day.
    pub(super) fn millis(&self, least: u32) -> Result<Duration, Rejected> {
        const DAY: u32 = 86_400_000;
        self.whole(least, DAY)
            .map(|ms| Duration::from_millis(ms.into()))
            .map_err(|reason| format!("{reason} (milliseconds)"))
    }

    /// The items of an array, or of a comma-separated string, or the value alone.
    pub(super) fn items(&self) -> Vec<Value> {
        match self {
            Value::List(values) => values.clone(),
            Value::Text(text) if text.contains(',') => text
                .split(',')
                .map(|item| Value::Text(item.trim().to_owned()))
                .collect(),
            other => vec![other.clone()],
        }
    }
}
