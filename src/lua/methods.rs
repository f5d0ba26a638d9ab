//! The methods, as functions of a storage and, for callers that must not block, a completion queue.

use super::config::Handle;
use super::function::function;
use super::manage::Positional;
use super::queue::Queue;
use super::session::{Checked, METHODS};
use super::{args, results};
use crate::{Error, manage};
use mlua::{IntoLuaMulti, Lua, MultiValue, Result, Table, UserDataRef, Value};

/// Adds the table `methods` of functions by their names. Each takes the storage, a completion queue
/// or nil, and the method's arguments. With a queue it returns a ticket at once, without one the
/// outcome. Both return `nil, message` for a failure and `false, message` for the caller's mistake.
pub(super) fn register(lua: &Lua, native: &Table) -> Result<()> {
    let methods = lua.create_table()?;
    for method in METHODS {
        add(lua, &methods, method.name, method.parameters, method.read)?;
    }
    for operation in manage::ALL {
        let parameters = operation.parameters;
        let read = move |lua: &Lua, given: &[Value]| {
            // A subject too many must not be lost on the way to everybody's end.
            let mut more = given.iter().skip(parameters.len());
            if more.any(|argument| !argument.is_nil()) {
                let reason = format!("expected {} at most", parameters.len());
                return Err(Error::argument("arguments", reason));
            }
            (operation.read)(&Positional {
                lua,
                parameters,
                given,
            })
        };
        add(lua, &methods, operation.name, parameters, read)?;
    }
    native.set("methods", methods)
}

/// What the functions are given.
type All = (
    UserDataRef<Handle>,
    Option<UserDataRef<Queue>>,
    mlua::Variadic<Value>,
);

/// Adds a method; `read` gets at least as many arguments as there are parameters.
fn add(
    lua: &Lua,
    methods: &Table,
    name: &'static str,
    parameters: &'static [&'static str],
    read: impl Fn(&Lua, &[Value]) -> Checked + 'static,
) -> Result<()> {
    let run = move |lua: &Lua, (storage, queue, mut given): All| {
        let most = given.len().max(parameters.len());
        given.resize(most, Value::Nil);
        let operation = read(lua, &given);
        hand_in(
            lua,
            (name, parameters),
            (&storage, queue.as_deref()),
            operation,
        )
    };
    methods.set(name, function(lua, run)?)
}

/// Hands an operation in that was made of the arguments of the method of that name and parameters.
fn hand_in(
    lua: &Lua,
    (name, parameters): (&str, &[&str]),
    (storage, queue): (&Handle, Option<&Queue>),
    operation: Checked,
) -> Result<MultiValue> {
    let operation = match operation {
        Ok(operation) => operation,
        Err(error) if error.is_callers_mistake() => {
            let message = args::mistake(name, parameters, &error);
            return (false, message).into_lua_multi(lua);
        }
        Err(error) => return (Value::Nil, error.to_string()).into_lua_multi(lua),
    };
    let Some(queue) = queue else {
        return results::outcome(lua, storage.0.call_on_worker(operation))?.into_lua_multi(lua);
    };
    match storage.0.submit(operation, &queue.completions) {
        Ok(ticket) => (ticket as f64).into_lua_multi(lua),
        Err(error) => (Value::Nil, error.to_string()).into_lua_multi(lua),
    }
}
