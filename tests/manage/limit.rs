//! How many sessions a subject may have.

use std::thread;

use resty_session_postgres::config::Value;
use resty_session_postgres::ops::Set;
use resty_session_postgres::{Epoch, Error, Storage};

use super::{Site, login, login_of, number};
use crate::support::{Calls, session};

const ALIVE: &str = "SELECT count(*) FROM sessions_meta JOIN sessions USING (sid)
                     WHERE aud = 'shop' AND sub = 'ada' AND exp > now()";

fn limited(site: &Site, limit: f64, beyond: &str, size: f64) -> Storage {
    Storage::new(site.config_with([
        ("max_sessions_per_subject", Value::Number(limit)),
        ("max_sessions_beyond", Value::Text(beyond.into())),
        ("pool_size", Value::Number(size)),
        // A hundred of them wait for each other.
        ("connect_timeout", Value::Number(30_000.0)),
        ("read_timeout", Value::Number(30_000.0)),
    ]))
}

fn expiring(key: &str, seconds: i64) -> Set {
    login_of("ada", key, seconds)
}

#[test]
fn one_beyond_the_limit_ends_the_oldest() {
    let site = Site::new();
    let storage = limited(&site, 3.0, "end-oldest", 4.0);
    for n in 0..6 {
        storage
            .call(expiring(&format!("key {n}"), 600 + n))
            .expect("a save");
    }
    let keys = storage
        .call(super::list_of_ada())
        .expect("a list")
        .into_iter();
    let keys: Vec<String> = keys.map(|session| session.key).collect();
    assert_eq!(keys, ["key 3", "key 4", "key 5"]);
    // Saved again, none is new.
    storage.call(expiring("key 3", 900)).expect("a save");
    assert_eq!(number(&mut site.sql(), ALIVE), 3);
    // Sessions of others do not count, nor do those without metadata.
    for other in [login_of("bob", "bob", 3600), session("without", 3600)] {
        storage.call(other).expect("a save");
    }
    assert_eq!(number(&mut site.sql(), ALIVE), 3);
    assert_eq!(
        number(&mut site.sql(), "SELECT count(*) FROM sessions_meta"),
        4
    );
}

#[test]
fn one_beyond_the_limit_may_be_refused() {
    let site = Site::new();
    let storage = limited(&site, 2.0, "refuse", 4.0);
    storage.call(login("one")).expect("a save");
    storage.call(expiring("two", -60)).expect("a save");
    storage.call(login("three")).expect("one has expired");
    let refused = storage.call(login("four"));
    assert_eq!(refused, Err(Error::TooManySessions { limit: 2 }));
    assert_eq!(storage.get("four"), Ok(None));
    storage.call(login("three")).expect("it is one of them");
    let replacing = replacing("three", "four");
    storage.call(replacing).expect("it replaces one of them");
    storage.delete("one").expect("a delete");
    storage.delete("three").expect("a delete");
    storage.call(login("five")).expect("there is room");
}

fn replacing(old: &str, key: &str) -> Set {
    let at = Some(Epoch::now().plus(10));
    login(key).replacing(old, at).expect("a key")
}

/// Each save of lua-resty-session replaces the session by one of another key, and the old one lives
/// on for a few seconds.
#[test]
fn sessions_that_were_replaced_do_not_count() {
    let site = Site::new();
    let storage = limited(&site, 2.0, "refuse", 4.0);
    storage.call(login("first")).expect("a login");
    for (old, key) in [
        ("first", "second"),
        ("second", "third"),
        ("third", "fourth"),
    ] {
        storage.call(replacing(old, key)).expect("another save");
    }
    storage.call(login("device")).expect("the second of two");
    let refused = storage.call(login("too many"));
    assert_eq!(refused, Err(Error::TooManySessions { limit: 2 }));

    let site = Site::new();
    let storage = limited(&site, 2.0, "end-oldest", 4.0);
    storage.call(login("first")).expect("a login");
    storage.call(replacing("first", "second")).expect("a save");
    storage.call(login("device")).expect("the second of two");
    // Requests that carry the first key are still under way.
    assert_eq!(number(&mut site.sql(), ALIVE), 3);
}

/// A visitor has a session before the login, which replaces it.
#[test]
fn a_login_that_replaces_a_session_without_metadata_counts() {
    let site = Site::new();
    let storage = limited(&site, 1.0, "refuse", 4.0);
    storage.call(login("first")).expect("a login");
    storage.call(session("visitor", 3600)).expect("a visit");
    let refused = storage.call(replacing("visitor", "login"));
    assert_eq!(refused, Err(Error::TooManySessions { limit: 1 }));
    // So does one that replaces a missing session, or another subject's.
    storage.call(login_of("bob", "bob", 3600)).expect("a login");
    for old in ["nothing", "bob"] {
        let refused = storage.call(replacing(old, "login"));
        assert_eq!(refused, Err(Error::TooManySessions { limit: 1 }));
    }
    storage.call(replacing("first", "second")).expect("a save");
}

/// lua-resty-session stores what remembers a person under a name of its own, beside the session.
#[test]
fn each_name_has_a_limit_of_its_own() {
    for beyond in ["refuse", "end-oldest"] {
        let site = Site::new();
        let storage = limited(&site, 1.0, beyond, 4.0);
        storage.call(login("session")).expect("a login");
        let expires = Epoch::now().plus(3600);
        let remember = Set::new("remember", "remember", "value", expires);
        let remember = remember.and_then(|set| set.under("shop", "ada"));
        let remember = remember.expect("texts that can be stored");
        storage.call(remember).expect("its other part");
        assert_eq!(number(&mut site.sql(), ALIVE), 2);
    }
}

/// 100 logins at once through two pools, as in two processes, 50 times.
#[test]
fn concurrent_logins_leave_no_more_than_the_limit() {
    let site = Site::new();
    let pools = [4.0, 5.0].map(|size| limited(&site, 5.0, "end-oldest", size));
    for run in 0..50 {
        thread::scope(|scope| {
            for n in 0..100 {
                let storage = &pools[n % 2];
                scope.spawn(move || {
                    let key = format!("run {run}, login {n}");
                    storage.call(login(key)).expect("a login");
                });
            }
        });
        assert_eq!(number(&mut site.sql(), ALIVE), 5, "run {run}");
    }
}

#[test]
fn concurrent_logins_are_refused_beyond_the_limit() {
    let site = Site::new();
    let pools = [4.0, 5.0].map(|size| limited(&site, 5.0, "refuse", size));
    let refused = thread::scope(|scope| {
        let logins: Vec<_> = (0..50)
            .map(|n| {
                let storage = &pools[n % 2];
                scope.spawn(move || storage.call(login(format!("login {n}"))))
            })
            .collect();
        let outcomes = logins
            .into_iter()
            .map(|login| login.join().expect("no panic"));
        let limit = Err(Error::TooManySessions { limit: 5 });
        outcomes.filter(|outcome| *outcome == limit).count()
    });
    assert_eq!(refused, 45);
    assert_eq!(number(&mut site.sql(), ALIVE), 5);
}

#[test]
fn ended_sessions_lose_their_metadata_where_nothing_cascades() {
    let site = Site::new();
    site.sql()
        .batch_execute("ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey")
        .expect("no foreign key");
    let storage = limited(&site, 1.0, "end-oldest", 4.0);
    for key in ["one", "two"] {
        storage.call(login(key)).expect("a save");
    }
    assert_eq!(
        number(&mut site.sql(), "SELECT count(*) FROM sessions_meta"),
        1
    );
    assert_eq!(number(&mut site.sql(), ALIVE), 1);
}
