//! The methods of an instance, one for each operation, as functions of a storage and, for callers that
//! must not block, a completion queue.

use super::function::{function, mistake, type_name};
use super::queue::{Queue, values};
use super::storage::Handle;
use crate::Error;
use crate::op::{self, Args, Group, Kind, ParamKind, Source};
use crate::ops::KINDS;
use mlua::{IntoLuaMulti, Lua, MultiValue, Result, Table, UserDataRef, Value, Variadic};
use std::result::Result as StdResult;

type Given = (UserDataRef<Handle>, Option<UserDataRef<Queue>>, Variadic<Value>);

/// Adds the table `methods` of functions by their names. Each takes the storage, a completion queue
/// or nil, and the method's arguments. With a queue it returns a ticket at once, without one the
/// outcome. Both return `nil, message` for a failure and `false, message` for the caller's mistake.
pub(super) fn register(lua: &Lua, native: &Table) -> Result<()> {
    let methods = lua.create_table()?;
    for kind in KINDS {
        let run = move |lua: &Lua, given: Given| call(lua, kind, &given);
        methods.set(kind.spec.name, function(lua, run)?)?;
    }
    native.set("methods", methods)
}

fn call(lua: &Lua, kind: &'static Kind, (storage, queue, given): &Given) -> Result<MultiValue> {
    let given = Arguments { lua, given };
    let read = given.check_count(kind);
    let read = read.and_then(|()| (kind.read)(&Args::new(kind.spec, &given)));
    let operation = match read {
        Err(error) if error.is_callers_mistake() => {
            let params: Vec<&str> = kind.spec.params.iter().map(|param| param.name).collect();
            let message = mistake(kind.spec.name, &params, &error);
            return (false, message).into_lua_multi(lua);
        }
        read => read?,
    };
    match queue {
        Some(queue) => {
            let ticket = queue.completions.ticket();
            storage.0.submit_any(operation, &queue.completions, ticket)?;
            (ticket as f64).into_lua_multi(lua)
        }
        None => {
            let outcome = storage.0.call_on_engine(operation);
            values(lua, outcome)?.into_lua_multi(lua)
        }
    }
}

struct Arguments<'a> {
    lua: &'a Lua,
    given: &'a [Value],
}

impl Arguments<'_> {
    /// A subject too many must not be lost, and everybody's sessions ended.
    fn check_count(&self, kind: &Kind) -> StdResult<(), Error> {
        let most = kind.spec.params.len();
        let mut more = self.given.iter().skip(most);
        if kind.spec.group == Group::Storage || more.all(Value::is_nil) {
            return Ok(());
        }
        let reason = format!("expected {most} at most");
        Err(Error::argument("arguments", reason))
    }
}

impl Source for Arguments<'_> {
    fn value(&self, place: usize, kind: ParamKind) -> StdResult<op::Value, Error> {
        use ParamKind::{Count, Pairs, Seconds, Time};
        Ok(match (self.given.get(place).unwrap_or(&Value::Nil), kind) {
            (Value::Nil, _) => op::Value::Nothing,
            (Value::Boolean(flag), _) => op::Value::Flag(*flag),
            (Value::Integer(number), _) => op::Value::Number(*number as f64),
            (Value::Number(number), _) => op::Value::Number(*number),
            (Value::String(text), kind) => {
                // As Lua does, and as upstream's callers rely on.
                let number = match kind {
                    Seconds | Time | Count => self.lua.coerce_number(Value::String(text.clone())),
                    _ => Ok(None),
                };
                match number {
                    Ok(Some(number)) => op::Value::Number(number),
                    _ => op::Value::Text(text.as_bytes().to_vec()),
                }
            }
            (Value::Table(table), Pairs) => pairs(table)?,
            (other, _) => op::Value::Other(type_name(other)),
        })
    }

    fn nothing(&self) -> &'static str {
        "nil"
    }
}

/// The pairs of a metadata table: `{ audiences = { … }, subjects = { … } }`.
fn pairs(table: &Table) -> StdResult<op::Value, Error> {
    let list = |name: &str| match table.get(name).unwrap_or(Value::Nil) {
        Value::Table(list) => Ok(list),
        other => {
            let reason = format!("{name}: table expected, got {}", type_name(&other));
            Err(Error::argument("metadata", reason))
        }
    };
    let (audiences, subjects) = (list("audiences")?, list("subjects")?);
    let (many, others) = (audiences.raw_len(), subjects.raw_len());
    if many != others {
        let reason = format!("as many audiences as subjects expected, got {many} and {others}");
        return Err(Error::argument("metadata", reason));
    }
    let item = |name, list: &Table, at| match list.raw_get(at).unwrap_or(Value::Nil) {
        Value::String(text) => Ok(text.as_bytes().to_vec()),
        other => {
            let reason = format!("string expected, got {}", type_name(&other));
            Err(Error::argument(name, reason))
        }
    };
    let pair = |at| {
        let audience = item("audience", &audiences, at)?;
        Ok((audience, item("subject", &subjects, at)?))
    };
    let pairs: StdResult<_, Error> = (1..=many).map(pair).collect();
    pairs.map(op::Value::Pairs)
}
