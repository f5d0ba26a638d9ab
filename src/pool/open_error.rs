//! Why a connection could not be opened.

use crate::host::log::excerpt;
use crate::tls::NegotiationError;
use postgres::error::{DbError, Error, SqlState};
use std::error::Error as _;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// Why a connection could not be opened.
#[derive(Debug, Clone)]
pub(crate) struct OpenError {
    /// The step that failed, and how.
    pub(crate) reason: Arc<str>,
    /// The server or the configuration does not allow it: waiting does not help.
    pub(crate) refused: bool,
    /// What may help at once.
    pub(super) remedy: Remedy,
}

/// What may help after a failed attempt.
#[derive(Debug, Clone, Copy)]
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
            reason: format!("{step}: {}", excerpt(&error.to_string())).into(),
            refused: false,
            remedy: Remedy::None,
        }
    }

    pub(super) fn refused(step: &str, error: impl Display) -> Self {
        OpenError { refused: true, ..OpenError::failed(step, error) }
    }

    /// The deadline passed after the socket was connected.
    pub(super) fn no_answer() -> Self {
        OpenError::failed("start-up", "no answer from the server")
    }

    fn answered(answer: &DbError) -> Self {
        let code = answer.code();
        let (message, state) = (excerpt(answer.message()), excerpt(code.code()));
        let (refused, remedy) = match *code {
            // No line of pg_hba.conf fits the connection, or the server misses a client
            // certificate.
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => (true, Remedy::Encryption),
            SqlState::INVALID_CATALOG_NAME | SqlState::INSUFFICIENT_PRIVILEGE => {
                (true, Remedy::None)
            }
            // A wrong password; too many connections; a server that starts or stops.
            _ if ["28", "53", "57"].contains(&code.code().get(..2).unwrap_or_default()) => {
                (code.code().starts_with("28"), Remedy::None)
            }
            // Poolers and proxies refuse settings, with one state or another.
            _ => (false, Remedy::NoSettings),
        };
        OpenError {
            reason: format!("start-up: {message} (SQLSTATE {state})").into(),
            refused,
            remedy,
        }
    }
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        let Some(source) = error.source() else {
            return OpenError::failed("start-up", error);
        };
        if let Some(answer) = source.downcast_ref() {
            return OpenError::answered(answer);
        }
        let network = source.downcast_ref::<io::Error>();
        // A server that speaks TLS 1.3 looks at our certificate after the handshake.
        let alert = network.filter(|error| {
            let inner = error.get_ref();
            inner.is_some_and(|inner| inner.is::<openssl::ssl::Error>())
        });
        let handshake = source.downcast_ref();
        if let Some(error) = handshake.map(|NegotiationError(error)| error).or(alert) {
            return OpenError {
                refused: error.kind() == ErrorKind::Other,
                remedy: Remedy::Encryption,
                ..OpenError::failed("TLS", error)
            };
        }
        match network {
            Some(error) if error.kind() != ErrorKind::Other => OpenError::failed("connect", error),
            // Our stream or the client refuses to go on: it must not send the password like that,
            // or has none.
            _ if source.to_string() == "password missing" => {
                OpenError::refused("start-up", "password missing: set password or passfile")
            }
            _ => OpenError::refused("start-up", source),
        }
    }
}
