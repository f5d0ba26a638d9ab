//! Configurations that differ in their password, as a site makes them whose password changes.

use std::thread;

use resty_session_postgres::{Error, Storage};
use serde_json::json;

use crate::support::{Calls, Cluster, disconnect, session, stat};

struct Site {
    cluster: Cluster,
    database: String,
}

impl Site {
    fn new() -> Self {
        let scram = "host all web 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 md5";
        let cluster = Cluster::builder().hba(scram).start();
        let database = cluster.create_database();
        let site = Site { cluster, database };
        site.execute("CREATE ROLE web LOGIN; GRANT ALL ON sessions, sessions_meta TO web");
        site
    }

    fn execute(&self, sql: &str) {
        self.cluster.client(&self.database).batch_execute(sql).expect("a statement");
    }

    fn set_password(&self, password: &str) {
        self.execute(&format!("ALTER ROLE web PASSWORD '{password}'"));
    }

    /// A storage whose password is that.
    fn storage(&self, password: &str) -> Storage {
        let keys = json!({ "username": "web", "password": password, "cleanup_interval": 0 });
        self.cluster.storage(&self.database, keys)
    }

    fn disconnect(&self) {
        disconnect(&mut self.cluster.client(&self.database));
    }
}

#[test]
fn a_password_that_lets_in_replaces_that_of_equal_configurations() {
    let site = Site::new();
    site.set_password("first");
    let first = site.storage("first");
    first.call(session("key", 60)).expect("a save");
    site.set_password("second");
    let second = site.storage("second");
    assert!(second.get("key").expect("an answer").is_some());
    site.disconnect();
    assert!(first.get("key").expect("an answer").is_some());
}

/// It could be that of somebody who guesses at names.
#[test]
fn a_wrong_password_neither_shares_connections_nor_replaces_another() {
    let site = Site::new();
    site.set_password("right");
    let right = site.storage("right");
    right.call(session("key", 60)).expect("a save");
    let wrong = site.storage("wrong");
    for _ in 0..2 {
        let error = wrong.get("key").expect_err("no connection");
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        site.disconnect();
        assert!(right.get("key").expect("an answer").is_some());
    }
}

/// Its password is of no concern to those with another server, user, database or TLS setting.
#[test]
fn a_password_replaces_none_of_another_user() {
    let site = Site::new();
    site.set_password("right");
    site.execute("CREATE ROLE other LOGIN PASSWORD 'other'");
    let right = site.storage("right");
    right.call(session("key", 60)).expect("a save");
    let keys = json!({ "username": "other", "password": "other", "cleanup_interval": 0 });
    let other = site.cluster.storage(&site.database, keys);
    let error = other.get("key").expect_err("no right to read");
    assert!(!matches!(error, Error::Refused { .. }), "{error}");
    site.disconnect();
    assert!(right.get("key").expect("an answer").is_some());
}

/// The second connection is refused, while the first one serves.
#[test]
fn a_refusal_fails_no_operation_while_a_connection_is_open() {
    let site = Site::new();
    site.set_password("right");
    let storage = site.storage("right");
    storage.call(session("key", 60)).expect("a save");
    site.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END$$;
         CREATE TRIGGER slow AFTER INSERT ON sessions FOR EACH STATEMENT EXECUTE FUNCTION slow()",
    );
    site.set_password("changed");
    let refused = || stat(&storage, "connections_failed_total");
    thread::scope(|scope| {
        for n in 0..4 {
            let storage = &storage;
            scope.spawn(move || {
                for _ in 0..20 {
                    storage.call(session(format!("key {n}"), 60)).expect("a save");
                }
            });
        }
    });
    assert!(refused() > 0.0);
}
