//! `set`: saves a session with its metadata, and ends the one that it replaces.

mod limit;
mod save;
mod steps;
mod upsert;

use crate::Error;
use crate::db::{Db, Fault, Tables};
use crate::op::ParamKind::{Flag, Key, Pairs, Seconds, Text};
use crate::op::{self, Answers, Args, Epoch, Group, Operation, Param, Spec};
use limit::save_limited;
use save::{save, save_one};

/// Saves a session. All of it takes place, or nothing.
pub struct Set {
    name: String,
    key: String,
    value: String,
    expires: Epoch,
    /// The key of the session that it replaces, and when that expires at the latest; `None` if it is
    /// deleted.
    old: Option<(String, Option<Epoch>)>,
    /// It names itself as the one that it replaces.
    replaces_itself: bool,
    metadata: Vec<(String, String)>,
}

impl Set {
    /// A session that is alive up to the second `expires`.
    pub fn new(
        name: impl Into<String>,
        key: impl Into<String>,
        value: impl Into<String>,
        expires: Epoch,
    ) -> Result<Self, Error> {
        Ok(Set {
            name: op::text("name", name)?,
            key: op::key("key", key)?,
            value: op::text("value", value)?,
            expires: expires.max(Epoch::ZERO),
            old: None,
            replaces_itself: false,
            metadata: Vec::new(),
        })
    }

    /// The session replaces that of another key, which expires at `at`, unless it expires earlier;
    /// without `at` it is deleted. A session that replaces itself is saved, with the earlier of the two
    /// expiries, and never deleted by its own save.
    pub fn replacing(mut self, key: impl Into<String>, at: Option<Epoch>) -> Result<Self, Error> {
        let key = op::key("old_key", key)?;
        let at = at.map(|at| at.max(Epoch::ZERO));
        if key == self.key {
            self.expires = at.map_or(self.expires, |at| at.min(self.expires));
            self.replaces_itself = true;
        } else {
            self.old = Some((key, at));
        }
        Ok(self)
    }

    /// The session is found under an audience and a subject; may be called several times.
    pub fn under(
        mut self,
        audience: impl Into<String>,
        subject: impl Into<String>,
    ) -> Result<Self, Error> {
        let audience = op::text("audience", audience)?;
        self.metadata.push((audience, op::text("subject", subject)?));
        Ok(self)
    }
}

impl Operation for Set {
    const SPEC: Spec = Spec {
        name: "set",
        group: Group::Storage,
        summary: "Store a session, with its metadata and the change to the session that it replaces, in \
                  one transaction.",
        details: "A session of the same key gets the new name, data and expiry.\n\n\
                  For `ended_ttl`, a save is refused that names a deleted or revoked session as `old_key`, \
                  or whose own session was revoked. Nothing is saved then. So name an `old_key` only if \
                  that session could be read.",
        params: &[
            Param::new("name", Text, "cookie name"),
            Param::KEY,
            Param::new("value", Text, "session data"),
            Param::TTL,
            Param::CURRENT_TIME,
            Param::optional("old_key", Key, "key of the session that this one replaces"),
            Param::optional(
                "stale_ttl",
                Seconds,
                "seconds from `current_time` that the replaced session lives at most; \
                 required with `old_key` unless `remember` is true",
            ),
            Param::optional(
                "metadata",
                Pairs,
                "`{ audiences = { … }, subjects = { … } }`, of equal length",
            ),
            Param::optional("remember", Flag, "true deletes the replaced session at once"),
        ],
        returns: "true",
    };

    const WRITES: bool = true;

    type Answer = ();

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        let (name, key, value) = (args.text("name")?, args.text("key")?, args.text("value")?);
        let mut set = Set::new(name, key, value, args.time_after("ttl")?)?;
        if let Some(key) = args.optional_text("old_key")? {
            let key = op::key("old_key", key)?;
            // As upstream, whose callers may pass anything else here.
            let at = match args.value("remember")? {
                op::Value::Flag(true) => None,
                _ => Some(args.time_after("stale_ttl")?),
            };
            set = set.replacing(key, at)?;
        }
        let mut pairs = args.pairs("metadata")?.into_iter();
        pairs.try_fold(set, |set, (audience, subject)| set.under(audience, subject))
    }

    fn keys(&self) -> [Option<&str>; 2] {
        let old = self.old.as_ref();
        [Some(&self.key), old.map(|(key, _)| &**key)]
    }

    fn bytes(&self) -> usize {
        let metadata = self.metadata.iter();
        let metadata =
            metadata.map(|(audience, subject)| audience.len() + subject.len() + self.key.len());
        self.name.len() + self.key.len() + self.value.len() + metadata.sum::<usize>()
    }

    /// Under a limit, a save with metadata is a transaction of several statements. Texts that may be too
    /// long for a row of an index would have the whole batch rejected.
    fn batches(&self, tables: &Tables) -> bool {
        let indexed = |(audience, subject): &(String, String)| audience.len() + subject.len();
        let longest = self.metadata.iter().map(indexed).max().unwrap_or(0) + self.key.len();
        longest <= INDEXED_BYTES && (tables.limit().is_none() || self.metadata.is_empty())
    }

    fn batch_size(count: usize) -> usize {
        upsert::prepared_size(count)
    }

    fn run(&self, db: &mut Db<'_>) -> Result<(), Fault> {
        let saved = match db.tables().limit() {
            Some(limit) if !self.metadata.is_empty() => save_limited(self, limit, db),
            _ => save_one(self, db),
        };
        if saved.as_ref().is_err_and(Fault::is_lock) && !self.metadata.is_empty() {
            db.report_strangers("saves");
        }
        saved
    }

    fn run_batch(batch: &[&Self], db: &mut Db<'_>) -> Result<Answers<()>, Fault> {
        save(batch, db)
    }
}

/// A row of an index can have 2,704 bytes, of which some are not the texts' own.
const INDEXED_BYTES: usize = 2_600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_replaces_itself_stays() {
        let at = |second: f64| Epoch::from_seconds("t", second).expect("a time");
        for (old, expires) in [(None, 100.0), (Some(50.0), 50.0), (Some(500.0), 100.0)] {
            let set = Set::new("n", "k", "v", at(100.0)).expect("storable");
            let set = set.replacing("k", old.map(at)).expect("storable");
            assert!(set.old.is_none() && set.replaces_itself);
            assert_eq!(set.expires, at(expires));
        }
    }
}
