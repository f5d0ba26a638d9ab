//! `set`: saves a session with its metadata, and ends the one that it replaces.

mod upsert;

use super::delete::delete;
use crate::Error;
use crate::config::SessionLimit;
use crate::db::types::{INT, TEXT, TEXTS};
use crate::db::{Db, Effect, Fault, Fixed, Tables, texts};
use crate::op::ParamKind::{Flag, Key, Pairs, Seconds, Text};
use crate::op::{self, Answers, Args, Epoch, Group, Operation, Param, Spec};
use postgres::types::{Oid, ToSql};
use upsert::Upsert;

/// Saves a session. All of it takes place, or nothing.
pub struct Set {
    name: String,
    key: String,
    value: String,
    expires: Epoch,
    /// The key of the session that it replaces, and when that expires at the latest; `None` if it is
    /// deleted.
    old: Option<(String, Option<Epoch>)>,
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
            expires,
            old: None,
            metadata: Vec::new(),
        })
    }

    /// The session replaces that of another key, which expires at `at`, unless it expires earlier;
    /// without `at` it is deleted. A session that replaces itself is saved, with the earlier of the two
    /// expiries, and never deleted by its own save.
    pub fn replacing(mut self, key: impl Into<String>, at: Option<Epoch>) -> Result<Self, Error> {
        let key = op::key("old_key", key)?;
        if key == self.key {
            self.expires = at.map_or(self.expires, |at| at.min(self.expires));
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
        details: "A session of the same key gets the new name, data and expiry.",
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
            _ => save(&[self], db),
        };
        if saved.as_ref().is_err_and(Fault::is_lock) && !self.metadata.is_empty() {
            db.report_strangers("saves");
        }
        saved
    }

    fn run_batch(batch: &[&Self], db: &mut Db<'_>) -> Result<Answers<()>, Fault> {
        save(batch, db)?;
        Ok(batch.iter().map(|_| Ok(())).collect())
    }
}

/// A row of an index can have 2,704 bytes, of which some are not the texts' own.
const INDEXED_BYTES: usize = 2_600;

/// Saves sessions of different keys by one statement.
fn save(batch: &[&Set], db: &mut Db<'_>) -> Result<(), Fault> {
    let mut sets = batch.to_vec();
    // Statements that share rows lock them in the same order.
    sets.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    let (mut expire, mut expire_at): (Vec<&str>, Vec<Epoch>) = Default::default();
    let mut delete: Vec<&str> = Vec::new();
    let (mut audiences, mut subjects, mut keys): (Vec<&str>, Vec<&str>, Vec<&str>) =
        Default::default();
    let mut params: Vec<&(dyn ToSql + Sync)> = Vec::with_capacity(sets.len() * 4 + 6);
    for set in &sets {
        let row: [&(dyn ToSql + Sync); 4] = [&set.key, &set.name, &set.value, &set.expires];
        params.extend(row);
        match &set.old {
            Some((key, Some(at))) => {
                expire.push(key);
                expire_at.push(*at);
            }
            Some((key, None)) => delete.push(key),
            None => {}
        }
        for (audience, subject) in &set.metadata {
            audiences.push(audience);
            subjects.push(subject);
            keys.push(&set.key);
        }
    }
    let upsert = Upsert {
        rows: sets.len(),
        expire: !expire.is_empty(),
        delete: !delete.is_empty(),
        delete_metadata: !delete.is_empty() && db.table_info()?.leaves_metadata,
        metadata: !keys.is_empty(),
    };
    if upsert.expire {
        params.extend([&expire as &(dyn ToSql + Sync), &expire_at]);
    }
    if upsert.delete {
        params.push(&delete);
    }
    if upsert.metadata {
        params.extend([&audiences as &(dyn ToSql + Sync), &subjects, &keys]);
    }
    db.execute(&upsert, &params)
}

/// Waits until no other save with a limit is under way for a pair of $1 and $2, in the order of the
/// locks' numbers.
const LOCK: Fixed = Fixed::reads(
    "SELECT pg_catalog.pg_advisory_xact_lock(lock) FROM ( \
       SELECT DISTINCT pg_catalog.hashtextextended(aud, pg_catalog.hashtextextended(sub, {locks})) AS lock \
       FROM unnest($1, $2) AS pair (aud, sub) ORDER BY lock) AS sorted",
    &[TEXTS, TEXTS],
);

