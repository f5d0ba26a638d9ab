//! Functions that ask no server: `set_password`, `stats`, `metrics`.

use super::config::Handle;
use super::function::function;
use super::message::{failure, mistake, type_name};
use crate::Error;
use crate::op::text;
use mlua::{IntoLuaMulti, Lua, MultiValue, Result, Table, UserDataRef, Value};

/// Adds them to the module's table. They return a value, or `nil, message` for a failure and
/// `false, message` for the caller's mistake.
pub(super) fn register(lua: &Lua, native: &Table) -> Result<()> {
    native.set("set_password", function(lua, set_password)?)?;
    native.set("stats", function(lua, stats)?)?;
    native.set("metrics", function(lua, metrics)?)
}

fn failed(lua: &Lua, error: &Error) -> Result<MultiValue> {
    match error.is_callers_mistake() {
        true => (false, mistake("set_password", &["password"], error)).into_lua_multi(lua),
        false => (Value::Nil, failure(error)).into_lua_multi(lua),
    }
}

fn set_password(
    lua: &Lua,
    (storage, password): (UserDataRef<Handle>, Value),
) -> Result<MultiValue> {
    let password = match &password {
        Value::String(password) => text("password", &password.as_bytes()),
        other => {
            let reason = format!("string expected, got {}", type_name(other));
            Err(Error::argument("password", reason))
        }
    };
    match password.and_then(|password| storage.0.set_password(&password)) {
        Ok(()) => true.into_lua_multi(lua),
        Err(error) => failed(lua, &error),
    }
}

/// A table from samples to values.
fn stats(lua: &Lua, storage: UserDataRef<Handle>) -> Result<MultiValue> {
    let samples = match storage.0.stats() {
        Ok(samples) => samples,
        Err(error) => return failed(lua, &error),
    };
    let table = lua.create_table_with_capacity(0, samples.len())?;
    for (name, value) in samples {
        table.raw_set(name, value)?;
    }
    table.into_lua_multi(lua)
}

/// The text for Prometheus: of this process, or of the values that a table has instead.
fn metrics(
    lua: &Lua,
    (storage, instead): (UserDataRef<Handle>, Option<Table>),
) -> Result<MultiValue> {
    let text = match instead {
        Some(table) => storage.0.metrics_of(|name| table.raw_get(name).ok()),
        None => storage.0.metrics(),
    };
    match text {
        Ok(text) => lua.create_string(text)?.into_lua_multi(lua),
        Err(error) => failed(lua, &error),
    }
}
