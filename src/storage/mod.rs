//! The storage: where an operation enters, from whichever language. `methods` has a function for each
//! operation.

mod methods;

use crate::Error;
use crate::completion::{CompletionQueue, Parked, Reply, Ticket};
use crate::config::{Config, Secret};
use crate::engine::{Engine, Job, Target};
use crate::host::fork::ForkLocal;
use crate::op::{Operation, Outcome};
use crate::pool::Credentials;
use crate::sql::Tables;
use crate::tls::Files;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How much longer than the engine's own deadline a blocking caller waits for its answer.
const GRACE: Duration = Duration::from_millis(100);

/// How long a probe may wait for a connection, and then for its answer.
const URGENT: Duration = Duration::from_secs(1);

/// A session storage. Cheap to make and to clone: equal configurations share one pool of
/// connections, which is opened by the first operation of each process.
///
/// ```no_run
/// use resty_session_postgres::{Config, Epoch, Set, Storage};
///
/// let storage = Storage::new(Config::default());
/// let now = Epoch::now();
/// storage.set(Set {
///     name: "session".into(),
///     key: "wVUNSyVTBB2x4uh8kUGZzkLmGp-ypxFGbR3GFLyg9XQ".into(),
///     value: "{}".into(),
///     expires: now.plus(3600),
///     old: None,
///     metadata: vec![],
/// })?;
/// let value = storage.get("wVUNSyVTBB2x4uh8kUGZzkLmGp-ypxFGbR3GFLyg9XQ", now)?;
/// assert_eq!(value.as_deref(), Some("{}"));
/// # Ok::<(), resty_session_postgres::Error>(())
/// ```
#[derive(Clone)]
pub struct Storage(Arc<Inner>);

struct Inner {
    config: Config,
    target: Arc<Target>,
    /// Read here, where nginx may still be root, and kept across its forks.
    files: Result<Files, Error>,
    /// Likewise, of the password file.
    passwords: Option<Secret>,
    /// For what is answered soon or not at all.
    urgent: Arc<Target>,
    engine: ForkLocal<Arc<Engine>>,
}

/// This process's storages. A child of a fork starts with none, as with the engines.
static STORAGES: ForkLocal<Mutex<HashMap<Config, Storage>>> = ForkLocal::new();

impl Storage {
    /// A storage. No connection is opened, no thread is started. Where a file that the configuration
    /// names cannot be used, each operation says so, until it can; [`Storage::checked`] says so at
    /// once.
    pub fn new(config: Config) -> Self {
        let storages = STORAGES.get_or_init(Mutex::default).lock();
        let mut storages = storages.unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(storage) = storages.get(&config) {
            return storage.clone();
        }
        let storage = Self::make(config.clone());
        storages.insert(config, storage.clone());
        storage
    }

    /// The same, if the files that the configuration names can be used.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] of the key that names an unusable file.
    pub fn checked(config: Config) -> Result<Self, Error> {
        let storage = Self::new(config);
        // What could not be used when an equal storage was made may be usable now; the connections
        // to come look again, too.
        let files = match &storage.0.files {
            Err(_) => Files::read(&storage.0.config.connection.tls).map(drop),
            Ok(_) => Ok(()),
        };
        files.map(|()| storage)
    }

    /// Replaces the password that this process opens further connections with; those that are open
    /// stay. For passwords that change: where the server takes both for a moment, no operation
    /// fails. Concerns all storages that share the connections of this one.
    ///
    /// # Errors
    ///
    /// [`Error::Text`] for a NUL byte; [`Error::Internal`] where the engine cannot be started.
    pub fn set_password(&self, password: &str) -> Result<(), Error> {
        if password.contains('\0') {
            let (name, reason) = ("password", "contains a NUL byte");
            return Err(Error::Text { name, reason });
        }
        self.engine()?
            .set_password(Secret::new(password.to_owned()));
        Ok(())
    }

    fn make(config: Config) -> Self {
        let tables =
            Tables::new(config.sessions.clone(), config.metadata.clone()).limited(config.limit);
        let tables = Arc::new(tables);
        let target = Arc::new(Target::new(Arc::clone(&tables), config.timeouts));
        let urgent = Arc::new(Target::new(tables, config.timeouts.at_most(URGENT)));
        Storage(Arc::new(Inner {
            files: Files::read(&config.connection.tls),
            passwords: Credentials::read_ahead(&config.connection),
            config,
            target,
            urgent,
            engine: ForkLocal::new(),
        }))
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    fn engine(&self) -> Result<&'static Arc<Engine>, Error> {
        if let Some(engine) = self.0.engine.get() {
            return Ok(engine);
        }
        let engine = Engine::of(&self.0.config, &self.0.files, &self.0.passwords)?;
        if let Some(interval) = self.0.config.cleanup_interval {
            engine.clean_up(&self.0.target, interval, self.0.config.identity());
        }
        Ok(self.0.engine.get_or_init(|| engine))
    }

    fn job(&self, operation: Operation, reply: Reply) -> Job {
        let target = match &operation {
            Operation::Manage(operation) if operation.0.is_urgent() => &self.0.urgent,
            _ => &self.0.target,
        };
        Job::new(operation.normalized(), Arc::clone(target), reply)
    }

    /// Hands an operation in and returns at once. Its outcome comes to `queue` under the returned
    /// ticket, within the configured timeouts.
    ///
    /// # Errors
    ///
    /// [`Error::Backlog`], [`Error::Stopped`], [`Error::Internal`]: the operation was not accepted.
    pub fn submit(
        &self,
        operation: Operation,
        queue: &Arc<CompletionQueue>,
    ) -> Result<Ticket, Error> {
        let ticket = queue.ticket();
        self.submit_as(operation, queue, ticket)?;
        Ok(ticket)
    }

    /// The same under a ticket that the submitter has taken from the queue before.
    pub(crate) fn submit_as(
        &self,
        operation: Operation,
        queue: &Arc<CompletionQueue>,
        ticket: Ticket,
    ) -> Result<(), Error> {
        let engine = self.engine()?;
        engine.submit(self.job(operation, Reply::queued(queue, ticket)))
    }

    /// Carries an operation out, blocking within the configured timeouts. A caller that is alone
    /// runs its statement on its own thread.
    ///
    /// # Errors
    ///
    /// Any [`Error`] but the configuration's.
    pub fn call(&self, operation: Operation) -> Outcome {
        self.wait_for(operation, Engine::submit_and_help)
    }

    /// The same, where the caller's thread is not ours to use: nginx's own threads run nginx, with
    /// its signals and its exit, and the engine's the statements.
    #[cfg(feature = "lua-module")]
    pub(crate) fn call_on_worker(&self, operation: Operation) -> Outcome {
        self.wait_for(operation, Engine::submit)
    }

    fn wait_for(
        &self,
        operation: Operation,
        submit: fn(&Engine, Job) -> Result<(), Error>,
    ) -> Outcome {
        let timeouts = self.0.config.timeouts;
        let latest = Instant::now() + timeouts.total() + GRACE;
        let slot = Arc::new(Parked::default());
        let job = self.job(operation, Reply::parked(&slot));
        submit(self.engine()?, job)?;
        let left = latest.saturating_duration_since(Instant::now());
        slot.wait(left).unwrap_or_else(|| {
            Err(Error::Timeout {
                server: self.0.config.connection.describe(),
                timeout: timeouts.statement,
            })
        })
    }
}
