//! Functions for Lua that neither raise nor unwind. mlua would turn a panic, an argument of the wrong
//! type and its own failures into error objects, which nginx cannot print.

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

/// Without the traceback.
pub(super) fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The values of `body`, or `nil, message`.
pub(super) fn protected<R: IntoLuaMulti>(
    lua: &Lua,
    body: impl FnOnce() -> Result<R>,
) -> Result<MultiValue> {
    let message = match catch_unwind(AssertUnwindSafe(|| body()?.into_lua_multi(lua))) {
        Ok(Ok(values)) => return Ok(values),
        Ok(Err(error)) => first_line(&error.to_string()),
        Err(panic) => {
            // Its drop might panic again; a few leaked bytes are better.
            mem::forget(panic);
            Error::internal("a function panicked").to_string()
        }
    };
    (Value::Nil, message).into_lua_multi(lua)
}
