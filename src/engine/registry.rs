//! The engines of this process, from their start to their stop: storages that may share connections get
//! the same one. An engine that no storage has used for a while is stopped.

use super::Engine;
use crate::Error;
use crate::config::{Config, ConnectionConfig, PoolConfig, Secret, Timeouts};
use crate::host::log::{self, Level};
use crate::host::{at_exit, fork::ForkLocal, lock, thread};
use crate::tls::Files;
use std::collections::HashMap;
use std::ops::Deref;
use std::panic::catch_unwind;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Once, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// What storages share an engine by: the name of the pool, whose limits are those of the first
/// configuration; or equal limits.
type Key = (ConnectionConfig, Option<String>, Option<(PoolConfig, Timeouts)>);

/// A child of a fork starts with none: the parent's threads and connections are not its own.
static ENGINES: ForkLocal<Mutex<HashMap<Key, Arc<Engine>>>> = ForkLocal::new();

/// Engines that are being stopped because they had no users.
static STOPPING: ForkLocal<Mutex<Vec<Arc<Engine>>>> = ForkLocal::new();

/// How long the exit of the host may be delayed. nginx gives its workers about a second.
const EXIT_TIME: Duration = Duration::from_millis(800);

/// How long an engine without users is kept where connections may idle without end.
const KEEP: Duration = Duration::from_secs(60);

/// How long at least.
const SHORTEST_KEEP: Duration = Duration::from_secs(1);

/// How often an engine that is being stopped looks whether its threads have ended.
const STOP_STEP: Duration = Duration::from_millis(5);

fn key(config: &Config) -> Key {
    let pool = &config.pool;
    let limits = pool.name.is_none().then(|| (pool.clone(), config.timeouts));
    (config.connection.clone(), pool.name.clone(), limits)
}

/// A storage's engine. It is not stopped before this is dropped.
pub(crate) struct EngineRef(Arc<Engine>);

impl EngineRef {
    fn new(engine: &Arc<Engine>) -> Self {
        engine.users.fetch_add(1, Ordering::Relaxed);
        EngineRef(Arc::clone(engine))
    }
}

impl Deref for EngineRef {
    type Target = Arc<Engine>;

    fn deref(&self) -> &Arc<Engine> {
        &self.0
    }
}

impl Drop for EngineRef {
    fn drop(&mut self) {
        self.users.fetch_sub(1, Ordering::Release);
    }
}

impl Engine {
    /// Whether storages of both configurations have the same engine.
    pub(crate) fn is_shared(one: &Config, other: &Config) -> bool {
        key(one) == key(other)
    }

    /// The engine of a configuration, started if this process has none. While engines idle they call
    /// `on_idle`, now and then, to have storages forgotten that are not used any more.
    pub(crate) fn of(
        config: &Config,
        files: &Result<Files, Error>,
        passwords: &Option<Secret>,
        on_idle: fn(),
    ) -> Result<EngineRef, Error> {
        let key = key(config);
        let mut engines = lock(ENGINES.get_or_init(Mutex::default));
        if let Some(engine) = engines.get(&key) {
            return Ok(EngineRef::new(engine));
        }
        let engine = Engine::new(config, files, passwords, on_idle)?;
        // After OpenSSL has set itself up: handlers run in reverse order, and no thread of ours may be inside
        // OpenSSL when its own handler takes it down.
        static AT_EXIT: Once = Once::new();
        AT_EXIT.call_once(|| {
            openssl::init();
            at_exit(stop_all_at_exit);
        });
        engines.insert(key, Arc::clone(&engine));
        let engine = EngineRef::new(&engine);
        drop(engines);
        let (server, most) = (&engine.server, engine.most_threads);
        let text = format!("engine for {server} started, with {most} connections at most");
        log::log(Level::Info, text);
        Ok(engine)
    }

    /// How long it is kept without users, and how often it looks for that.
    pub(super) fn keep_time(&self) -> Duration {
        self.keepalive.unwrap_or(KEEP).max(SHORTEST_KEEP)
    }

    /// Whether it is as long since its last operation as it is kept without users.
    pub(super) fn is_at_rest(&self) -> bool {
        let queue = self.lock();
        let used_at = queue.last_submit.unwrap_or(self.started);
        let is_idle = queue.len() == 0 && queue.threads == queue.sleeping;
        is_idle && used_at.elapsed() >= self.keep_time()
    }

