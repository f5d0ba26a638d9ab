//! Why a statement failed, and what follows from it. Classified once, where the server's answer or
//! the socket's error arrives; the engine acts on the verdict and reads no error again.

use crate::Error;
use crate::host::log::excerpt;
use postgres::error::{DbError, Severity, SqlState};
use std::sync::Arc;
use std::time::Duration;

/// Why a statement failed, with the verdict on its operations and on its connection.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The answer, should the operation not be tried again.
    pub(crate) error: Error,
    pub(crate) retry: Retry,
    pub(crate) connection: Verdict,
}

/// Whether, and how, the operations of a failed statement are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// They are answered.
    Never,
    /// One by one: one of them is at fault. A single one is answered.
    Split,
    /// By itself, without others that wait for its connection. One that was by itself is answered.
    Separate,
    /// One by one, and as often as the time allows: one of them met a lock of another transaction.
    WhenUnlocked,
    /// After a pause, as often as the time allows.
    Later,
    /// At once on another connection, a few times.
    AtOnce,
}

/// What a failure says about connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The connection works.
    Usable,
    /// The connection must not be used again.
    Broken,
    /// The same, and the other idle connections are probably broken as well.
    AllBroken,
}

impl Fault {
    fn new(error: Error, retry: Retry, connection: Verdict) -> Self {
        Fault { error, retry, connection }
    }

    /// The operation fails with this error; nothing was carried out.
    pub(crate) fn answer(error: Error) -> Self {
        Fault::new(error, Retry::Never, Verdict::Usable)
    }

    /// The answer is too large for a statement that others wait for, or for this library.
    pub(crate) fn too_large(reason: impl Into<Arc<str>>) -> Self {
        let reason = reason.into();
        Fault::new(Error::TooLarge { reason }, Retry::Separate, Verdict::Usable)
    }

    /// A defect of this library.
    pub(crate) fn defect(what: &str) -> Self {
        Fault::new(Error::internal(what), Retry::Never, Verdict::Broken)
    }

    /// The tables are not as documented, for example another type of column.
    pub(crate) fn undecodable(reason: &str) -> Self {
        let error = database(&SqlState::DATATYPE_MISMATCH, reason);
        Fault::new(error, Retry::Split, Verdict::Usable)
    }

    /// Another transaction is in the way; nothing was carried out.
    pub(crate) fn locked(timeout: Duration, reason: &str) -> Self {
        let reason = excerpt(reason).into();
        let error = Error::Locked { timeout, reason };
        Fault::new(error, Retry::WhenUnlocked, Verdict::Usable)
    }

    /// No answer came in time; whether the statement was carried out is unknown.
    pub(crate) fn timed_out(server: &Arc<str>, timeout: Duration) -> Self {
        let server = Arc::clone(server);
        let error = Error::Timeout { server, timeout };
        Fault::new(error, Retry::Never, Verdict::Broken)
    }

    /// The connection broke; whether the statement was carried out is unknown. It can be tried
    /// again: each operation may be carried out twice with the result of once.
    pub(crate) fn lost(server: &Arc<str>, reason: &str) -> Self {
        let server = Arc::clone(server);
        let reason = excerpt(reason).into();
        let error = Error::Lost { server, reason };
        Fault::new(error, Retry::AtOnce, Verdict::AllBroken)
    }

    /// The server has sent more than this library reads, in answer to one of the operations.
    pub(super) fn refused(reason: &str) -> Self {
        let reason = excerpt(reason).into();
        Fault::new(Error::TooLarge { reason }, Retry::Split, Verdict::Broken)
    }

    /// Whether the operations wait for another transaction.
    pub(crate) fn is_lock(&self) -> bool {
        self.retry == Retry::WhenUnlocked
    }
}

/// What an answer of the server means.
pub(super) fn classify(answer: &DbError, server: &Arc<str>, timeout: Duration) -> Fault {
    let (code, message) = (answer.code(), answer.message());
    // The server closes the connection (57P01 to 57P05 and the like), or reports that it failed.
    let closes = matches!(answer.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
    if closes || code.code().starts_with("08") {
        return Fault::lost(server, message);
    }
    let (retry, connection) = match *code {
        SqlState::LOCK_NOT_AVAILABLE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::T_R_SERIALIZATION_FAILURE => return Fault::locked(timeout, message),
        // The server's statement_timeout, which is as long as our own limit.
        SqlState::QUERY_CANCELED => return Fault::timed_out(server, timeout),
        SqlState::INVALID_SQL_STATEMENT_NAME | SqlState::DUPLICATE_PSTATEMENT => {
            (Retry::AtOnce, Verdict::AllBroken)
        }
        // "cached plan must not change result type", in any language: a column was altered.
        SqlState::FEATURE_NOT_SUPPORTED if answer.routine() == Some("RevalidateCachedQuery") => {
            (Retry::AtOnce, Verdict::AllBroken)
        }
        // A standby, or a primary that has been replaced: after a failover, new connections lead to
        // a server that takes writes within moments.
        SqlState::READ_ONLY_SQL_TRANSACTION => (Retry::Later, Verdict::AllBroken),
        _ => (Retry::Split, Verdict::Usable),
    };
    Fault::new(database(code, message), retry, connection)
}

fn database(code: &SqlState, message: &str) -> Error {
    Error::Database { code: excerpt(code.code()).into(), message: excerpt(message).into() }
}

/// The error with its cause.
pub(super) fn causes(error: &postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
