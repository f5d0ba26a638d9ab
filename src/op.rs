//! One operation as data: what the caller wants, checked, and what comes of it.

use crate::Error;
use crate::manage::{Finding, Manage, Session, Swept};
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use std::error::Error as StdError;
use std::time::{SystemTime, UNIX_EPOCH};

/// A point in time: whole seconds since 1970-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(i64);

impl Epoch {
    /// Seconds from 1970 to 2000, where PostgreSQL's binary timestamps start.
    const POSTGRES: i64 = 946_684_800;
    /// PostgreSQL's timestamptz reaches from 4714-11-24 BC to the end of 294276.
    const LEAST: i64 = -210_866_803_200;
    const MOST: i64 = 9_224_318_015_999;

    /// The current second.
    pub fn now() -> Self {
        let seconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_secs() as i64,
            Err(before) => -(before.duration().as_secs() as i64) - 1,
        };
        Epoch(seconds)
    }

    /// The second that `seconds`, which may be fractional, falls into.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] of `name` where that is no number or outside what PostgreSQL can store.
    pub fn from_seconds(name: &'static str, seconds: f64) -> Result<Self, Error> {
        let floor = seconds.floor();
        if !(Self::LEAST as f64..=Self::MOST as f64).contains(&floor) {
            let reason =
                format!("expected a time that PostgreSQL can store, got {seconds} seconds");
            return Err(Error::argument(name, reason));
        }
        Ok(Epoch(floor as i64))
    }

    /// So many seconds later, or earlier; at most what PostgreSQL can store.
    #[must_use]
    pub fn plus(self, seconds: i64) -> Self {
        Epoch(
            self.0
                .saturating_add(seconds)
                .clamp(Self::LEAST, Self::MOST),
        )
    }

    /// Seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.0
    }
}

/// As timestamptz, in binary: independent of the server's and the session's TimeZone.
impl ToSql for Epoch {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let micros = (self.0 - Self::POSTGRES) * 1_000_000;
        micros.to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Epoch {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        // 'infinity' and '-infinity' are the extremes of i64 and compare as such.
        let micros = i64::from_sql(ty, raw)?;
        Ok(Epoch(micros.div_euclid(1_000_000) + Self::POSTGRES))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
}

/// The longest text of one argument. PostgreSQL allows 1 GB a field and a message; this leaves
/// room for the rest of the message and bounds what one call can take of its host's memory.
pub const MAX_TEXT_BYTES: usize = 256 << 20;

/// Checks that `bytes` can be stored in a TEXT column.
///
/// # Errors
///
/// [`Error::Text`] of `name` for a NUL byte, invalid UTF-8, or more than [`MAX_TEXT_BYTES`].
pub fn text(name: &'static str, bytes: &[u8]) -> Result<String, Error> {
    let reject = |reason| Err(Error::Text { name, reason });
    if bytes.len() > MAX_TEXT_BYTES {
        return reject("is longer than 256 MiB");
    }
    if bytes.contains(&0) {
        return reject("contains a NUL byte, which PostgreSQL cannot store in TEXT");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => reject("is not valid UTF-8"),
    }
}

/// The same for a session's key, which must not be empty.
///
/// # Errors
///
/// As [`text`], and for an empty key.
pub fn key(name: &'static str, bytes: &[u8]) -> Result<String, Error> {
    if bytes.is_empty() {
        let reason = "is empty";
        return Err(Error::Text { name, reason });
    }
    text(name, bytes)
}

/// An operation on the storage.
#[derive(Debug)]
pub enum Operation {
    /// Saves a session.
    Set(Set),
    /// Reads a session's data.
    Get(Get),
    /// Deletes a session and its metadata.
    Delete {
        /// The session's key.
        key: String,
    },
    /// Lists the live sessions of a subject.
    ReadMetadata(ReadMetadata),
    /// One of [`crate::manage`], which is made by `into()`.
    Manage(Manage),
}

/// What [`Operation::Set`] saves. All of it takes place, or nothing.
#[derive(Debug)]
pub struct Set {
    /// The session's (the cookie's) name.
    pub name: String,
    /// The session's key.
    pub key: String,
    /// The session's data.
    pub value: String,
    /// When the session ends; it is alive in that second still.
    pub expires: Epoch,
    /// What becomes of the session that this one replaces.
    pub old: Option<Old>,
    /// Pairs of an audience and a subject under which the session is to be found.
    pub metadata: Vec<(String, String)>,
}

/// What becomes of a replaced session.
#[derive(Debug)]
pub enum Old {
    /// It is deleted.
    Delete {
        /// Its key.
        key: String,
    },
    /// It ends at that time, unless it ends earlier.
    Expire {
        /// Its key.
        key: String,
        /// When it ends at the latest.
        at: Epoch,
    },
}

impl Old {
    /// The replaced session's key.
    pub fn key(&self) -> &str {
        match self {
            Old::Delete { key } | Old::Expire { key, .. } => key,
        }
    }
}

/// What [`Operation::Get`] reads.
#[derive(Debug)]
pub struct Get {
    /// The session's key.
    pub key: String,
    /// A session that ended before is not found.
    pub now: Epoch,
}

/// What [`Operation::ReadMetadata`] lists.
#[derive(Debug)]
pub struct ReadMetadata {
    /// The audience.
    pub audience: String,
    /// The subject.
    pub subject: String,
    /// A session that ended before is left out.
    pub now: Epoch,
}

/// What comes of an operation.
pub type Outcome = Result<Output, Error>;

/// What an operation that succeeded answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The session is committed.
    Stored,
    /// The session's data; `None` where there is no such session, or it has ended.
    Value(Option<String>),
    /// There is no such session any more.
    Deleted,
    /// The keys of live sessions and the second in which each ends.
    Metadata(Vec<(String, Epoch)>),
    /// How many sessions there are, or were.
    Count(u64),
    /// Live sessions, in the order of their keys.
    Sessions(Vec<Session>),
    /// Whether there is such a live session.
    Touched(bool),
    /// What is wrong or slow about the tables.
    Findings(Vec<Finding>),
    /// What one statement has cleaned up in the background.
    Swept(Swept),
}

