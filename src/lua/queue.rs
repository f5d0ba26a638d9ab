//! Outcomes as Lua values, and the completion queue from which the pump takes them.

use super::function::{failure, first_line, function, protected};
use crate::completion::{CompletionQueue, Ticket, WakeAddress};
use crate::op::{Answer, Finding, Outcome, Session};
use mlua::{IntoLua, IntoLuaMulti, Lua, MultiValue, Result, Table, UserDataMethods, Value};
use std::cell::RefCell;
use std::sync::Arc;

/// How many outcomes one call of `drain` takes at most; Lua's stack holds some thousands of values.
const DRAINED: usize = 128;

pub(super) struct Queue {
    pub(super) completions: Arc<CompletionQueue>,
    /// Outcomes that the next drains hand over; kept for its memory.
    taken: RefCell<Vec<(Ticket, Outcome)>>,
}

/// Adds `queue()` to the module's table.
pub(super) fn register(lua: &Lua, native: &Table) -> Result<()> {
    let make = |_: &Lua, (): ()| {
        Ok(Queue { completions: Arc::new(CompletionQueue::new()), taken: RefCell::default() })
    };
    native.set("queue", function(lua, make)?)
}

impl Queue {
    /// Takes up to [`DRAINED`] of the outcomes that are ready: ticket, first and second value of each.
    /// As many values on the stack rather than fields set in a table: each field would cost a
    /// protected call.
    fn drain(&self, lua: &Lua) -> Result<MultiValue> {
        let mut taken = self.taken.borrow_mut();
        if taken.is_empty() {
            self.completions.drain_into(&mut taken);
        }
        let count = taken.len().min(DRAINED);
        let mut drained = MultiValue::with_capacity(3 * count);
        for (ticket, outcome) in taken.drain(..count) {
            // The others are not to be lost with one that Lua has no memory for.
            let (first, second) = match values(lua, outcome) {
                Ok(values) => values,
                Err(error) => (Value::Nil, first_line(&error).into_lua(lua)?),
            };
            drained.extend([Value::Number(ticket as f64), first, second]);
        }
        Ok(drained)
    }
}

impl mlua::UserData for Queue {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        // The host to connect to; of a port also its number and what to send first. Or nil and a message.
        add(methods, "listen", |_, queue| {
            Ok(match queue.completions.listen()? {
                WakeAddress::Unix(path) => (format!("unix:{}", path.display()), None, None),
                WakeAddress::Loopback(port, secret) => {
                    ("127.0.0.1".into(), Some(port), Some(secret))
                }
            })
        });
        // Takes that connection: true, or nil and a message.
        add(methods, "accept", |_, queue| {
            queue.completions.accept()?;
            Ok(true)
        });
        add(methods, "wake", |_, queue| {
            queue.completions.wake();
            Ok(())
        });
        add(methods, "close", |_, queue| {
            queue.completions.close();
            Ok(())
        });
        add(methods, "drain", |lua, queue| queue.drain(lua));
    }
}

fn add<M: UserDataMethods<Queue>, R: IntoLuaMulti + 'static>(
    methods: &mut M,
    name: &str,
    body: fn(&Lua, &Queue) -> Result<R>,
) {
    methods.add_method(name, move |lua, queue, ()| protected(lua, || body(lua, queue)));
}

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
        Answer::Expiries(sessions) => list(lua, sessions, |_, list, (key, expires)| {
            list.raw_set(key, expires.seconds() as f64)
        })?,
        Answer::Sessions(sessions) => {
            list(lua, sessions, |lua, list, item| list.raw_push(session(lua, item)?))?
        }
        Answer::Findings(findings) => {
            list(lua, findings, |lua, list, item| list.raw_push(finding(lua, item)?))?
        }
    };
    Ok((value, Value::Nil))
}

/// How many items of a list Lua gets at once.
const SLICE: usize = 1_000;

/// Puts the next items of a list into a table. Returns whether there are more.
type Fill = Box<dyn FnMut(&Lua, &Table) -> Result<bool>>;

/// A list that is longer than a slice, which `instance.lua` makes a table of: others may run between two
/// slices.
struct Slices(RefCell<Option<Fill>>);

impl mlua::UserData for Slices {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("fill", |lua, slices, table: Table| {
            protected(lua, || {
                let mut fill = slices.0.borrow_mut();
                let more = fill.as_mut().map_or(Ok(false), |fill| fill(lua, &table))?;
                if !more {
                    // Lua does not know how much memory it holds.
                    *fill = None;
                }
                Ok(more)
            })
        });
    }
}

/// A table of the items, or a userdata that fills one.
fn list<T: 'static>(
    lua: &Lua,
    items: Vec<T>,
    put: fn(&Lua, &Table, T) -> Result<()>,
) -> Result<Value> {
    let mut items = items.into_iter();
    if items.len() <= SLICE {
        let table = lua.create_table()?;
        items.try_for_each(|item| put(lua, &table, item))?;
        return Ok(Value::Table(table));
    }
    let fill: Fill = Box::new(move |lua, table| {
        items.by_ref().take(SLICE).try_for_each(|item| put(lua, table, item))?;
        Ok(items.len() > 0)
    });
    Slices(RefCell::new(Some(fill))).into_lua(lua)
}

fn session(lua: &Lua, session: Session) -> Result<Table> {
    let table = lua.create_table_from([("key", session.key), ("name", session.name)])?;
    table.raw_set("expires", session.expires.seconds() as f64)?;
    let created = session.created.map(|created| created.seconds() as f64);
    table.raw_set("created", created)?;
    Ok(table)
}

fn finding(lua: &Lua, finding: Finding) -> Result<Table> {
    let repair = finding.repair.map(|repair| ("repair", repair));
    let table = lua.create_table_from([("problem", finding.problem)].into_iter().chain(repair))?;
    table.raw_set("advice", finding.advice)?;
    Ok(table)
}
