//! TLS as it is asked for: by libpq's keys, or by upstream's three switches.

use super::Secret;
use crate::Error;
use std::path::PathBuf;

/// How connections are encrypted, and whom they trust.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsConfig {
    /// Whether to use TLS.
    pub mode: TlsMode,
    /// What of the server's certificate is verified.
    pub verify: Verify,
    /// Whom a verified certificate must come from; `None` is the system's store.
    pub root: Option<PathBuf>,
    /// The certificates that their issuers have revoked.
    pub revoked: Option<PathBuf>,
    /// What the server gets to see of us.
    pub client: Option<ClientCertificate>,
    /// The oldest version of TLS.
    pub least_version: TlsVersion,
    /// Whether TLS starts with the connection, which PostgreSQL 17 is the first to take.
    pub direct: bool,
    /// Whether SCRAM is bound to the TLS session.
    pub channel_binding: Binding,
}

/// A certificate of ours and its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientCertificate {
    /// The file with the certificate, and those between it and its root.
    pub certificate: PathBuf,
    /// The file with its key.
    pub key: PathBuf,
    /// What the key is encrypted with.
    pub password: Option<Secret>,
}

/// Whether to use TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// Plain text.
    Off,
    /// TLS where the server offers it, else plain text.
    Offered,
    /// The same, and plain text also where TLS fails.
    Prefer,
    /// TLS or nothing.
    Require,
}

/// What of the server's certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verify {
    /// Nothing.
    Nothing,
    /// That somebody trusted vouches for it.
    Chain,
    /// That, and that it is for the host that was asked for.
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
    /// Where the server can.
    Prefer,
    /// Or there is no connection.
    Require,
}

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Where the trusted certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Root {
    System,
    File(PathBuf),
}

impl SslMode {
    pub(super) const WORDS: &'static [(&'static str, Self)] = &[
        ("disable", SslMode::Disable),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ];

    fn name(self) -> &'static str {
        let word = Self::WORDS.iter().find(|(_, mode)| *mode == self);
        word.map_or("", |(name, _)| name)
    }
}

impl TlsVersion {
    pub(super) const WORDS: &'static [(&'static str, Self)] = &[
        ("TLSv1", TlsVersion::V1),
        ("TLSv1.1", TlsVersion::V1_1),
        ("TLSv1.2", TlsVersion::V1_2),
        ("TLSv1.3", TlsVersion::V1_3),
    ];
}

impl Binding {
    pub(super) const WORDS: &'static [(&'static str, Self)] = &[
        ("disable", Binding::Disable),
        ("prefer", Binding::Prefer),
        ("require", Binding::Require),
    ];
}

/// The keys as they were given.
#[derive(Clone)]
pub(super) struct TlsDraft {
    pub(super) ssl: Option<bool>,
    pub(super) required: Option<bool>,
    pub(super) verify: Option<bool>,
    pub(super) mode: Option<SslMode>,
    pub(super) root: Option<Root>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) password: Option<String>,
    pub(super) revoked: Option<PathBuf>,
    pub(super) least_version: TlsVersion,
    pub(super) direct: bool,
    pub(super) channel_binding: Binding,
}

impl Default for TlsDraft {
    fn default() -> Self {
        TlsDraft {
            ssl: None,
            required: None,
            verify: None,
            mode: None,
            root: None,
            certificate: None,
            key: None,
            password: None,
            revoked: None,
            least_version: TlsVersion::V1_2,
            direct: false,
            channel_binding: Binding::Prefer,
        }
    }
}

impl TlsDraft {
    pub(super) fn build(self) -> Result<TlsConfig, Error> {
        let (mode, verify) = self.mode()?;
        if self.direct && mode != TlsMode::Require {
            let reason = "direct needs an sslmode of require or more";
            return Err(Error::config("sslnegotiation", reason));
        }
        if self.channel_binding == Binding::Require && mode == TlsMode::Off {
            let reason = "require needs TLS, which sslmode or ssl turns on";
            return Err(Error::config("channel_binding", reason));
        }
        if self.revoked.is_some() && verify == Verify::Nothing && mode != TlsMode::Off {
            let reason =
                "is not looked at unless sslmode, or ssl_verify, has certificates verified";
            return Err(Error::config("sslcrl", reason));
        }
        let client = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some(ClientCertificate {
                certificate,
                key,
                password: self.password.map(Secret),
            }),
            (Some(_), None) => return Err(Error::config("sslcert", "needs sslkey, its key")),
            (None, Some(_)) => {
                return Err(Error::config("sslkey", "needs sslcert, its certificate"));
            }
            (None, None) => None,
        };
        Ok(TlsConfig {
            mode,
            verify,
            root: self.root.and_then(|root| match root {
                Root::System => None,
                Root::File(path) => Some(path),
            }),
            revoked: self.revoked,
            client,
            least_version: self.least_version,
            direct: self.direct,
            channel_binding: self.channel_binding,
        })
    }

    fn mode(&self) -> Result<(TlsMode, Verify), Error> {
        let system = self.root == Some(Root::System);
        let (mode, verify) = match self.mode {
            Some(mode) => self.of_sslmode(mode)?,
            None if system && self.ssl.is_none() => (TlsMode::Require, Verify::Name),
            None => match (self.ssl, self.required, self.verify) {
                (Some(true), required, verify) => (
                    if required == Some(true) {
                        TlsMode::Require
                    } else {
                        TlsMode::Offered
                    },
                    if verify == Some(true) {
                        Verify::Name
                    } else {
                        Verify::Nothing
                    },
                ),
                _ => (TlsMode::Off, Verify::Nothing),
            },
        };
        // Anybody gets a certificate from a public authority: only the name tells them apart.
        if system && mode != TlsMode::Off && verify != Verify::Name {
            let reason = "system needs an sslmode of verify-full";
            return Err(Error::config("sslrootcert", reason));
        }
        // As libpq: who names a root wants certificates to come from it.
        let names_root = matches!(self.root, Some(Root::File(_)));
        match verify {
            Verify::Nothing if names_root && mode != TlsMode::Off => Ok((mode, Verify::Chain)),
            _ => Ok((mode, verify)),
        }
    }

    /// The mode wins over the three switches, which may not say otherwise.
    fn of_sslmode(&self, mode: SslMode) -> Result<(TlsMode, Verify), Error> {
        let required = !matches!(mode, SslMode::Disable | SslMode::Prefer);
        let switches = [
            ("ssl", self.ssl, Some(mode != SslMode::Disable)),
            ("ssl_required", self.required, Some(required)),
            (
                "ssl_verify",
                self.verify,
                // The chain without the name is less than the one and more than the other.
                (mode != SslMode::VerifyCa).then_some(mode == SslMode::VerifyFull),
            ),
        ];
        for (name, given, same) in switches {
            if let Some(given) = given
                && Some(given) != same
            {
                let reason = format!("{} contradicts {name} = {given}", mode.name());
                return Err(Error::config("sslmode", reason));
            }
        }
        Ok(match mode {
            SslMode::Disable => (TlsMode::Off, Verify::Nothing),
            SslMode::Prefer => (TlsMode::Prefer, Verify::Nothing),
            SslMode::Require => (TlsMode::Require, Verify::Nothing),
            SslMode::VerifyCa => (TlsMode::Require, Verify::Chain),
            SslMode::VerifyFull => (TlsMode::Require, Verify::Name),
        })
    }
}
