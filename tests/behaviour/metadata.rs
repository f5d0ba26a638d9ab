//! Audiences and subjects: which sessions belong to a user.

use std::collections::BTreeMap;

use super::door::{Door, Pairs, Set};
use super::store::{NOW, Store, set};

const PAIR: Pairs = &[(b"audience", b"subject")];

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |&(audience, subject): &(&str, &str)| (audience.into(), subject.into());
    pairs.iter().map(owned).collect()
}

pub fn metadata_has_a_row_for_each_pair(store: &Store<impl Door>) {
    store
        .set(&Set {
            metadata: Some(&[(b"a", b"1"), (b"b", b"2"), (b"a", b"2")]),
            ..set("key", "value")
        })
        .unwrap();
    let pairs = owned(&[("a", "1"), ("a", "2"), ("b", "2")]);
    assert_eq!(store.db.metadata("key"), pairs);
}

pub fn a_repeated_pair_is_no_error(store: &Store<impl Door>) {
    for _ in 0..2 {
        store
            .set(&Set {
                metadata: Some(&[(b"a", b"1"), (b"a", b"1")]),
                ..set("key", "value")
            })
            .unwrap();
        assert_eq!(store.db.metadata("key"), owned(&[("a", "1")]));
    }
}

pub fn empty_lists_are_no_metadata(store: &Store<impl Door>) {
    store
        .set(&Set {
            metadata: Some(&[]),
            ..set("key", "value")
        })
        .unwrap();
    assert!(store.get("key").unwrap().is_some());
    assert!(store.db.metadata("key").is_empty());
    store.delete("key", Some(&[])).unwrap();
    store.db.assert_empty();
}

pub fn read_metadata_lists_live_sessions_with_their_expiry(store: &Store<impl Door>) {
    for (key, ttl) in [("alive", 60.5), ("last second", 0.0), ("dead", -1.0)] {
        let metadata = Some(PAIR);
        store
            .set(&Set {
                ttl,
                metadata,
                ..set(key, "value")
            })
            .unwrap();
    }
    store
        .set(&Set {
            metadata: Some(&[(b"audience", b"somebody else"), (b"elsewhere", b"subject")]),
            ..set("other", "value")
        })
        .unwrap();
    let now = NOW as i64;
    let alive = BTreeMap::from([("alive".into(), now + 60), ("last second".into(), now)]);
    assert_eq!(store.read_metadata("audience", "subject").unwrap(), alive);
}

pub fn read_metadata_of_nobody_is_an_empty_table(store: &Store<impl Door>) {
    assert!(
        store
            .read_metadata("audience", "subject")
            .unwrap()
            .is_empty()
    );
}

pub fn a_delete_takes_the_metadata_along(store: &Store<impl Door>) {
    for given in [None, Some(PAIR)] {
        for key in ["key", "other"] {
            let metadata = Some(PAIR);
            store
                .set(&Set {
                    metadata,
                    ..set(key, "value")
                })
                .unwrap();
        }
        store.delete("key", given).unwrap();
        assert!(store.db.metadata("key").is_empty());
        assert_eq!(store.db.metadata("other").len(), 1);
    }
}

pub fn a_delete_takes_the_metadata_along_where_nothing_cascades(store: &Store<impl Door>) {
    store
        .db
        .alter("ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey");
    // A pool of its own: what others have seen of the tables is believed for some seconds.
    let store = store.with("pool", "nothing cascades");
    for remember in [false, true] {
        let metadata = Some(PAIR);
        store
            .set(&Set {
                metadata,
                ..set("key", "value")
            })
            .unwrap();
        if remember {
            let replacing = Set {
                old_key: Some(b"key"),
                remember: Some(true),
                ..set("new key", "value")
            };
            store.set(&replacing).unwrap();
            store.delete("new key", None).unwrap();
        } else {
            store.delete("key", metadata).unwrap();
        }
        store.db.assert_empty();
    }
}
