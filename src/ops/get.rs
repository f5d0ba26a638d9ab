//! `get`: a session's data.

use crate::Error;
use crate::db::types::{TEXT, TEXTS};
use crate::db::{Db, Fault, Fixed, column};
use crate::op::ParamKind::Key;
use crate::op::{self, Answers, Args, Epoch, Group, Keys, Operation, Param, Spec};
use std::collections::HashMap;

/// Reads a session's data.
pub struct Get {
    key: String,
    now: Epoch,
}

impl Get {
    /// The session of that key, if it is alive at `now`.
    ///
    /// # Errors
    ///
    /// [`Error::Text`] for a key that is empty or that PostgreSQL cannot store.
    pub fn new(key: &str, now: Epoch) -> Result<Self, Error> {
        let key = op::key("key", key.as_bytes())?;
        Ok(Get { key, now })
    }
}

const ONE: Fixed = Fixed::reads(
    "SELECT sid, data, exp FROM {sessions} WHERE sid = $1",
    &[TEXT],
);

const MANY: Fixed = Fixed::reads(
    "SELECT sid, data, exp FROM {sessions} WHERE sid = ANY ($1)",
    &[TEXTS],
);

impl Operation for Get {
    const SPEC: Spec = Spec {
        name: "get",
        group: Group::Storage,
        summary: "Retrieve session data.",
        details: "",
        params: &[
            Param::unused_name(),
            Param::new("key", Key, "session key"),
            Param::current_time(),
        ],
        returns: "session data; a bare `nil` where there is no live session",
    };

    type Answer = Option<String>;

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        Ok(Get {
            key: args.key("key")?,
            now: args.current_time()?,
        })
    }

    fn keys(&self) -> Keys<'_> {
        Keys::read(&self.key)
    }

    fn bytes(&self) -> usize {
        self.key.len()
    }

    fn batches(&self, _: &crate::db::Tables) -> bool {
        true
    }

    fn run(batch: &[&Self], db: &mut Db<'_>) -> Result<Answers<Option<String>>, Fault> {
        let rows = if let [get] = batch {
            db.query(&ONE, &[&get.key])?
        } else {
            let mut keys: Vec<&str> = batch.iter().map(|get| &*get.key).collect();
            keys.sort_unstable();
            keys.dedup();
            db.query(&MANY, &[&keys])?
        };
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
            let live = found
                .get(&*get.key)
                .filter(|(_, expires)| *expires >= get.now);
            Ok(live.and_then(|(data, _)| data.map(str::to_owned)))
        };
        Ok(batch.iter().map(value).collect())
    }
}
