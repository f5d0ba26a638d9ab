//! The one error type. A variant names the step that failed and its limit; no message holds a
//! session key, a value, a password or a connection string.

use std::sync::Arc;
use std::time::Duration;

/// What went wrong with a configuration or an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration key has a value of a wrong type or out of range.
    #[error("{key}: {reason}")]
    Config {
        /// The key as the caller spelled it.
        key: String,
        /// What is accepted, and what was given.
        reason: String,
    },

    /// The caller passed an argument that no call may have: a wrong type, a missing one, lists of
    /// different lengths, a time that is no number.
    #[error("{name}: {reason}")]
    Argument {
        /// The argument's name.
        name: &'static str,
        /// What is accepted, and what was given.
        reason: String,
    },

    /// The text of an argument cannot be stored: empty, too long, a NUL byte, invalid UTF-8.
    #[error("{name} {reason}")]
    Text {
        /// The argument's name.
        name: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// As many operations wait as the backlog allows.
    #[error("too many waiting operations (the backlog of {limit} is full)")]
    Backlog {
        /// The configured backlog.
        limit: usize,
    },

    /// No connection became free or could be opened in time.
    #[error("no connection to {server} within {} ms: {reason}", .timeout.as_millis())]
    NoConnection {
        /// The servers, as "host:port".
        server: Arc<str>,
        /// The configured connect timeout.
        timeout: Duration,
        /// The last step that failed, and how.
        reason: Arc<str>,
    },

    /// The server refused the connection for a reason that waiting does not cure.
    #[error("no connection to {server}: {reason}")]
    Refused {
        /// The servers, as "host:port".
        server: Arc<str>,
        /// The step that failed, and how.
        reason: Arc<str>,
    },

    /// A connection was held, but the answer did not come in time.
    #[error("no answer from {server} within {} ms", .timeout.as_millis())]
    Timeout {
        /// The servers, as "host:port".
        server: Arc<str>,
        /// The sum of the configured send and read timeouts.
        timeout: Duration,
    },

    /// The connection broke, and there was no time to try again or trying again did not help.
    #[error("connection to {server} lost: {reason}")]
    Lost {
        /// The servers, as "host:port".
        server: Arc<str>,
        /// What the connection reported.
        reason: Arc<str>,
    },

    /// Another transaction held the row, or deadlocked with this operation, until the deadline.
    #[error("locked by another transaction for {} ms: {reason}", .timeout.as_millis())]
    Locked {
        /// How long was tried.
        timeout: Duration,
        /// The server's message.
        reason: Arc<str>,
    },

    /// The server rejected the statement.
    #[error("{message} (SQLSTATE {code})")]
    Database {
        /// The five-character SQLSTATE.
        code: Arc<str>,
        /// The server's primary message; details, which may hold values, are left out.
        message: Arc<str>,
    },

    /// The subject has as many live sessions as `max_sessions_per_subject` allows.
    #[error("the subject has {limit} sessions, which is the limit")]
    TooManySessions {
        /// The configured limit.
        limit: u32,
    },

    /// The session that the save names was ended: it was deleted or revoked. Nothing was saved.
    #[error("the session has ended: it was deleted or revoked")]
    Ended,

    /// What the operation would answer is larger than this library hands out.
    #[error("{reason}")]
    TooLarge {
        /// What is too large, and how large it may be.
        reason: Arc<str>,
    },

    /// The storage is shutting down with its process.
    #[error("the session storage is shutting down")]
    Stopped,

    /// A defect of this library; the operation may or may not have been carried out.
    #[error("internal error: {0}")]
    Internal(Arc<str>),
}

impl Error {
    pub(crate) fn config(key: impl Into<String>, reason: impl Into<String>) -> Self {
        let (key, reason) = (key.into(), reason.into());
        Error::Config { key, reason }
    }

    pub(crate) fn argument(name: &'static str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Error::Argument { name, reason }
    }

    pub(crate) fn internal(what: impl Into<Arc<str>>) -> Self {
        Error::Internal(what.into())
    }

    /// What repairs it, where the tables or the rights to them are at fault.
    pub fn remedy(&self) -> Option<&'static str> {
        let Error::Database { code, .. } = self else {
            return None;
        };
        match &**code {
            // A table or a schema is missing.
            "42P01" | "3F000" => Some(
                "resty-session-postgres migrate makes the tables; check says whether \
                 lua-resty-session has used others",
            ),
            "42501" => Some("resty-session-postgres check prints the GRANT"),
            // No unique index fits ON CONFLICT.
            "42P10" => Some("resty-session-postgres migrate makes the unique index"),
            // Another column is missing, of another type, too short, or must be given; a constraint; a trigger.
            "42703" | "42804" | "42883" | "22001" | "23502" | "23503" | "23505" | "23514"
            | "P0001" => {
                Some("resty-session-postgres check --try says what is wrong with the tables")
            }
            _ => None,
        }
    }

    /// Whether the caller's program is at fault rather than the data or the database: the Lua
    /// interface raises these and returns all others.
    pub fn is_callers_mistake(&self) -> bool {
        matches!(self, Error::Config { .. } | Error::Argument { .. })
    }
}
