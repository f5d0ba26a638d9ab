//! Configurations, and calls of the crate's own interface with the arguments that most tests have.

use resty_session_postgres::config::{Draft, Value};
use resty_session_postgres::ops::{Cleanup, Delete, Get, Revoke, Set};
use resty_session_postgres::{Config, Epoch, Error, Storage};
use serde_json::Value as Json;

use super::Cluster;

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
