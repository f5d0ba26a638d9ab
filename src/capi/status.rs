//! What became of a call: a number for programs, a message for people.

use super::guard::guard;
use crate::Error;
use std::ffi::{CStr, c_char};
use std::io;

/// What became of a call. A number keeps its meaning for ever and is never used for another one;
/// later versions may add numbers, so treat one that you do not know as a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum rsp_status {
    /// Success: the outputs are written.
    RSP_OK = 0,
    /// A pointer that may not be NULL is NULL; the message names it.
    RSP_NULL_POINTER = 1,
    /// A configuration key is unknown, or its value is not accepted.
    RSP_INVALID_CONFIG = 2,
    /// An argument has a value that no call may have: a time out of range, an unknown flag.
    RSP_INVALID_ARGUMENT = 3,
    /// A text cannot be stored: an empty key, a NUL byte, invalid UTF-8, more than 256 MiB.
    RSP_INVALID_TEXT = 4,
    /// As many operations wait as the backlog allows. Try again later.
    RSP_BACKLOG_FULL = 5,
    /// No connection became free or could be opened within the connect timeout.
    RSP_NO_CONNECTION = 6,
    /// The server refused the connection: a wrong password, an unknown database, a certificate.
    RSP_REFUSED = 7,
    /// A connection was held, but the answer did not come in time.
    RSP_TIMEOUT = 8,
    /// The connection broke, and trying again did not help.
    RSP_CONNECTION_LOST = 9,
    /// Another transaction held the session's row until the deadline.
    RSP_LOCKED = 10,
    /// The server rejected the statement; the message ends in its SQLSTATE.
    RSP_DATABASE = 11,
    /// The process is exiting, and the storage with it.
    RSP_STOPPED = 12,
    /// A defect of this library; the operation may or may not have been carried out.
    RSP_INTERNAL = 13,
    /// The operating system refused something, such as one more file descriptor.
    RSP_SYSTEM = 14,
    /// The subject has as many live sessions as `max_sessions_per_subject` allows, and one more is
    /// refused.
    RSP_TOO_MANY_SESSIONS = 15,
}

use rsp_status::*;

/// cbindgen:ignore
const NAMES: &[(rsp_status, &CStr)] = &[
    (RSP_OK, c"RSP_OK"),
    (RSP_NULL_POINTER, c"RSP_NULL_POINTER"),
    (RSP_INVALID_CONFIG, c"RSP_INVALID_CONFIG"),
    (RSP_INVALID_ARGUMENT, c"RSP_INVALID_ARGUMENT"),
    (RSP_INVALID_TEXT, c"RSP_INVALID_TEXT"),
    (RSP_BACKLOG_FULL, c"RSP_BACKLOG_FULL"),
    (RSP_NO_CONNECTION, c"RSP_NO_CONNECTION"),
    (RSP_REFUSED, c"RSP_REFUSED"),
    (RSP_TIMEOUT, c"RSP_TIMEOUT"),
    (RSP_CONNECTION_LOST, c"RSP_CONNECTION_LOST"),
    (RSP_LOCKED, c"RSP_LOCKED"),
    (RSP_DATABASE, c"RSP_DATABASE"),
    (RSP_STOPPED, c"RSP_STOPPED"),
    (RSP_INTERNAL, c"RSP_INTERNAL"),
    (RSP_SYSTEM, c"RSP_SYSTEM"),
    (RSP_TOO_MANY_SESSIONS, c"RSP_TOO_MANY_SESSIONS"),
];

/// Returns the name of a status, such as "RSP_TIMEOUT".
///
/// # Arguments
///
/// - `status`: any number; one that this version does not know is named "RSP_UNKNOWN".
///
/// # Returns
///
/// A static, NUL-terminated text that must not be freed.
///
/// Any thread may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_status_name(status: u32) -> *const c_char {
    guard(c"RSP_UNKNOWN".as_ptr(), || {
        let known = NAMES.iter().find(|(known, _)| *known as u32 == status);
        known.map_or(c"RSP_UNKNOWN", |(_, name)| name).as_ptr()
    })
}

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0} is NULL")]
    Null(&'static str),
    #[error(transparent)]
    Core(#[from] Error),
    #[error("{0}: {1}")]
    System(&'static str, #[source] io::Error),
    #[error("internal error: a panic, whose message is in the log")]
    Panic,
}

impl Failure {
    pub(super) fn status(&self) -> rsp_status {
        match self {
            Failure::Null(_) => RSP_NULL_POINTER,
            Failure::Core(error) => status_of(error),
            Failure::System(..) => RSP_SYSTEM,
            Failure::Panic => RSP_INTERNAL,
        }
    }
}

pub(super) fn status_of(error: &Error) -> rsp_status {
    match error {
        Error::Config { .. } => RSP_INVALID_CONFIG,
        Error::Argument { .. } => RSP_INVALID_ARGUMENT,
        Error::Text { .. } => RSP_INVALID_TEXT,
        Error::Backlog { .. } => RSP_BACKLOG_FULL,
        Error::NoConnection { .. } => RSP_NO_CONNECTION,
        Error::Refused { .. } => RSP_REFUSED,
        Error::Timeout { .. } => RSP_TIMEOUT,
        Error::Lost { .. } => RSP_CONNECTION_LOST,
        Error::Locked { .. } => RSP_LOCKED,
        Error::Database { .. } => RSP_DATABASE,
        Error::TooManySessions { .. } => RSP_TOO_MANY_SESSIONS,
        Error::Stopped => RSP_STOPPED,
        Error::Internal(_) => RSP_INTERNAL,
    }
}
