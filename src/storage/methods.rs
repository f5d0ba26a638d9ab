//! The operations as methods for Rust: each blocks, and answers with a type of its own.

use super::Storage;
use crate::Error;
use crate::engine::render;
use crate::manage::{
    Check, Cleanup, Count, Finding, Health, List, Migrate, Revoke, Scope, Session, Touch,
};
use crate::op::{self, Epoch, Operation, Output, Set};

impl Storage {
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

    /// The same with other values than this process's: by the sample's name, 0 where there is none.
    #[cfg(feature = "lua-module")]
    pub(crate) fn metrics_of(&self, value: impl Fn(&str) -> Option<f64>) -> Result<String, Error> {
        let samples = self.stats()?.into_iter();
        let samples = samples.map(|(name, _)| {
            let value = value(&name).unwrap_or_default();
            (name, value)
        });
        Ok(render(&samples.collect::<Vec<_>>()))
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
