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
mod tests {
    use super::super::*;
    use super::*;
    use std::cell::Cell;
    use std::ptr::{null, null_mut};

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
    fn with_panic<T>(call: impl FnOnce() -> T) -> T {
        let before = PANICS.get();
        REQUESTED.set(true);
        let result = call();
        REQUESTED.set(false);
        assert_eq!(PANICS.get(), before + 1, "not guarded");
        result
    }

    /// Calls functions with a panic in their bodies. Each must return `$result`; gives their number.
    macro_rules! panics {
        ($result:expr, $($function:ident($($argument:expr),*);)*) => {
            [$({
                // SAFETY: the body panics before it looks at any argument.
                #[allow(unused_unsafe, reason = "some of the functions are safe")]
                let result = with_panic(|| unsafe { $function($($argument),*) });
                assert_eq!(result, $result, stringify!($function));
            }),*].len()
        };
    }

    const INTERNAL: rsp_status = rsp_status::RSP_INTERNAL;

    #[test]
    fn no_panic_leaves_a_function() {
        let (text, none) = (null::<c_char>(), null_mut::<c_char>());
        let mut tested = panics! { INTERNAL,
            rsp_config_new(None, none, 0);
            rsp_config_set(None, text, text, 0, none, 0);
            rsp_config_dsn(None, text, 0, none, 0);
            rsp_config_environment(None, none, 0);
            rsp_storage_new(None, None, none, 0);
            rsp_storage_set_password(None, text, 0, none, 0);
            rsp_storage_metrics(None, None, none, 0);
            rsp_request_new(text, None, none, 0);
            rsp_request_text(None, text, text, 0, none, 0);
            rsp_request_number(None, text, 0.0, none, 0);
            rsp_request_flag(None, text, false, none, 0);
            rsp_request_pair(None, text, text, 0, text, 0, none, 0);
            rsp_call(None, None, None, none, 0);
            rsp_submit(None, None, None, null_mut(), None, none, 0);
            rsp_get(None, text, 0, None, none, 0);
            rsp_set(None, text, 0, text, 0, text, 0, 0.0, none, 0);
            rsp_delete(None, text, 0, none, 0);
            rsp_completion_status(None, none, 0);
            rsp_queue_new(None, none, 0);
            rsp_queue_drain(None, null_mut(), 0, None, none, 0);
        };
        tested += panics! { (),
            rsp_config_free(None);
            rsp_storage_free(None);
            rsp_request_clear(None);
            rsp_request_free(None);
            rsp_completion_free(None);
            rsp_queue_free(None);
            rsp_log_free(None);
            rsp_log_set_function(None, null_mut());
        };
        tested += panics! { text,
            rsp_completion_value(None, None);
            rsp_completion_session_key(None, 0, None);
            rsp_completion_session_name(None, 0, None);
            rsp_completion_finding_problem(None, 0, None);
            rsp_completion_finding_repair(None, 0, None);
            rsp_log_line(None, 0, None);
        };
        tested += panics! { false,
            rsp_completion_found(None);
            rsp_completion_session_expires(None, 0, None);
            rsp_completion_session_created(None, 0, None);
            rsp_completion_limited(None);
            rsp_completion_finding_is_advice(None, 0);
        };
        tested += panics! { 0,
            rsp_completion_sessions(None);
            rsp_completion_findings(None);
        };
        tested += panics! { 0, rsp_completion_ticket(None); rsp_completion_count(None); };
        tested += panics! { null_mut(), rsp_completion_user(None); };
        tested += panics! { -1, rsp_queue_fd(None); };
        assert!(with_panic(|| rsp_log_take()).is_none());
        tested += 1;
        tested += panics! { VERSION.as_ptr(), rsp_version(); };
        tested += panics! { rsp_status_name(u32::MAX), rsp_status_name(0); };

        let header = include_str!("../../include/resty_session_postgres.h");
        let is_code = |line: &&str| !line.starts_with("//") && !line.starts_with("typedef");
        let first_lines = header.lines().filter(is_code);
        let declared = first_lines.filter(|line| line.contains(" rsp_") || line.contains(" *rsp_"));
        let declared = declared.filter(|line| line.contains('(')).count();
        assert_eq!(tested, declared, "every function is tested");
    }

    #[test]
    fn a_panic_has_a_message() {
        let mut message = [0; 64];
        // SAFETY: the body panics before it looks at the other arguments; the buffer has that size.
        let status = with_panic(|| unsafe {
            rsp_delete(None, null(), 0, message.as_mut_ptr(), message.len())
        });
        assert_eq!(status, INTERNAL);
        // SAFETY: a message ends in a NUL.
        let message = unsafe { CStr::from_ptr(message.as_ptr()) };
        assert!(message.to_str().is_ok_and(|text| text.contains("panic")));
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
