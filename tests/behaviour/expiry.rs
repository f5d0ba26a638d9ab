//! When sessions end, and what becomes of a session that another one replaces.

use std::time::{SystemTime, UNIX_EPOCH};

use super::door::{Door, Set};
use super::store::{NOW, Store, set};

pub fn expiry_is_rounded_down_to_the_second(store: &Store<impl Door>) {
    for (now, ttl, exp) in [(0.25, 10.5, 10.0), (0.75, 10.5, 11.0), (0.0, 0.9, 0.0)] {
        store
            .set(&Set {
                now: NOW + now,
                ttl,
                ..set("key", "value")
            })
            .unwrap();
        assert_eq!(store.db.exp("key"), NOW + exp, "{now} + {ttl}");
    }
}

pub fn a_session_lives_to_the_end_of_its_last_second(store: &Store<impl Door>) {
    store.set(&set("key", "value")).unwrap();
    assert!(store.get_at("key", Some(NOW + 59.0)).unwrap().is_some());
    assert!(store.get_at("key", Some(NOW + 60.0)).unwrap().is_some());
    assert!(store.get_at("key", Some(NOW + 61.0)).unwrap().is_none());
}

pub fn a_missing_time_is_now(store: &Store<impl Door>) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    store
        .set(&Set {
            now,
            ..set("alive", "value")
        })
        .unwrap();
    let past = now - 70.0;
    store
        .set(&Set {
            now: past,
            ..set("dead", "value")
        })
        .unwrap();
    assert!(store.get_at("alive", None).unwrap().is_some());
    assert!(store.get_at("dead", None).unwrap().is_none());
    assert!(store.get_at("dead", Some(past)).unwrap().is_some());
}

pub fn a_negative_ttl_stores_a_session_that_is_over(store: &Store<impl Door>) {
    store
        .set(&Set {
            ttl: -5.0,
            ..set("key", "value")
        })
        .unwrap();
    assert_eq!(store.db.exp("key"), NOW - 5.0);
    assert_eq!(store.get("key").unwrap(), None);
}

pub fn an_old_key_lives_for_the_stale_ttl(store: &Store<impl Door>) {
    store.set(&set("old", "old")).unwrap();
    let renewed = Set {
        old_key: Some(b"old"),
        stale_ttl: Some(10.0),
        ..set("new", "new")
    };
    store.set(&renewed).unwrap();
    assert_eq!(store.db.exp("old"), NOW + 10.0);
    assert_eq!(store.db.exp("new"), NOW + 60.0);
    assert_eq!(store.get("old").unwrap().unwrap(), b"old");
}

pub fn an_old_key_never_lives_longer_for_being_old(store: &Store<impl Door>) {
    store
        .set(&Set {
            ttl: 5.0,
            ..set("old", "old")
        })
        .unwrap();
    let renewed = Set {
        old_key: Some(b"old"),
        stale_ttl: Some(10.0),
        remember: Some(false),
        ..set("new", "new")
    };
    store.set(&renewed).unwrap();
    assert_eq!(store.db.exp("old"), NOW + 5.0);
}

pub fn an_old_key_that_is_gone_is_no_error(store: &Store<impl Door>) {
    let renewed = Set {
        old_key: Some(b"old"),
        stale_ttl: Some(10.0),
        ..set("new", "new")
    };
    store.set(&renewed).unwrap();
    assert!(store.get("new").unwrap().is_some());
    assert_eq!(store.db.row("old"), None);
}

pub fn remember_deletes_the_old_session(store: &Store<impl Door>) {
    store
        .set(&Set {
            metadata: Some(&[(b"audience", b"subject")]),
            ..set("old", "old")
        })
        .unwrap();
    let renewed = Set {
        old_key: Some(b"old"),
        stale_ttl: Some(10.0),
        remember: Some(true),
        ..set("new", "new")
    };
    store.set(&renewed).unwrap();
    assert_eq!(store.db.row("old"), None);
    assert!(store.db.metadata("old").is_empty());
    assert!(store.get("new").unwrap().is_some());
}

/// As upstream does it: first the row is written, then the old key's expiry is lowered.
pub fn a_session_that_replaces_itself_lives_for_the_stale_ttl(store: &Store<impl Door>) {
    let renewed = Set {
        old_key: Some(b"key"),
        stale_ttl: Some(10.0),
        ..set("key", "value")
    };
    store.set(&renewed).unwrap();
    assert_eq!(store.db.exp("key"), NOW + 10.0);
    assert_eq!(store.get("key").unwrap().unwrap(), b"value");
}
