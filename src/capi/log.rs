//! `rsp_log`: lines for the host's log. The library writes nothing to stdout or stderr, and calls
//! nobody from threads of its own.

use super::guard::{guard, guard_status};
use super::pointer::{self, Message, Out};
use super::status::rsp_status;
use crate::Error;
use crate::host::log::{self, Level};
use std::ffi::c_char;
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
