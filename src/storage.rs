//! The storage: where an operation enters, from whichever language.

use crate::completion::{CompletionQueue, Parked, Reply, Ticket};
use crate::config::{Config, Secret};
use crate::engine::{Engine, Job, Target, render};
use crate::host::fork::ForkLocal;
use crate::manage::{
    Check, Cleanup, Count, Finding, Health, List, Migrate, Revoke, Scope, Session, Touch,
};
use crate::op::{Epoch, Operation, Outcome, Output, Set};
use crate::registry;
use crate::sql::Tables;
use crate::tls::{Files, Unusable};
use crate::{Error, op};
use std::sync::Arc;
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
    files: Result<Files, Unusable>,
    /// For what is answered soon or not at all.
    urgent: Arc<Target>,
    engine: ForkLocal<Arc<Engine>>,
}

impl Storage {
    /// A storage. No connection is opened, no thread is started. Where a file that the configuration
    /// names cannot be used, each operation says so, until it can; [`Storage::checked`] says so at
    /// once.
    pub fn new(config: Config) -> Self {
        registry::storage(config)
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
        files.map_err(|unusable| Error::config(unusable.key, unusable.reason))?;
        Ok(storage)
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

    /// The storage that [`registry`] keeps for a configuration.
    pub(crate) fn make(config: Config) -> Self {
        let tables =
            Tables::new(config.sessions.clone(), config.metadata.clone()).limited(config.limit);
        let tables = Arc::new(tables);
        let target = Arc::new(Target::new(Arc::clone(&tables), config.timeouts));
        let urgent = Arc::new(Target::new(tables, config.timeouts.at_most(URGENT)));
        Storage(Arc::new(Inner {
            files: Files::read(&config.connection.tls),
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
        let engine = registry::engine(&self.0.config, &self.0.files)?;
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
    pub(crate) fn call_engine(&self, operation: Operation) -> Outcome {
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

    /// Saves a session; all of it takes place, or nothing.
    ///
    /// # Errors
    ///
    /// As [`Storage::call`].
    pub fn set(&self, set: Set) -> Result<(), Error> {
        self.call(Operation::Set(set)).map(drop)
    }

    /// The data of the session of that key, if it is alive at `now`.
    ///
    /// # Errors
    ///
    /// As [`Storage::call`].
    pub fn get(&self, key: &str, now: Epoch) -> Result<Option<String>, Error> {
        let key = op::key("key", key.as_bytes())?;
        match self.call(Operation::Get(op::Get { key, now }))? {
            Output::Value(value) => Ok(value),
            other => Err(unexpected(&other)),
        }
    }

    /// Deletes the session of that key and its metadata; that there is none is no error.
    ///
    /// # Errors
    ///
    /// As [`Storage::call`].
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        let key = op::key("key", key.as_bytes())?;
        self.call(Operation::Delete { key }).map(drop)
    }

    /// The keys of a subject's sessions that are alive at `now`, each with the second it ends in.
    ///
    /// # Errors
    ///
    /// As [`Storage::call`].
    pub fn read_metadata(
        &self,
        audience: &str,
        subject: &str,
        now: Epoch,
    ) -> Result<Vec<(String, Epoch)>, Error> {
        let read = op::ReadMetadata {
            audience: op::text("audience", audience.as_bytes())?,
            subject: op::text("subject", subject.as_bytes())?,
            now,
        };
        match self.call(Operation::ReadMetadata(read))? {
            Output::Metadata(sessions) => Ok(sessions),
            other => Err(unexpected(&other)),
        }
    }

    /// Ends the sessions of a subject in an audience, but for the one of the key `except`; see
    /// [`Revoke`]. Returns how many were alive.
    ///
    /// # Errors
    ///
    /// As [`Storage::call`].
    pub fn revoke(
        &self,
        audience: &str,
        subject: &str,
        except: Option<&str>,
    ) -> Result<u64, Error> {
        let except = except.map(|key| op::key("except_key", key.as_bytes()));
        self.counted(Revoke {
            audience: op::text("audience", audience.as_bytes())?,
            subject: Some(op::text("subject", subject.as_bytes())?),
            except: except.transpose()?,
        })
    }

    /// Ends all sessions of an audience. Returns how many were alive.
    ///
    /// # Errors
    ///
    /// As [`Storage::call`].
    pub fn revoke_audience(&self, audience: &str) -> Result<u64, Error> {
        self.counted(Revoke {
            audience: op::text("audience", audience.as_bytes())?,
            subject: None,
            except: None,
        })
    }

    /// A page of live sessions, in the order of their keys.
    ///
    /// # Errors
    ///
    /// As [`Storage::call`].
    pub fn list(&self, list: List) -> Result<Vec<Session>, Error> {
        match self.call(list.into())? {
            Output::Sessions(sessions) => Ok(sessions),
            other => Err(unexpected(&other)),
        }
    }

    /// How many sessions are alive at `now`.
    ///
    /// # Errors
    ///
    /// As [`Storage::call`].
    pub fn count(&self, scope: Scope, now: Epoch) -> Result<u64, Error> {
        let estimate = false;
        self.counted(Count {
            scope,
            now,
            estimate,
        })
    }

    /// About how many sessions the table holds; see [`Count`].
    ///
    /// # Errors
    ///
    /// As [`Storage::call`].
    pub fn estimate(&self) -> Result<u64, Error> {
        self.counted(Count {
            scope: Scope::All,
            now: Epoch::now(),
            estimate: true,
        })
    }

    /// Lets the session of that key, if it is alive at `now`, end at `expires`. Returns whether it
    /// is.
    ///
    /// # Errors
    ///
    /// As [`Storage::call`].
    pub fn touch(&self, key: &str, now: Epoch, expires: Epoch) -> Result<bool, Error> {
        let key = op::key("key", key.as_bytes())?;
        match self.call(Touch { key, now, expires }.into())? {
            Output::Touched(found) => Ok(found),
            other => Err(unexpected(&other)),
        }
    }

    /// Deletes up to `limit` sessions that are over, or as many as half of an operation's time
    /// allows. Returns how many.
    ///
    /// # Errors
    ///
    /// As [`Storage::call`].
    pub fn cleanup(&self, limit: Option<u32>) -> Result<u64, Error> {
        let now = Epoch::now();
        self.counted(Cleanup { limit, now })
    }

    /// Creates the tables, or makes of older ones what they should be; see
    /// [`crate::manage::Migrate`]. Returns how many changes that took.
    ///
    /// # Errors
    ///
    /// As [`Storage::call`].
    pub fn migrate(&self, unlogged: bool) -> Result<u64, Error> {
        self.counted(Migrate { unlogged })
    }

    /// What is wrong or slow about the tables; nothing where all is well.
    ///
    /// # Errors
    ///
    /// As [`Storage::call`].
    pub fn check(&self) -> Result<Vec<Finding>, Error> {
        match self.call(Check::default().into())? {
            Output::Findings(findings) => Ok(findings),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether the tables can be read now: within two seconds, whatever the configured timeouts.
    ///
    /// # Errors
    ///
    /// As [`Storage::call`].
    pub fn health(&self) -> Result<(), Error> {
        self.call(Health::default().into()).map(drop)
    }

    /// What this process's connections and operations have come to: the samples of
    /// [`Storage::metrics`] by their names. Storages that share a pool share them.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] where the engine cannot be started.
    pub fn stats(&self) -> Result<Vec<(String, f64)>, Error> {
        Ok(self.engine()?.samples())
    }

    /// The same as Prometheus reads it.
    ///
    /// # Errors
    ///
    /// As [`Storage::stats`].
    pub fn metrics(&self) -> Result<String, Error> {
        Ok(render(&self.stats()?))
    }

    fn counted(&self, operation: impl Into<Operation>) -> Result<u64, Error> {
        match self.call(operation.into())? {
            Output::Count(count) => Ok(count),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(output: &Output) -> Error {
    Error::internal(format!("an answer of the wrong kind: {output:?}"))
}
