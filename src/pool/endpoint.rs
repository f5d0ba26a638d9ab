//! Where a server is reached, and how: the socket with its options, and the stream on top of it.

use crate::tls::{Stream, Tls};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// A silent peer is found dead after these: 30 s, then three probes 10 s apart.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(30))
    .with_interval(Duration::from_secs(10))
    .with_retries(3);

/// A server's address.
#[derive(Clone)]
pub(super) enum Address {
    Tcp(SocketAddr),
    /// The path of its socket.
    Unix(PathBuf),
}

/// How one connection is made, and later a request to cancel what it runs.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) address: Address,
    /// The name that its certificate is verified for.
    pub(super) host: String,
    pub(super) tls: Arc<Tls>,
    /// `false` only after an attempt with encryption has failed.
    pub(super) encrypt: bool,
    /// How long sent data may stay unacknowledged.
    pub(super) user_timeout: Duration,
}

impl Endpoint {
    pub(super) fn is_tcp(&self) -> bool {
        matches!(self.address, Address::Tcp(_))
    }

    /// Connects a socket.
    pub(super) async fn dial(&self) -> io::Result<Stream> {
        let address = match &self.address {
            Address::Tcp(address) => address,
            Address::Unix(path) => return UnixStream::connect(path).await.map(Stream::Unix),
        };
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let options = SockRef::from(&socket);
        options.set_tcp_keepalive(&KEEPALIVE)?;
        options.set_tcp_user_timeout(Some(self.user_timeout))?;
        Ok(Stream::tcp(socket))
    }

    /// Negotiates encryption, over TCP only.
    pub(super) async fn negotiate(&self, stream: Stream) -> io::Result<Stream> {
        match stream {
            Stream::Tcp(socket, _) => self.tls.negotiate(socket, &self.host, self.encrypt).await,
            stream => Ok(stream),
        }
    }
}
