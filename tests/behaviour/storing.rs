//! Storing, finding and deleting sessions.

use super::binding::Binding;
use super::call::{Answer, NOW, delete, get, set};
use super::store::{Row, Store};

pub fn a_value_that_was_set_is_found(store: &Store<impl Binding>) {
    assert_eq!(store.get("key"), None);
    store.run(&set("key", "value"));
    assert_eq!(store.get("key").unwrap(), b"value");
    let row = Row { name: "session".into(), data: "value".into(), exp: NOW + 60.0 };
    assert_eq!(store.db.row("key"), Some(row));
}

pub fn a_key_is_found_under_any_name(store: &Store<impl Binding>) {
    store.run(&set("key", "value"));
    let found = store.answer(&get("key").text("name", "other"));
    assert_eq!(found, Answer::Value(Some(b"value".into())));
    store.run(&delete("key").text("name", "other"));
    store.db.assert_empty();
}

pub fn an_overwrite_changes_data_expiry_and_name(store: &Store<impl Binding>) {
    store.run(&set("key", "old"));
    let renamed = set("key", "new").text("name", "renamed");
    store.run(&renamed.number("ttl", 90.0));
    let row = Row { name: "renamed".into(), data: "new".into(), exp: NOW + 90.0 };
    assert_eq!(store.db.row("key"), Some(row));
    assert_eq!(store.get("key").unwrap(), b"new");
}

pub fn an_empty_value_is_a_value(store: &Store<impl Binding>) {
    store.run(&set("key", ""));
    assert_eq!(store.get("key").unwrap(), b"");
}

pub fn similar_keys_are_different_sessions(store: &Store<impl Binding>) {
    for key in ["a", "A", "a ", " a", "aa"] {
        store.run(&set(key, key));
    }
    store.run(&delete("a"));
    assert_eq!(store.get("a"), None);
    for key in ["A", "a ", " a", "aa"] {
        assert_eq!(store.get(key).unwrap(), key.as_bytes());
    }
}

pub fn a_delete_succeeds_with_and_without_a_row(store: &Store<impl Binding>) {
    store.run(&set("key", "value"));
    store.run(&delete("key"));
    assert_eq!(store.get("key"), None);
    store.db.assert_empty();
    store.run(&delete("key"));
    store.run(&delete("key").without("current_time"));
}

pub fn a_value_of_8_mib_comes_back(store: &Store<impl Binding>) {
    let value = "0123456789abcdef".repeat(8 << 20 >> 4);
    store.run(&set("key", &value));
    let found = store.get("key").unwrap();
    assert!(found == value.as_bytes(), "{} other bytes", found.len());
}

/// PostgreSQL cannot index more than a third of a page. Repetitions would be compressed.
pub fn a_key_too_long_for_the_index_fails_and_writes_nothing(store: &Store<impl Binding>) {
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{:02x}", state >> 56)
    };
    let key: String = (0..5000).map(|_| random()).collect();
    let message = store.call(&set(&key, "value")).unwrap_err().failed();
    assert!(!message.contains(&key[..100]), "a key in: {message}");
    store.db.assert_empty();
}

pub fn a_set_that_fails_leaves_nothing_behind(store: &Store<impl Binding>) {
    store.run(&set("old", "old"));
    store.alter("ALTER TABLE sessions_meta RENAME TO gone");
    let replacing = set("new", "new").text("old_key", "old");
    let failing = replacing.number("stale_ttl", 10.0).pairs("metadata", &[("audience", "subject")]);
    store.call(&failing).unwrap_err().failed();
    assert_eq!(store.db.row("new"), None);
    assert_eq!(store.db.exp("old"), NOW + 60.0);
    // Without metadata, the set does not use that table.
    store.run(&set("new", "new"));
}
