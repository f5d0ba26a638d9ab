//! Why a connection could not be opened.

use super::client::ClientError;
use crate::tls::ClearTextRefused;
use postgres::error::{DbError, SqlState};
use std::error::Error as StdError;
use std::fmt::Display;
use std::io;
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

    /// A failure to negotiate TLS. The network's own errors are no refusal.
    pub(super) fn tls(error: &io::Error) -> Self {
        OpenError {
            refused: error.kind() == io::ErrorKind::Other,
            remedy: Remedy::Encryption,
            ..OpenError::failed("TLS", error)
        }
    }

    /// The deadline passed after the socket was connected.
    pub(super) fn no_answer() -> Self {
        OpenError::failed("start-up", "no answer from the server")
    }
}

impl From<ClientError> for OpenError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Expired => OpenError::no_answer(),
            ClientError::Failed(error) => error.into(),
        }
    }
}

impl From<postgres::Error> for OpenError {
    fn from(error: postgres::Error) -> Self {
        if let Some(answer) = error.as_db_error() {
            return answer.into();
        }
        match error.source() {
            None => OpenError::failed("start-up", error),
            Some(source) => match source.downcast_ref::<io::Error>() {
                // A server that speaks TLS 1.3 looks at our certificate after the handshake.
                Some(error) if is_made_of::<openssl::ssl::Error>(error) => OpenError {
                    refused: true,
                    ..OpenError::tls(error)
                },
                Some(error) if is_made_of::<ClearTextRefused>(error) => {
                    OpenError::refused("start-up", error)
                }
                Some(error) => OpenError::failed("connect", error),
                // The client refuses to go on: it has no password, or must not send it like that.
                None => OpenError::refused("start-up", source),
            },
        }
    }
}

impl From<&DbError> for OpenError {
    fn from(answer: &DbError) -> Self {
        let code = answer.code();
        let refusals = [
            SqlState::INVALID_CATALOG_NAME,
            SqlState::INSUFFICIENT_PRIVILEGE,
        ];
        let message = format!("{} (SQLSTATE {})", answer.message(), code.code());
        OpenError {
            refused: code.code().starts_with("28") || refusals.contains(code),
            remedy: match *code {
                // No line of pg_hba.conf fits the connection, or the server misses a client
                // certificate.
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION => Remedy::Encryption,
                // Poolers refuse settings with this.
                SqlState::PROTOCOL_VIOLATION => Remedy::NoSettings,
                _ => Remedy::None,
            },
            ..OpenError::failed("start-up", message)
        }
    }
}

fn is_made_of<T: StdError + 'static>(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<T>())
}
