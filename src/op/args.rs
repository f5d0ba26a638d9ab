//! A caller's arguments, by the parameters' names, and every check of them.

use super::time::Epoch;
use super::{Param, ParamKind, Spec};
use crate::Error;
use std::fmt;

/// An argument as a binding hands it over. Its `Debug` shows no text.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// It is not given.
    Nothing,
    /// Bytes that should be a text.
    Text(Vec<u8>),
    /// A number.
    Number(f64),
    /// A boolean.
    Flag(bool),
    /// Pairs of an audience and a subject.
    Pairs(Vec<(Vec<u8>, Vec<u8>)>),
    /// Something that no parameter takes, by the name of its type in the caller's language.
    Other(&'static str),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nothing => f.write_str("Nothing"),
            Value::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Value::Number(number) => write!(f, "Number({number})"),
            Value::Flag(flag) => write!(f, "Flag({flag})"),
            Value::Pairs(pairs) => write!(f, "Pairs({})", pairs.len()),
            Value::Other(kind) => write!(f, "Other({kind})"),
        }
    }
}

/// Where a caller's arguments are: one for each binding.
pub trait Source {
    /// The argument of the parameter at that place of the [`Spec`], converted for its kind.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] where the binding itself cannot convert it.
    fn value(&self, place: usize, kind: ParamKind) -> Result<Value, Error>;

    /// What the caller's language calls an argument that is not given.
    fn nothing(&self) -> &'static str {
        "nothing"
    }
}

/// The arguments of one call.
pub struct Args<'a> {
    spec: &'static Spec,
    source: &'a dyn Source,
    /// One for all of the call's times.
    now: Epoch,
}

impl<'a> Args<'a> {
    /// The arguments that `source` has for the parameters of `spec`.
    pub fn new(spec: &'static Spec, source: &'a dyn Source) -> Self {
        let now = Epoch::now();
        Args { spec, source, now }
    }

    /// The argument as it was given.
    pub fn value(&self, name: &'static str) -> Result<Value, Error> {
        let place = self.spec.params.iter().position(|param| param.name == name);
        let Some(place) = place else {
            return Err(Error::internal(format!("{} has no parameter {name}", self.spec.name)));
        };
        self.source.value(place, self.spec.params[place].kind)
    }

    fn expected(&self, name: &'static str, accepted: &str, got: &Value) -> Error {
        let got = match got {
            Value::Nothing => self.source.nothing(),
            Value::Text(_) => "string",
            Value::Number(_) => "number",
            Value::Flag(_) => "boolean",
            Value::Pairs(_) => "table",
            Value::Other(kind) => kind,
        };
        Error::argument(name, format!("{accepted} expected, got {got}"))
    }

    fn required<T>(
        &self,
        name: &'static str,
        accepted: &str,
        given: Option<T>,
    ) -> Result<T, Error> {
        given.ok_or_else(|| self.expected(name, accepted, &Value::Nothing))
    }

    /// A text. A number is a mistake, although Lua would make a string of it: no key is a number.
    pub fn text(&self, name: &'static str) -> Result<String, Error> {
        self.required(name, "string", self.optional_text(name)?)
    }

    /// A text that may be left out.
    pub fn optional_text(&self, name: &'static str) -> Result<Option<String>, Error> {
        match self.value(name)? {
            Value::Nothing => Ok(None),
            Value::Text(bytes) => utf8(name, bytes).map(Some),
            other => Err(self.expected(name, "string", &other)),
        }
    }

    fn optional_number(&self, name: &'static str) -> Result<Option<f64>, Error> {
        match self.value(name)? {
            Value::Nothing => Ok(None),
            Value::Number(number) => Ok(Some(number)),
            other => Err(self.expected(name, "number", &other)),
        }
    }

    /// `current_time`; now where it is left out.
    pub fn current_time(&self) -> Result<Epoch, Error> {
        Epoch::from_seconds("current_time", self.current_seconds()?)
    }

    fn current_seconds(&self) -> Result<f64, Error> {
        let given = self.optional_number("current_time")?;
        Ok(given.unwrap_or(self.now.seconds() as f64))
    }

