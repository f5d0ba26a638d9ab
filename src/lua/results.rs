//! Outcomes as Lua values.

use crate::op::{Outcome, Output};
use mlua::{IntoLua, Lua, Result, Value};

/// The one or two values that a method returns for an outcome.
pub(super) fn outcome(lua: &Lua, outcome: Outcome) -> Result<(Value, Value)> {
    let output = match outcome {
        Ok(output) => output,
        Err(error) => return Ok((Value::Nil, error.to_string().into_lua(lua)?)),
    };
    let value = match output {
        Output::Stored | Output::Deleted => Value::Boolean(true),
        Output::Value(None) => Value::Nil,
        Output::Value(Some(text)) => Value::String(lua.create_string(&text)?),
        Output::Metadata(sessions) => {
            let table = lua.create_table_with_capacity(0, sessions.len())?;
            for (sid, ends) in sessions {
                table.raw_set(sid, ends.seconds() as f64)?;
            }
            Value::Table(table)
        }
    };
    Ok((value, Value::Nil))
}
