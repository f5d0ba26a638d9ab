//! The arguments of the operations of `crate::manage`, which ask for them by name.

use super::args;
use crate::Error;
use crate::manage::Arguments;
use crate::op;
use mlua::{Lua, Value};

/// A method's arguments by the positions of its parameters.
pub(super) struct Positional<'a> {
    pub(super) lua: &'a Lua,
    pub(super) parameters: &'static [&'static str],
    pub(super) given: &'a [Value],
}

impl Positional<'_> {
    /// The argument, nil where it is missing.
    fn get(&self, name: &str) -> &Value {
        let mut parameters = self.parameters.iter();
        let position = parameters.position(|parameter| *parameter == name);
        position
            .and_then(|position| self.given.get(position))
            .unwrap_or(&Value::Nil)
    }

    fn unless_nil<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match self.get(name) {
            Value::Nil => Ok(None),
            given => read(given).map(Some),
        }
    }
}

impl Arguments for Positional<'_> {
    fn text(&self, name: &'static str) -> Result<String, Error> {
        args::text(name, self.get(name))
    }

    fn optional_text(&self, name: &'static str) -> Result<Option<String>, Error> {
        self.unless_nil(name, |given| args::text(name, given))
    }

    fn key(&self, name: &'static str) -> Result<String, Error> {
        args::key(name, self.get(name))
    }

    fn optional_key(&self, name: &'static str) -> Result<Option<String>, Error> {
        self.unless_nil(name, |given| args::key(name, given))
    }

    fn seconds(&self, name: &'static str) -> Result<f64, Error> {
        args::finite_seconds(self.lua, name, self.get(name))
    }

    fn time(&self, name: &'static str) -> Result<op::Epoch, Error> {
        args::time(self.lua, name, self.get(name))
    }

    fn optional_number(&self, name: &'static str) -> Result<Option<f64>, Error> {
        self.unless_nil(name, |given| args::finite_seconds(self.lua, name, given))
    }

    fn flag(&self, name: &'static str) -> Result<bool, Error> {
        let given = self.unless_nil(name, |given| args::boolean(name, given))?;
        Ok(given.unwrap_or_default())
    }

    fn unused_name(&self) -> Result<(), Error> {
        args::unused_name(self.get("name"))
    }
}
