//! What a server may send. A guard reads along, message by message, before the client does: an attacker
//! in the server's place must get no password that it should not have, and must not fill the memory.
//!
//! A message is one byte for its kind, four bytes for the length of the rest, and the rest.

use crate::config::{AuthConfig, AuthMethod};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Why the server must not go on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(String);

fn refused<T>(reason: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(reason.into()))
}

/// How much more a server may send. The connection's driver sets it anew for each answer.
#[derive(Default)]
pub(crate) struct Allowance {
    bytes: AtomicUsize,
    left: AtomicUsize,
}

/// What a message costs beside its bytes: about what the client needs to keep it.
const MESSAGE: usize = 128;

impl Allowance {
    pub(crate) fn set(&self, bytes: usize) {
        self.bytes.store(bytes, Relaxed);
        self.left.store(bytes, Relaxed);
    }

    /// Takes off a message of that length.
    fn take(&self, length: usize) -> Result<(), Refused> {
        match self.left.load(Relaxed).checked_sub(length.saturating_add(MESSAGE)) {
            Some(left) => {
                self.left.store(left, Relaxed);
                Ok(())
            }
            None => {
                let most = self.bytes.load(Relaxed) >> 20;
                refused(format!("the server sends more than {most} MiB at once"))
            }
        }
    }
}

/// Reads what a server sends.
pub(crate) struct Guard {
    allowance: Arc<Allowance>,
    auth: AuthConfig,
    /// The method that the server has asked for; `None` once it is satisfied.
    method: Option<AuthMethod>,
    /// The beginning of the current message: its kind, its length and, of a request to authenticate, the
    /// code.
    head: [u8; 9],
    filled: usize,
    /// How many bytes of the current message are left.
    skip: usize,
}

const AUTHENTICATION: u8 = b'R';

impl Guard {
    pub(super) fn new(auth: AuthConfig, allowance: &Arc<Allowance>) -> Self {
        Guard {
            allowance: Arc::clone(allowance),
            auth,
            method: Some(AuthMethod::None),
            head: [0; 9],
            filled: 0,
            skip: 0,
        }
    }

    /// Fails if the client must not read these bytes.
    pub(super) fn check(&mut self, mut bytes: &[u8]) -> Result<(), Refused> {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head[self.filled] = byte;
            self.filled += 1;
            bytes = rest;
            let [kind, a, b, c, d, code @ ..] = self.head;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if self.filled == 5
                && let Err(refused) = self.allowance.take(length)
            {
                self.filled = 0;
                return Err(refused);
            }
            let has_code = kind == AUTHENTICATION && self.method.is_some() && length >= 8;
            if self.filled == if has_code { 9 } else { 5 } {
                self.skip = length.saturating_sub(self.filled - 1);
                self.filled = 0;
                if has_code {
                    self.authenticate(u32::from_be_bytes(code))?;
                }
            }
        }
        Ok(())
    }

    /// The codes are those of the messages "Authentication…" in PostgreSQL's chapter on message formats.
    fn authenticate(&mut self, code: u32) -> Result<(), Refused> {
        let method = match code {
            0 => {
                // Where the server has asked for nothing, that is what it did.
                let method = self.method.take();
                return self.allow(method.filter(|method| *method == AuthMethod::None));
            }
            3 => AuthMethod::Password,
            5 => AuthMethod::Md5,
            10..=12 => AuthMethod::Scram,
            _ => return Ok(()),
        };
        self.method = Some(method);
        self.allow(Some(method))?;
        match method {
            AuthMethod::Password if !self.auth.allow_cleartext => refused(
                "the server asks for the password in clear text, which is sent over TLS only, unless \
                 allow_cleartext is set",
            ),
            _ => Ok(()),
        }
    }

    fn allow(&self, method: Option<AuthMethod>) -> Result<(), Refused> {
        match method {
            Some(method) if !self.auth.methods.contains(method) => refused(format!(
                "the server asks for {}, which require_auth does not allow",
                method.describe()
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AuthMethods;

    fn guard(allow_cleartext: bool, methods: &str, allowance: usize) -> Guard {
        let methods = AuthMethods::parse(methods).expect("methods");
        let left = Arc::<Allowance>::default();
        left.set(allowance);
        Guard::new(AuthConfig { allow_cleartext, methods }, &left)
    }

    fn message(kind: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u32 + 4).to_be_bytes();
        [&[kind], &length[..], rest].concat()
    }

    fn request(code: u8) -> Vec<u8> {
        message(AUTHENTICATION, &[0, 0, 0, code])
    }

    #[test]
    fn a_request_for_clear_text_is_seen_in_pieces_of_any_size() {
        let bytes = [message(b'N', &[1, 2]), request(3)].concat();
        for size in 1..=bytes.len() {
            let mut guard = guard(false, "", 1 << 20);
            let seen = bytes.chunks(size).filter(|chunk| guard.check(chunk).is_err());
            assert_eq!(seen.count(), 1, "in pieces of {size}");
        }
        assert!(guard(true, "", 1 << 20).check(&bytes).is_ok());
    }

    #[test]
    fn only_the_required_methods_pass() {
        let ok = request(0);
        let methods = [("none", vec![]), ("password", request(3)), ("md5", request(5))];
        let scram = [request(10), request(11), request(12)].concat();
        let methods = methods.into_iter().chain([("scram-sha-256", scram)]);
        for (method, asked) in methods {
            let asked = [asked, ok.clone()].concat();
            let passes = |required: &str| guard(true, required, 1 << 20).check(&asked).is_ok();
            assert!(passes("") && passes(method) && passes(&format!("md5,{method}")));
            assert!(!passes(&format!("!{method}")) && !passes("gss"), "{method}");
        }
        // What looks like one later, in a row, is none.
        let mut guard = guard(false, "", 1 << 20);
        assert!(guard.check(&ok).is_ok() && guard.check(&request(3)).is_ok());
    }

    #[test]
    fn what_is_sent_at_once_is_bounded() {
        let mut guard = guard(false, "", 1 << 20);
        let row = message(b'D', &[0; 1000]);
        let passed = (0..2000).take_while(|_| guard.check(&row).is_ok()).count();
        assert_eq!(passed, (1 << 20) / (1004 + MESSAGE));
        guard.allowance.set(1 << 20);
        let huge = [&[b'D'][..], &(1_u32 << 31).to_be_bytes()].concat();
        let refusal = guard.check(&huge).expect_err("too much");
        assert_eq!(refusal.to_string(), "the server sends more than 1 MiB at once");
    }
}
