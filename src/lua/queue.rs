//! The completion queue as the pump uses it.

use super::answer;
use super::function::{function, protected};
use crate::completion::{CompletionQueue, Ticket};
use crate::op::Outcome;
use mlua::{IntoLuaMulti, Lua, MultiValue, Result, Table, UserDataMethods, Value};
use std::cell::RefCell;
use std::sync::Arc;

/// How many outcomes one call of `drain` takes at most; Lua's stack holds some thousands of values.
const DRAINED: usize = 128;

/// A completion queue of one Lua VM.
pub(super) struct Queue {
    pub(super) completions: Arc<CompletionQueue>,
    /// Outcomes that the next drains hand over; kept for its memory.
    taken: RefCell<Vec<(Ticket, Outcome)>>,
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
        add(methods, "listen", |_, queue| {
            let path = queue.completions.listen()?;
            Ok(path.to_string_lossy().into_owned())
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
    methods.add_method(name, move |lua, queue, ()| {
        protected(lua, || body(lua, queue))
    });
}
