//! `Store`: a binding, a database, and the configuration with which the binding reaches the database.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::binding::{Binding, Conf, Failure};
use super::call::{Answer, Call, get, of};
use super::value::Value;
use crate::support::{self, Database, NO_MARK, process::lock};

pub struct Store<B> {
    pub binding: Arc<B>,
    pub db: Arc<Database>,
    pub conf: Conf,
    spoilt: Arc<AtomicBool>,
}

/// Runs one behaviour on tables that are empty.
pub fn run<B: Binding>(binding: Arc<B>, behaviour: fn(&Store<B>)) {
    let db = Arc::new(take());
    let conf = [
        ("port", Value::from(f64::from(support::shared().port()))),
        ("database", Value::from(&*db.name)),
        ("password", Value::from(support::password())),
    ];
    let store = Store {
        binding,
        db: Arc::clone(&db),
        conf: conf.map(|(key, value)| (key.to_owned(), value)).into(),
        spoilt: Arc::default(),
    };
    behaviour(&store);
    // A failed test does not come here: it leaves its database as it is.
    if !store.spoilt.load(Ordering::Relaxed) {
        drop(store);
        db.execute("DELETE FROM sessions; DELETE FROM sessions_meta");
        lock(&EMPTY).push(Arc::into_inner(db).expect("the only user"));
    }
}

impl<B: Binding> Store<B> {
    /// The same tables, with a configuration that differs in one key.
    pub fn with(&self, key: &str, value: impl Into<Value>) -> Self {
        let mut conf = self.conf.clone();
        conf.insert(key.to_owned(), value.into());
        Store {
            binding: Arc::clone(&self.binding),
            db: Arc::clone(&self.db),
            spoilt: Arc::clone(&self.spoilt),
            conf,
        }
    }

    pub fn call(&self, call: &Call) -> Result<Answer, Failure> {
        self.binding.call(&self.conf, call)
    }

    /// The answer to a call that has to succeed.
    pub fn answer(&self, call: &Call) -> Answer {
        let answer = self.call(call);
        answer.unwrap_or_else(|failure| panic!("{call:?}: {failure:?}"))
    }

    /// Carries out a call that has to succeed and to answer nothing.
    pub fn run(&self, call: &Call) {
        assert_eq!(self.answer(call), Answer::Done, "{call:?}");
    }

    /// A session's value at the time of most calls.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.value(&get(key))
    }

    /// The same at another time.
    pub fn get_at(&self, key: impl AsRef<[u8]>, now: f64) -> Option<Vec<u8>> {
        self.value(&get(key).number("current_time", now))
    }

    fn value(&self, get: &Call) -> Option<Vec<u8>> {
        match self.answer(get) {
            Answer::Value(value) => value,
            other => panic!("{get:?} answered {other:?}"),
        }
    }

    /// Keys and expiries of a subject's sessions.
    pub fn read_metadata(
        &self,
        audience: impl AsRef<[u8]>,
        subject: impl AsRef<[u8]>,
    ) -> BTreeMap<String, i64> {
        match self.answer(&of("read_metadata", audience, subject)) {
            Answer::Expiries(sessions) => sessions,
            other => panic!("read_metadata answered {other:?}"),
        }
    }
}

/// What the table `sessions` holds under one key.
#[derive(Debug, PartialEq)]
pub struct Row {
    pub name: String,
    pub data: String,
    pub exp: f64,
}

/// Emptied databases, ready for the next test: a new one costs more than most tests do.
static EMPTY: Mutex<Vec<Database>> = Mutex::new(Vec::new());

/// Takes an empty database.
fn take() -> Database {
    lock(&EMPTY).pop().unwrap_or_else(Database::new)
}

impl<B> Store<B> {
    /// Changes more than rows: other tests do not get this database.
    pub fn alter(&self, sql: &str) {
        self.spoil();
        self.db.execute(sql);
    }

    /// Keeps this database from being used by other tests.
    pub fn spoil(&self) {
        self.spoilt.store(true, Ordering::Relaxed);
    }
}

impl Database {
    pub fn row(&self, key: &str) -> Option<Row> {
        let sql = format!(
            "SELECT name, data, extract(epoch FROM exp)::float8 FROM sessions \
             WHERE sid = $1 AND {NO_MARK}"
        );
        self.query(&sql, key).first().map(|row| Row {
            name: row.get(0),
            data: row.get(1),
            exp: row.get(2),
        })
    }

    /// The expiry of a session that has to be there.
    pub fn exp(&self, key: &str) -> f64 {
        self.row(key).unwrap_or_else(|| panic!("no row {key}")).exp
    }

    /// The audiences and subjects of one key.
    pub fn metadata(&self, key: &str) -> Vec<(String, String)> {
        let sql = "SELECT aud, sub FROM sessions_meta WHERE sid = $1 ORDER BY aud, sub";
        let rows = self.query(sql, key);
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    pub fn assert_empty(&self) {
        assert_eq!(self.sessions(), 0, "sessions");
        let metadata = self.number("SELECT count(*) FROM sessions_meta");
        assert_eq!(metadata, 0, "metadata");
    }
}
