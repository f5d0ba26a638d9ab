//! The operations of the people who run a site: beside saves, beside each other, and over time.

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
use resty_session_postgres::ops::{List, Scope, Set};
use resty_session_postgres::{Config, Epoch, Storage};

use crate::support::{self, session};

/// A database of the shared cluster.
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
fn login(key: impl AsRef<str>) -> Set {
    login_of("ada", key, 3600)
}

/// A session of a subject in the shop that lives for so many seconds.
fn login_of(subject: &str, key: impl AsRef<str>, seconds: i64) -> Set {
    let set = session(key, seconds).under("shop", subject);
    set.expect("texts that can be stored")
}

/// Ada's sessions there.
fn list_of_ada() -> List {
    let (audience, subject) = (Some("shop".into()), Some("ada".into()));
    let scope = Scope::new(audience, subject).expect("a scope");
    List::new(scope, Epoch::now())
}

/// The one number that a statement answers.
fn number(sql: &mut Client, statement: &str) -> i64 {
    let row = sql.query_one(statement, &[]);
    row.unwrap_or_else(|error| panic!("{statement}: {error}"))
        .get(0)
}
