//! The operations of people who run a site, where more than one call matters: beside saves, beside
//! each other, in time.

mod cleanup;
mod cli;
mod expiries;
mod limit;
mod metrics;
mod revoke;
mod schema;
mod steps;

use postgres::Client;
use resty_session_postgres::config::{Draft, Value};
use resty_session_postgres::manage::{List, Scope};
use resty_session_postgres::{Config, Epoch, Set, Storage};

use crate::support;

/// A database of the shared cluster, and the way there.
struct Site {
    database: String,
}

impl Site {
    fn new() -> Site {
        let database = support::shared().create_database();
        Site { database }
    }

    fn sql(&self) -> Client {
        support::shared().client(&self.database)
    }

    /// A configuration with these keys besides.
    fn config(&self, keys: &[(&str, f64)]) -> Config {
        let keys = keys
            .iter()
            .map(|(key, value)| (*key, Value::Number(*value)));
        self.config_with(keys)
    }

    fn config_with<'a>(&self, keys: impl IntoIterator<Item = (&'a str, Value)>) -> Config {
        let mut draft = Draft::default();
        let mut set = |key: &str, value: Value| draft.set(key, &value).expect("a good key");
        set("port", Value::Number(support::shared().port().into()));
        set("database", Value::Text(self.database.clone()));
        for (key, value) in keys {
            set(key, value);
        }
        draft.build().expect("a good configuration")
    }

    fn storage(&self) -> Storage {
        Storage::new(self.config(&[]))
    }
}

/// A session of Ada's in the shop that lives for an hour.
fn login(key: impl Into<String>) -> Set {
    Set {
        name: "session".into(),
        key: key.into(),
        value: "value".into(),
        expires: Epoch::now().plus(3600),
        old: None,
        metadata: vec![("shop".into(), "ada".into())],
    }
}

/// Her sessions there.
fn list_of_ada() -> List {
    let (audience, subject) = (Some("shop".into()), Some("ada".into()));
    List {
        scope: Scope::new(audience, subject).expect("a scope"),
        now: Epoch::now(),
        after: None,
        limit: List::PAGE,
    }
}

/// The one number that a statement answers.
fn number(sql: &mut Client, statement: &str) -> i64 {
    let row = sql.query_one(statement, &[]);
    row.unwrap_or_else(|error| panic!("{statement}: {error}"))
        .get(0)
}
