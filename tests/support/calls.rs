//! Configurations, and calls of the crate's own interface with the arguments that most tests have.

use std::sync::Arc;

use resty_session_postgres::config::{Draft, Value};
use resty_session_postgres::op::Operation;
use resty_session_postgres::ops::{Cleanup, Delete, Get, Revoke, Set};
use resty_session_postgres::{CompletionQueue, Config, Epoch, Error, Outcome, Storage};
use serde_json::Value as Json;

use super::{Cluster, process};

fn setting(json: &Json) -> Value {
    match json {
        Json::Bool(flag) => Value::Flag(*flag),
        Json::Number(number) => Value::Number(number.as_f64().expect("a number")),
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(setting).collect()),
        other => panic!("not a setting: {other}"),
    }
}

impl Cluster {
    /// A configuration for a database of this server. `keys` is an object.
    pub fn config(&self, database: &str, keys: Json) -> Result<Config, Error> {
        let mut draft = Draft::default();
        draft.set("port", &Value::Number(self.port().into()))?;
        draft.set("database", &Value::Text(database.to_owned()))?;
        // A password that is given would count before a file.
        if keys.get("passfile").is_none() {
            draft.set("password", &Value::Text(super::password().to_owned()))?;
        }
        for (key, value) in keys.as_object().expect("an object") {
            draft.set(key, &setting(value))?;
        }
        draft.build()
    }

    pub fn storage(&self, database: &str, keys: Json) -> Storage {
        Storage::new(self.config(database, keys).expect("a valid configuration"))
    }
}

/// A set of a session with the name "session" and the value "value".
pub fn session(key: impl AsRef<str>, seconds: i64) -> Set {
    let expires = Epoch::now().plus(seconds);
    Set::new("session", key.as_ref(), "value", expires).expect("texts that can be stored")
}

/// The outcomes of operations that are submitted together, in their order.
pub fn together<T: Operation>(storage: &Storage, operations: Vec<T>) -> Vec<Outcome> {
    let queue = Arc::new(CompletionQueue::new());
    let submit = |operation| storage.submit(operation, &queue).expect("room");
    let tickets: Vec<_> = operations.into_iter().map(submit).collect();
    let mut outcomes = Vec::new();
    process::wait_until(20, "each has an outcome", || {
        let mut ready = Vec::new();
        queue.drain_into(&mut ready);
        outcomes.append(&mut ready);
        outcomes.len() == tickets.len()
    });
    outcomes.sort_by_key(|(ticket, _)| *ticket);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// A sample of the storage's statistics, by its name without the common beginning.
pub fn stat(storage: &Storage, name: &str) -> f64 {
    let name = format!("resty_session_postgres_{name}");
    let stats = storage.stats().expect("an engine");
    stats.iter().find(|(known, _)| *known == name).expect("a sample").1
}

pub trait Calls {
    /// The value of a session that is alive now.
    fn get(&self, key: &str) -> Result<Option<String>, Error>;
    fn delete(&self, key: &str) -> Result<(), Error>;
    fn revoke(&self, audience: &str, subject: &str, except: Option<&str>) -> Result<u64, Error>;
    fn cleanup(&self, limit: Option<u32>) -> Result<u64, Error>;
}

impl Calls for Storage {
    fn get(&self, key: &str) -> Result<Option<String>, Error> {
        self.call(Get::new(key, Epoch::now())?)
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        self.call(Delete::new(key)?)
    }

    fn revoke(&self, audience: &str, subject: &str, except: Option<&str>) -> Result<u64, Error> {
        self.call(Revoke::new(audience, subject, except)?)
    }

    fn cleanup(&self, limit: Option<u32>) -> Result<u64, Error> {
        self.call(Cleanup::new(limit, Epoch::now()))
    }
}
