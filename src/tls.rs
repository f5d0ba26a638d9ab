//! From a raw socket to the stream that PostgreSQL's protocol runs on: plain text or TLS as the
//! configuration asks, and every byte of it under the connection's deadline.
//!
//! tokio-postgres hands the raw socket to its TLS connector only where `sslnegotiation=direct` is
//! set; so that is what [`Connector`] asks it for, and it negotiates by itself (the protocol's
//! SSLRequest, see "SSL Session Encryption" in PostgreSQL's documentation of the message flow).

use crate::config::{ConnectionConfig, TlsMode};
use crate::pool::deadline::{Bounded, Deadline};
use openssl::ssl::{ConnectConfiguration, SslConnector, SslMethod, SslVerifyMode};
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use postgres_openssl::TlsConnector;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Why there is no TLS; tells this step's failures from those of others.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TlsFailure(String);

impl TlsFailure {
    fn of(error: impl std::fmt::Display) -> Self {
        TlsFailure(error.to_string())
    }
}

/// The SSLRequest message: its length, and 1234.5679 where a version would stand.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// What TLS needs of the configuration, read once.
#[derive(Clone)]
pub(crate) struct Tls {
    mode: TlsMode,
    verify: bool,
    connector: Option<SslConnector>,
}

impl Tls {
    /// Reads what the configuration names.
    pub(crate) fn new(config: &ConnectionConfig) -> Result<Self, openssl::error::ErrorStack> {
        let connector = match config.tls {
            TlsMode::Off => None,
            TlsMode::Prefer | TlsMode::Require => {
                let mut builder = SslConnector::builder(SslMethod::tls_client())?;
                if !config.tls_verify {
                    builder.set_verify(SslVerifyMode::NONE);
                }
                Some(builder.build())
            }
        };
        Ok(Tls {
            mode: config.tls,
            verify: config.tls_verify,
            connector,
        })
    }

    /// A connector for one connection attempt.
    pub(crate) fn connector(&self, deadline: Arc<Deadline>) -> Connector {
        Connector {
            tls: self.clone(),
            deadline,
        }
    }

    fn configure(&self) -> Result<Option<ConnectConfiguration>, TlsFailure> {
        let Some(connector) = &self.connector else {
            return Ok(None);
        };
        let mut session = connector.configure().map_err(TlsFailure::of)?;
        session.set_verify_hostname(self.verify);
        Ok(Some(session))
    }
}

/// Makes the stream of one connection.
pub(crate) struct Connector {
    tls: Tls,
    deadline: Arc<Deadline>,
}

impl<S> MakeTlsConnect<S> for Connector
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type TlsConnect = Negotiation;
    type Error = TlsFailure;

    fn make_tls_connect(&mut self, host: &str) -> Result<Negotiation, TlsFailure> {
        Ok(Negotiation {
            mode: self.tls.mode,
            session: self.tls.configure()?,
            host: host.to_owned(),
            deadline: Arc::clone(&self.deadline),
        })
    }
}

/// One connection's negotiation.
pub(crate) struct Negotiation {
    mode: TlsMode,
    session: Option<ConnectConfiguration>,
    host: String,
    deadline: Arc<Deadline>,
}

impl<S> TlsConnect<S> for Negotiation
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type Error = TlsFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Stream<S>, TlsFailure>> + Send>>;

    fn connect(self, socket: S) -> Self::Future {
        Box::pin(async move {
            let mut socket = Bounded::new(socket, self.deadline);
            let Some(session) = self.session else {
                return Ok(Stream::Plain(socket));
            };
            match (ask_for_tls(&mut socket).await?, self.mode) {
                (true, _) => {
                    let connector = TlsConnector::new(session, &self.host);
                    let stream = connector.connect(socket).await.map_err(TlsFailure::of)?;
                    Ok(Stream::Tls(Box::new(stream)))
                }
                (false, TlsMode::Prefer) => Ok(Stream::Plain(socket)),
                (false, _) => Err(TlsFailure::of(
                    "the server offers no TLS, and ssl_required is set",
                )),
            }
        })
    }
}

/// Asks the server whether it will speak TLS. Reads its one byte of an answer and no further: what
/// a third party might have put behind it must not be taken for part of the encrypted stream
/// (CVE-2021-23222).
async fn ask_for_tls<S>(socket: &mut S) -> Result<bool, TlsFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut answer = [0];
    let exchange = async {
        socket.write_all(&SSL_REQUEST).await?;
        socket.read_exact(&mut answer).await
    };
    exchange.await.map_err(TlsFailure::of)?;
    match answer[0] {
        b'S' => Ok(true),
        b'N' => Ok(false),
        _ => Err(TlsFailure::of(
            "the answer to the TLS request is not PostgreSQL's",
        )),
    }
}

/// A connection's stream.
pub(crate) enum Stream<S> {
    Plain(Bounded<S>),
    Tls(Box<postgres_openssl::TlsStream<Bounded<S>>>),
}

impl<S> TlsStream for Stream<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn channel_binding(&self) -> ChannelBinding {
        match self {
            Stream::Plain(_) => ChannelBinding::none(),
            Stream::Tls(stream) => stream.channel_binding(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
