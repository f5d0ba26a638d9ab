//! `set_password(storage, password)`: for passwords that change while nginx runs.

use super::args::{self, mistake};
use super::config::Handle;
use super::function::function;
use mlua::{IntoLuaMulti, Lua, MultiValue, Result, Table, UserDataRef, Value};

/// Adds it to the module's table. It returns true, `nil, message` for a failure and
/// `false, message` for the caller's mistake.
pub(super) fn register(lua: &Lua, native: &Table) -> Result<()> {
    let set = |lua: &Lua, (storage, password): (UserDataRef<Handle>, Value)| {
        let done = args::text("password", &password)
            .and_then(|password| storage.0.set_password(&password));
        done_or_why(lua, done)
    };
    native.set("set_password", function(lua, set)?)
}

fn done_or_why(lua: &Lua, done: std::result::Result<(), crate::Error>) -> Result<MultiValue> {
    match done {
        Ok(()) => true.into_lua_multi(lua),
        Err(error) if error.is_callers_mistake() => {
            let message = mistake("set_password", &["password"], &error);
            (false, message).into_lua_multi(lua)
        }
        Err(error) => (Value::Nil, error.to_string()).into_lua_multi(lua),
    }
}
