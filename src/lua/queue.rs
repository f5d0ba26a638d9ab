//! The completion queue as the pump uses it.

use super::answer;
use super::function::{function, protected};
use crate::completion::{CompletionQueue, Ticket};
use crate::op::{AnyOperation, Outcome};
use crate::{Error, Storage};
use mlua::{IntoLua, Lua, MultiValue, Result, Table, UserDataMethods, Value};
use std::cell::RefCell;
use std::io;
use std::sync::Arc;

/// How many outcomes one call of `drain` takes at most; Lua's stack holds some thousands of values.
const DRAINED: usize = 128;

/// A completion queue of one Lua VM.
pub(super) struct Queue {
    completions: Arc<CompletionQueue>,
    /// Outcomes that the next drains hand over; kept for its memory.
    taken: RefCell<Vec<(Ticket, Outcome)>>,
}

/// `true`, or `nil, message`.
fn done<T: IntoLua>(lua: &Lua, result: io::Result<T>) -> Result<(Value, Value)> {
    Ok(match result {
        Ok(value) => (value.into_lua(lua)?, Value::Nil),
        Err(error) => (Value::Nil, error.to_string().into_lua(lua)?),
    })
}

impl Queue {
    /// Hands an operation in; its outcome comes to this queue.
    pub(super) fn submit(
        &self,
        storage: &Storage,
        operation: Box<dyn AnyOperation>,
    ) -> std::result::Result<Ticket, Error> {
        let ticket = self.completions.ticket();
        storage.submit_any(operation, &self.completions, ticket)?;
        Ok(ticket)
    }

    /// Takes up to [`DRAINED`] of the outcomes that are ready: ticket, first and second value of each.
    /// As many values on the stack rather than fields set in a table: each field would cost a
    /// protected call.
    fn drain(&self, lua: &Lua) -> Result<MultiValue> {
        let mut taken = self.taken.borrow_mut();
        if taken.is_empty() {
            self.completions.drain_into(&mut taken);
        }
        let count = taken.len().min(DRAINED);
        let mut values = MultiValue::with_capacity(3 * count);
        for (ticket, outcome) in taken.drain(..count) {
            let (first, second) = answer::values(lua, outcome)?;
            values.extend([Value::Number(ticket as f64), first, second]);
        }
        Ok(values)
    }
}

impl mlua::UserData for Queue {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        // The path of a socket to connect to, or nil and a message.
        methods.add_method("listen", |lua, queue, ()| {
            protected(lua, || {
                let path = queue.completions.listen();
                done(lua, path.map(|path| path.to_string_lossy().into_owned()))
            })
        });
        // Takes that connection: true, or nil and a message.
        methods.add_method("accept", |lua, queue, ()| {
            protected(lua, || done(lua, queue.completions.accept().map(|()| true)))
        });
        methods.add_method("wake", |lua, queue, ()| {
            protected(lua, || {
                queue.completions.wake();
                Ok(())
            })
        });
        methods.add_method("close", |lua, queue, ()| {
            protected(lua, || {
                queue.completions.close();
                Ok(())
            })
        });
        methods.add_method("drain", |lua, queue, ()| {
            protected(lua, || queue.drain(lua))
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
    native.set("queue", function(lua, make)?)
}
