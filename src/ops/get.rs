//! `get`: a session's data.

use crate::Error;
use crate::db::types::{TEXT, TEXTS, TIME};
use crate::db::{Db, Fault, Fixed, Tables, column};
use crate::op::{self, Args, Epoch, Group, Operation, Param, Spec};
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

const ONE: Fixed =
    Fixed::reads("SELECT data FROM {sessions} WHERE sid::text = $1 AND exp >= $2", &[TEXT, TIME]);

const MANY: Fixed =
    Fixed::reads("SELECT sid, data, exp FROM {sessions} WHERE sid::text = ANY ($1)", &[TEXTS]);

impl Operation for Get {
    const SPEC: Spec = Spec {
        name: "get",
        group: Group::Storage,
        summary: "Retrieve session data.",
        details: "",
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
        let rows = db.query(&ONE, &[&self.key, &self.now])?;
        rows.first().map_or(Ok(None), |row| column(row, 0))
    }

    fn run_batch(batch: &[&Self], db: &mut Db<'_>) -> Result<Vec<Option<String>>, Fault> {
        let mut keys: Vec<&str> = batch.iter().map(|get| &*get.key).collect();
        keys.sort_unstable();
        keys.dedup();
        let rows = db.query(&MANY, &[&keys])?;
        let mut found: HashMap<&str, (Option<&str>, Epoch)> = HashMap::with_capacity(rows.len());
        for row in &rows {
            let expires: Option<Epoch> = column(row, 2)?;
            // As in SQL, a session without an expiry is not alive.
            if let Some(expires) = expires {
                found.insert(column(row, 0)?, (column(row, 1)?, expires));
            }
        }
        // Each caller has its own clock.
        let value = |get: &&Get| {
            let (data, expires) = found.get(&*get.key)?;
            data.filter(|_| *expires >= get.now).map(str::to_owned)
        };
        Ok(batch.iter().map(value).collect())
    }
}
