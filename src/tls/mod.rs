//! TLS: what the configuration asks for, and its negotiation on a connected socket. Before a TLS
//! session the server is asked with an SSLRequest message ("SSL Session Encryption" in PostgreSQL's
//! chapter on the message flow), unless `sslnegotiation` is `direct`.

mod cleartext;
mod files;
mod stream;

pub(crate) use cleartext::ClearTextRefused;
pub(crate) use files::Files;
pub(crate) use stream::{AlreadyNegotiated, Stream};

use crate::Error;
use crate::config::{TlsConfig, TlsMode, Verify};
use cleartext::ClearTextGuard;
use openssl::ssl::{ConnectConfiguration, SslConnector};
use postgres::tls::TlsConnect;
use postgres_openssl::TlsConnector;
use std::io;
use std::sync::{Mutex, MutexGuard};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The SSLRequest message: its length, and 1234.5679 in place of a version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A pool's TLS.
pub(crate) struct Tls {
    config: TlsConfig,
    /// Passwords may be sent in clear text without encryption.
    allow_cleartext: bool,
    state: Mutex<State>,
}

/// What the files held when they were last read, and the connector made from that.
struct State {
    files: Result<Files, Error>,
    connector: Result<Option<SslConnector>, Error>,
}

impl State {
    fn new(config: &TlsConfig, files: Result<Files, Error>) -> Self {
        let connector = match &files {
            _ if config.mode == TlsMode::Off => Ok(None),
            Ok(files) => files::connector(config, files).map(Some),
            Err(error) => Err(error.clone()),
        };
        State { files, connector }
    }
}

impl Tls {
    pub(crate) fn new(
        config: TlsConfig,
        allow_cleartext: bool,
        files: Result<Files, Error>,
    ) -> Self {
        let state = Mutex::new(State::new(&config, files));
        Tls {
            config,
            allow_cleartext,
            state,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|error| error.into_inner())
    }

    /// Reads the files again. Returns whether they have changed, so that another attempt may succeed.
    /// What can no longer be read stays as it was: nginx's workers may read less than its master.
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

    /// Whether an attempt that failed for TLS is followed by one without.
    pub(crate) fn is_optional(&self) -> bool {
        self.config.mode == TlsMode::Prefer
    }

    /// Makes the stream of a connection. Errors of the kind `Other` are refusals by the server or
    /// the configuration; the others are those of the network.
    pub(crate) async fn negotiate(
        &self,
        mut socket: TcpStream,
        host: &str,
        encrypt: bool,
    ) -> io::Result<Stream> {
        let session = if encrypt { self.session()? } else { None };
        if let Some(session) = session {
            if self.config.direct || ask_for_tls(&mut socket).await? {
                let connected = TlsConnector::new(session, host).connect(socket).await;
                let stream = connected.map_err(io::Error::other)?;
                return Ok(Stream::Tls(Box::new(stream)));
            }
            if self.config.mode == TlsMode::Require {
                let reason = "the server offers no TLS, and it is required";
                return Err(io::Error::other(reason));
            }
        }
        let guard = ClearTextGuard::new(self.allow_cleartext);
        Ok(Stream::Tcp(socket, guard))
    }

    fn session(&self) -> io::Result<Option<ConnectConfiguration>> {
        let connector = self.state().connector.clone().map_err(io::Error::other)?;
        let Some(connector) = connector else {
            return Ok(None);
        };
        let mut session = connector.configure()?;
        session.set_verify_hostname(self.config.verify == Verify::Name);
        Ok(Some(session))
    }
}

/// Asks the server for TLS. Reads its answer of one byte and nothing more: what an attacker may have
/// sent behind it must not be taken for a part of the encrypted stream (CVE-2021-23222).
async fn ask_for_tls(socket: &mut TcpStream) -> io::Result<bool> {
    socket.write_all(&SSL_REQUEST).await?;
    match socket.read_u8().await? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        _ => Err(io::Error::other(
            "the answer to the TLS request is not PostgreSQL's",
        )),
    }
}
