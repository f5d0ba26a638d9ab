//! The completion queue as the pump uses it.

use super::results;
use crate::completion::{CompletionQueue, Ticket};
use crate::op::Outcome;
use mlua::{IntoLua, Lua, Result, Table, UserDataMethods, Value};
use std::cell::RefCell;
use std::io;
use std::sync::Arc;

/// A completion queue of one Lua VM.
pub(super) struct Queue {
    pub(super) completions: Arc<CompletionQueue>,
    /// Kept between drains for its memory.
    taken: RefCell<Vec<(Ticket, Outcome)>>,
}

/// `true`, or `nil, message`.
fn done<T: IntoLua>(lua: &Lua, result: io::Result<T>) -> Result<(Value, Value)> {
    Ok(match result {
        Ok(value) => (value.into_lua(lua)?, Value::Nil),
        Err(error) => (Value::Nil, error.to_string().into_lua(lua)?),
    })
}

impl mlua::UserData for Queue {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        // The path of a socket to connect to, or nil and a message.
        methods.add_method("listen", |lua, queue, ()| {
            let path = queue.completions.listen();
            done(lua, path.map(|path| path.to_string_lossy().into_owned()))
        });
        // Takes that connection: true, or nil and a message.
        methods.add_method("accept", |lua, queue, ()| {
            done(lua, queue.completions.accept().map(|()| true))
        });
        methods.add_method("wake", |_, queue, ()| {
            queue.completions.wake();
            Ok(())
        });
        methods.add_method("close", |_, queue, ()| {
            queue.completions.close();
            Ok(())
        });
        // Writes what is ready into the table as ticket, first and second value of each outcome;
        // returns how many outcomes these are.
        methods.add_method("drain", |lua, queue, into: Table| {
            let mut taken = queue.taken.borrow_mut();
            queue.completions.drain_into(&mut taken);
            let count = taken.len();
            for (n, (ticket, outcome)) in taken.drain(..).enumerate() {
                let (first, second) = results::outcome(lua, outcome)?;
                into.raw_set(3 * n + 1, ticket as f64)?;
                into.raw_set(3 * n + 2, first)?;
                into.raw_set(3 * n + 3, second)?;
            }
            Ok(count)
        });
    }
}

/// Adds `queue()` to the module's table.
pub(super) fn register(lua: &Lua, native: &Table) -> Result<()> {
    let make = |_: &Lua, (): ()| {
        Ok(Queue {
            completions: Arc::new(CompletionQueue::new()),
            taken: RefCell::default(),
        })
    };
    native.set("queue", lua.create_function(make)?)
}
