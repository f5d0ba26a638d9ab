//! Outcomes as Lua values.

use super::function::failure;
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
        Answer::Value(Some(text)) => text.into_lua(lua)?,
        Answer::Count(count) => Value::Number(count as f64),
        Answer::Expiries(sessions) => {
            let seconds = sessions.into_iter();
            let seconds = seconds.map(|(key, expires)| (key, expires.seconds() as f64));
            Value::Table(lua.create_table_from(seconds)?)
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
    let table = lua.create_table_from([("key", session.key), ("name", session.name)])?;
    table.raw_set("expires", session.expires.seconds() as f64)?;
    let created = session.created.map(|created| created.seconds() as f64);
    table.raw_set("created", created)?;
    Ok(table)
}

fn finding(lua: &Lua, finding: Finding) -> Result<Table> {
    lua.create_table_from([("problem", finding.problem), ("repair", finding.repair)])
}
