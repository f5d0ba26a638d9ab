//! Keeps the password from being sent in clear text over a connection without encryption: a server,
//! or an attacker in its place, only has to ask for it.

use std::io;

/// The server asked for the password in clear text.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server asks for the password in clear text, which is sent over TLS only, unless \
     allow_cleartext is set"
)]
pub(crate) struct ClearTextRefused;

/// Reads what a server sends until it has named its authentication method. A message is one byte
/// for its kind, four bytes for the length of the rest, and the rest.
pub(crate) struct ClearTextGuard {
    over: bool,
    head: [u8; 9],
    filled: usize,
    skip: usize,
}

const AUTHENTICATION: u8 = b'R';
const CLEAR_TEXT: [u8; 4] = [0, 0, 0, 3];

impl ClearTextGuard {
    pub(super) fn new(allow_cleartext: bool) -> Self {
        ClearTextGuard {
            over: allow_cleartext,
            head: [0; 9],
            filled: 0,
            skip: 0,
        }
    }

    /// Fails if these bytes complete a request for a password in clear text.
    pub(super) fn check(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.requests_clear_text(bytes) {
            return Err(io::Error::other(ClearTextRefused));
        }
        Ok(())
    }

    fn requests_clear_text(&mut self, mut bytes: &[u8]) -> bool {
        while !self.over
            && let Some((&byte, rest)) = bytes.split_first()
        {
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
            if self.filled == 5 && kind != AUTHENTICATION {
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                self.skip = length.saturating_sub(4);
                self.filled = 0;
            } else if self.filled == self.head.len() {
                self.over = true;
                return code == CLEAR_TEXT;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> ClearTextGuard {
        ClearTextGuard::new(false)
    }

    #[test]
    fn a_request_for_clear_text_is_seen_in_pieces_of_any_size() {
        let notice = [b'N', 0, 0, 0, 6, 1, 2];
        let request = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];
        let bytes = [&notice[..], &request].concat();
        for size in 1..=bytes.len() {
            let mut guard = guard();
            let seen = bytes
                .chunks(size)
                .filter(|chunk| guard.requests_clear_text(chunk));
            assert_eq!(seen.count(), 1, "in pieces of {size}");
        }
    }

    #[test]
    fn other_authentication_methods_pass() {
        for code in [0, 5, 10] {
            let mut guard = guard();
            assert!(!guard.requests_clear_text(&[b'R', 0, 0, 0, 8, 0, 0, 0, code]));
            assert!(guard.over);
            assert!(!guard.requests_clear_text(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]));
        }
    }
}
