//! Nothing late: the server processes of connections that were given up with a statement under way. One
//! that hangs would carry its statement out when it goes on, over what was saved meanwhile. So each is
//! terminated through another connection to its server, before that one runs anything else.

use crate::host::lock;
use crate::host::log::Limited;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The server process of a connection. No other one has the same values, also not later. Times are in
/// microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backend {
    /// When its server was started, which tells the servers behind one address apart.
    pub(super) server: i64,
    pub(super) pid: i64,
    pub(super) started: i64,
}

/// Columns for [`Backend`] of the own connection. Operators have the exact types of their operands, so that
/// none of another schema is taken instead.
pub(super) fn columns() -> String {
    let server = micros("pg_catalog.pg_postmaster_start_time()");
    let started = micros("backend_start");
    format!(
        "pg_catalog.pg_backend_pid(), {server}, \
         (SELECT {started} FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()))"
    )
}

fn micros(time: &str) -> String {
    format!("(pg_catalog.date_part('epoch', {time}) * '1000000'::float8)::bigint")
}

/// How many are remembered, and for how long. More hang only where no server can be reached for long.
const CAPACITY: usize = 256;
const KEEP: Duration = Duration::from_secs(3600);

/// For how long a server is asked again to end one. What is asked for then waits for it.
const MOST_TIME: Duration = Duration::from_secs(10);

/// What one pool has given up.
#[derive(Default)]
pub(super) struct GivenUp {
    /// Whether there are any.
    any: AtomicBool,
    /// Whether one of them is new.
    new: AtomicBool,
    entries: Mutex<Vec<Entry>>,
    pub(super) reports: Limited,
}

struct Entry {
    backend: Backend,
    since: Instant,
    /// When the server was first asked to end it, and did not.
    failed: Option<Instant>,
}

impl GivenUp {
    /// Notes a backend that may still be at work on a statement. To be called before the statement's
    /// operations are answered, or tried again.
    pub(super) fn add(&self, backend: Backend) {
        let mut entries = lock(&self.entries);
        if entries.iter().all(|entry| entry.backend != backend) {
            if entries.len() >= CAPACITY {
                entries.remove(0);
            }
            entries.push(Entry { backend, since: Instant::now(), failed: None });
        }
        self.any.store(true, Ordering::Release);
        self.new.store(true, Ordering::Relaxed);
    }

    /// Whether one was added since the last call.
    pub(super) fn is_new(&self) -> bool {
        self.new.load(Ordering::Relaxed) && self.new.swap(false, Ordering::Relaxed)
    }

    /// Those of this server.
    pub(super) fn of_server(&self, server: i64) -> Vec<Backend> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.retain(|entry| entry.since.elapsed() < KEEP);
        let entries = lock(&self.entries);
        entries.iter().map(|entry| entry.backend).filter(|it| it.server == server).collect()
    }

    /// The server was asked to end these, and did not answer.
    pub(super) fn not_ended(&self, asked: &[Backend]) {
        let now = Instant::now();
        self.retain(|entry| {
            if !asked.contains(&entry.backend) {
                return true;
            }
            let failed = *entry.failed.get_or_insert(now);
            now.saturating_duration_since(failed) < MOST_TIME
        });
    }

    pub(super) fn forget(&self, ended: &[Backend]) {
        self.retain(|entry| !ended.contains(&entry.backend));
    }

    fn retain(&self, keep: impl FnMut(&mut Entry) -> bool) {
        let mut entries = lock(&self.entries);
        entries.retain_mut(keep);
        self.any.store(!entries.is_empty(), Ordering::Release);
    }
}

/// Has backends ended. A role may do that with its own. One that has ended already is not found. One that
/// waits for a standby has committed: it cannot come late, and its session is not to be seen early.
/// The pids are constants, by which a proxy that takes part can tell whom it is about.
pub(super) fn terminate(backends: &[Backend]) -> String {
    let mut sql = String::new();
    for Backend { pid, started, .. } in backends {
        let _ = write!(
            sql,
            "SELECT pg_catalog.pg_terminate_backend({pid}) \
             FROM pg_catalog.pg_stat_get_activity({pid}) \
             WHERE {} = '{started}'::bigint AND wait_event IS DISTINCT FROM 'SyncRep';",
            micros("backend_start"),
        );
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(server: i64, pid: i64) -> Backend {
        Backend { server, pid, started: 5_000_000 }
    }

    #[test]
    fn each_server_is_asked_to_end_its_own() {
        let given_up = GivenUp::default();
        assert!(given_up.of_server(1).is_empty() && !given_up.is_new());
        let [first, second, other] = [(1, 1), (1, 2), (2, 1)].map(|(at, pid)| backend(at, pid));
        for one in [first, second, other, first] {
            given_up.add(one);
        }
        assert!(given_up.is_new() && !given_up.is_new());
        assert_eq!(given_up.of_server(1), [first, second]);
        // What is given up meanwhile stays.
        let third = backend(1, 3);
        given_up.add(third);
        given_up.forget(&[first, second]);
        assert_eq!(given_up.of_server(1), [third]);
        assert_eq!(given_up.of_server(2), [other]);
    }

    #[test]
    fn what_cannot_be_ended_is_forgotten_after_some_time() {
        let given_up = GivenUp::default();
        let [first, second] = [1, 2].map(|pid| backend(1, pid));
        given_up.add(first);
        given_up.add(second);
        // Many threads may ask at the same moment.
        for _ in 0..20 {
            given_up.not_ended(&[first]);
            assert_eq!(given_up.of_server(1), [first, second]);
        }
        given_up.retain(|entry| {
            entry.failed = entry.failed.map(|at| at - MOST_TIME);
            true
        });
        given_up.not_ended(&[first]);
        assert_eq!(given_up.of_server(1), [second]);
    }

    #[test]
    fn the_oldest_are_forgotten_where_there_are_too_many() {
        let given_up = GivenUp::default();
        for pid in 0..=CAPACITY as i64 {
            given_up.add(backend(1, pid));
        }
        let left = given_up.of_server(1);
        assert_eq!((left.len(), left[0].pid), (CAPACITY, 1));
    }

    #[test]
    fn the_statement_names_each_by_its_pid_and_its_start() {
        let sql = terminate(&[backend(1, 7), backend(1, 8)]);
        for pid in [7, 8] {
            assert!(sql.contains(&format!("pg_terminate_backend({pid})")), "{sql}");
            assert!(sql.contains(&format!("pg_stat_get_activity({pid})")), "{sql}");
        }
        assert_eq!(sql.matches("= '5000000'::bigint").count(), 2, "{sql}");
    }
}
