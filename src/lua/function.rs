//! Functions for Lua that neither raise nor unwind, and the messages that they return. mlua would turn a
//! panic, an argument of the wrong type and its own failures into error objects, which nginx cannot print.

use crate::Error;
use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, MultiValue, Result, Value};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A function of Lua's. Whatever goes wrong in it comes back as `nil, message`.
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub(super) fn function<A, R>(
    lua: &Lua,
    body: impl Fn(&Lua, A) -> Result<R> + 'static,
) -> Result<Function>
where
    A: FromLuaMulti,
    R: IntoLuaMulti,
{
    lua.create_function(move |lua, given: MultiValue| {
        protected(lua, || body(lua, A::from_lua_multi(given, lua)?))
    })
}

/// The values of `body`, or `nil, message`.
pub(super) fn protected<R: IntoLuaMulti>(
    lua: &Lua,
    body: impl FnOnce() -> Result<R>,
) -> Result<MultiValue> {
    let message = match catch_unwind(AssertUnwindSafe(|| body()?.into_lua_multi(lua))) {
        Ok(Ok(values)) => return Ok(values),
        Ok(Err(error)) => match error.downcast_ref() {
            Some(error) => failure(error),
            None => first_line(&error),
        },
        Err(panic) => {
            // Its drop might panic again; a few leaked bytes are better.
            mem::forget(panic);
            Error::internal("a function panicked").to_string()
        }
    };
    (Value::Nil, message).into_lua_multi(lua)
}

impl From<Error> for mlua::Error {
    fn from(error: Error) -> Self {
        mlua::Error::external(error)
    }
}

/// The message of a failure. It names this module: between it and the person who reads the message there
/// is often lua-resty-session, which passes messages on as they are.
pub(super) fn failure(error: &Error) -> String {
    format!("resty.session.postgres: {error}")
}

/// Without the traceback.
pub(super) fn first_line(error: &mlua::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Words a caller's mistake as Lua's own functions do.
pub(super) fn mistake(method: &str, params: &[&str], error: &Error) -> String {
    let place = |name: &str| params.iter().position(|param| *param == name);
    let place = match error {
        // What is no parameter is a member of the metadata.
        Error::Argument { name, .. } => place(name).or_else(|| place("metadata")),
        _ => None,
    };
    let place = place.map_or_else(String::new, |place| format!(" #{}", place + 1));
    format!("bad argument{place} to '{method}' ({error})")
}

/// Names a value's type for a message, as Lua does.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        other => other.type_name(),
    }
}
