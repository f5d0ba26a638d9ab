//! Audiences and subjects: which sessions belong to a user.

use std::collections::BTreeMap;

use super::binding::Binding;
use super::call::{Call, NOW, delete, set};
use super::store::Store;

const PAIR: &[(&str, &str)] = &[("audience", "subject")];

fn with_pair(key: &str) -> Call {
    set(key, "value").pairs("metadata", PAIR)
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |&(audience, subject): &(&str, &str)| (audience.into(), subject.into());
    pairs.iter().map(owned).collect()
}

pub fn metadata_has_a_row_for_each_pair(store: &Store<impl Binding>) {
    let pairs = [("a", "1"), ("b", "2"), ("a", "2")];
    store.run(&set("key", "value").pairs("metadata", &pairs));
    let sorted = owned(&[("a", "1"), ("a", "2"), ("b", "2")]);
    assert_eq!(store.db.metadata("key"), sorted);
}

pub fn a_repeated_pair_is_no_error(store: &Store<impl Binding>) {
    for _ in 0..2 {
        let pairs = [("a", "1"), ("a", "1")];
        store.run(&set("key", "value").pairs("metadata", &pairs));
        assert_eq!(store.db.metadata("key"), owned(&[("a", "1")]));
    }
}

pub fn empty_lists_are_no_metadata(store: &Store<impl Binding>) {
    let none: &[(&str, &str)] = &[];
    store.run(&set("key", "value").pairs("metadata", none));
    assert!(store.get("key").is_some());
    assert!(store.db.metadata("key").is_empty());
    store.run(&delete("key").pairs("metadata", none));
    store.db.assert_empty();
}

pub fn read_metadata_lists_live_sessions_with_their_expiry(store: &Store<impl Binding>) {
    assert!(store.read_metadata("audience", "subject").is_empty());
    for (key, ttl) in [("alive", 60.5), ("last second", 0.0), ("expired", -1.0)] {
        store.run(&with_pair(key).number("ttl", ttl));
    }
    let others = [("audience", "another subject"), ("elsewhere", "subject")];
    store.run(&set("other", "value").pairs("metadata", &others));
    let now = NOW as i64;
    let alive = BTreeMap::from([("alive".into(), now + 60), ("last second".into(), now)]);
    assert_eq!(store.read_metadata("audience", "subject"), alive);
}

pub fn a_delete_deletes_the_metadata(store: &Store<impl Binding>) {
    for delete in [delete("key"), delete("key").pairs("metadata", PAIR)] {
        store.run(&with_pair("key"));
        store.run(&with_pair("other"));
        store.run(&delete);
        assert!(store.db.metadata("key").is_empty());
        assert_eq!(store.db.metadata("other").len(), 1);
    }
}

pub fn a_delete_deletes_the_metadata_where_nothing_cascades(store: &Store<impl Binding>) {
    store.alter("ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey");
    // A pool of its own: other pools keep what they have read about the tables for some seconds.
    let store = store.with("pool", "nothing cascades");
    store.run(&with_pair("key"));
    store.run(&delete("key").pairs("metadata", PAIR));
    store.db.assert_empty();
    store.run(&with_pair("key"));
    let replacing = set("new key", "value").text("old_key", "key");
    store.run(&replacing.flag("remember", true));
    store.run(&delete("new key"));
    store.db.assert_empty();
}
