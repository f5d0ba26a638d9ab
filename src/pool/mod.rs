//! The pool: r2d2 over our connections, with every default of it that does not suit a guest in
//! nginx replaced.

mod connection;
pub(crate) mod deadline;
mod fault;
mod manager;
mod resolve;
mod statements;
mod status;

pub(crate) use fault::Fault;

use crate::Error;
use crate::config::Config;
use crate::host::thread;
use crate::tls::Tls;
use manager::Manager;
use r2d2::NopErrorHandler;
use scheduled_thread_pool::{OnPoolDropBehavior, ScheduledThreadPool};
use status::Status;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// A checked-out connection; dropped, it goes back to the pool, or is closed if it is broken.
pub(crate) type Pooled = r2d2::PooledConnection<Manager>;

/// Connections to one database.
pub(crate) struct Pool {
    connections: r2d2::Pool<Manager>,
    status: Arc<Status>,
}

/// r2d2 doubles the pause between attempts from 200 ms up to half of its connection timeout, which
/// serves for nothing else here: a server that is back is found within half a second.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

impl Pool {
    /// A pool without connections, and one thread, which opens and closes them.
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let tls = Tls::new(&config.connection)
            .map_err(|error| Error::internal(format!("OpenSSL: {error}")))?;
        let manager = Manager::new(config.connection.clone(), config.timeouts, tls);
        let status = Arc::clone(manager.status());
        let build = || {
            let opener = ScheduledThreadPool::builder()
                .num_threads(1)
                .thread_name_pattern("rsp-connect")
                .on_drop_behavior(OnPoolDropBehavior::DiscardPendingScheduled)
                .build();
            r2d2::Pool::builder()
                .max_size(config.pool.size as u32)
                .min_idle(Some(0))
                .test_on_check_out(false)
                .max_lifetime(None)
                // r2d2 looks every 30 s which connections have idled for so long.
                .idle_timeout(config.pool.keepalive)
                .connection_timeout(RETRY_PAUSE * 2)
                .error_handler(Box::new(NopErrorHandler))
                .thread_pool(Arc::new(opener))
                .build_unchecked(manager)
        };
        // The scheduler panics where it cannot start its thread.
        catch_unwind(AssertUnwindSafe(|| thread::without_signals(build)))
            .map(|connections| Pool {
                connections,
                status,
            })
            .map_err(|_| Error::internal("the connection pool's thread could not be started"))
    }

    /// An idle connection, if there is one.
    pub(crate) fn idle(&self) -> Option<Pooled> {
        self.connections.try_get()
    }

    /// Waits for a connection, and has one more opened if the pool's size allows.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<Pooled> {
        self.connections.get_timeout(timeout).ok()
    }

    /// How many connections are open, idle or in use.
    pub(crate) fn open(&self) -> u32 {
        self.connections.state().connections
    }

    /// Takes the idle connections out; they are closed when they are dropped.
    pub(crate) fn take_idle(&self) -> Vec<Pooled> {
        let mut idle: Vec<Pooled> = std::iter::from_fn(|| self.idle()).collect();
        idle.iter_mut()
            .for_each(|connection| connection.mark_broken());
        idle
    }

    /// What the connections are about.
    pub(crate) fn status(&self) -> &Status {
        &self.status
    }
}
