//! `rsp_log`: lines for the host's log.

use super::guard::guard;
use crate::host::log::{self, Level};
use crate::host::sink::{self, Sink};
use std::ffi::{CString, c_char, c_void};
use std::mem::MaybeUninit;
use std::ptr;

/// Lines for the host's log, the oldest first.
pub struct rsp_log {
    lines: Vec<(Level, CString)>,
}

fn text(line: &log::Line) -> CString {
    CString::new(line.text.replace('\0', " ")).unwrap_or_default()
}

/// Takes the lines that wait for the host's log, or returns NULL if none waits, which is cheap. Each
/// line is given out once. The library keeps at most 64: call this after failures, or now and then.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_log_take() -> Option<Box<rsp_log>> {
    guard(None, || {
        if log::is_empty() {
            return None;
        }
        let taken = log::take();
        let lines = taken.iter().map(|line| (line.level, text(line)));
        let lines = lines.collect();
        Some(Box::new(rsp_log { lines }))
    })
}

/// Returns a line, without secrets and without a line feed; NULL if there is no line of that index.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_log_line(
    log: Option<&rsp_log>,
    index: usize,
    level_out: Option<&mut MaybeUninit<Level>>,
) -> *const c_char {
    guard(ptr::null(), || {
        let Some((level, text)) = log.and_then(|log| log.lines.get(index)) else {
            return ptr::null();
        };
        if let Some(out) = level_out {
            out.write(*level);
        }
        text.as_ptr()
    })
}

/// Frees lines.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_log_free(log: Option<Box<rsp_log>>) {
    guard((), || drop(log));
}

/// Writes a line to the host's log. user: the pointer that was set with the function. text: as of
/// rsp_log_line, valid until the function returns.
pub type rsp_log_function =
    Option<unsafe extern "C" fn(user: *mut c_void, level: Level, text: *const c_char)>;

/// The pointer that the host set with its function.
struct User(*mut c_void);

// SAFETY: the library does not follow the pointer; the caller of `rsp_log_set_function` promises that
// its function may be called with it on any thread.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

/// Sets a function that is called with each line at once, in place of rsp_log_take, and first with the
/// lines that already wait. NULL removes it.
///
/// The library calls the function on any thread, one call at a time, and threads that serve sessions
/// wait for it: it should return quickly. It must not end its thread, unwind, or call a function of
/// this library but this one. When this returns, the previous function does not run any more, unless
/// it made this call. A child process keeps the function.
///
/// # Safety
///
/// `function` must be NULL or callable with `user` on any thread until it is removed, and while the
/// process exits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_log_set_function(function: rsp_log_function, user: *mut c_void) {
    guard((), || {
        let user = User(user);
        let sink = function.map(|function| -> Sink {
            Box::new(move |line| {
                let User(user) = &user;
                let text = text(line);
                // SAFETY: the caller's promise; the text lives until the function returns.
                unsafe { function(*user, line.level, text.as_ptr()) }
            })
        });
        sink::set(sink);
    });
}
