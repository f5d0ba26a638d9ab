//! Sees to it that no password goes in clear text over a connection that is not encrypted: a server,
//! or whoever has taken its place, only has to ask for one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The server asked for the password in clear text.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server asks for the password in clear text, which goes over TLS alone unless \
     allow_cleartext is set"
)]
pub(crate) struct ClearTextRefused;

/// A stream that fails where the server asks for a password in clear text.
pub(crate) struct Watched<S> {
    stream: S,
    start: Start,
}

/// Follows what the server says until it has said how it authenticates: messages of a byte that is
/// their kind, four that are the length of the rest, and the rest.
struct Start {
    over: bool,
    head: [u8; 9],
    filled: usize,
    skip: usize,
}

const AUTHENTICATION: u8 = b'R';
const CLEAR_TEXT: [u8; 4] = [0, 0, 0, 3];

impl Start {
    /// Whether these bytes complete a demand for a password in clear text.
    fn demands_clear_text(&mut self, mut bytes: &[u8]) -> bool {
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

impl<S> Watched<S> {
    pub(super) fn new(stream: S, allow_cleartext: bool) -> Self {
        let start = Start {
            over: allow_cleartext,
            head: [0; 9],
            filled: 0,
            skip: 0,
        };
        Watched { stream, start }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if !self.start.over && self.start.demands_clear_text(&buf.filled()[before..]) {
            return Poll::Ready(Err(io::Error::other(ClearTextRefused)));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Start {
        Watched::new((), false).start
    }

    #[test]
    fn a_demand_for_clear_text_is_seen_however_it_is_cut() {
        let notice = [b'N', 0, 0, 0, 6, 1, 2];
        let demand = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];
        let bytes = [&notice[..], &demand].concat();
        for size in 1..=bytes.len() {
            let mut start = start();
            let seen = bytes
                .chunks(size)
                .filter(|chunk| start.demands_clear_text(chunk));
            assert_eq!(seen.count(), 1, "in pieces of {size}");
        }
    }

    #[test]
    fn other_ways_to_authenticate_are_none_of_its_business() {
        for code in [0, 5, 10] {
            let mut start = start();
            assert!(!start.demands_clear_text(&[b'R', 0, 0, 0, 8, 0, 0, 0, code]));
            assert!(start.over);
            assert!(!start.demands_clear_text(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]));
        }
    }
}
