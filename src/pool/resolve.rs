//! Name look-up with a deadline. The system's resolver has none, so it runs on a thread of its own,
//! which is left to itself if it does not answer in time.

use crate::host::thread;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::time::Instant;

/// The addresses of `host` in the resolver's order, each once. Looked up for each connection, so
/// that a name that moves is followed.
pub(super) fn addresses(host: &str, until: Instant) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let name = host.to_owned();
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn("rsp-resolve", move || {
        let found = (name.as_str(), 0).to_socket_addrs();
        let _ = sender.send(found.map(|found| found.map(|at| at.ip()).collect::<Vec<_>>()));
    })?;
    let mut addresses = receiver
        .recv_timeout(until.saturating_duration_since(Instant::now()))
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the resolver did not answer"))??;
    addresses.dedup();
    if addresses.is_empty() {
        let reason = "the name has no address";
        return Err(io::Error::new(io::ErrorKind::NotFound, reason));
    }
    Ok(addresses)
}
