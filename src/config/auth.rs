//! What a server may ask for to authenticate this client.

/// What a server may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AuthConfig {
    /// A password in clear text, also without TLS.
    pub(crate) allow_cleartext: bool,
    pub(crate) methods: AuthMethods,
}

/// A method of authentication, of those that the client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthMethod {
    /// The server asks for nothing, or for the client's certificate.
    None,
    /// The password itself.
    Password,
    Md5,
    Scram,
}

impl AuthMethod {
    const ALL: [(AuthMethod, &'static str); 4] = [
        (AuthMethod::None, "none"),
        (AuthMethod::Password, "password"),
        (AuthMethod::Md5, "md5"),
        (AuthMethod::Scram, "scram-sha-256"),
    ];

    /// What the server asks for, for messages.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            AuthMethod::None => "no authentication",
            AuthMethod::Password => "the password itself",
            AuthMethod::Md5 => "an MD5 hash of the password",
            AuthMethod::Scram => "authentication by SCRAM",
        }
    }
}

/// The methods that are allowed, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AuthMethods(u8);

impl AuthMethods {
    pub(crate) const ANY: Self = AuthMethods(u8::MAX);

    pub(crate) fn contains(self, method: AuthMethod) -> bool {
        self.0 & (1 << method as u8) != 0
    }

    /// Reads libpq's `require_auth`: a list of methods, or of methods with `!` before each. An empty one
    /// allows all. The client cannot do `gss` and `sspi`, and accepts the words.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let negated = text.trim_start().starts_with('!');
        let bit = |word: &str| {
            let word = match negated {
                true => word.strip_prefix('!')?,
                false => word,
            };
            let known = AuthMethod::ALL.iter().find(|(_, name)| *name == word);
            match known {
                Some((method, _)) => Some(1 << *method as u8),
                None => ["gss", "sspi"].contains(&word).then_some(0),
            }
        };
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let bits = words
            .map(bit)
            .try_fold(None, |all: Option<u8>, bit| Some(Some(all.unwrap_or(0) | bit?)))?;
        Some(match bits {
            None => AuthMethods::ANY,
            Some(bits) => AuthMethods(if negated { !bits } else { bits }),
        })
    }
}
