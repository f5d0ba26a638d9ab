//! Storing, finding and deleting sessions.

use super::door::{Door, Set};
use super::store::{NAME, NOW, Row, Store, set};

pub fn a_value_that_was_set_is_found(store: &Store<impl Door>) {
    store.set(&set("key", "value")).unwrap();
    assert_eq!(store.get("key").unwrap().unwrap(), b"value");
    let row = Row {
        name: "session".into(),
        data: "value".into(),
        exp: NOW + 60.0,
    };
    assert_eq!(store.db.row("key"), Some(row));
}

pub fn a_miss_is_nothing_at_all(store: &Store<impl Door>) {
    assert_eq!(store.get("key").unwrap(), None);
}

pub fn a_key_is_found_under_any_name(store: &Store<impl Door>) {
    store.set(&set("key", "value")).unwrap();
    let found = store.door.get(&store.conf, b"other", b"key", Some(NOW));
    assert_eq!(found.unwrap().unwrap(), b"value");
    store
        .door
        .delete(&store.conf, b"other", b"key", Some(NOW), None)
        .unwrap();
    store.db.assert_empty();
}

pub fn an_overwrite_changes_data_expiry_and_name(store: &Store<impl Door>) {
    store.set(&set("key", "old")).unwrap();
    store
        .set(&Set {
            name: b"renamed",
            ttl: 90.0,
            ..set("key", "new")
        })
        .unwrap();
    let row = Row {
        name: "renamed".into(),
        data: "new".into(),
        exp: NOW + 90.0,
    };
    assert_eq!(store.db.row("key"), Some(row));
    assert_eq!(store.get("key").unwrap().unwrap(), b"new");
}

pub fn an_empty_value_is_a_value(store: &Store<impl Door>) {
    store.set(&set("key", "")).unwrap();
    assert_eq!(store.get("key").unwrap().unwrap(), b"");
}

pub fn keys_do_not_get_in_each_others_way(store: &Store<impl Door>) {
    for key in ["a", "A", "a ", " a", "aa"] {
        store.set(&set(key, key)).unwrap();
    }
    store.delete("a", None).unwrap();
    assert_eq!(store.get("a").unwrap(), None);
    for key in ["A", "a ", " a", "aa"] {
        assert_eq!(store.get(key).unwrap().unwrap(), key.as_bytes());
    }
}

pub fn a_delete_succeeds_with_and_without_a_row(store: &Store<impl Door>) {
    store.set(&set("key", "value")).unwrap();
    store.delete("key", None).unwrap();
    assert_eq!(store.get("key").unwrap(), None);
    store.db.assert_empty();
    store.delete("key", None).unwrap();
    store
        .door
        .delete(&store.conf, NAME, b"key", None, None)
        .unwrap();
}

pub fn a_value_of_8_mib_comes_back(store: &Store<impl Door>) {
    let value = "0123456789abcdef".repeat(8 << 20 >> 4);
    store.set(&set("key", &value)).unwrap();
    let found = store.get("key").unwrap().unwrap();
    assert!(found == value.as_bytes(), "{} other bytes", found.len());
}

/// PostgreSQL cannot index more than a third of a page. Repetitions would be compressed.
pub fn a_key_too_long_for_the_index_fails_and_writes_nothing(store: &Store<impl Door>) {
    let mut state = 1_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        format!("{:02x}", state >> 56)
    };
    let key: String = (0..5000).map(|_| random()).collect();
    let message = store.set(&set(&key, "value")).unwrap_err().failed();
    assert!(
        !message.contains(&key[..100]),
        "a key in an error: {message}"
    );
    store.db.assert_empty();
}

pub fn a_set_that_fails_leaves_nothing_behind(store: &Store<impl Door>) {
    store.set(&set("old", "old")).unwrap();
    store.db.alter("ALTER TABLE sessions_meta RENAME TO gone");
    let failing = Set {
        old_key: Some(b"old"),
        stale_ttl: Some(10.0),
        metadata: Some(&[(b"audience", b"subject")]),
        ..set("new", "new")
    };
    store.set(&failing).unwrap_err().failed();
    assert_eq!(store.db.row("new"), None);
    assert_eq!(store.db.exp("old"), NOW + 60.0);
    // Without metadata, that table is of no importance.
    store.set(&set("new", "new")).unwrap();
}
