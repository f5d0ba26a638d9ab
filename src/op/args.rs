//! A caller's arguments, by the parameters' names, and every check of them.

use super::spec::{ParamKind, Spec};
use super::text;
use super::time::Epoch;
use crate::Error;

/// An argument as a binding hands it over.
#[derive(Debug, Clone, PartialEq)]
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
}

impl<'a> Args<'a> {
    /// The arguments that `source` has for the parameters of `spec`.
    pub fn new(spec: &'static Spec, source: &'a dyn Source) -> Self {
        Args { spec, source }
    }

    /// The argument as it was given.
    pub fn value(&self, name: &'static str) -> Result<Value, Error> {
        let place = self.spec.params.iter().position(|param| param.name == name);
        let Some(place) = place else {
            return Err(Error::internal(format!(
                "{} has no parameter {name}",
                self.spec.name
            )));
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

    /// A text that PostgreSQL can store. A number is a mistake, although Lua would make a string of it:
    /// no key is a number.
    pub fn text(&self, name: &'static str) -> Result<String, Error> {
        let missing = || self.expected(name, "string", &Value::Nothing);
        self.optional_text(name)?.ok_or_else(missing)
    }

    /// A text that may be left out.
    pub fn optional_text(&self, name: &'static str) -> Result<Option<String>, Error> {
        match self.value(name)? {
            Value::Nothing => Ok(None),
            Value::Text(bytes) => text::owned(name, bytes).map(Some),
            other => Err(self.expected(name, "string", &other)),
        }
    }

    /// A session's key.
    pub fn key(&self, name: &'static str) -> Result<String, Error> {
        self.text(name).and_then(|key| text::not_empty(name, key))
    }

    /// A session's key that may be left out.
    pub fn optional_key(&self, name: &'static str) -> Result<Option<String>, Error> {
        let key = self.optional_text(name)?;
        key.map(|key| text::not_empty(name, key)).transpose()
    }

    /// Seconds, possibly fractional, that can be added to others.
    pub fn seconds(&self, name: &'static str) -> Result<f64, Error> {
        let seconds = match self.value(name)? {
            Value::Number(seconds) => seconds,
            other => return Err(self.expected(name, "number", &other)),
        };
        Epoch::from_seconds(name, seconds)?;
        Ok(seconds)
    }

    /// `current_time` in seconds since 1970, possibly fractional; now where it is left out.
    pub fn current_seconds(&self) -> Result<f64, Error> {
        match self.value("current_time")? {
            Value::Nothing => Ok(Epoch::now().seconds() as f64),
            _ => self.seconds("current_time"),
        }
    }

    /// `current_time`; now where it is left out.
    pub fn current_time(&self) -> Result<Epoch, Error> {
        Epoch::from_seconds("current_time", self.current_seconds()?)
    }

    /// A whole number from 1 to `most` that may be left out.
    pub fn optional_count(&self, name: &'static str, most: u32) -> Result<Option<u32>, Error> {
        let number = match self.value(name)? {
            Value::Nothing => return Ok(None),
            Value::Number(number) => number,
            other => return Err(self.expected(name, "number", &other)),
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
        let pair = |(audience, subject)| {
            Ok((
                text::owned("audience", audience)?,
                text::owned("subject", subject)?,
            ))
        };
        pairs.into_iter().map(pair).collect()
    }

    /// Checks the type of what is accepted and not used.
    pub(super) fn check_unused(&self) -> Result<(), Error> {
        for (place, param) in self.spec.params.iter().enumerate() {
            if param.kind == ParamKind::Unused {
                match self.source.value(place, param.kind)? {
                    Value::Nothing | Value::Text(_) => {}
                    other => return Err(self.expected(param.name, "string", &other)),
                }
            }
        }
        Ok(())
    }
}
