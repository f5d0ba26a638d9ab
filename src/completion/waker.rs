//! The socket that wakes an event loop.

use std::fs::Permissions;
use std::io;
#[cfg(feature = "capi")]
use std::io::Read;
#[cfg(feature = "capi")]
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use tempfile::TempDir;

/// How an event loop is woken.
#[derive(Default)]
pub(super) enum Waker {
    /// Not at all: the owner drains when it likes.
    #[default]
    None,
    Listening {
        listener: UnixListener,
        /// Removed, with the socket in it, when this is dropped.
        _folder: TempDir,
    },
    Connected(UnixStream),
    /// Both ends are here: the event loop polls the second and never reads from it.
    #[cfg(feature = "capi")]
    Polled(UnixStream, UnixStream),
}

impl Waker {
    /// By a socket that the event loop connects to, and its path. Only this user can enter its folder.
    pub(super) fn listening() -> io::Result<(Self, PathBuf)> {
        let folder = tempfile::Builder::new()
            .prefix("rsp-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()?;
        let path = folder.path().join("wake");
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        let _folder = folder;
        Ok((Waker::Listening { listener, _folder }, path))
    }

    /// By the connection that the event loop has made.
    pub(super) fn accept(&self) -> io::Result<Self> {
        let Waker::Listening { listener, .. } = self else {
            return Err(io::Error::other("not listening"));
        };
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        Ok(Waker::Connected(stream))
    }

    /// By a descriptor that the event loop polls.
    #[cfg(feature = "capi")]
    pub(super) fn polled() -> io::Result<(Self, RawFd)> {
        let (ours, polled) = UnixStream::pair()?;
        polled.set_nonblocking(true)?;
        let descriptor = polled.as_raw_fd();
        Ok((Waker::Polled(ours, polled), descriptor))
    }

    /// Makes that descriptor unreadable again.
    #[cfg(feature = "capi")]
    pub(super) fn settle(&self) {
        if let Waker::Polled(_, polled) = self {
            let mut polled = polled;
            while polled.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
        }
    }

    pub(super) fn wake(&self) {
        let stream = match self {
            Waker::Connected(stream) => stream,
            #[cfg(feature = "capi")]
            Waker::Polled(stream, _) => stream,
            Waker::None | Waker::Listening { .. } => return,
        };
        // A full socket buffer means that a wake-up is under way; a closed socket, that the reader
        // is gone. Neither may raise a signal in the host.
        let socket = socket2::SockRef::from(stream);
        let _ = socket.send_with_flags(b"!", libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT);
    }
}
