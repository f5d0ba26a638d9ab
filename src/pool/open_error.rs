//! Why a connection could not be opened.

use crate::tls::NegotiationError;
use postgres::error::{DbError, Error, SqlState};
use std::error::Error as _;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// Why a connection could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct OpenError {
    /// The step that failed, and how.
    pub(crate) reason: Arc<str>,
    /// The server or the configuration does not allow it: waiting does not help.
    pub(crate) refused: bool,
    /// What may help at once.
    pub(super) remedy: Remedy,
}

/// What may help after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    None,
    /// A start-up message without settings.
    NoSettings,
    /// Renewed certificates, or no encryption.
    Encryption,
}

impl OpenError {
    /// A failure that may be over the next time.
    pub(super) fn failed(step: &str, error: impl Display) -> Self {
        OpenError {
            reason: format!("{step}: {error}").into(),
            refused: false,
            remedy: Remedy::None,
        }
    }

    pub(super) fn refused(step: &str, error: impl Display) -> Self {
        OpenError {
            refused: true,
            ..OpenError::failed(step, error)
        }
    }

    /// The deadline passed after the socket was connected.
    pub(super) fn no_answer() -> Self {
        OpenError::failed("start-up", "no answer from the server")
    }

    /// Errors of the kind `Other` are no errors of the network: OpenSSL or our stream refuses to go on.
    fn tls(error: &io::Error) -> Self {
        OpenError {
            refused: error.kind() == ErrorKind::Other,
            remedy: Remedy::Encryption,
            ..OpenError::failed("TLS", error)
        }
    }
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        let Some(source) = error.source() else {
            return OpenError::failed("start-up", error);
        };
        if let Some(answer) = source.downcast_ref::<DbError>() {
            return OpenError::from(answer);
        }
        if let Some(NegotiationError(error)) = source.downcast_ref() {
            return OpenError::tls(error);
        }
        match source.downcast_ref::<io::Error>() {
            Some(error) if error.kind() != ErrorKind::Other => OpenError::failed("connect", error),
            // A server that speaks TLS 1.3 looks at our certificate after the handshake.
            Some(error)
                if error
                    .get_ref()
                    .is_some_and(|inner| inner.is::<openssl::ssl::Error>()) =>
            {
                OpenError::tls(error)
            }
            // The stream or the client refuses to go on: it must not send the password like that, or
            // has none.
            _ => OpenError::refused("start-up", source),
        }
    }
}

impl From<&DbError> for OpenError {
    fn from(answer: &DbError) -> Self {
        let code = answer.code();
        let message = format!("{} (SQLSTATE {})", answer.message(), code.code());
        let refused = match *code {
            SqlState::INVALID_CATALOG_NAME | SqlState::INSUFFICIENT_PRIVILEGE => true,
            _ => code.code().starts_with("28"),
        };
        let remedy = match *code {
            // No line of pg_hba.conf fits the connection, or the server misses a client certificate.
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => Remedy::Encryption,
            // Poolers refuse settings with this.
            SqlState::PROTOCOL_VIOLATION => Remedy::NoSettings,
            _ => Remedy::None,
        };
        OpenError {
            refused,
            remedy,
            ..OpenError::failed("start-up", message)
        }
    }
}
