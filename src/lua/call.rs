//! The methods of an instance, one for each operation, as functions of a storage and, for callers that
//! must not block, a completion queue.

use super::answer;
use super::config::Handle;
use super::function::function;
use super::message::{failure, mistake, type_name};
use super::queue::Queue;
use crate::Error;
use crate::op::{self, Args, Group, Kind, ParamKind, Source};
use crate::ops::KINDS;
use mlua::{IntoLuaMulti, Lua, MultiValue, Result, Table, UserDataRef, Value, Variadic};

/// Adds the table `methods` of functions by their names. Each takes the storage, a completion queue
/// or nil, and the method's arguments. With a queue it returns a ticket at once, without one the
/// outcome. Both return `nil, message` for a failure and `false, message` for the caller's mistake.
pub(super) fn register(lua: &Lua, native: &Table) -> Result<()> {
    let methods = lua.create_table()?;
    for kind in KINDS {
        type All = (
            UserDataRef<Handle>,
            Option<UserDataRef<Queue>>,
            Variadic<Value>,
        );
        let run = move |lua: &Lua, (storage, queue, given): All| {
            call(lua, kind, &storage, queue.as_deref(), &given)
        };
        methods.set(kind.spec.name, function(lua, run)?)?;
    }
    native.set("methods", methods)
}

fn call(
    lua: &Lua,
    kind: &'static Kind,
    storage: &Handle,
    queue: Option<&Queue>,
    given: &[Value],
) -> Result<MultiValue> {
    let given = Given { lua, values: given };
    let read = given
        .check_count(kind)
        .and_then(|()| (kind.read)(&Args::new(kind.spec, &given)));
    let operation = match read {
        Ok(operation) => operation,
        Err(error) if error.is_callers_mistake() => {
            let params: Vec<&str> = kind.spec.params.iter().map(|param| param.name).collect();
            let message = mistake(kind.spec.name, &params, &error);
            return (false, message).into_lua_multi(lua);
        }
        Err(error) => return (Value::Nil, failure(&error)).into_lua_multi(lua),
    };
    let Some(queue) = queue else {
        let outcome = storage.0.call_on_engine(operation);
        return answer::values(lua, outcome)?.into_lua_multi(lua);
    };
    match queue.submit(&storage.0, operation) {
        Ok(ticket) => (ticket as f64).into_lua_multi(lua),
        Err(error) => (Value::Nil, failure(&error)).into_lua_multi(lua),
    }
}

/// A method's arguments, at the places of its parameters.
struct Given<'a> {
    lua: &'a Lua,
    values: &'a [Value],
}

impl Given<'_> {
    /// A subject too many must not be lost, and everybody's sessions ended.
    fn check_count(&self, kind: &Kind) -> std::result::Result<(), Error> {
        let most = kind.spec.params.len();
        let mut more = self.values.iter().skip(most);
        if kind.spec.group == Group::Storage || more.all(Value::is_nil) {
            return Ok(());
        }
        Err(Error::argument(
            "arguments",
            format!("expected {most} at most"),
        ))
    }
}

impl Source for Given<'_> {
    fn value(&self, place: usize, kind: ParamKind) -> std::result::Result<op::Value, Error> {
        use ParamKind::{Count, Seconds, Time};
        let value = self.values.get(place).unwrap_or(&Value::Nil);
        Ok(match (value, kind) {
            (Value::Nil, _) => op::Value::Nothing,
            (Value::Boolean(flag), _) => op::Value::Flag(*flag),
            (Value::Integer(number), _) => op::Value::Number(*number as f64),
            (Value::Number(number), _) => op::Value::Number(*number),
            // As Lua does, and as upstream's callers rely on.
            (Value::String(text), Seconds | Time | Count) => {
                let number = self.lua.coerce_number(value.clone()).ok().flatten();
                number.map_or_else(
                    || op::Value::Text(text.as_bytes().to_vec()),
                    op::Value::Number,
                )
            }
            (Value::String(text), _) => op::Value::Text(text.as_bytes().to_vec()),
            (Value::Table(table), ParamKind::Pairs) => op::Value::Pairs(pairs(table)?),
            (other, _) => op::Value::Other(type_name(other)),
        })
    }

    fn nothing(&self) -> &'static str {
        "nil"
    }
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// The pairs of a metadata table: `{ audiences = { … }, subjects = { … } }`.
fn pairs(table: &Table) -> std::result::Result<Pairs, Error> {
    let audiences = list(table, "audiences")?;
    let subjects = list(table, "subjects")?;
    let (many, others) = (audiences.raw_len(), subjects.raw_len());
    if many != others {
        let reason = format!("as many audiences as subjects expected, got {many} and {others}");
        return Err(Error::argument("metadata", reason));
    }
    let item = |list: &Table, at, name| match list.raw_get(at).unwrap_or(Value::Nil) {
        Value::String(text) => Ok(text.as_bytes().to_vec()),
        other => {
            let reason = format!("string expected, got {}", type_name(&other));
            Err(Error::argument(name, reason))
        }
    };
    (1..=many)
        .map(|at| {
            Ok((
                item(&audiences, at, "audience")?,
                item(&subjects, at, "subject")?,
            ))
        })
        .collect()
}

fn list(table: &Table, name: &'static str) -> std::result::Result<Table, Error> {
    match table.get::<Value>(name) {
        Ok(Value::Table(list)) => Ok(list),
        other => {
            let value = other.unwrap_or(Value::Nil);
            let reason = format!("{name}: table expected, got {}", type_name(&value));
            Err(Error::argument("metadata", reason))
        }
    }
}