impl Operation {
    /// Settles what one call says about one row twice: a session that replaces itself is saved,
    /// with the earlier of the two ends, and is never deleted by its own save.
    pub(crate) fn normalized(mut self) -> Self {
        if let Operation::Set(set) = &mut self
            && set.old.as_ref().is_some_and(|old| old.key() == set.key)
            && let Some(Old::Expire { at, .. }) = set.old.take()
        {
            set.expires = set.expires.min(at);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_down_to_the_second() {
        let seconds = |value| Epoch::from_seconds("ttl", value).map(Epoch::seconds);
        assert_eq!(seconds(1.999), Ok(1));
        assert_eq!(seconds(-0.5), Ok(-1));
        assert_eq!(seconds(9_224_318_015_999.5), Ok(9_224_318_015_999));
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e13, -1e12] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn text_must_be_storable() {
        assert_eq!(
            text("value", "a'\u{1F600}".as_bytes()),
            Ok("a'\u{1F600}".into())
        );
        assert_eq!(text("value", b""), Ok(String::new()));
        for (bytes, message) in [
            (
                &b"a\0b"[..],
                "value contains a NUL byte, which PostgreSQL cannot store in TEXT",
            ),
            (&b"\xff"[..], "value is not valid UTF-8"),
        ] {
            let error = text("value", bytes).expect_err("not storable");
            assert_eq!(error.to_string(), message);
            assert!(!error.is_callers_mistake());
        }
        assert_eq!(
            key("old_key", b"").expect_err("empty").to_string(),
            "old_key is empty"
        );
    }

    #[test]
    fn a_session_that_replaces_itself_stays() {
        let set = |old| {
            Operation::Set(Set {
                name: "n".into(),
                key: "k".into(),
                value: "v".into(),
                expires: Epoch(100),
                old: Some(old),
                metadata: vec![],
            })
        };
        let cases = [
            (Old::Delete { key: "k".into() }, 100),
            (
                Old::Expire {
                    key: "k".into(),
                    at: Epoch(50),
                },
                50,
            ),
            (
                Old::Expire {
                    key: "k".into(),
                    at: Epoch(500),
                },
                100,
            ),
        ];
        for (old, expires) in cases {
            let Operation::Set(set) = set(old).normalized() else {
                panic!("still a set");
            };
            assert!(set.old.is_none());
            assert_eq!(set.expires, Epoch(expires));
        }
    }
}
