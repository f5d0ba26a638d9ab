//! The result of a call: a number for programs, a message for people.

use crate::Error;
use std::ffi::CStr;
use std::io;

/// The result of a call. A number never changes its meaning. Later versions may add numbers: treat an
/// unknown one as a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum rsp_status {
    /// Success.
    RSP_OK = 0,
    /// A pointer that must not be NULL is NULL; the message names the parameter.
    RSP_NULL_POINTER = 1,
    /// An argument that no call may have: an unknown name, a missing argument, a number out of range.
    RSP_INVALID_ARGUMENT = 2,
    /// A text that is not accepted: an empty key, the length 0, a NUL byte, invalid UTF-8, more than
    /// 16 MiB.
    RSP_INVALID_TEXT = 3,
    /// A configuration key is unknown, or its value is not accepted.
    RSP_INVALID_CONFIG = 4,
    /// As many operations wait as the backlog allows. Try again later.
    RSP_BACKLOG_FULL = 5,
    /// No connection became free or could be opened within connect_timeout.
    RSP_NO_CONNECTION = 6,
    /// The server refused the connection: a wrong password, an unknown database, a certificate.
    RSP_REFUSED = 7,
    /// The server did not answer within send_timeout and read_timeout together.
    RSP_TIMEOUT = 8,
    /// The connection broke, and a second try did not succeed.
    RSP_CONNECTION_LOST = 9,
    /// Another transaction held the session's row until the deadline.
    RSP_LOCKED = 10,
    /// The server rejected the statement; the message ends in the SQLSTATE.
    RSP_DATABASE = 11,
    /// The subject already has as many live sessions as max_sessions_per_subject allows.
    RSP_TOO_MANY_SESSIONS = 12,
    /// The process is exiting, and the storage stops with it.
    RSP_STOPPED = 13,
    /// The operating system refused something, such as one more file descriptor.
    RSP_SYSTEM = 14,
    /// A defect of this library. The operation may have been carried out or not.
    RSP_INTERNAL = 15,
    /// The answer is larger than the library hands out: a session's data, or a list of sessions.
    RSP_TOO_LARGE = 16,
    /// The session that the save names was ended: it was deleted or revoked. Nothing was saved.
    RSP_SESSION_ENDED = 17,
}

use rsp_status::*;

/// cbindgen:ignore
const NAMES: [(rsp_status, &CStr); 18] = [
    (RSP_OK, c"RSP_OK"),
    (RSP_NULL_POINTER, c"RSP_NULL_POINTER"),
    (RSP_INVALID_ARGUMENT, c"RSP_INVALID_ARGUMENT"),
    (RSP_INVALID_TEXT, c"RSP_INVALID_TEXT"),
    (RSP_INVALID_CONFIG, c"RSP_INVALID_CONFIG"),
    (RSP_BACKLOG_FULL, c"RSP_BACKLOG_FULL"),
    (RSP_NO_CONNECTION, c"RSP_NO_CONNECTION"),
    (RSP_REFUSED, c"RSP_REFUSED"),
    (RSP_TIMEOUT, c"RSP_TIMEOUT"),
    (RSP_CONNECTION_LOST, c"RSP_CONNECTION_LOST"),
    (RSP_LOCKED, c"RSP_LOCKED"),
    (RSP_DATABASE, c"RSP_DATABASE"),
    (RSP_TOO_MANY_SESSIONS, c"RSP_TOO_MANY_SESSIONS"),
    (RSP_STOPPED, c"RSP_STOPPED"),
    (RSP_SYSTEM, c"RSP_SYSTEM"),
    (RSP_INTERNAL, c"RSP_INTERNAL"),
    (RSP_TOO_LARGE, c"RSP_TOO_LARGE"),
    (RSP_SESSION_ENDED, c"RSP_SESSION_ENDED"),
];

pub(super) fn name(status: u32) -> Option<&'static CStr> {
    let known = NAMES.iter().find(|(known, _)| *known as u32 == status);
    known.map(|(_, name)| *name)
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

fn status_of(error: &Error) -> rsp_status {
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
        Error::TooLarge { .. } => RSP_TOO_LARGE,
        Error::Ended => RSP_SESSION_ENDED,
        Error::Stopped => RSP_STOPPED,
        Error::Internal(_) => RSP_INTERNAL,
    }
}
