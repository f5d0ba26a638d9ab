//! Why a connection could not be opened.

use super::status::Failure;
use crate::tls::{ClearTextRefused, TlsFailure};
use postgres::error::SqlState;
use std::error::Error as StdError;

/// Why one attempt failed, and what may help.
pub(super) struct Refusal {
    pub(super) failure: Failure,
    pub(super) remedy: Remedy,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    Nothing,
    /// To ask less of the session.
    Settings,
    /// Other certificates, or no encryption.
    Encryption,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let remedy = Remedy::Nothing;
        Refusal { failure, remedy }
    }
}

/// Says at which step a connection attempt failed, whether the server meant it, and what may help.
pub(super) fn explain(error: &postgres::Error) -> Refusal {
    if let Some(answer) = error.as_db_error() {
        let code = answer.code();
        let refused = code.code().starts_with("28")
            || [
                SqlState::INVALID_CATALOG_NAME,
                SqlState::INSUFFICIENT_PRIVILEGE,
            ]
            .contains(code);
        let message = format!("{} (SQLSTATE {})", answer.message(), code.code());
        return Refusal {
            failure: Failure::new("start-up", message, refused),
            // No line of pg_hba.conf fits the connection, or no client certificate came with it.
            remedy: if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
                Remedy::Encryption
            } else {
                Remedy::Nothing
            },
        };
    }
    match error.source() {
        Some(source) if is_about_tls(source) => Refusal {
            failure: Failure::new("TLS", source, true),
            remedy: Remedy::Encryption,
        },
        Some(source) if is_made_of::<ClearTextRefused>(source) => {
            Failure::new("start-up", source, true).into()
        }
        Some(source) if source.is::<std::io::Error>() => {
            Failure::new("connect", source, false).into()
        }
        // The client itself goes no further: it has no password, or may not send it like that.
        Some(source) => Failure::new("start-up", source, true).into(),
        None => Failure::new("start-up", error, false).into(),
    }
}

/// Whether an I/O error was made of one of that kind.
fn is_made_of<T: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    let inner = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    inner.is_some_and(|inner| inner.is::<T>())
}

/// In TLS 1.3 the server looks at our certificate when the handshake is over for us.
fn is_about_tls(error: &(dyn StdError + 'static)) -> bool {
    error.is::<TlsFailure>() || is_made_of::<openssl::ssl::Error>(error)
}
