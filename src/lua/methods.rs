//! The methods: `set`, `get`, `delete` and `read_metadata` as functions of a storage and, for
//! callers that must not block, a completion queue.

use super::args;
use super::config::Handle;
use super::queue::Queue;
use super::results;
use crate::Error;
use crate::op::{Epoch, Get, Old, Operation, ReadMetadata, Set};
use mlua::{IntoLuaMulti, Lua, MultiValue, Result, Table, UserDataRef, Value};

type Checked = std::result::Result<Operation, Error>;

/// A method: its name, its parameters, and how an operation is made of its arguments.
struct Method {
    name: &'static str,
    parameters: &'static [&'static str],
    read: fn(&Lua, &[Value]) -> Checked,
}

const METHODS: [Method; 4] = [
    Method {
        name: "set",
        parameters: &[
            "name",
            "key",
            "value",
            "ttl",
            "current_time",
            "old_key",
            "stale_ttl",
            "metadata",
            "remember",
        ],
        read: set,
    },
    Method {
        name: "get",
        parameters: &["name", "key", "current_time"],
        read: get,
    },
    Method {
        name: "delete",
        parameters: &["name", "key", "current_time", "metadata"],
        read: delete,
    },
    Method {
        name: "read_metadata",
        parameters: &["name", "audience", "subject", "current_time"],
        read: read_metadata,
    },
];

/// Adds the methods to the module's table. Each takes the storage, a completion queue or nil, and
/// the method's arguments. With a queue it returns a ticket at once, without one the outcome. Both
/// return `nil, message` for a failure and `false, message` for the caller's mistake.
pub(super) fn register(lua: &Lua, native: &Table) -> Result<()> {
    for method in METHODS {
        let name = method.name;
        native.set(
            name,
            lua.create_function(move |lua, all| run(lua, &method, all))?,
        )?;
    }
    Ok(())
}

/// What the functions are given.
pub(super) type All = (
    UserDataRef<Handle>,
    Option<UserDataRef<Queue>>,
    mlua::Variadic<Value>,
);

fn run(lua: &Lua, method: &Method, (storage, queue, mut given): All) -> Result<MultiValue> {
    let most = given.len().max(method.parameters.len());
    given.resize(most, Value::Nil);
    let operation = (method.read)(lua, &given);
    hand_in(
        lua,
        (method.name, method.parameters),
        (&storage, queue.as_deref()),
        operation,
    )
}

/// Hands an operation in that was made of the arguments of the method of that name and parameters.
pub(super) fn hand_in(
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

fn set(lua: &Lua, given: &[Value]) -> Checked {
    let [
        name,
        key,
        value,
        ttl,
        now,
        old_key,
        stale_ttl,
        metadata,
        remember,
        ..,
    ] = given
    else {
        return Err(too_few());
    };
    let now = match now {
        Value::Nil => Epoch::now().seconds() as f64,
        given => args::finite_seconds(lua, "current_time", given)?,
    };
    let name = args::text("name", name)?;
    let key = args::key("key", key)?;
    let value = args::text("value", value)?;
    let ttl = args::finite_seconds(lua, "ttl", ttl)?;
    let old = match old_key {
        Value::Nil => None,
        given => {
            let key = args::key("old_key", given)?;
            Some(if matches!(remember, Value::Boolean(true)) {
                Old::Delete { key }
            } else {
                let stale_ttl = args::finite_seconds(lua, "stale_ttl", stale_ttl)?;
                let at = Epoch::from_seconds("stale_ttl", now + stale_ttl)?;
                Old::Expire { key, at }
            })
        }
    };
    Ok(Operation::Set(Set {
        name,
        key,
        value,
        expires: Epoch::from_seconds("ttl", now + ttl)?,
        old,
        metadata: args::metadata(metadata)?,
    }))
}

fn get(lua: &Lua, given: &[Value]) -> Checked {
    let [name, key, now, ..] = given else {
        return Err(too_few());
    };
    args::unused_name(name)?;
    Ok(Operation::Get(Get {
        key: args::key("key", key)?,
        now: args::time(lua, "current_time", now)?,
    }))
}

/// Also `delete(name, key, metadata)`, the form of upstream's documentation. Neither the time nor
/// the metadata is needed: all metadata of a session goes with it.
fn delete(lua: &Lua, given: &[Value]) -> Checked {
    let [name, key, now, ..] = given else {
        return Err(too_few());
    };
    args::unused_name(name)?;
    if !matches!(now, Value::Table(_)) {
        args::time(lua, "current_time", now)?;
    }
    let key = args::key("key", key)?;
    Ok(Operation::Delete { key })
}

fn read_metadata(lua: &Lua, given: &[Value]) -> Checked {
    let [name, audience, subject, now, ..] = given else {
        return Err(too_few());
    };
    args::unused_name(name)?;
    Ok(Operation::ReadMetadata(ReadMetadata {
        audience: args::text("audience", audience)?,
        subject: args::text("subject", subject)?,
        now: args::time(lua, "current_time", now)?,
    }))
}

/// `run` fills the arguments up, so this is a defect.
fn too_few() -> Error {
    Error::internal("too few arguments")
}
