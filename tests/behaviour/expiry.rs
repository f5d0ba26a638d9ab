//! When sessions expire, and what becomes of a session that another one replaces.

use std::time::UNIX_EPOCH;

use super::binding::Binding;
use super::call::{Answer, Call, NOW, get, set};
use super::store::Store;

fn replacing(old_key: &str) -> Call {
    set("new", "new").text("old_key", old_key).number("stale_ttl", 10.0)
}

pub fn expiry_is_rounded_down_to_the_second(store: &Store<impl Binding>) {
    for (now, ttl, exp) in [(0.25, 10.5, 10.0), (0.75, 10.5, 11.0), (0.0, 0.9, 0.0)] {
        let set = set("key", "value").number("current_time", NOW + now);
        store.run(&set.number("ttl", ttl));
        assert_eq!(store.db.exp("key"), NOW + exp, "{now} + {ttl}");
    }
}

pub fn a_session_lives_to_the_end_of_its_last_second(store: &Store<impl Binding>) {
    store.run(&set("key", "value"));
    assert!(store.get_at("key", NOW + 59.0).is_some());
    assert!(store.get_at("key", NOW + 60.0).is_some());
    assert!(store.get_at("key", NOW + 61.0).is_none());
}

pub fn a_missing_time_is_now(store: &Store<impl Binding>) {
    let now = UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let past = now - 70.0;
    store.run(&set("alive", "value").without("current_time"));
    store.run(&set("expired", "value").number("current_time", past));
    let found = |key| match store.answer(&get(key).without("current_time")) {
        Answer::Value(value) => value.is_some(),
        other => panic!("get answered {other:?}"),
    };
    assert!(found("alive"));
    assert!(!found("expired"));
    assert!((now - 1.0..now + 30.0).contains(&(store.db.exp("alive") - 60.0)));
    assert!(store.get_at("expired", past).is_some());
}

pub fn a_negative_ttl_stores_an_expired_session(store: &Store<impl Binding>) {
    store.run(&set("key", "value").number("ttl", -5.0));
    assert_eq!(store.db.exp("key"), NOW - 5.0);
    assert_eq!(store.get("key"), None);
}

pub fn an_old_key_lives_for_the_stale_ttl_at_most(store: &Store<impl Binding>) {
    // One that is not there is no error.
    store.run(&replacing("old"));
    assert!(store.get("new").is_some());
    assert_eq!(store.db.row("old"), None);
    for (ttl, left) in [(60.0, 10.0), (5.0, 5.0)] {
        store.run(&set("old", "old").number("ttl", ttl));
        store.run(&replacing("old").flag("remember", false));
        assert_eq!(store.db.exp("old"), NOW + left);
        assert_eq!(store.db.exp("new"), NOW + 60.0);
        assert_eq!(store.get("old").unwrap(), b"old");
    }
}

pub fn remember_deletes_the_old_session(store: &Store<impl Binding>) {
    store.run(&set("old", "old").pairs("metadata", &[("audience", "subject")]));
    store.run(&replacing("old").flag("remember", true));
    assert_eq!(store.db.row("old"), None);
    assert!(store.db.metadata("old").is_empty());
    assert!(store.get("new").is_some());
}

/// As upstream does it: first the row is written, then the old key's expiry is lowered.
pub fn a_session_that_replaces_itself_lives_for_the_stale_ttl(store: &Store<impl Binding>) {
    store.run(&replacing("new"));
    assert_eq!(store.db.exp("new"), NOW + 10.0);
    assert_eq!(store.get("new").unwrap(), b"new");
}
