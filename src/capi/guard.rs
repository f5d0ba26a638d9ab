//! What every function goes through: a panic must not reach a caller that cannot unwind.

use super::pointer::Message;
use super::status::{Failure, rsp_status};
use crate::host::log;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the body of a function; after a panic, `fallback` is its result.
///
/// No body leaves anything half-changed that is used again: the library's own state recovers from
/// poisoned locks, and a handle whose function panicked is as it was or leaked.
pub(super) fn guard<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    let caught = catch_unwind(AssertUnwindSafe(|| {
        // A failing unit test should still say where.
        if !cfg!(test) {
            log::catch_panic_messages();
        }
        #[cfg(test)]
        tests::panic_if_requested();
        body()
    }));
    caught.unwrap_or_else(|panic| {
        // Its drop might panic again; a few leaked bytes are better.
        mem::forget(panic);
        fallback
    })
}

/// The same for a function that returns a status and writes a message when it fails.
pub(super) fn guard_status(
    message: Message,
    body: impl FnOnce() -> Result<(), Failure>,
) -> rsp_status {
    match guard(Err(Failure::Panic), body) {
        Ok(()) => rsp_status::RSP_OK,
        Err(failure) => {
            message.write(&failure);
            failure.status()
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static REQUESTED: Cell<bool> = const { Cell::new(false) };
        static PANICS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn panic_if_requested() {
        if REQUESTED.get() {
            PANICS.set(PANICS.get() + 1);
            panic!("as requested");
        }
    }

    /// Runs `call` with a panic in the body of the function that it calls.
    pub(crate) fn with_panic<T>(call: impl FnOnce() -> T) -> T {
        let before = PANICS.get();
        REQUESTED.set(true);
        let result = call();
        REQUESTED.set(false);
        assert_eq!(PANICS.get(), before + 1, "not guarded");
        result
    }

    #[test]
    fn a_payload_that_panics_when_dropped_does_no_harm() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        assert_eq!(guard(7, || std::panic::panic_any(Bomb)), 7);
    }
}
