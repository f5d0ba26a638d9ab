//! The engines of this process: storages that may share connections get the same one.

use super::Engine;
use crate::Error;
use crate::config::{Config, ConnectionConfig, PoolConfig, Secret, Timeouts};
use crate::host::{exit, fork::ForkLocal, thread};
use crate::tls::{Files, Tls};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::{Duration, Instant};

type Engines = Mutex<HashMap<PoolKey, Arc<Engine>>>;

/// A child of a fork starts with none: the parent's threads and connections are not its own.
static ENGINES: ForkLocal<Engines> = ForkLocal::new();

/// What storages share a pool by.
#[derive(PartialEq, Eq, Hash)]
struct PoolKey {
    connection: ConnectionConfig,
    sharing: Sharing,
}

#[derive(PartialEq, Eq, Hash)]
enum Sharing {
    /// By the pool's name; the first configuration sets the pool's limits.
    Name(String),
    /// By equal limits.
    Limits(PoolConfig, Timeouts),
}

/// How long the exit of the host may be delayed. nginx gives its workers about a second.
const EXIT_TIME: Duration = Duration::from_millis(800);

fn lock(engines: &Engines) -> MutexGuard<'_, HashMap<PoolKey, Arc<Engine>>> {
    engines
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Engine {
    /// The engine of a configuration, started if this process has none.
    pub(crate) fn of(
        config: &Config,
        files: &Result<Files, Error>,
        passwords: &Option<Secret>,
    ) -> Result<Arc<Engine>, Error> {
        let pool = &config.pool;
        let key = PoolKey {
            connection: config.connection.clone(),
            sharing: match &pool.name {
                Some(name) => Sharing::Name(name.clone()),
                None => Sharing::Limits(pool.clone(), config.timeouts),
            },
        };
        let mut engines = lock(ENGINES.get_or_init(Engines::default));
        if let Some(engine) = engines.get(&key) {
            return Ok(Arc::clone(engine));
        }
        let connection = &config.connection;
        let tls = Tls::new(
            connection.tls.clone(),
            connection.allow_cleartext,
            files.clone(),
        );
        let engine = Arc::new(Engine::new(config, tls, passwords.clone())?);
        // After the engine, and so after OpenSSL, has set itself up: handlers run in reverse order, and
        // no thread of ours may be inside OpenSSL when its own handler takes it down.
        exit::at_exit(stop_all_at_exit);
        engines.insert(key, Arc::clone(&engine));
        drop(engines);
        engine.announce();
        Ok(engine)
    }
}

/// Registered with each engine; all but the first call find nothing to do.
extern "C" fn stop_all_at_exit() {
    // A panic must not leave this function, and at exit there is no log to write it to.
    let _ = std::panic::catch_unwind(stop_all);
}

/// Ends this process's engines, within [`EXIT_TIME`]. Not on the calling thread: at exit its
/// thread-local values are gone already, without which the client panics when it closes a
/// connection.
fn stop_all() {
    let Some(engines) = ENGINES.get() else {
        return;
    };
    let end = Instant::now() + EXIT_TIME;
    let (ended, wait) = mpsc::channel();
    for (_, engine) in lock(engines).drain() {
        let ended = ended.clone();
        // Where no thread can be had, the kernel closes what is open.
        let _ = thread::spawn("rsp-stop", move || {
            engine.stop(EXIT_TIME);
            let _ = ended.send(());
        });
    }
    drop(ended);
    // Until all have ended or the time is up; a thread that does not end is left behind.
    while wait
        .recv_timeout(end.saturating_duration_since(Instant::now()))
        .is_ok()
    {}
}
