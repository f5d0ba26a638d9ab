//! Messages for Lua callers.

use crate::Error;
use mlua::Value;

/// The message of a failure. It names this module: between it and the person who reads the message there
/// is often lua-resty-session, which passes messages on as they are.
pub(super) fn failure(error: &Error) -> String {
    format!("resty.session.postgres: {error}")
}

/// Names a value's type for a message, as Lua does.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        other => other.type_name(),
    }
}

/// Words a caller's mistake as Lua's own functions do.
pub(super) fn mistake(method: &str, params: &[&str], error: &Error) -> String {
    let place = match error {
        Error::Argument { name, .. } => {
            // A pair's member stands in the metadata.
            let argument = match *name {
                "audience" | "subject" if !params.contains(name) => "metadata",
                name => name,
            };
            params.iter().position(|param| *param == argument)
        }
        _ => None,
    };
    match place {
        Some(place) => format!("bad argument #{} to '{method}' ({error})", place + 1),
        None => format!("bad argument to '{method}' ({error})"),
    }
}
