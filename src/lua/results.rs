//! Outcomes as Lua values.

use crate::manage::Session;
use crate::op::{Outcome, Output};
use mlua::{IntoLua, Lua, Result, Table, Value};

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
        Output::Count(count) => Value::Number(count as f64),
        Output::Findings(findings) => {
            let list = lua.create_table_with_capacity(findings.len(), 0)?;
            for finding in findings {
                let table = lua.create_table_with_capacity(0, 2)?;
                table.raw_set("problem", finding.problem)?;
                table.raw_set("repair", finding.repair)?;
                list.raw_push(table)?;
            }
            Value::Table(list)
        }
        Output::Swept(swept) => Value::Number(swept.removed.into()),
        Output::Touched(found) => match found {
            true => Value::Boolean(true),
            false => Value::Nil,
        },
        Output::Sessions(list) => {
            let table = lua.create_table_with_capacity(list.len(), 0)?;
            for session in list {
                table.raw_push(listed(lua, session)?)?;
            }
            Value::Table(table)
        }
    };
    Ok((value, Value::Nil))
}

fn listed(lua: &Lua, session: Session) -> Result<Table> {
    let table = lua.create_table_with_capacity(0, 4)?;
    table.raw_set("key", session.key)?;
    table.raw_set("name", session.name)?;
    table.raw_set("expires", session.expires.seconds() as f64)?;
    if let Some(created) = session.created {
        table.raw_set("created", created.seconds() as f64)?;
    }
    Ok(table)
}
