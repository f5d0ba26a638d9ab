//! TLS: what the configuration asks for, and its negotiation on a connected socket. Before a TLS
//! session the server is asked with an SSLRequest message ("SSL Session Encryption" in PostgreSQL's
//! chapter on the message flow), unless `sslnegotiation` is `direct`.

mod files;
mod guard;
mod stream;

pub(crate) use files::{Files, read_private};
pub(crate) use guard::{Allowance, Refused};
pub(crate) use stream::Stream;

use crate::config::{AuthConfig, TlsConfig, TlsMode, Verify};
use crate::host::lock;
use guard::Guard;
use openssl::error::ErrorStack;
use openssl::ssl::{self, ErrorCode, SslConnector};
use postgres::tls::{MakeTlsConnect, TlsConnect};
use postgres_openssl::TlsConnector;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use stream::{Socket, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The SSLRequest message: its length, and 1234.5679 in place of a version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A pool's TLS.
pub(crate) struct Tls {
    config: TlsConfig,
    auth: AuthConfig,
    state: Mutex<State>,
}

/// What the files held when they were last read, and the connector made from that, if TLS is on.
type State = Result<(Files, Option<SslConnector>), crate::Error>;

fn load(config: &TlsConfig, files: Result<Files, crate::Error>) -> State {
    let files = files?;
    let connector = files.connector(config)?;
    Ok((files, connector))
}

impl Tls {
    pub(crate) fn new(
        config: TlsConfig,
        auth: AuthConfig,
        files: Result<Files, crate::Error>,
    ) -> Self {
        Tls { state: Mutex::new(load(&config, files)), config, auth }
    }

    /// Reads the files again. Returns whether they have changed, so that another attempt may
    /// succeed. What can no longer be read stays as it was: nginx's workers may read less than its
    /// master.
    pub(crate) fn read_again(&self) -> bool {
        let config = &self.config;
        if config.root.is_none() && config.revoked.is_none() && config.client.is_none() {
            return false;
        }
        let fresh = load(config, Files::read(config));
        let mut known = lock(&self.state);
        let changed = match (&fresh, &*known) {
            (Ok((fresh, _)), Ok((known, _))) => fresh != known,
            _ => fresh.is_ok(),
        };
        if changed || known.is_err() {
            *known = fresh;
        }
        changed
    }

    /// Whether an attempt that failed for TLS is followed by one without.
    pub(crate) fn is_optional(&self) -> bool {
        self.config.mode == TlsMode::Prefer
    }

    /// What makes the stream of a connection: with TLS as configured, or without. On a Unix socket
    /// (`is_local`) there is none, and a password in clear text does no harm.
    pub(crate) fn negotiator(
        self: &Arc<Self>,
        encrypt: bool,
        is_local: bool,
        allowance: &Arc<Allowance>,
    ) -> Negotiator {
        Negotiator {
            tls: Arc::clone(self),
            encrypt,
            is_local,
            cancels: false,
            host: String::new(),
            allowance: Arc::clone(allowance),
        }
    }

    /// Errors of the kind `Other` are refusals by the server or the configuration; the others are
    /// those of the network.
    async fn negotiate(
        &self,
        mut socket: Box<dyn Socket>,
        host: &str,
        encrypt: bool,
    ) -> io::Result<Transport> {
        let connector = match &*lock(&self.state) {
            _ if !encrypt => None,
            Ok((_, connector)) => connector.clone(),
            Err(error) => return Err(io::Error::other(error.clone())),
        };
        if let Some(connector) = connector {
            if self.config.direct || ask_for_tls(&mut socket).await? {
                let mut session = connector.configure()?;
                session.set_verify_hostname(self.config.verify == Verify::Name);
                let connected = TlsConnector::new(session, host).connect(socket).await;
                let stream = connected.map_err(handshake_error)?;
                return Ok(Transport::Tls(Box::new(stream)));
            }
            if self.config.mode == TlsMode::Require {
                let keys = match self.config.verify {
                    Verify::Nothing => "ssl_required",
                    _ => "ssl_verify, sslrootcert",
                };
                let reason = format!("the server offers no TLS, which {keys} or sslmode requires");
                return Err(io::Error::other(reason));
            }
        }
        Ok(Transport::Plain(socket))
    }
}

/// A handshake that a lost connection has ended is no refusal.
fn handshake_error(error: Box<dyn Error + Send + Sync>) -> io::Error {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<ssl::Error>());
    let ends_early = |reason: &ErrorStack| {
        reason.errors().iter().any(|it| it.reason() == Some("unexpected eof while reading"))
    };
    let is_lost = cause.is_some_and(|cause| {
        let is_closed = matches!(cause.code(), ErrorCode::SYSCALL | ErrorCode::ZERO_RETURN);
        is_closed || cause.io_error().is_some() || cause.ssl_error().is_some_and(ends_early)
    });
    let kind = if is_lost { io::ErrorKind::ConnectionReset } else { io::ErrorKind::Other };
    io::Error::new(kind, error)
}

/// Asks the server for TLS. Reads its answer of one byte and nothing more: what an attacker may
/// have sent behind it must not be taken for a part of the encrypted stream (CVE-2021-23222).
async fn ask_for_tls(socket: &mut dyn Socket) -> io::Result<bool> {
    socket.write_all(&SSL_REQUEST).await?;
    match socket.read_u8().await? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        _ => Err(io::Error::other("the answer to the TLS request is not PostgreSQL's")),
    }
}

/// Hands tokio-postgres a stream on which everything has been negotiated. With `SslMode::Require`
/// and `SslNegotiation::Direct`, tokio-postgres calls it on the connected socket and sends nothing
/// itself.
#[derive(Clone)]
pub(crate) struct Negotiator {
    tls: Arc<Tls>,
    encrypt: bool,
    is_local: bool,
    /// For a request to cancel, after which tokio-postgres would shut the stream down at once. A
    /// pooler that has not passed the request on by then drops it (PgBouncer), or crashes
    /// (PgBouncer 1.18).
    cancels: bool,
    /// The name that the server's certificate is verified for.
    host: String,
    /// How much the server may send.
    allowance: Arc<Allowance>,
}

/// Why no stream was made of a connected socket.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct NegotiationError(pub(crate) io::Error);

impl Negotiator {
    /// The same for a request to cancel. Its future never ends.
    pub(crate) fn to_cancel(&self) -> Self {
        let cancels = true;
        Negotiator { cancels, ..self.clone() }
    }
}

impl<S: Socket + 'static> MakeTlsConnect<S> for Negotiator {
    type Stream = Stream;
    type TlsConnect = Self;
    type Error = Infallible;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self, Infallible> {
        let host = host.to_owned();
        Ok(Negotiator { host, ..self.clone() })
    }
}

impl<S: Socket + 'static> TlsConnect<S> for Negotiator {
    type Stream = Stream;
    type Error = NegotiationError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, NegotiationError>> + Send>>;

    fn connect(self, socket: S) -> Self::Future {
        Box::pin(async move {
            let tls = &self.tls;
            let transport = tls.negotiate(Box::new(socket), &self.host, self.encrypt).await;
            let transport = transport.map_err(NegotiationError)?;
            let is_private = self.is_local || matches!(transport, Transport::Tls(_));
            let allow_cleartext = tls.auth.allow_cleartext || is_private;
            let guard = Guard::new(AuthConfig { allow_cleartext, ..tls.auth }, &self.allowance);
            Ok(Stream { transport, guard, kept_open: self.cancels })
        })
    }
}
