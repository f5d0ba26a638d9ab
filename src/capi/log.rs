//! `rsp_log`: lines for the host's log. The library writes nothing to stdout or stderr, and calls
//! nobody from threads of its own but the function that the host sets for that.

use super::guard::{guard, guard_status};
use super::pointer::{self, Message, Out};
use super::status::rsp_status;
use crate::Error;
use crate::host::log::{self, Level};
use crate::host::sink::{self, Sink};
use std::ffi::{CString, c_char, c_void};
use std::ptr;

/// Lines for the host's log, the eldest first. They never change, so any number of threads may read
/// them at the same time.
pub struct rsp_log {
    /// The texts have a NUL at their ends.
    lines: Vec<(rsp_log_level, String)>,
}

/// How urgent a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum rsp_log_level {
    /// What happens in the ordinary course of things.
    RSP_LOG_INFO = 0,
    /// Worth knowing.
    RSP_LOG_NOTICE = 1,
    /// Somebody should look at it: a server that went away, for example.
    RSP_LOG_WARN = 2,
    /// A defect of this library.
    RSP_LOG_ERROR = 3,
}

impl From<Level> for rsp_log_level {
    fn from(level: Level) -> Self {
        match level {
            Level::Info => rsp_log_level::RSP_LOG_INFO,
            Level::Notice => rsp_log_level::RSP_LOG_NOTICE,
            Level::Warn => rsp_log_level::RSP_LOG_WARN,
            Level::Error => rsp_log_level::RSP_LOG_ERROR,
        }
    }
}

fn take() -> *mut rsp_log {
    if log::is_empty() {
        return ptr::null_mut();
    }
    let own = |line: log::Line| (line.level.into(), line.text.replace('\0', " ") + "\0");
    let lines = log::take().into_iter().map(own).collect();
    pointer::give(rsp_log { lines })
}

/// Takes the lines that wait for the host's log. Call it now and then, after a failure, for example:
/// no more than some dozens of lines are kept.
///
/// # Arguments
///
/// - `log_out`: receives the lines, which the caller owns and gives to `rsp_log_free`; NULL where
///   none waits, which costs next to nothing.
///
/// # Errors
///
/// `RSP_NULL_POINTER`.
///
/// Any thread may call this at any time; each line is given out once.
///
/// # Safety
///
/// `log_out` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_log_take(log_out: *mut *mut rsp_log) -> rsp_status {
    guard_status(Message::none(), || {
        // SAFETY: promised by the caller.
        let out = unsafe { Out::new("log_out", log_out) }?;
        out.write(take());
        Ok(())
    })
}

/// Returns how many lines there are.
///
/// # Arguments
///
/// - `log`: the lines. May be NULL, which are 0.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `log` must be NULL or a live `rsp_log`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_log_len(log: *const rsp_log) -> usize {
    guard(0, || {
        // SAFETY: promised by the caller.
        let log = unsafe { log.as_ref() };
        log.map_or(0, |log| log.lines.len())
    })
}

/// Reads one of the lines.
///
/// # Arguments
///
/// - `log`: the lines.
/// - `index`: which of them, from 0.
/// - `level_out`: receives how urgent the line is. May be NULL.
/// - `text_out`: receives the line, UTF-8 with a NUL and without a line feed at its end, and without
///   secrets. It is valid until `log` is freed.
///
/// # Errors
///
/// `RSP_INVALID_ARGUMENT` where there is no such index, `RSP_NULL_POINTER`. After an error no output
/// is written.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `log` must be NULL or a live `rsp_log`; the outputs must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_log_get(
    log: *const rsp_log,
    index: usize,
    level_out: *mut rsp_log_level,
    text_out: *mut *const c_char,
) -> rsp_status {
    guard_status(Message::none(), || {
        // SAFETY: promised by the caller.
        let log = unsafe { pointer::borrow("log", log) }?;
        // SAFETY: promised by the caller.
        let text_out = unsafe { Out::new("text_out", text_out) }?;
        let no_such_index = || Error::argument("index", "there are not so many lines");
        let (level, text) = log.lines.get(index).ok_or_else(no_such_index)?;
        text_out.write(text.as_ptr().cast());
        // SAFETY: promised by the caller.
        unsafe { pointer::write_if_wanted(level_out, *level) };
        Ok(())
    })
}

/// Frees lines.
///
/// # Arguments
///
/// - `log`: the lines, not to be used again. May be NULL: then nothing happens.
///
/// Not thread-safe: no other thread may use `log` meanwhile.
///
/// # Safety
///
/// `log` must be NULL or come from `rsp_log_take`, and not be freed already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_log_free(log: *mut rsp_log) {
    guard((), || {
        // SAFETY: promised by the caller.
        unsafe { pointer::take_back(log) }
    })
}

/// A function of the host's that takes lines for its log: `user` as it was set, how urgent the line
/// is, and its text as of `rsp_log_get`, valid until the function returns.
pub type rsp_log_function =
    Option<unsafe extern "C" fn(user: *mut c_void, level: rsp_log_level, text: *const c_char)>;

/// What the host set along with its function.
struct User(*mut c_void);

// SAFETY: the library only hands it back; the caller of `rsp_log_set_function` promises that its
// function may be called on any thread.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

/// Has lines given to a function as they come up, instead of keeping them for `rsp_log_take`. Lines
/// that wait already are given to it at once.
///
/// # Arguments
///
/// - `function`: the function. It is called on any thread, by one at a time, and those that serve
///   sessions wait for it: it should not take long. It must not end its thread or unwind, and must
///   call no function of this library but this one. NULL takes the function away.
/// - `user`: what the function gets as its first argument. May be NULL.
///
/// Any thread may call this at any time. When it returns, a function that was set before is not
/// running any more, unless that is what calls this. A child of a fork keeps the function.
///
/// # Safety
///
/// `function` must be NULL or callable with `user` on any thread until it is taken away, and while
/// the process exits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_log_set_function(function: rsp_log_function, user: *mut c_void) {
    guard((), || {
        let user = User(user);
        let sink = function.map(|function| -> Sink {
            Box::new(move |line| {
                let User(user) = &user;
                let text = CString::new(line.text.replace('\0', " ")).unwrap_or_default();
                // SAFETY: promised by the caller; the text lives until the function returns.
                unsafe { function(*user, line.level.into(), text.as_ptr()) }
            })
        });
        sink::set(sink);
    })
}
