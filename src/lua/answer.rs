//! Outcomes as Lua values.

use super::message::failure;
use crate::op::{Answer, Finding, Outcome, Session};
use mlua::{IntoLua, Lua, Result, Table, Value};

/// The one or two values that a method returns for an outcome.
pub(super) fn values(lua: &Lua, outcome: Outcome) -> Result<(Value, Value)> {
    let answer = match outcome {
        Ok(answer) => answer,
        Err(error) => return Ok((Value::Nil, failure(&error).into_lua(lua)?)),
    };
    let value = match answer {
        Answer::Done | Answer::Found(true) => Value::Boolean(true),
        Answer::Value(None) | Answer::Found(false) => Value::Nil,
        Answer::Value(Some(text)) => Value::String(lua.create_string(&text)?),
        Answer::Count(count) => Value::Number(count as f64),
        Answer::Expiries(sessions) => {
            let table = lua.create_table_with_capacity(0, sessions.len())?;
            for (key, expires) in sessions {
                table.raw_set(key, expires.seconds() as f64)?;
            }
            Value::Table(table)
        }
        Answer::Sessions(sessions) => list(lua, sessions, session)?,
        Answer::Findings(findings) => list(lua, findings, finding)?,
    };
    Ok((value, Value::Nil))
}

fn list<T>(lua: &Lua, items: Vec<T>, item: fn(&Lua, T) -> Result<Table>) -> Result<Value> {
    let list = lua.create_table_with_capacity(items.len(), 0)?;
    for each in items {
        list.raw_push(item(lua, each)?)?;
    }
    Ok(Value::Table(list))
}

fn session(lua: &Lua, session: Session) -> Result<Table> {
    let table = lua.create_table_with_capacity(0, 4)?;
    table.raw_set("key", session.key)?;
    table.raw_set("name", session.name)?;
    table.raw_set("expires", session.expires.seconds() as f64)?;
    if let Some(created) = session.created {
        table.raw_set("created", created.seconds() as f64)?;
    }
    Ok(table)
}

fn finding(lua: &Lua, finding: Finding) -> Result<Table> {
    let table = lua.create_table_with_capacity(0, 2)?;
    table.raw_set("problem", finding.problem)?;
    table.raw_set("repair", finding.repair)?;
    Ok(table)
}