    /// So many seconds, possibly fractional, after `current_time`.
    pub fn time_after(&self, name: &'static str) -> Result<Epoch, Error> {
        self.current_time()?;
        let seconds = self.required(name, "number", self.optional_number(name)?)?;
        Epoch::from_seconds(name, seconds)?;
        Epoch::from_seconds(name, self.current_seconds()? + seconds)
    }

    /// A whole number from 1 to `most` that may be left out.
    pub fn optional_count(&self, name: &'static str, most: u32) -> Result<Option<u32>, Error> {
        let Some(number) = self.optional_number(name)? else {
            return Ok(None);
        };
        if number.fract() == 0.0 && (1.0..=f64::from(most)).contains(&number) {
            return Ok(Some(number as u32));
        }
        let reason = format!("a whole number from 1 to {most} expected, got {number}");
        Err(Error::argument(name, reason))
    }

    /// A boolean; false where it is left out.
    pub fn flag(&self, name: &'static str) -> Result<bool, Error> {
        match self.value(name)? {
            Value::Nothing => Ok(false),
            Value::Flag(flag) => Ok(flag),
            other => Err(self.expected(name, "boolean", &other)),
        }
    }

    /// Pairs of an audience and a subject; none where they are left out.
    pub fn pairs(&self, name: &'static str) -> Result<Vec<(String, String)>, Error> {
        let pairs = match self.value(name)? {
            Value::Nothing => return Ok(Vec::new()),
            Value::Pairs(pairs) => pairs,
            other => return Err(self.expected(name, "table", &other)),
        };
        let pair =
            |(audience, subject)| Ok((utf8("audience", audience)?, utf8("subject", subject)?));
        pairs.into_iter().map(pair).collect()
    }

    /// Checks the type of what is accepted and not used.
    pub(super) fn check_unused(&self) -> Result<(), Error> {
        let unused = |param: &&Param| param.kind == ParamKind::Unused;
        for param in self.spec.params.iter().filter(unused) {
            match self.value(param.name)? {
                Value::Nothing | Value::Text(_) => {}
                other => return Err(self.expected(param.name, "string", &other)),
            }
        }
        Ok(())
    }
}

/// The longest text of one argument, and of a session that `get` reads. It bounds what one call can
/// take of its host's memory.
pub const MAX_TEXT_BYTES: usize = 16 << 20;

/// A text that a TEXT column can store.
///
/// # Errors
///
/// [`Error::Text`] of `name` for a NUL byte, or more than [`MAX_TEXT_BYTES`].
pub fn text(name: &'static str, text: impl Into<String>) -> Result<String, Error> {
    let text = text.into();
    let reason = if text.len() > MAX_TEXT_BYTES {
        "is longer than 16 MiB"
    } else if text.contains('\0') {
        "contains a NUL byte, which PostgreSQL cannot store in TEXT"
    } else {
        return Ok(text);
    };
    Err(Error::Text { name, reason })
}

/// The same for a session's key, which must not be empty.
///
/// # Errors
///
/// As [`text`], and for an empty key.
pub fn key(name: &'static str, key: impl Into<String>) -> Result<String, Error> {
    let (key, reason) = (text(name, key)?, "is empty");
    match key.is_empty() {
        true => Err(Error::Text { name, reason }),
        false => Ok(key),
    }
}

/// A text of bytes that should be UTF-8.
pub(crate) fn utf8(name: &'static str, bytes: Vec<u8>) -> Result<String, Error> {
    let reason = "is not valid UTF-8";
    String::from_utf8(bytes).map_err(|_| Error::Text { name, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_must_be_storable() {
        let emoji = "a'\u{1F600}";
        assert_eq!(text("value", emoji), Ok(emoji.into()));
        assert_eq!(text("value", ""), Ok(String::new()));
        let nul = "value contains a NUL byte, which PostgreSQL cannot store in TEXT";
        let cases = [
            (text("value", "a\0b"), nul),
            (utf8("value", b"\xff".into()), "value is not valid UTF-8"),
            (key("old_key", ""), "old_key is empty"),
        ];
        for (result, message) in cases {
            let error = result.expect_err("not storable");
            assert_eq!(error.to_string(), message);
            assert!(!error.is_callers_mistake());
        }
    }
}
