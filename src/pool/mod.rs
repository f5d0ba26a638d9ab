//! The pool: r2d2 over our connections. Those of its defaults that do not suit a library inside a
//! host process are replaced.

mod client;
mod connection;
mod credentials;
mod fault;
mod given_up;
mod open;
mod open_error;
mod server_session;
mod statement;
mod status;

pub(crate) use connection::{Connection, Params, column};
pub(crate) use credentials::Credentials;
pub(crate) use fault::{Fault, Retry, Verdict};
pub(crate) use open_error::OpenError;
pub(crate) use server_session::LOCK_TIMEOUT;
pub(crate) use statement::{Effect, Sql, StatementId, types};

use crate::Error;
use crate::config::{Config, Secret};
use crate::host::thread;
use crate::tls::Tls;
use open::Opener;
use scheduled_thread_pool::{OnPoolDropBehavior, ScheduledThreadPool};
use status::Status;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long r2d2's thread may take to add a place to the pool. It may be closing connections.
const PLACE_TIME: Duration = Duration::from_millis(100);

struct Manager;

impl r2d2::ManageConnection for Manager {
    /// r2d2 pools places for connections. It would open connections on a thread of its own, and one more
    /// with each look for one that finds none. So the caller opens the connection of an empty place that
    /// it was given, and learns why it could not.
    type Connection = Option<Box<Connection>>;
    type Error = Infallible;

    fn connect(&self) -> Result<Self::Connection, Infallible> {
        Ok(None)
    }

    /// Never called: the pool is built without a test on check-out, because a round trip for each
    /// operation would double its cost. The first statement on a dead connection fails, and is then
    /// run on a new one.
    fn is_valid(&self, _: &mut Self::Connection) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, place: &mut Self::Connection) -> bool {
        place.as_ref().is_none_or(|open| open.is_broken())
    }
}

/// A checked-out connection. When dropped, it goes back to the pool, or is closed if it is broken.
pub(crate) struct Pooled(r2d2::PooledConnection<Manager>);

impl Pooled {
    pub(crate) fn get(&mut self) -> &mut Connection {
        self.0.as_mut().expect("the pool hands out open connections only")
    }
}

/// Connections to one database.
pub(crate) struct Pool {
    connections: r2d2::Pool<Manager>,
    opener: Arc<Opener>,
}

impl Pool {
    /// A pool without connections, and its one thread, which closes those that idle for too long.
    pub(crate) fn new(config: &Config, tls: Tls, passwords: Option<Secret>) -> Result<Self, Error> {
        let credentials = Credentials::new(config.connection.password.clone(), passwords);
        let opener = Arc::new(Opener::new(config, tls, credentials));
        let build = || {
            let thread = ScheduledThreadPool::builder()
                .num_threads(1)
                .thread_name_pattern("rsp-connect")
                .on_drop_behavior(OnPoolDropBehavior::DiscardPendingScheduled)
                .build();
            r2d2::Pool::builder()
                .max_size(config.pool.size as u32)
                .min_idle(Some(0))
                .test_on_check_out(false)
                .max_lifetime(None)
                // r2d2 checks every 30 s which connections have been idle for so long.
                .idle_timeout(config.pool.keepalive)
                .thread_pool(Arc::new(thread))
                .build_unchecked(Manager)
        };
        // The scheduler panics if it cannot start its thread.
        let built = catch_unwind(AssertUnwindSafe(|| thread::without_signals(build)));
        let connections = built
            .map_err(|_| Error::internal("the connection pool's thread could not be started"))?;
        Ok(Pool { connections, opener })
    }

    pub(crate) fn idle(&self) -> Option<Pooled> {
        let mut places = std::iter::from_fn(|| self.connections.try_get());
        // An empty place is dropped.
        places.find(|place| place.is_some()).map(Pooled)
    }

    /// Whether one more connection may be opened now: the pool has a place for it, and the pause after a
    /// failed attempt is over.
    pub(crate) fn may_open(&self, now: Instant) -> bool {
        let has_place = self.connections.state().connections < self.connections.max_size();
        has_place && self.status().next_attempt().is_none_or(|at| at <= now)
    }

    /// Opens a connection, on the calling thread, within the time for that. `None` if all places were
    /// taken meanwhile.
    pub(crate) fn open_one(&self) -> Result<Option<Pooled>, OpenError> {
        let Ok(mut place) = self.connections.get_timeout(PLACE_TIME) else {
            return Ok(None);
        };
        if place.is_none() {
            let opener = &self.opener;
            let opened = opener.status.attempt(&opener.server, || opener.open());
            *place = Some(Box::new(opened?));
        }
        Ok(Some(Pooled(place)))
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> u32 {
        let opening = self.status().opening() as u32;
        self.connections.state().connections.saturating_sub(opening)
    }

    pub(crate) fn idle_count(&self) -> u32 {
        self.connections.state().idle_connections
    }

    /// Takes the idle connections out of the pool. They are closed when they are dropped.
    pub(crate) fn take_idle(&self) -> Vec<Pooled> {
        let mut idle: Vec<Pooled> = std::iter::from_fn(|| self.idle()).collect();
        for connection in &mut idle {
            connection.get().mark_broken();
        }
        idle
    }

    /// Whether a statement was given up since the last call: see [`Connection::end_given_up`].
    pub(crate) fn has_just_given_up(&self) -> bool {
        self.opener.given_up.is_new()
    }

    pub(crate) fn set_password(&self, password: &str) {
        self.opener.credentials.replace(password);
    }

    pub(crate) fn status(&self) -> &Status {
        &self.opener.status
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::host::lock;
    use crate::tls::Files;
    use std::collections::BTreeSet;
    use std::fs;
    use std::sync::{Mutex, MutexGuard};

    /// Threads are counted in the whole process, so only one test at a time may make a pool.
    pub(crate) fn one_at_a_time() -> MutexGuard<'static, ()> {
        static LOCK: Mutex<()> = Mutex::new(());
        lock(&LOCK)
    }

    /// The threads of this process with that name. One that ends meanwhile has none.
    fn threads(name: &str) -> BTreeSet<std::ffi::OsString> {
        let tasks = fs::read_dir("/proc/self/task").expect("procfs").flatten();
        let is_named = |task: &fs::DirEntry| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        tasks.filter(is_named).map(|task| task.file_name()).collect()
    }

    /// r2d2 checks idle connections every 30 s, on a thread that it starts for that.
    #[test]
    fn a_pool_has_one_thread_which_ends_with_it() {
        let _guard = one_at_a_time();
        let config = Config::default();
        let tls =
            Tls::new(config.connection.tls.clone(), config.connection.auth, Ok(Files::default()));
        let before = threads("rsp-connect");
        let pool = Pool::new(&config, tls, None).expect("a pool");
        let wait_for = |number: usize| {
            let end = Instant::now() + Duration::from_secs(2);
            while threads("rsp-connect").difference(&before).count() != number {
                assert!(Instant::now() < end, "not {number} threads");
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        wait_for(1);
        drop(pool);
        wait_for(0);
    }
}
