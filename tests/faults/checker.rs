//! Knows what was asked of the storage and what it acknowledged, and finds what contradicts that.
//!
//! Each session has one writer, who saves it with an increasing number in its value and, as
//! metadata, its key with the same number. A trigger records in which order the database took
//! the saves, in their own transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use postgres::{Client, IsolationLevel};

use crate::support::process::lock;

pub const HISTORY: &str = "
    CREATE TABLE history (id BIGSERIAL PRIMARY KEY, sid TEXT, data TEXT);
    CREATE FUNCTION record() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        INSERT INTO public.history (sid, data) VALUES (new.sid, new.data);
        RETURN new;
    END $$;
    CREATE TRIGGER inserts AFTER INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION record();
    CREATE TRIGGER updates AFTER UPDATE ON sessions FOR EACH ROW
        WHEN (old.data IS DISTINCT FROM new.data) EXECUTE FUNCTION record();";

/// Seconds that a session lives, and that a replaced one lives on.
pub const TTL: i64 = 3600;
pub const STALE_TTL: i64 = 10;

/// What is known of one session.
pub struct Session {
    pub key: String,
    /// The session that it replaces, not before `created`.
    pub replaces: Option<String>,
    created: Instant,
    /// The highest number that was asked for, and that was acknowledged.
    asked: AtomicU64,
    acknowledged: AtomicU64,
    /// Numbers of saves that failed: they may have been carried out.
    unsure: Mutex<BTreeSet<u64>>,
}

impl Session {
    pub fn new(key: String, replaces: Option<String>) -> Self {
        Session {
            key,
            replaces,
            created: Instant::now(),
            asked: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            unsure: Mutex::default(),
        }
    }

    /// The number of the next save.
    pub fn ask(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub fn acknowledge(&self, number: u64) {
        self.acknowledged.store(number, Ordering::SeqCst);
    }

    pub fn doubt(&self, number: u64) {
        lock(&self.unsure).insert(number);
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// The value of the save of that number.
    pub fn value(&self, number: u64) -> String {
        let filling = "x".repeat(20 + number as usize * 7 % 300);
        format!("{}.{number}.{filling}", self.key)
    }

    /// The number of a value, where it is one of this session.
    fn number(&self, value: &str) -> Result<u64, String> {
        let rest = value.strip_prefix(&self.key).and_then(|rest| rest.strip_prefix('.'));
        let number = rest.and_then(|rest| rest.split('.').next()?.parse().ok());
        number
            .filter(|number| *number <= self.asked.load(Ordering::SeqCst))
            .filter(|number| self.value(*number) == value)
            .ok_or_else(|| format!("{}: another's value: {value}", self.key))
    }

    /// Judges what a read found that began when `acknowledged` was the last acknowledged number.
    pub fn judge(&self, found: Option<&str>, acknowledged: u64) -> Result<(), String> {
        let Some(found) = found else {
            return match acknowledged {
                0 => Ok(()),
                _ => Err(format!("{} was lost", self.key)),
            };
        };
        let number = self.number(found)?;
        if number >= acknowledged {
            return Ok(());
        }
        Err(format!("{}: {number} was read after {acknowledged}", self.key))
    }
}

/// At most ten of them, one a line.
pub fn list(wrong: &[String]) -> String {
    wrong[..wrong.len().min(10)].join("\n")
}

/// Compares what the database has with what is known of the sessions.
pub fn verify(sql: &mut Client, sessions: &[&Session]) -> Vec<String> {
    // All as it is at one moment: the clean-up goes on.
    let mut sql = sql
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .start()
        .expect("a transaction");
    let mut query = |text: &str| sql.query(text, &[]).expect("rows").into_iter();
    let sessions_now = "SELECT sid, data, (extract(epoch FROM exp - now()))::bigint FROM sessions";
    let rows: BTreeMap<String, (String, i64)> =
        query(sessions_now).map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
    let saves = "SELECT sid, array_agg(data ORDER BY id) FROM history GROUP BY sid";
    let mut history: BTreeMap<String, Vec<String>> =
        query(saves).map(|row| (row.get(0), row.get(1))).collect();
    let pairs =
        "SELECT sid, array_agg(sub::bigint) FROM sessions_meta WHERE aud = sid GROUP BY sid";
    let mut metadata: BTreeMap<String, Vec<i64>> =
        query(pairs).map(|row| (row.get(0), row.get(1))).collect();

    // Replaced sessions expire after a while, and may have been cleaned up.
    let mut expired: BTreeSet<&str> = BTreeSet::new();
    for session in sessions {
        if session.created.elapsed() >= Duration::from_secs(STALE_TTL as u64) {
            expired.extend(session.replaces.as_deref());
        }
    }

    let mut wrong = Vec::new();
    for session in sessions {
        let key = &session.key;
        let acknowledged = session.acknowledged();
        let row = rows.get(key);
        let taken = history.remove(key).unwrap_or_default();
        let described = metadata.remove(key).unwrap_or_default().into_iter();
        let described: BTreeSet<u64> = described.map(i64::cast_unsigned).collect();
        if row.is_none() && described.is_empty() && expired.contains(&**key) {
            continue;
        }
        let found = row.map(|(data, _)| &**data);
        wrong.extend(session.judge(found, acknowledged).err());
        wrong.extend(verify_history(session, &taken, &described));
        // A new session is there, so the old one's end is, too.
        if let (Some(_), Some(old)) = (row, &session.replaces)
            && let Some((_, left)) = rows.get(old)
            && *left > STALE_TTL
        {
            wrong.push(format!("{key} is there, and {old} lives on"));
        }
    }
    let foreign = history.into_keys().chain(metadata.into_keys());
    wrong.extend(foreign.map(|key| format!("{key} was never asked for")));
    wrong
}

/// Each save has its metadata, each metadata its save; all acknowledged ones took place, in order.
fn verify_history(session: &Session, taken: &[String], described: &BTreeSet<u64>) -> Vec<String> {
    let key = &session.key;
    let unsure = lock(&session.unsure).clone();
    let (mut wrong, mut numbers, mut last) = (Vec::new(), BTreeSet::new(), 0);
    for value in taken {
        match session.number(value) {
            Ok(number) if number < last => {
                wrong.push(format!("{key}: {number} was carried out after {last}"));
                numbers.insert(number);
            }
            Ok(number) => {
                last = number;
                numbers.insert(number);
            }
            Err(what) => wrong.push(what),
        }
    }
    if numbers != *described {
        let half: Vec<_> = numbers.symmetric_difference(described).collect();
        wrong.push(format!("{key}: half there: {half:?}"));
    }
    for number in 1..=session.acknowledged() {
        if !unsure.contains(&number) && !numbers.contains(&number) {
            wrong.push(format!("{key}: {number} was acknowledged and did not take place"));
        }
    }
    wrong
}
