//! TLS as the configuration asks for it: by libpq's keys, or by the three switches of
//! lua-resty-session's storage.

use super::{Draft, Secret};
use crate::Error;
use std::path::PathBuf;

/// How connections are encrypted, and which certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsConfig {
    /// Whether to use TLS.
    pub mode: TlsMode,
    /// What is verified of the server's certificate.
    pub verify: Verify,
    /// The trusted certificates; `None` is the system's store.
    pub root: Option<PathBuf>,
    /// The certificate revocation lists.
    pub revoked: Option<PathBuf>,
    /// The client certificate.
    pub client: Option<ClientCertificate>,
    /// The oldest accepted version of TLS.
    pub least_version: TlsVersion,
    /// Whether the connection starts with TLS, which PostgreSQL 17 and later accept.
    pub direct: bool,
    /// Whether SCRAM is bound to the TLS session.
    pub channel_binding: Binding,
}

/// A client certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientCertificate {
    /// The file with the certificate and its intermediate certificates.
    pub certificate: PathBuf,
    /// The file with its key.
    pub key: PathBuf,
    /// The key's password.
    pub password: Option<Secret>,
}

/// Whether to use TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// Plain text.
    Off,
    /// TLS if the server offers it, else plain text.
    Offered,
    /// The same, and plain text also if TLS fails.
    Prefer,
    /// TLS only.
    Require,
}

/// What is verified of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verify {
    /// Nothing.
    Nothing,
    /// The chain: a trusted authority has issued it.
    Chain,
    /// The chain and the host name.
    Name,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// 1.0
    V1,
    /// 1.1
    V1_1,
    /// 1.2
    V1_2,
    /// 1.3
    V1_3,
}

/// Whether SCRAM is bound to the TLS session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binding {
    /// Never.
    Disable,
    /// If the server supports it.
    Prefer,
    /// Always: without it there is no connection.
    Require,
}

impl TlsConfig {
    pub(super) fn of(draft: &Draft) -> Result<Self, Error> {
        let path = |key| draft.text(key).map(PathBuf::from);
        let (mode, verify) = mode(draft)?;
        let direct = draft.word("sslnegotiation") == Some("direct");
        if direct && mode != TlsMode::Require {
            let reason = "direct requires an sslmode of require or stricter";
            return Err(Error::config("sslnegotiation", reason));
        }
        let channel_binding = match draft.word("channel_binding") {
            Some("disable") => Binding::Disable,
            Some("require") => Binding::Require,
            _ => Binding::Prefer,
        };
        if channel_binding == Binding::Require && mode == TlsMode::Off {
            let reason = "require needs TLS, which sslmode or ssl turns on";
            return Err(Error::config("channel_binding", reason));
        }
        let revoked = path("sslcrl");
        if revoked.is_some() && verify == Verify::Nothing && mode != TlsMode::Off {
            let reason = "is not used unless sslmode or ssl_verify has certificates verified";
            return Err(Error::config("sslcrl", reason));
        }
        let client = match (path("sslcert"), path("sslkey")) {
            (Some(certificate), Some(key)) => Some(ClientCertificate {
                certificate,
                key,
                password: draft.secret("sslpassword"),
            }),
            (Some(_), None) => return Err(Error::config("sslcert", "requires sslkey, its key")),
            (None, Some(_)) => {
                return Err(Error::config("sslkey", "requires sslcert, its certificate"));
            }
            (None, None) => None,
        };
        Ok(TlsConfig {
            mode,
            verify,
            root: path("sslrootcert"),
            revoked,
            client,
            least_version: match draft.word("ssl_min_protocol_version") {
                Some("TLSv1") => TlsVersion::V1,
                Some("TLSv1.1") => TlsVersion::V1_1,
                Some("TLSv1.3") => TlsVersion::V1_3,
                _ => TlsVersion::V1_2,
            },
            direct,
            channel_binding,
        })
    }
}

fn mode(draft: &Draft) -> Result<(TlsMode, Verify), Error> {
    let system = draft.word("sslrootcert") == Some("system");
    let (mode, verify) = match draft.word("sslmode") {
        Some(sslmode) => by_sslmode(draft, sslmode)?,
        None if system && draft.flag("ssl").is_none() => (TlsMode::Require, Verify::Name),
        None => by_switches(draft),
    };
    // Public authorities issue certificates to anybody: only the name tells servers apart.
    if system && mode != TlsMode::Off && verify != Verify::Name {
        let reason = "system requires an sslmode of verify-full";
        return Err(Error::config("sslrootcert", reason));
    }
    // As in libpq: a root that is named has the chain verified in every mode.
    match verify {
        Verify::Nothing if draft.text("sslrootcert").is_some() && mode != TlsMode::Off => {
            Ok((mode, Verify::Chain))
        }
        _ => Ok((mode, verify)),
    }
}

fn by_switches(draft: &Draft) -> (TlsMode, Verify) {
    let is_on = |key| draft.flag(key) == Some(true);
    if !is_on("ssl") {
        return (TlsMode::Off, Verify::Nothing);
    }
    let mode = match is_on("ssl_required") {
        true => TlsMode::Require,
        false => TlsMode::Offered,
    };
    let verify = match is_on("ssl_verify") {
        true => Verify::Name,
        false => Verify::Nothing,
    };
    (mode, verify)
}

/// `sslmode` decides. The three switches, where they are set, must say the same.
fn by_sslmode(draft: &Draft, sslmode: &str) -> Result<(TlsMode, Verify), Error> {
    let (mode, verify) = match sslmode {
        "disable" => (TlsMode::Off, Verify::Nothing),
        "prefer" => (TlsMode::Prefer, Verify::Nothing),
        "require" => (TlsMode::Require, Verify::Nothing),
        "verify-ca" => (TlsMode::Require, Verify::Chain),
        _ => (TlsMode::Require, Verify::Name),
    };
    let same = [
        ("ssl", Some(mode != TlsMode::Off)),
        ("ssl_required", Some(mode == TlsMode::Require)),
        // The chain without the name is more than one and less than the other.
        (
            "ssl_verify",
            (verify != Verify::Chain).then_some(verify == Verify::Name),
        ),
    ];
    for (switch, expected) in same {
        if let Some(flag) = draft.flag(switch)
            && Some(flag) != expected
        {
            let reason = format!("{sslmode} contradicts {switch} = {flag}");
            return Err(Error::config("sslmode", reason));
        }
    }
    Ok((mode, verify))
}
