//! The stream of one connection: a Unix socket, or TCP with or without TLS.

use super::cleartext::ClearTextGuard;
use postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connection's stream.
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream, ClearTextGuard),
    Tls(Box<postgres_openssl::TlsStream<TcpStream>>),
}

trait Transport: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Transport for S {}

impl Stream {
    /// A stream that refuses to authenticate in clear text.
    pub(crate) fn tcp(socket: TcpStream) -> Self {
        Stream::Tcp(socket, ClearTextGuard::new(false))
    }

    fn transport(&mut self) -> Pin<&mut dyn Transport> {
        match self {
            Stream::Unix(socket) => Pin::new(socket),
            Stream::Tcp(socket, _) => Pin::new(socket),
            Stream::Tls(stream) => Pin::new(stream),
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
        if let Stream::Tcp(_, guard) = &mut *self {
            guard.check(&buf.filled()[before..])?;
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
        self.transport().poll_shutdown(cx)
    }
}

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        match self {
            Stream::Unix(_) | Stream::Tcp(..) => ChannelBinding::none(),
            Stream::Tls(stream) => stream.channel_binding(),
        }
    }
}

/// Hands tokio-postgres a stream on which everything was negotiated before. With
/// `SslMode::Require` and `SslNegotiation::Direct` it asks its connector for one and sends nothing
/// itself.
pub(crate) struct AlreadyNegotiated;

impl TlsConnect<Stream> for AlreadyNegotiated {
    type Stream = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn connect(self, stream: Stream) -> Self::Future {
        ready(Ok(stream))
    }
}
