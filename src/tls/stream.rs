//! The stream of a TCP connection: with TLS, or without, and then passwords in clear text are
//! refused.

use postgres::Socket;
use postgres::tls::{ChannelBinding, TlsStream};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The stream of a TCP connection.
pub(crate) enum Stream {
    Plain(Socket, ClearTextGuard),
    Tls(Box<postgres_openssl::TlsStream<Socket>>),
    /// Of a request to cancel: it is closed when it is dropped, and not shut down before.
    KeptOpen(Box<Stream>),
}

trait Transport: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Transport for S {}

impl Stream {
    pub(super) fn plain(socket: Socket, allow_cleartext: bool) -> Self {
        Stream::Plain(socket, ClearTextGuard::new(allow_cleartext))
    }

    fn transport(&mut self) -> Pin<&mut dyn Transport> {
        match self {
            Stream::Plain(socket, _) => Pin::new(socket),
            Stream::Tls(stream) => Pin::new(stream),
            Stream::KeptOpen(stream) => stream.transport(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = self.transport().poll_read(cx, buf);
        if let Stream::Plain(_, guard) = &mut *self
            && guard.requests_clear_text(&buf.filled()[before..])
        {
            return Poll::Ready(Err(io::Error::other(CLEAR_TEXT_REFUSED)));
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.transport().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &*self {
            Stream::KeptOpen(_) => Poll::Pending,
            _ => self.transport().poll_shutdown(cx),
        }
    }
}

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        match self {
            Stream::Tls(stream) => stream.channel_binding(),
            Stream::Plain(..) | Stream::KeptOpen(_) => ChannelBinding::none(),
        }
    }
}

/// Keeps the password from being sent in clear text over a connection without encryption: a server,
/// or an attacker in its place, only has to ask for it.
///
/// Reads what a server sends until it has named its authentication method. A message is one byte
/// for its kind, four bytes for the length of the rest, and the rest.
pub(crate) struct ClearTextGuard {
    over: bool,
    head: [u8; 9],
    filled: usize,
    skip: usize,
}

const CLEAR_TEXT_REFUSED: &str = "the server asks for the password in clear text, which is sent \
                                  over TLS only, unless allow_cleartext is set";
const AUTHENTICATION: u8 = b'R';
const CLEAR_TEXT: [u8; 4] = [0, 0, 0, 3];

impl ClearTextGuard {
    fn new(allow_cleartext: bool) -> Self {
        ClearTextGuard { over: allow_cleartext, head: [0; 9], filled: 0, skip: 0 }
    }

    /// Whether these bytes complete a request for a password in clear text.
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
            let seen = bytes.chunks(size).filter(|chunk| guard.requests_clear_text(chunk));
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
