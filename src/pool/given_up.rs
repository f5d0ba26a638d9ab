//! Nothing late: the server processes of connections that were given up with a statement under way. One
//! that hangs would carry its statement out when it goes on, over what was saved meanwhile. So each is
//! terminated through another connection to its server, before that one runs anything else.

use super::connection::Connection;
use super::fault::{Fault, Verdict};
use crate::host::lock;
use crate::host::log::{self, Level, Limited};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The server process of a connection. No other one has the same values, also not later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backend {
    /// Where the connection was opened to.
    pub(super) address: Arc<str>,
    pub(super) pid: i64,
    /// When it was started, in microseconds since 1970.
    pub(super) started: i64,
}

/// A column that is [`Backend::started`].
pub(super) const STARTED: &str = "(extract(epoch FROM backend_start) * 1000000)::bigint";

/// How many are remembered. More hang only where no server can be reached for long.
const CAPACITY: usize = 256;

/// What one pool has given up.
#[derive(Default)]
pub(super) struct GivenUp {
    /// Whether there are any.
    any: AtomicBool,
    /// Whether one of them is new.
    new: AtomicBool,
    backends: Mutex<Vec<Backend>>,
    reports: Limited,
}

impl GivenUp {
    /// Notes a backend that may still be at work on a statement. To be called before the statement's
    /// operations are answered, or tried again.
    pub(super) fn add(&self, backend: Backend) {
        let mut backends = lock(&self.backends);
        if !backends.contains(&backend) {
            if backends.len() >= CAPACITY {
                backends.remove(0);
            }
            backends.push(backend);
        }
        self.any.store(true, Ordering::Release);
        self.new.store(true, Ordering::Relaxed);
    }

    /// Whether one was added since the last call.
    pub(super) fn is_new(&self) -> bool {
        self.new.load(Ordering::Relaxed) && self.new.swap(false, Ordering::Relaxed)
    }

    /// Those that a connection to this address reaches.
    fn at(&self, address: &str) -> Vec<Backend> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let backends = lock(&self.backends);
        backends.iter().filter(|backend| &*backend.address == address).cloned().collect()
    }

    fn forget(&self, ended: &[Backend]) {
        let mut backends = lock(&self.backends);
        backends.retain(|backend| !ended.contains(backend));
        self.any.store(!backends.is_empty(), Ordering::Release);
    }
}

/// A role may terminate its own backends. Those that have ended already are not found.
fn terminate(backends: &[Backend]) -> String {
    let mut sql = format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
         WHERE (pid, {STARTED}) IN ("
    );
    for (n, Backend { pid, started, .. }) in backends.iter().enumerate() {
        let comma = if n == 0 { "" } else { ", " };
        let _ = write!(sql, "{comma}({pid}, {started})");
    }
    sql + ")"
}

impl Connection {
    /// Terminates the backends of other connections to the same server that were given up with a
    /// statement under way. To be called before the connection is used. Costs nothing if there are none.
    /// Behind a pooler, nothing is known of backends.
    pub(crate) fn end_given_up(&mut self) -> Result<(), Fault> {
        let Some(own) = &self.backend else {
            return Ok(());
        };
        let given_up = self.given_up.at(&own.address);
        if given_up.is_empty() {
            return Ok(());
        }
        let ended = self.batch(&terminate(&given_up));
        match &ended {
            Ok(()) => self.given_up.reports.log(Level::Notice, || {
                let pids: Vec<String> = given_up.iter().map(|it| it.pid.to_string()).collect();
                let (server, pids) = (&self.server, pids.join(", "));
                format!("{server} ends what was given up there: backends {pids}")
            }),
            Err(fault) if fault.connection == Verdict::Usable && !fault.is_lock() => {
                let text = format!("what was given up cannot be ended: {}", fault.error);
                log::log(Level::Warn, text);
            }
            Err(_) => return ended,
        }
        self.given_up.forget(&given_up);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(address: &str, pid: i64) -> Backend {
        Backend { address: address.into(), pid, started: 5_000_000 }
    }

    #[test]
    fn each_server_is_asked_to_end_its_own() {
        let given_up = GivenUp::default();
        assert!(given_up.at("a").is_empty());
        let [first, second, other] = [("a", 1), ("a", 2), ("b", 1)].map(|(a, pid)| backend(a, pid));
        for one in [&first, &second, &other, &first] {
            given_up.add(one.clone());
        }
        assert_eq!(given_up.at("a"), [first.clone(), second.clone()]);
        // What is given up meanwhile stays.
        let third = backend("a", 3);
        given_up.add(third.clone());
        given_up.forget(&[first, second]);
        assert_eq!(given_up.at("a"), [third]);
        assert_eq!(given_up.at("b"), [other]);
    }

    #[test]
    fn the_oldest_are_forgotten_where_there_are_too_many() {
        let given_up = GivenUp::default();
        for pid in 0..=CAPACITY as i64 {
            given_up.add(backend("a", pid));
        }
        let left = given_up.at("a");
        assert_eq!((left.len(), left[0].pid), (CAPACITY, 1));
    }

    #[test]
    fn the_statement_names_each_by_its_pid_and_its_start() {
        let sql = terminate(&[backend("a", 1), backend("a", 2)]);
        assert!(sql.ends_with("IN ((1, 5000000), (2, 5000000))"), "{sql}");
    }
}
