//! The methods of `crate::manage`: their arguments are read here by name, as each operation asks.

use super::args;
use super::methods::{All, hand_in};
use crate::Error;
use crate::manage::{self, Arguments};
use crate::op;
use mlua::{Lua, MultiValue, Result, Table, Value};

/// Adds the table `manage` of methods by their names; see [`super::methods::register`].
pub(super) fn register(lua: &Lua, native: &Table) -> Result<()> {
    let methods = lua.create_table()?;
    for method in manage::ALL {
        let call = move |lua: &Lua, all: All| run(lua, method, all);
        methods.set(method.name, lua.create_function(call)?)?;
    }
    native.set("manage", methods)
}

fn run(lua: &Lua, method: &'static manage::Described, all: All) -> Result<MultiValue> {
    let (storage, queue, given) = all;
    let arguments = Positional {
        lua,
        parameters: method.parameters,
        given: &given,
    };
    let operation = (method.read)(&arguments);
    hand_in(
        lua,
        (method.name, method.parameters),
        (&storage, queue.as_deref()),
        operation,
    )
}

/// A method's arguments by the positions of its parameters.
struct Positional<'a> {
    lua: &'a Lua,
    parameters: &'static [&'static str],
    given: &'a [Value],
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
        read: impl FnOnce(&Value) -> std::result::Result<T, Error>,
    ) -> std::result::Result<Option<T>, Error> {
        match self.get(name) {
            Value::Nil => Ok(None),
            given => read(given).map(Some),
        }
    }
}

impl Arguments for Positional<'_> {
    fn text(&self, name: &'static str) -> std::result::Result<String, Error> {
        args::text(name, self.get(name))
    }

    fn optional_text(&self, name: &'static str) -> std::result::Result<Option<String>, Error> {
        self.unless_nil(name, |given| args::text(name, given))
    }

    fn key(&self, name: &'static str) -> std::result::Result<String, Error> {
        args::key(name, self.get(name))
    }

    fn optional_key(&self, name: &'static str) -> std::result::Result<Option<String>, Error> {
        self.unless_nil(name, |given| args::key(name, given))
    }

    fn seconds(&self, name: &'static str) -> std::result::Result<f64, Error> {
        args::finite_seconds(self.lua, name, self.get(name))
    }

    fn time(&self, name: &'static str) -> std::result::Result<op::Epoch, Error> {
        args::time(self.lua, name, self.get(name))
    }

    fn optional_number(&self, name: &'static str) -> std::result::Result<Option<f64>, Error> {
        self.unless_nil(name, |given| args::finite_seconds(self.lua, name, given))
    }

    fn flag(&self, name: &'static str) -> std::result::Result<bool, Error> {
        let given = self.unless_nil(name, |given| args::boolean(name, given))?;
        Ok(given.unwrap_or_default())
    }

    fn unused_name(&self) -> std::result::Result<(), Error> {
        args::unused_name(self.get("name"))
    }
}