    /// Stops it if it has no users, and nothing to do, for its time to be kept. One whose password was
    /// replaced is kept: its configuration does not have the new one.
    pub(super) fn stop_if_unused(self: &Arc<Self>) {
        let Some(engines) = ENGINES.get() else {
            return;
        };
        // Under this lock, which `of` holds when it counts a user.
        let mut engines = lock(engines);
        // The users first: one that has gone may have left something to do.
        let is_used = self.users.load(Ordering::Acquire) > 0;
        if is_used || self.has_own_password.load(Ordering::Relaxed) || !self.is_at_rest() {
            return;
        }
        engines.retain(|_, engine| !Arc::ptr_eq(engine, self));
        lock(STOPPING.get_or_init(Mutex::default)).push(Arc::clone(self));
        drop(engines);
        let engine = Arc::clone(self);
        let stop = move || {
            engine.stop(EXIT_TIME);
            // Under the lock, for which the exit of the host waits.
            let mut stopping = lock(STOPPING.get_or_init(Mutex::default));
            stopping.retain(|other| !Arc::ptr_eq(other, &engine));
            drop(engine);
        };
        // Not on its clock, which runs this and is one of the threads that end.
        if thread::spawn("rsp-stop", stop).is_err() {
            self.stop(Duration::ZERO);
        }
    }

    /// Its password has let a connection in: engines whose configuration has only another password are
    /// given this one. Theirs is out of date, or will be: a role has one at a time.
    pub(super) fn hand_over_password(self: &Arc<Self>) {
        let Some(engines) = ENGINES.get() else {
            return;
        };
        let engines = lock(engines);
        let without =
            |config: &ConnectionConfig| ConnectionConfig { password: None, ..config.clone() };
        let Some((own, _, _)) =
            engines.iter().find_map(|(key, engine)| Arc::ptr_eq(engine, self).then_some(key))
        else {
            return;
        };
        let Some(password) = own.password.as_ref().and_then(Secret::reveal) else {
            return;
        };
        for ((other, ..), engine) in engines.iter() {
            if other.password.is_some()
                && other.password != own.password
                && without(other) == without(own)
            {
                engine.pool.set_password(&password);
            }
        }
    }

    /// Ends the engine: what waits is answered, what runs gets half of the time to finish and is then
    /// cancelled. Connections are closed with a Terminate message. Never takes longer than `time`.
    pub(super) fn stop(&self, time: Duration) {
        let start = Instant::now();
        let status = self.pool.status();
        status.close();
        self.cleaner.stop();
        self.lock().stopping = true;
        let mut unanswered = self.fail_waiting(&Error::Stopped);
        self.work.notify_all();
        self.tick.notify_all();
        // Connections that are being opened or used come to the pool later, and are closed then.
        while start.elapsed() < time {
            let (queue, _) = self
                .ended
                .wait_timeout_while(self.lock(), STOP_STEP, |queue| queue.threads > 0)
                .unwrap_or_else(PoisonError::into_inner);
            let ended = queue.threads == 0;
            drop(queue);
            // What was interrupted, and would be tried again.
            unanswered += self.fail_waiting(&Error::Stopped);
            drop(self.pool.take_idle());
            if ended && self.pool.open() == 0 {
                break;
            }
            if start.elapsed() > time / 2 {
                status.cancel_all();
            }
            if ended {
                std::thread::sleep(STOP_STEP);
            }
        }
        let mut text = format!("engine for {} stopped", self.server);
        if unanswered > 0 {
            text += &format!("; {unanswered} pending operations failed");
        }
        log::log(Level::Info, text);
    }
}

/// Registered with the first engine. A panic must not leave it,
/// and at exit there is no log to write it to.
extern "C" fn stop_all_at_exit() {
    let _ = catch_unwind(stop_all);
}

/// Ends this process's engines, within [`EXIT_TIME`]. Not on the calling thread: at exit its
/// thread-local values are gone already, without which the client panics when it closes a
/// connection.
fn stop_all() {
    let Some(engines) = ENGINES.get() else {
        return;
    };
    let end = Instant::now() + EXIT_TIME;
    let (ended, wait) = mpsc::channel::<()>();
    let engines: Vec<_> = lock(engines).drain().map(|(_, engine)| engine).collect();
    let stopping = STOPPING.get().map(|stopping| lock(stopping).clone());
    for engine in engines.into_iter().chain(stopping.into_iter().flatten()) {
        let ended = ended.clone();
        // Where no thread can be had, the kernel closes what is open.
        let _ = thread::spawn("rsp-stop", move || {
            engine.stop(EXIT_TIME);
            drop(engine);
            drop(ended);
        });
    }
    drop(ended);
    // Until all have ended or the time is up; a thread that does not end is left behind.
    let _ = wait.recv_timeout(end.saturating_duration_since(Instant::now()));
}
