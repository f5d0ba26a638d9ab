//! The stream of a connection: a socket, with TLS or without, and the guard that reads along.

use super::guard::Guard;
use postgres::tls::{ChannelBinding, TlsStream};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket of any kind.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// The stream of a connection.
pub(crate) struct Stream {
    pub(super) transport: Transport,
    pub(super) guard: Guard,
    /// Of a request to cancel: it is closed when it is dropped, and not shut down before.
    pub(super) kept_open: bool,
}

pub(super) enum Transport {
    Plain(Box<dyn Socket>),
    Tls(Box<postgres_openssl::TlsStream<Box<dyn Socket>>>),
}

impl Stream {
    fn transport(&mut self) -> Pin<&mut dyn Socket> {
        match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket),
            Transport::Tls(stream) => Pin::new(stream),
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
        ready!(self.transport().poll_read(cx, buf))?;
        let checked = self.guard.check(&buf.filled()[before..]);
        Poll::Ready(checked.map_err(io::Error::other))
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
        match self.kept_open {
            true => Poll::Pending,
            false => self.transport().poll_shutdown(cx),
        }
    }
}

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.transport {
            Transport::Tls(stream) => stream.channel_binding(),
            Transport::Plain(_) => ChannelBinding::none(),
        }
    }
}
