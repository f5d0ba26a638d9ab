//! Name look-up with a limit. The system's resolver knows none; so it runs on a thread of its own,
//! which is left behind if it does not come back in time.

use crate::host::thread;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The addresses of `host`, each once, in the resolver's order. Looked up anew at each connect, so
/// that a name that moves is followed.
pub(crate) fn addresses(host: &str, deadline: Instant) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let name = host.to_owned();
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn("rsp-resolve", move || {
        let found = (name.as_str(), 0).to_socket_addrs();
        let _ = sender.send(found.map(|found| found.map(|at| at.ip()).collect::<Vec<_>>()));
    })?;
    let left = deadline.saturating_duration_since(Instant::now());
    let mut addresses = receiver
        .recv_timeout(left.max(Duration::from_millis(1)))
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the resolver did not answer"))??;
    addresses.dedup();
    if addresses.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
    }
    Ok(addresses)
}