const TYPES: &[Oid] = &[TEXTS, TEXTS, TEXTS, INT, TEXT, INT];

/// The sessions under the name $5 of each of the pairs of $1 and $2 but for those of the keys $3, with
/// each its place, that which expires last first. Those that expire within $6 seconds do not count: a
/// session that was replaced is one of them.
macro_rules! ranked {
    () => {
        "ranked AS MATERIALIZED ( \
           SELECT s.sid, m.aud, m.sub, pg_catalog.row_number() OVER ( \
             PARTITION BY m.aud, m.sub ORDER BY s.exp DESC, s.sid) AS place \
           FROM (SELECT DISTINCT aud, sub FROM unnest($1, $2) AS p (aud, sub)) AS pair \
           JOIN {metadata} AS m ON m.aud::text = pair.aud AND m.sub::text = pair.sub \
           JOIN {sessions} AS s ON s.sid::text = m.sid::text \
           WHERE s.exp > pg_catalog.now() + $6::float8 * interval '1 second' \
             AND s.sid::text <> ALL ($3) AND s.name::text = $5)"
    };
}

/// Whether any pair has as many sessions as $4, and none of the keys $3 is among them.
const REACHED: Fixed = Fixed {
    with: ranked!(),
    body: "SELECT EXISTS (SELECT FROM ranked AS r WHERE place >= $4 AND NOT EXISTS ( \
             SELECT FROM {metadata} AS m JOIN {sessions} AS s ON s.sid::text = m.sid::text \
             WHERE m.aud::text = r.aud::text AND m.sub::text = r.sub::text AND s.sid::text = ANY ($3) \
             AND s.exp >= pg_catalog.date_trunc('second', pg_catalog.now())))",
    types: TYPES,
    effect: Effect::Reads,
};

/// The sessions from the place $4 on.
const BEYOND: Fixed = Fixed {
    with: ranked!(),
    body: "SELECT sid FROM ranked WHERE place >= $4",
    types: TYPES,
    effect: Effect::Reads,
};

/// Saves a session with metadata under a limit: one transaction, during which no other such save of the
/// same subject takes place.
fn save_limited(set: &Set, limit: SessionLimit, db: &mut Db<'_>) -> Result<(), Fault> {
    let pairs = set.metadata.iter();
    let audiences: Vec<&str> = pairs.clone().map(|(audience, _)| &**audience).collect();
    let subjects: Vec<&str> = pairs.map(|(_, subject)| &**subject).collect();
    // The session that this one replaces expires soon by itself.
    let old = set.old.as_ref().map(|(key, _)| &**key);
    let own: Vec<&str> = [Some(&*set.key), old].into_iter().flatten().collect();
    let most = i64::from(limit.sessions);
    let replaced = replaced_within(set);
    let params: [&(dyn ToSql + Sync); 6] =
        [&audiences, &subjects, &own, &most, &set.name, &replaced];
    db.transaction(|db| {
        db.query(&LOCK, &[&audiences, &subjects])?;
        if limit.refuses && matches!(db.row(&REACHED, &params)?, (true,)) {
            let limit = limit.sessions;
            return Err(Fault::answer(Error::TooManySessions { limit }));
        }
        save(&[set], db)?;
        if !limit.refuses {
            let beyond = db.query(&BEYOND, &params)?;
            delete(texts(&beyond)?, db)?;
        }
        Ok(())
    })
}

/// For how many seconds from now a session that was replaced may be alive: as long as that which this
/// save replaces, and at least lua-resty-session's default `stale_ttl`.
fn replaced_within(set: &Set) -> i64 {
    const STALE_TTL: i64 = 10;
    let now = Epoch::now().seconds();
    let own = match &set.old {
        Some((_, Some(at))) => at.seconds() - now,
        _ => 0,
    };
    // Sessions that live no longer than this one are counted all the same.
    let life = set.expires.seconds() - now;
    own.max(STALE_TTL).min((life - 1).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_replaces_itself_stays() {
        let at = |second: f64| Epoch::from_seconds("t", second).expect("a time");
        for (old, expires) in [(None, 100.0), (Some(50.0), 50.0), (Some(500.0), 100.0)] {
            let set = Set::new("n", "k", "v", at(100.0)).expect("storable");
            let set = set.replacing("k", old.map(at)).expect("storable");
            assert!(set.old.is_none());
            assert_eq!(set.expires, at(expires));
        }
    }
}
