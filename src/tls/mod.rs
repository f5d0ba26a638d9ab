//! TLS: what the configuration asks for, and its negotiation on a connected socket. Before a TLS
//! session the server is asked with an SSLRequest message ("SSL Session Encryption" in PostgreSQL's
//! chapter on the message flow), unless `sslnegotiation` is `direct`.

mod files;
mod stream;

pub(crate) use files::{Files, read_private};
pub(crate) use stream::Stream;

use crate::Error;
use crate::config::{TlsConfig, TlsMode, Verify};
use crate::host::lock;
use openssl::ssl::SslConnector;
use postgres::Socket;
use postgres::tls::{MakeTlsConnect, TlsConnect};
use postgres_openssl::TlsConnector;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The SSLRequest message: its length, and 1234.5679 in place of a version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A pool's TLS.
pub(crate) struct Tls {
    config: TlsConfig,
    /// Passwords may be sent in clear text without encryption.
    allow_cleartext: bool,
    state: Mutex<State>,
}

/// What the files held when they were last read, and the connector made from that, if TLS is on.
type State = Result<(Files, Option<SslConnector>), Error>;

fn load(config: &TlsConfig, files: Result<Files, Error>) -> State {
    let files = files?;
    let connector = files.connector(config)?;
    Ok((files, connector))
}

impl Tls {
    pub(crate) fn new(
        config: TlsConfig,
        allow_cleartext: bool,
        files: Result<Files, Error>,
    ) -> Self {
        Tls { state: Mutex::new(load(&config, files)), config, allow_cleartext }
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

    /// What makes the stream of a TCP connection: with TLS as configured, or without.
    pub(crate) fn negotiator(self: &Arc<Self>, encrypt: bool) -> Negotiator {
        Negotiator { tls: Arc::clone(self), encrypt, cancels: false, host: String::new() }
    }

    /// Errors of the kind `Other` are refusals by the server or the configuration; the others are
    /// those of the network.
    async fn negotiate(&self, mut socket: Socket, host: &str, encrypt: bool) -> io::Result<Stream> {
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
                let stream = connected.map_err(io::Error::other)?;
                return Ok(Stream::Tls(Box::new(stream)));
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
        Ok(Stream::plain(socket, self.allow_cleartext))
    }
}

/// Asks the server for TLS. Reads its answer of one byte and nothing more: what an attacker may
/// have sent behind it must not be taken for a part of the encrypted stream (CVE-2021-23222).
async fn ask_for_tls(socket: &mut Socket) -> io::Result<bool> {
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
    /// For a request to cancel, after which tokio-postgres would shut the stream down at once. A
    /// pooler that has not passed the request on by then drops it (PgBouncer), or crashes
    /// (PgBouncer 1.18).
    cancels: bool,
    /// The name that the server's certificate is verified for.
    host: String,
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

impl MakeTlsConnect<Socket> for Negotiator {
    type Stream = Stream;
    type TlsConnect = Self;
    type Error = Infallible;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self, Infallible> {
        let host = host.to_owned();
        Ok(Negotiator { host, ..self.clone() })
    }
}

impl TlsConnect<Socket> for Negotiator {
    type Stream = Stream;
    type Error = NegotiationError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, NegotiationError>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let stream = self.tls.negotiate(socket, &self.host, self.encrypt).await;
            match stream.map_err(NegotiationError)? {
                stream if self.cancels => Ok(Stream::KeptOpen(Box::new(stream))),
                stream => Ok(stream),
            }
        })
    }
}
