//! What a statement's failure means for those who waited for it.

use postgres::error::{Severity, SqlState};
use std::sync::Arc;

/// Why a statement failed.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The connection broke; whether the statement was carried out is unknown.
    Lost(Arc<str>),
    /// No answer came in time; likewise.
    Expired,
    /// The connection works, but no longer knows a prepared statement as it was.
    Stale {
        /// The SQLSTATE.
        code: Arc<str>,
        /// The server's primary message.
        message: Arc<str>,
    },
    /// The server takes no writes, as a standby or a primary that has been succeeded; nothing was
    /// carried out.
    ReadOnly {
        /// The SQLSTATE.
        code: Arc<str>,
        /// The server's primary message.
        message: Arc<str>,
    },
    /// Another transaction was in the way; nothing was carried out.
    Locked(Arc<str>),
    /// The subject has as many sessions as it may; nothing was carried out.
    TooMany(u32),
    /// The server rejected the statement; nothing was carried out.
    Rejected {
        /// The SQLSTATE.
        code: Arc<str>,
        /// The server's primary message.
        message: Arc<str>,
    },
}

impl Fault {
    /// Whether the connection is of no more use: to anybody, or to those who write.
    pub(super) fn breaks_the_connection(&self) -> bool {
        match self {
            Fault::Lost(_) | Fault::Expired | Fault::Stale { .. } | Fault::ReadOnly { .. } => true,
            Fault::Locked(_) | Fault::TooMany(_) | Fault::Rejected { .. } => false,
        }
    }

    /// Whether the pool's other connections are likely to fail alike.
    pub(crate) fn concerns_the_others(&self) -> bool {
        matches!(
            self,
            Fault::Lost(_) | Fault::Stale { .. } | Fault::ReadOnly { .. }
        )
    }
}

/// What the server's answer means.
pub(super) fn classify(answer: &postgres::error::DbError) -> Fault {
    let code = answer.code();
    let message: Arc<str> = answer.message().into();
    // The server says goodbye (57P01 to 57P05 and the like), or reports a connection's failure.
    let parting = matches!(
        answer.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    );
    if parting || code.code().starts_with("08") {
        return Fault::Lost(message);
    }
    let stale = [
        SqlState::INVALID_SQL_STATEMENT_NAME,
        SqlState::DUPLICATE_PSTATEMENT,
        // "cached plan must not change result type": a column was altered.
        SqlState::FEATURE_NOT_SUPPORTED,
    ];
    let locked = [
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::T_R_SERIALIZATION_FAILURE,
    ];
    let (state, code) = (code, Arc::from(code.code()));
    if stale.contains(state) {
        Fault::Stale { code, message }
    } else if *state == SqlState::READ_ONLY_SQL_TRANSACTION {
        Fault::ReadOnly { code, message }
    } else if locked.contains(state) {
        Fault::Locked(message)
    } else if *state == SqlState::QUERY_CANCELED {
        // statement_timeout, which is as long as our own limit.
        Fault::Expired
    } else {
        Fault::Rejected { code, message }
    }
}

/// The tables are not as documented, e.g. another type of column.
pub(super) fn undecodable(reason: &str) -> Fault {
    Fault::Rejected {
        code: SqlState::DATATYPE_MISMATCH.code().into(),
        message: reason.into(),
    }
}

/// The error with what caused it.
pub(super) fn causes(error: &postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
