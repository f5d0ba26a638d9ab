//! TLS as the configuration asks for it: by libpq's keys, or by the three switches of
//! lua-resty-session's storage.

use super::{Draft, Secret};
use crate::Error;
use crate::host::log::{self, Level};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// How connections are encrypted, and which certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TlsConfig {
    pub(crate) mode: TlsMode,
    pub(crate) verify: Verify,
    /// The trusted certificates; `None` is the system's store.
    pub(crate) root: Option<PathBuf>,
    /// The certificate revocation lists.
    pub(crate) revoked: Option<PathBuf>,
    pub(crate) client: Option<ClientCertificate>,
    /// The oldest accepted version, a word of `ssl_min_protocol_version`.
    pub(crate) least_version: &'static str,
    /// Whether the connection starts with TLS, which PostgreSQL 17 and later accept.
    pub(crate) direct: bool,
    /// Whether SCRAM is bound to the TLS session, a word of `channel_binding`.
    pub(crate) channel_binding: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ClientCertificate {
    /// The file with the certificate and its intermediate certificates.
    pub(crate) certificate: PathBuf,
    /// The file with its key.
    pub(crate) key: PathBuf,
    /// The key's password.
    pub(crate) password: Option<Secret>,
}

/// Whether to use TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TlsMode {
    Off,
    /// TLS if the server offers it, else plain text.
    Offered,
    /// The same, and plain text also if TLS fails.
    Prefer,
    Require,
}

/// What is verified of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verify {
    Nothing,
    /// A trusted authority has issued it.
    Chain,
    /// The chain, and the host name.
    Name,
}

impl TlsConfig {
    pub(super) fn of(draft: &Draft) -> Result<Self, Error> {
        let path = |key| draft.text(key).map(PathBuf::from);
        let system = draft.text("sslrootcert") == Some("system");
        let root = path("sslrootcert").filter(|_| !system);
        let (mode, mut verify) = match draft.text("sslmode") {
            Some(sslmode) => by_sslmode(draft, sslmode)?,
            None if system && draft.text("ssl").is_none() => (TlsMode::Require, Verify::Name),
            None => by_switches(draft),
        };
        let off = mode == TlsMode::Off;
        // Public authorities issue certificates to anybody: only the name tells servers apart.
        let reason = "system requires an sslmode of verify-full";
        refuse(system && !off && verify != Verify::Name, "sslrootcert", reason)?;
        let any_authority = verify == Verify::Chain && root.is_none();
        let reason =
            "verify-ca requires sslrootcert, the file of the authority; verify-full does not";
        refuse(any_authority, "sslmode", reason)?;
        // As in libpq: a root that is named has the chain verified in every mode.
        if root.is_some() && !off && verify == Verify::Nothing {
            verify = Verify::Chain;
        }
        let direct = draft.text("sslnegotiation") == Some("direct");
        let reason = "direct requires an sslmode of require or stricter";
        refuse(direct && mode != TlsMode::Require, "sslnegotiation", reason)?;
        let channel_binding = draft.word("channel_binding").unwrap_or("prefer");
        let reason = "require needs TLS, which sslmode or ssl turns on";
        refuse(off && channel_binding == "require", "channel_binding", reason)?;
        let revoked = path("sslcrl");
        let unverified = !off && verify == Verify::Nothing;
        let reason = "is not used unless sslmode or ssl_verify has certificates verified";
        refuse(revoked.is_some() && unverified, "sslcrl", reason)?;
        let (certificate, key) = (path("sslcert"), path("sslkey"));
        let (has_certificate, has_key) = (certificate.is_some(), key.is_some());
        refuse(has_certificate && !has_key, "sslcert", "requires sslkey, its key")?;
        let reason = "requires sslcert, its certificate";
        refuse(has_key && !has_certificate, "sslkey", reason)?;
        let client = certificate.zip(key);
        if off {
            warn_if_unwanted(draft);
        }
        Ok(TlsConfig {
            mode,
            verify,
            root,
            revoked,
            client: client.map(|(certificate, key)| ClientCertificate {
                certificate,
                key,
                password: draft.text("sslpassword").map(Secret::new),
            }),
            least_version: draft.word("ssl_min_protocol_version").unwrap_or("TLSv1.2"),
            direct,
            channel_binding,
        })
    }
}

/// What the three switches of lua-resty-session's storage mean. A server that is to be verified must
/// have TLS: otherwise its answer that it has none, or an attacker's, ends the protection.
fn by_switches(draft: &Draft) -> (TlsMode, Verify) {
    let is_on = |key| draft.text(key) == Some("true");
    let verify = match is_on("ssl_verify") {
        true => Verify::Name,
        false => Verify::Nothing,
    };
    let verifies = verify == Verify::Name || draft.text("sslrootcert").is_some();
    match (is_on("ssl"), is_on("ssl_required") || verifies) {
        (false, _) => (TlsMode::Off, Verify::Nothing),
        (true, false) => (TlsMode::Offered, verify),
        (true, true) => (TlsMode::Require, verify),
    }
}

/// TLS is off: says so, once a process, if it is because nothing turns it on, though a key asks
/// something of it.
fn warn_if_unwanted(draft: &Draft) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let keys = ["ssl_verify", "ssl_required", "sslrootcert", "sslcrl", "sslcert"];
    let is_given = |key: &&str| draft.text(key).is_some_and(|value| value != "false");
    let is_said = draft.text("ssl").or(draft.text("sslmode")).is_some();
    if let Some(key) = keys.into_iter().find(is_given).filter(|_| !is_said) {
        let text = format!("TLS is off, although {key} is set: set ssl or sslmode to turn it on");
        // No other thread waits for the one that logs it.
        if !WARNED.swap(true, Ordering::Relaxed) {
            log::log(Level::Warn, text);
        }
    }
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
    let switches = [
        ("ssl", mode != TlsMode::Off),
        ("ssl_required", mode == TlsMode::Require),
        ("ssl_verify", verify == Verify::Name),
    ];
    for (switch, expected) in switches {
        let Some(given) = draft.text(switch) else {
            continue;
        };
        // The chain without the name is more than `ssl_verify = false` and less than `true`.
        let between = switch == "ssl_verify" && verify == Verify::Chain;
        let wrong = between || given != expected.to_string();
        let reason = format!("{sslmode} contradicts {switch} = {given}");
        refuse(wrong, "sslmode", reason)?;
    }
    Ok((mode, verify))
}

/// Refuses keys that do not go together.
fn refuse(wrong: bool, key: &str, reason: impl Into<String>) -> Result<(), Error> {
    match wrong {
        true => Err(Error::config(key, reason)),
        false => Ok(()),
    }
}
