//! `get`: a session's data.

use crate::Error;
use crate::db::types::{INT, TEXT, TEXTS, TIME};
use crate::db::{Db, Fault, Fixed, Tables, column};
use crate::op::{self, Answers, Args, Epoch, Group, MAX_TEXT_BYTES, Operation, Param, Spec};
use std::collections::HashMap;

/// Reads a session's data.
pub struct Get {
    key: String,
    now: Epoch,
}

impl Get {
    /// The session of that key, if it is alive at `now`.
    pub fn new(key: impl Into<String>, now: Epoch) -> Result<Self, Error> {
        let key = op::key("key", key)?;
        Ok(Get { key, now })
    }
}

/// Data of more than $3 bytes is left out. PostgreSQL knows its length without reading it.
const ONE: Fixed = Fixed::reads(
    "SELECT CASE WHEN pg_catalog.octet_length(data::text) <= $3 THEN data END, \
     pg_catalog.octet_length(data::text) FROM {sessions} WHERE sid::text = $1 AND exp >= $2",
    &[TEXT, TIME, INT],
);

const MANY: Fixed = Fixed::reads(
    "SELECT sid, exp, CASE WHEN pg_catalog.octet_length(data::text) <= $2 THEN data END, \
     pg_catalog.octet_length(data::text) FROM {sessions} WHERE sid::text = ANY ($1)",
    &[TEXTS, INT],
);

/// The longest data that is read by a statement for which others wait.
const SMALL: i64 = 64 << 10;

/// The data, of which a statement has left out what has more than `most` bytes.
fn data<T>(data: Option<T>, bytes: Option<i32>, most: i64) -> Result<Option<T>, Fault> {
    match bytes {
        Some(bytes) if i64::from(bytes) > most => Err(Fault::too_large(format!(
            "the session's data has {bytes} bytes, of which {MAX_TEXT_BYTES} at most are read"
        ))),
        _ => Ok(data),
    }
}

impl Operation for Get {
    const SPEC: Spec = Spec {
        name: "get",
        group: Group::Storage,
        summary: "Retrieve session data.",
        details: "Data of more than 16 MiB is not read.",
        params: &[Param::UNUSED_NAME, Param::KEY, Param::CURRENT_TIME],
        returns: "session data; a bare `nil` where there is no live session",
    };

    type Answer = Option<String>;

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        Get::new(args.text("key")?, args.current_time()?)
    }

    fn keys(&self) -> [Option<&str>; 2] {
        [Some(&self.key), None]
    }

    fn batches(&self, _: &Tables) -> bool {
        true
    }

    fn run(&self, db: &mut Db<'_>) -> Result<Option<String>, Fault> {
        let most = if db.is_separate() { MAX_TEXT_BYTES as i64 } else { SMALL };
        let row = db.rows(&ONE, &[&self.key, &self.now, &most])?.pop();
        row.map_or(Ok(None), |(text, bytes)| data(text, bytes, most))
    }

    fn run_batch(batch: &[&Self], db: &mut Db<'_>) -> Result<Answers<Option<String>>, Fault> {
        let mut keys: Vec<&str> = batch.iter().map(|get| &*get.key).collect();
        keys.sort_unstable();
        keys.dedup();
        let rows = db.query(&MANY, &[&keys, &SMALL])?;
        type Found<'a> = (Epoch, Option<&'a str>, Option<i32>);
        let mut found: HashMap<&str, Found<'_>> = HashMap::with_capacity(rows.len());
        for row in &rows {
            let expires: Option<Epoch> = column(row, 1)?;
            // As in SQL, a session without an expiry is not alive.
            if let Some(expires) = expires {
                found.insert(column(row, 0)?, (expires, column(row, 2)?, column(row, 3)?));
            }
        }
        // Each caller has its own clock.
        let value = |get: &&Get| match found.get(&*get.key) {
            Some((expires, text, bytes)) if *expires >= get.now => {
                Ok(data(*text, *bytes, SMALL)?.map(str::to_owned))
            }
            _ => Ok(None),
        };
        Ok(batch.iter().map(value).collect())
    }
}
