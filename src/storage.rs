//! The storage: where an operation enters, from whichever language.

use crate::Error;
use crate::completion::{CompletionQueue, Reply, Ticket};
use crate::config::{Config, Secret};
use crate::db::Tables;
use crate::engine::{BoxedJob, Engine, EngineRef, Job, render};
use crate::host::{fork::ForkLocal, lock};
use crate::op::{AnyOperation, Operation, Outcome, Typed, text};
use crate::pool::Credentials;
use crate::tls::Files;
use secrecy::zeroize::Zeroizing;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// How much longer than the engine's own deadline a blocking caller waits for its answer.
const GRACE: Duration = Duration::from_millis(100);

/// A session storage. Cheap to make and to clone: equal configurations share one pool of
/// connections, which is opened by the first operation of each process. It ends when no storage is left that
/// has it, after the time for which a connection may idle.
///
/// ```no_run
/// use resty_session_postgres::ops::{Get, Set};
/// use resty_session_postgres::{Config, Epoch, Storage};
///
/// let storage = Storage::new(Config::default());
/// let (key, now) = ("wVUNSyVTBB2x4uh8kUGZzkLmGp-ypxFGbR3GFLyg9XQ", Epoch::now());
/// storage.call(Set::new("session", key, "{}", now.plus(3600))?)?;
/// let value = storage.call(Get::new(key, now)?)?;
/// assert_eq!(value.as_deref(), Some("{}"));
/// # Ok::<(), resty_session_postgres::Error>(())
/// ```
#[derive(Clone)]
pub struct Storage(Arc<Inner>);

struct Inner {
    config: Config,
    tables: Arc<Tables>,
    /// Read here, where nginx may still be root, and kept across its forks.
    files: Result<Files, Error>,
    /// Likewise, of the password file.
    passwords: Option<Secret>,
    engine: ForkLocal<EngineRef>,
}

/// This process's storages. A child of a fork starts with none, as with the engines.
static STORAGES: ForkLocal<Mutex<HashMap<Config, Storage>>> = ForkLocal::new();

/// Forgets the storages that no caller has any more. An engine calls it while it is at rest.
fn forget_unused() {
    if let Some(storages) = STORAGES.get() {
        lock(storages).retain(|_, storage| Arc::strong_count(&storage.0) > 1);
    }
}

impl Storage {
    /// A storage. It opens no connection and starts no thread. If a file that the configuration names
    /// cannot be used, each operation fails with that reason until it can; [`Storage::checked`] fails
    /// at once.
    pub fn new(config: Config) -> Self {
        let storages = STORAGES.get_or_init(Mutex::default);
        if let Some(storage) = lock(storages).get(&config) {
            return storage.clone();
        }
        // Files are read without the lock, for which the clocks of engines wait.
        let (sessions, metadata) = (config.sessions.clone(), config.metadata.clone());
        let storage = Storage(Arc::new(Inner {
            files: Files::read(&config.connection.tls),
            passwords: Credentials::read_ahead(&config.connection),
            tables: Arc::new(Tables::new(sessions, metadata, config.limit, config.ended_ttl)),
            config: config.clone(),
            engine: ForkLocal::new(),
        }));
        // Another thread may have been first.
        lock(storages).entry(config).or_insert(storage).clone()
    }

    /// The same, if the files that the configuration names can be used.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] of the key that names an unusable file.
    pub fn checked(config: Config) -> Result<Self, Error> {
        let storage = Self::new(config);
        // A file that was unusable when an equal storage was made may be usable now; new connections
        // read it again, too.
        if storage.0.files.is_err() {
            Files::read(&storage.0.config.connection.tls)?;
        }
        Ok(storage)
    }

