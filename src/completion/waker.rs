//! How an event loop is woken: by a byte on a socket that it reads or polls.

use crate::host::log::{self, Level};
use openssl::{memcmp, rand};
use socket2::{SockRef, Socket};
use std::fs::Permissions;
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
#[cfg(feature = "capi")]
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

/// Where an event loop connects to.
pub enum WakeAddress {
    /// A socket that only this user can reach.
    Unix(PathBuf),
    /// A port of the loopback interface, which any local user can reach: the event loop sends the secret
    /// as its first bytes.
    Loopback(u16, String),
}

/// How an event loop is woken.
#[derive(Default)]
pub(super) enum Waker {
    /// Not at all: the owner drains when it likes.
    #[default]
    None,
    /// By a socket in a folder, which is removed when this is dropped.
    Unix(UnixListener, #[allow(dead_code)] TempDir),
    Loopback(TcpListener, String),
    Connected(Socket),
    /// Both ends are here: the event loop polls the second and never reads from it.
    #[cfg(feature = "capi")]
    Polled(UnixStream, UnixStream),
}

impl Waker {
    /// Listens for the event loop: in a folder for temporary files, or without one on a port.
    pub(super) fn listen() -> io::Result<(Self, WakeAddress)> {
        let unix = listen_in_folder();
        let Err(error) = unix else {
            return unix;
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let secret = secret()?;
        static REPORTED: AtomicBool = AtomicBool::new(false);
        if !REPORTED.swap(true, Ordering::Relaxed) {
            let folder = std::env::temp_dir();
            let text = format!(
                "no socket in {}, to wake nginx by ({}): a port of 127.0.0.1 is used instead. \
                 A folder that the workers can write to is better: set TMPDIR, with `env TMPDIR;`",
                folder.display(),
                error.kind(),
            );
            log::log(Level::Warn, text);
        }
        Ok((Waker::Loopback(listener, secret.clone()), WakeAddress::Loopback(port, secret)))
    }

    /// Takes the event loop's connection.
    pub(super) fn accept(&self) -> io::Result<Self> {
        match self {
            Waker::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Waker::Connected(stream.into()))
            }
            Waker::Loopback(listener, secret) => loop {
                let (mut stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                // Otherwise a byte could wait for the answer to the one before.
                stream.set_nodelay(true)?;
                let mut sent = vec![0; secret.len()];
                // Whoever connects may be a stranger: nobody waits for what it sends.
                let is_whole = stream.read(&mut sent).is_ok_and(|count| count == sent.len());
                if is_whole && memcmp::eq(&sent, secret.as_bytes()) {
                    return Ok(Waker::Connected(stream.into()));
                }
            },
            _ => Err(io::Error::other("not listening")),
        }
    }

    pub(super) fn wake(&self) {
        let socket = match self {
            Waker::Connected(socket) => SockRef::from(socket),
            #[cfg(feature = "capi")]
            Waker::Polled(stream, _) => SockRef::from(stream),
            Waker::None | Waker::Unix(..) | Waker::Loopback(..) => return,
        };
        // A full socket buffer means that a wake-up is under way; a closed socket, that the reader
        // is gone. Neither may raise a signal in the host.
        let _ = socket.send_with_flags(b"!", libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT);
    }
}

fn listen_in_folder() -> io::Result<(Waker, WakeAddress)> {
    let folder = tempfile::Builder::new()
        .prefix("rsp-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()?;
    let path = folder.path().join("wake");
    let listener = UnixListener::bind(&path)?;
    listener.set_nonblocking(true)?;
    Ok((Waker::Unix(listener, folder), WakeAddress::Unix(path)))
}

fn secret() -> io::Result<String> {
    let mut bytes = [0; 16];
    rand::rand_bytes(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpStream;

    #[test]
    fn a_stranger_on_the_port_is_not_taken_for_the_event_loop() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.set_nonblocking(true).expect("a socket option");
        let port = listener.local_addr().expect("an address").port();
        let waker = Waker::Loopback(listener, "secret".into());
        let connect = |says: &str| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
            stream.write_all(says.as_bytes()).expect("room");
            stream
        };
        let strangers = ["", "secre", "secreT"].map(connect);
        let error = waker.accept().err().expect("no connection to take");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let mut ours = connect("secret");
        waker.accept().expect("our connection").wake();
        assert_eq!(ours.read(&mut [0; 8]).expect("a byte"), 1);
        for mut stranger in strangers {
            assert!(!stranger.read(&mut [0; 8]).is_ok_and(|count| count > 0));
        }
    }
}
