//! A seat that one process of a machine has at a time, for what one of them should do for all. The
//! kernel gives it back when the process ends, however it ends.

use std::io;

/// Whoever holds this has the seat.
pub(crate) struct Seat {
    #[cfg(target_os = "linux")]
    _socket: std::os::unix::net::UnixListener,
}

impl Seat {
    /// Takes the seat of that name among this user's processes; `None` where somebody has it. It is
    /// the name of an abstract socket, of which there is no file and which nobody answers.
    #[cfg(target_os = "linux")]
    pub(crate) fn take(name: &str) -> io::Result<Option<Seat>> {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixListener};
        // SAFETY: always succeeds.
        #[allow(unsafe_code)]
        let user = unsafe { libc::geteuid() };
        let name = format!("resty-session-postgres/{user}/{name}");
        let address = SocketAddr::from_abstract_name(name)?;
        match UnixListener::bind_addr(&address) {
            Ok(_socket) => Ok(Some(Seat { _socket })),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Without such sockets, everybody has a seat.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn take(_: &str) -> io::Result<Option<Seat>> {
        Ok(Some(Seat {}))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_until_it_is_dropped() {
        let name = format!("test/{}", std::process::id());
        let take = || Seat::take(&name).expect("a socket");
        let first = take();
        assert!(first.is_some());
        assert!(take().is_none());
        drop(first);
        assert!(take().is_some());
    }
}
