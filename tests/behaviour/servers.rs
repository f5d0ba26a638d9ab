//! Servers in other time zones, tables in other places, and a server that is not there.

use std::time::{Duration, Instant};

use super::binding::Binding;
use super::call::{Call, NOW, delete, get, of, set};
use super::store::Store;
use crate::support::process::free_port;

const TIME_ZONES: [&str; 3] = ["Asia/Tokyo", "America/Los_Angeles", "Asia/Kolkata"];

/// The session `key`, with metadata.
fn with_metadata(value: &str) -> Call {
    set("key", value).pairs("metadata", &[("audience", "subject")])
}

/// A new connection would be needed to see the setting: the name of the application makes one.
fn in_time_zone<B: Binding>(store: &Store<B>, zone: &str) -> Store<B> {
    let database = &store.db.name;
    let statement = format!("ALTER DATABASE {database} SET timezone = '{zone}'");
    store.alter(&statement);
    store.with("application", zone)
}

pub fn times_are_true_in_every_time_zone(store: &Store<impl Binding>) {
    for zone in TIME_ZONES {
        let store = in_time_zone(store, zone);
        store.run(&with_metadata(zone));
        assert_eq!(store.db.exp("key"), NOW + 60.0, "{zone}");
        assert_lives_a_minute(&store, zone, zone);

        let replacing = set("new", zone).text("old_key", "key");
        store.run(&replacing.number("stale_ttl", 10.0));
        assert_eq!(store.db.exp("key"), NOW + 10.0, "{zone}");
        store.run(&delete("key"));
        store.run(&delete("new"));
        store.db.assert_empty();
    }
}

/// The session `key` with metadata, saved at `NOW`.
fn assert_lives_a_minute(store: &Store<impl Binding>, value: &str, zone: &str) {
    let at = |seconds| store.get_at("key", NOW + seconds);
    assert_eq!(at(60.0), Some(value.into()), "{zone}");
    assert_eq!(at(61.0), None, "{zone}");
    let sessions = store.read_metadata("audience", "subject");
    assert_eq!(sessions["key"], NOW as i64 + 60, "{zone}");
}

/// On a server that runs in UTC, upstream's statements store the instant they mean.
pub fn rows_written_by_upstream_are_read_as_they_are(store: &Store<impl Binding>) {
    store.alter("SET timezone = 'UTC'");
    store.db.execute(&format!(
        "INSERT INTO sessions (sid, name, data, exp)
         VALUES ('key', 'session', 'value', TO_TIMESTAMP({0}) AT TIME ZONE 'UTC')
         ON CONFLICT (sid) DO UPDATE SET data = EXCLUDED.data, exp = EXCLUDED.exp;
         INSERT INTO sessions_meta (aud, sub, sid) VALUES ('audience', 'subject', 'key')",
        NOW + 60.0
    ));
    for zone in ["UTC", "Asia/Tokyo", "America/Los_Angeles"] {
        let store = in_time_zone(store, zone);
        assert_lives_a_minute(&store, "value", zone);
    }
}

pub fn tables_may_have_other_names_and_another_schema(store: &Store<impl Binding>) {
    store.alter(
        "CREATE SCHEMA web;
         ALTER TABLE sessions SET SCHEMA web;
         ALTER TABLE web.sessions RENAME TO logins;
         ALTER TABLE sessions_meta SET SCHEMA web;
         ALTER TABLE web.sessions_meta RENAME TO logins_meta;",
    );
    // The second table is named after the first, or as one likes.
    let default = store.with("table_name", "web.logins");
    store_and_delete(&default);
    store.db.execute("ALTER TABLE web.logins_meta RENAME TO owners");
    store_and_delete(&default.with("table_name_meta", "web.owners"));
}

fn store_and_delete(store: &Store<impl Binding>) {
    store.run(&with_metadata("value"));
    assert!(store.get("key").is_some());
    assert_eq!(store.read_metadata("audience", "subject").len(), 1);
    store.run(&delete("key"));
    assert!(store.get("key").is_none());
}

pub fn a_server_that_is_not_there_fails_in_time_and_is_named(store: &Store<impl Binding>) {
    let port = free_port();
    let store = store.with("port", f64::from(port)).with("connect_timeout", 500.0);
    let start = Instant::now();
    let failed = |call: &Call| store.call(call).unwrap_err().failed();
    let message = failed(&get("key"));
    let took = start.elapsed();
    assert!(took < Duration::from_millis(1500), "{took:?}");
    assert!(message.contains("127.0.0.1"), "no host in: {message}");
    assert!(message.contains(&port.to_string()), "no port in: {message}");
    failed(&set("key", "value"));
    failed(&delete("key"));
    failed(&of("read_metadata", "audience", "subject"));
}
