//! `stats` and `metrics`: what the engine has counted. They ask no server, and wait for nothing.

use super::config::Handle;
use super::function::function;
use mlua::{Lua, Result, Table, UserDataRef, Value};

/// Adds both to the module's table.
pub(super) fn register(lua: &Lua, native: &Table) -> Result<()> {
    native.set("stats", function(lua, stats)?)?;
    native.set("metrics", function(lua, metrics)?)
}

type Answer = (Option<Value>, Option<String>);

/// A table from samples to values, or nil and a message.
fn stats(lua: &Lua, storage: UserDataRef<Handle>) -> Result<Answer> {
    let samples = match storage.0.stats() {
        Ok(samples) => samples,
        Err(error) => return Ok((None, Some(error.to_string()))),
    };
    let table = lua.create_table_with_capacity(0, samples.len())?;
    for (name, value) in samples {
        table.raw_set(name, value)?;
    }
    Ok((Some(Value::Table(table)), None))
}

/// The text for Prometheus: of this process, or of the values that a table has instead.
fn metrics(lua: &Lua, (storage, instead): (UserDataRef<Handle>, Option<Table>)) -> Result<Answer> {
    let text = match instead {
        Some(table) => storage.0.metrics_of(|name| table.raw_get(name).ok()),
        None => storage.0.metrics(),
    };
    Ok(match text {
        Ok(text) => (Some(Value::String(lua.create_string(text)?)), None),
        Err(error) => (None, Some(error.to_string())),
    })
}
