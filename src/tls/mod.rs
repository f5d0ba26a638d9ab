//! From a raw socket to the stream that PostgreSQL's protocol runs on: plain text or TLS as the
//! configuration asks, and every byte of it under the connection's deadline.
//!
//! tokio-postgres hands the raw socket to its TLS connector only where `sslnegotiation=direct` is
//! set; so that is what [`Connector`] asks it for, and it negotiates by itself (the protocol's
//! SSLRequest, see "SSL Session Encryption" in PostgreSQL's documentation of the message flow).

mod cleartext;
mod files;
mod stream;

pub(crate) use cleartext::ClearTextRefused;
pub(crate) use files::{Files, Unusable};
pub(crate) use stream::Stream;

use crate::config::{TlsConfig, TlsMode, Verify};
use crate::deadline::{Bounded, Deadline};
use cleartext::Watched;
use openssl::ssl::{ConnectConfiguration, SslConnector};
use postgres::tls::{MakeTlsConnect, TlsConnect};
use postgres_openssl::TlsConnector;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Why there is no TLS; tells this step's failures from those of others.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TlsFailure(String);

impl TlsFailure {
    fn of(error: impl std::fmt::Display) -> Self {
        TlsFailure(error.to_string())
    }
}

/// The SSLRequest message: its length, and 1234.5679 where a version would stand.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A pool's TLS.
pub(crate) struct Tls {
    config: TlsConfig,
    /// Passwords may go in clear text over a connection that is not encrypted.
    allow_cleartext: bool,
    state: Mutex<State>,
}

/// What the files held when they were last read, and what was made of it.
struct State {
    files: Result<Files, Unusable>,
    connector: Result<Option<SslConnector>, TlsFailure>,
}

impl State {
    fn new(config: &TlsConfig, files: Result<Files, Unusable>) -> Self {
        let connector = match &files {
            _ if config.mode == TlsMode::Off => Ok(None),
            Ok(files) => files::connector(config, files).map(Some),
            Err(unusable) => Err(unusable.clone()),
        };
        State {
            connector: connector.map_err(TlsFailure::of),
            files,
        }
    }
}

impl Tls {
    pub(crate) fn new(
        config: TlsConfig,
        allow_cleartext: bool,
        files: Result<Files, Unusable>,
    ) -> Self {
        let state = Mutex::new(State::new(&config, files));
        Tls {
            config,
            allow_cleartext,
            state,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Reads the files again; says whether they have changed, so that another attempt may succeed.
    /// What cannot be read any more stays as it was: nginx's workers may read less than its master.
    pub(crate) fn read_again(&self) -> bool {
        let config = &self.config;
        if config.root.is_none() && config.revoked.is_none() && config.client.is_none() {
            return false;
        }
        let fresh = Files::read(config);
        let mut state = self.state();
        let changed = fresh.is_ok() && fresh != state.files;
        if changed || state.files.is_err() {
            *state = State::new(config, fresh);
        }
        changed
    }

    /// Whether an attempt that failed for TLS is to be followed by one without.
    pub(crate) fn does_without(&self) -> bool {
        self.config.mode == TlsMode::Prefer
    }

    /// A connector for one connection attempt, or one cancellation.
    pub(crate) fn connector(&self, deadline: Arc<Deadline>, encrypt: bool) -> Connector {
        Connector {
            mode: self.config.mode,
            direct: self.config.direct,
            verify_name: self.config.verify == Verify::Name,
            allow_cleartext: self.allow_cleartext,
            connector: if encrypt {
                self.state().connector.clone()
            } else {
                Ok(None)
            },
            deadline,
        }
    }
}

/// Makes the stream of one connection.
pub(crate) struct Connector {
    mode: TlsMode,
    direct: bool,
    verify_name: bool,
    allow_cleartext: bool,
    connector: Result<Option<SslConnector>, TlsFailure>,
    deadline: Arc<Deadline>,
}

impl Connector {
    fn session(&self) -> Result<Option<ConnectConfiguration>, TlsFailure> {
        let Some(connector) = self.connector.as_ref().map_err(Clone::clone)? else {
            return Ok(None);
        };
        let mut session = connector.configure().map_err(TlsFailure::of)?;
        session.set_verify_hostname(self.verify_name);
        Ok(Some(session))
    }
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
            mode: self.mode,
            direct: self.direct,
            allow_cleartext: self.allow_cleartext,
            session: self.session()?,
            host: host.to_owned(),
            deadline: Arc::clone(&self.deadline),
        })
    }
}

/// One connection's negotiation.
pub(crate) struct Negotiation {
    mode: TlsMode,
    direct: bool,
    allow_cleartext: bool,
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
            // Nobody waits for what was connected too late, and the host may be about to end.
            if self.deadline.is_over() {
                return Err(TlsFailure::of("the deadline passed"));
            }
            let mut socket = Bounded::new(socket, self.deadline);
            let plain = |socket| Stream::Plain(Watched::new(socket, self.allow_cleartext));
            let Some(session) = self.session else {
                return Ok(plain(socket));
            };
            if self.direct || ask_for_tls(&mut socket).await? {
                let connector = TlsConnector::new(session, &self.host);
                let stream = connector.connect(socket).await.map_err(TlsFailure::of)?;
                return Ok(Stream::Tls(Box::new(stream)));
            }
            match self.mode {
                TlsMode::Offered | TlsMode::Prefer => Ok(plain(socket)),
                TlsMode::Off | TlsMode::Require => Err(TlsFailure::of(
                    "the server offers no TLS, and it is required",
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