    /// Replaces the password that this process opens further connections with; open connections stay.
    /// For passwords that change: while the server takes both, no operation fails. It concerns all
    /// storages that share the connections of this one.
    ///
    /// # Errors
    ///
    /// [`Error::Text`] for a NUL byte; [`Error::Internal`] where the engine cannot be started.
    pub fn set_password(&self, password: &str) -> Result<(), Error> {
        let password = Zeroizing::new(text("password", password)?);
        let engine = self.engine()?;
        // A child of a fork starts with these passwords.
        for storage in lock(STORAGES.get_or_init(Mutex::default)).values() {
            let other = &storage.0.config;
            let shares = Engine::is_shared(other, &self.0.config);
            if let Some(given) = other.connection.password.as_ref().filter(|_| shares) {
                given.replace(&password);
            }
        }
        engine.set_password(&password);
        Ok(())
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    fn engine(&self) -> Result<&Arc<Engine>, Error> {
        if let Some(engine) = self.0.engine.get() {
            return Ok(engine);
        }
        let storage = &*self.0;
        let config = &storage.config;
        let engine = Engine::of(config, &storage.files, &storage.passwords, forget_unused)?;
        if let Some(interval) = config.cleanup_interval {
            engine.clean_up(&storage.tables, config.timeouts, interval);
        }
        Ok(storage.engine.get_or_init(|| engine))
    }

    fn job(&self, operation: Box<dyn AnyOperation>, reply: Reply) -> BoxedJob {
        Job::new(operation, &self.0.tables, self.0.config.timeouts, reply)
    }

    /// Carries an operation out, blocking within the configured timeouts. If no other operation is
    /// under way, its statement runs on the caller's own thread.
    ///
    /// # Errors
    ///
    /// Any [`Error`] but the configuration's.
    pub fn call<T: Operation>(&self, operation: T) -> Result<T::Answer, Error> {
        let answer = self.call_any(Box::new(operation))?;
        T::Answer::from_answer(answer).ok_or_else(|| Error::internal("an answer of another type"))
    }

    /// The same for an operation of any type, which [`crate::op::Kind::read`] makes.
    ///
    /// # Errors
    ///
    /// As [`Storage::call`].
    pub fn call_any(&self, operation: Box<dyn AnyOperation>) -> Outcome {
        self.wait_for(operation, Engine::submit_and_help)
    }

    /// The same, where the caller's thread must not run a statement: nginx's own threads have its
    /// signals and its exit to see to.
    #[cfg(feature = "lua-module")]
    pub(crate) fn call_on_engine(&self, operation: Box<dyn AnyOperation>) -> Outcome {
        self.wait_for(operation, Engine::submit)
    }

    fn wait_for(
        &self,
        operation: Box<dyn AnyOperation>,
        submit: fn(&Arc<Engine>, BoxedJob) -> Result<(), Error>,
    ) -> Outcome {
        let timeouts = self.0.config.timeouts;
        let latest = Instant::now() + timeouts.total() + GRACE;
        let (sender, receiver) = mpsc::sync_channel(1);
        // The caller may have given up by then.
        let reply = Reply::callback(move |outcome| drop(sender.send(outcome)));
        submit(self.engine()?, self.job(operation, reply))?;
        let left = latest.saturating_duration_since(Instant::now());
        receiver.recv_timeout(left).unwrap_or_else(|_| {
            Err(Error::Timeout {
                server: self.0.config.connection.describe(),
                timeout: timeouts.statement,
            })
        })
    }

    /// Hands an operation in and returns at once. Its outcome comes to `queue` under the returned
    /// ticket, within the configured timeouts.
    ///
    /// # Errors
    ///
    /// [`Error::Backlog`], [`Error::Stopped`], [`Error::Internal`]: the operation was not accepted.
    pub fn submit<T: Operation>(
        &self,
        operation: T,
        queue: &Arc<CompletionQueue>,
    ) -> Result<Ticket, Error> {
        let ticket = queue.ticket();
        self.submit_any(Box::new(operation), queue, ticket)?;
        Ok(ticket)
    }

    /// The same for an operation of any type, under a ticket of the queue.
    pub(crate) fn submit_any(
        &self,
        operation: Box<dyn AnyOperation>,
        queue: &Arc<CompletionQueue>,
        ticket: Ticket,
    ) -> Result<(), Error> {
        self.engine()?.submit(self.job(operation, Reply::queued(queue, ticket)))
    }

    /// Counters and gauges of this process's connections and operations: the samples of
    /// [`Storage::metrics`] by their names. Storages that share a pool share them.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] where the engine cannot be started.
    pub fn stats(&self) -> Result<Vec<(String, f64)>, Error> {
        let families = self.engine()?.metrics().into_iter();
        Ok(families.flat_map(|family| family.samples).collect())
    }

    /// The same in Prometheus' text format.
    ///
    /// # Errors
    ///
    /// As [`Storage::stats`].
    pub fn metrics(&self) -> Result<String, Error> {
        Ok(render(&self.engine()?.metrics()))
    }

    /// Counts a call of the other storage that a site is moving in from.
    #[cfg(feature = "lua-module")]
    pub(crate) fn count_fallback(&self, outcome: &str) -> Result<(), Error> {
        self.engine()?.count_fallback(outcome);
        Ok(())
    }

    /// The same with other values than this process's: by the sample's name, 0 where there is none.
    #[cfg(feature = "lua-module")]
    pub(crate) fn metrics_of(&self, value: impl Fn(&str) -> Option<f64>) -> Result<String, Error> {
        let mut families = self.engine()?.metrics();
        for (name, sample) in families.iter_mut().flat_map(|family| &mut family.samples) {
            *sample = value(name).unwrap_or_default();
        }
        Ok(render(&families))
    }
}
