//! Arguments of the Lua methods: their types, and errors that name them with their position.

use crate::Error;
use crate::op::{self, Epoch};
use mlua::{Lua, Table, Value};

/// Names a value's type for a message, as Lua does.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        other => other.type_name(),
    }
}

fn expected(name: &'static str, accepted: &str, value: &Value) -> Error {
    Error::argument(
        name,
        format!("{accepted} expected, got {}", type_name(value)),
    )
}

/// The bytes of a string. A number is a mistake, although Lua would make a string of it: no key is
/// a number.
fn string<T>(
    name: &'static str,
    value: &Value,
    check: fn(&'static str, &[u8]) -> Result<T, Error>,
) -> Result<T, Error> {
    match value {
        Value::String(text) => check(name, &text.as_bytes()),
        other => Err(expected(name, "string", other)),
    }
}

/// A text argument.
pub(super) fn text(name: &'static str, value: &Value) -> Result<String, Error> {
    string(name, value, op::text)
}

/// A session's key.
pub(super) fn key(name: &'static str, value: &Value) -> Result<String, Error> {
    string(name, value, op::key)
}

/// A session's name where it is not used: the key is unique without it.
pub(super) fn unused_name(value: &Value) -> Result<(), Error> {
    match value {
        Value::String(_) | Value::Nil => Ok(()),
        other => Err(expected("name", "string", other)),
    }
}

/// A boolean.
pub(super) fn boolean(name: &'static str, value: &Value) -> Result<bool, Error> {
    match value {
        Value::Boolean(flag) => Ok(*flag),
        other => Err(expected(name, "boolean", other)),
    }
}

/// Seconds, as a number or a numeric string, that can be added to others.
pub(super) fn finite_seconds(lua: &Lua, name: &'static str, value: &Value) -> Result<f64, Error> {
    let seconds = seconds(lua, name, value)?;
    Epoch::from_seconds(name, seconds)?;
    Ok(seconds)
}

/// Seconds, as a number or a numeric string.
fn seconds(lua: &Lua, name: &'static str, value: &Value) -> Result<f64, Error> {
    let number = match value {
        Value::Number(_) | Value::Integer(_) | Value::String(_) => {
            lua.coerce_number(value.clone()).ok().flatten()
        }
        _ => None,
    };
    number.ok_or_else(|| expected(name, "number", value))
}

/// A point in time; nil is now.
pub(super) fn time(lua: &Lua, name: &'static str, value: &Value) -> Result<Epoch, Error> {
    match value {
        Value::Nil => Ok(Epoch::now()),
        given => Epoch::from_seconds(name, seconds(lua, name, given)?),
    }
}

/// The pairs of a metadata table: `{ audiences = { … }, subjects = { … } }`.
pub(super) fn metadata(value: &Value) -> Result<Vec<(String, String)>, Error> {
    let table = match value {
        Value::Nil => return Ok(Vec::new()),
        Value::Table(table) => table,
        other => return Err(expected("metadata", "table", other)),
    };
    let audiences = list(table, "audiences")?;
    let subjects = list(table, "subjects")?;
    let (many, others) = (audiences.raw_len(), subjects.raw_len());
    if many != others {
        let reason = format!("as many audiences as subjects expected, got {many} and {others}");
        return Err(Error::argument("metadata", reason));
    }
    let item = |list: &Table, at| list.raw_get::<Value>(at).unwrap_or(Value::Nil);
    (1..=many)
        .map(|at| {
            let audience = text("audience", &item(&audiences, at))?;
            let subject = text("subject", &item(&subjects, at))?;
            Ok((audience, subject))
        })
        .collect()
}

fn list(table: &Table, name: &'static str) -> Result<Table, Error> {
    match table.get::<Value>(name) {
        Ok(Value::Table(list)) => Ok(list),
        other => {
            let value = other.unwrap_or(Value::Nil);
            let reason = format!("{name}: table expected, got {}", type_name(&value));
            Err(Error::argument("metadata", reason))
        }
    }
}

/// Words a caller's mistake as Lua's own functions do.
pub(super) fn mistake(method: &str, parameters: &[&str], error: &Error) -> String {
    let position = match error {
        Error::Argument { name, .. } => {
            // A pair's member stands in the metadata.
            let argument = match *name {
                "audience" | "subject" if !parameters.contains(name) => "metadata",
                name => name,
            };
            parameters
                .iter()
                .position(|parameter| *parameter == argument)
        }
        _ => None,
    };
    match position {
        Some(position) => format!("bad argument #{} to '{method}' ({error})", position + 1),
        None => format!("bad argument to '{method}' ({error})"),
    }
}
