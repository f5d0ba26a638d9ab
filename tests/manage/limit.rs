//! How many sessions a subject may have.

use std::thread;

use resty_session_postgres::ops::Set;
use resty_session_postgres::{Epoch, Error, Storage};
use serde_json::json;

use super::{login, login_of};
use crate::support::{Calls, Database, session};

const ALIVE: &str = "SELECT count(*) FROM sessions_meta JOIN sessions USING (sid)
                     WHERE aud = 'shop' AND sub = 'ada' AND exp > now()";
const METADATA: &str = "SELECT count(*) FROM sessions_meta";

fn limited(db: &Database, limit: u32, beyond: &str) -> Storage {
    limited_pool(db, limit, beyond, 4)
}

fn limited_pool(db: &Database, limit: u32, beyond: &str, size: u32) -> Storage {
    db.storage_with(json!({
        "max_sessions_per_subject": limit,
        "max_sessions_beyond": beyond,
        "pool_size": size,
        // A hundred of them wait for each other.
        "connect_timeout": 30_000,
        "read_timeout": 30_000,
    }))
}

#[test]
fn one_beyond_the_limit_ends_the_oldest() {
    let db = Database::new();
    let storage = limited(&db, 3, "end-oldest");
    for n in 0..6 {
        let set = login_of("ada", format!("key {n}"), 600 + n);
        storage.call(set).expect("a save");
    }
    let sessions = storage.call(super::list_of_ada()).expect("a list");
    let keys: Vec<_> = sessions.iter().map(|session| &*session.key).collect();
    assert_eq!(keys, ["key 3", "key 4", "key 5"]);
    // Saved again, none is new.
    storage.call(login_of("ada", "key 3", 900)).expect("a save");
    assert_eq!(db.number(ALIVE), 3);
    // Sessions of others do not count, nor do those without metadata.
    for other in [login_of("bob", "bob", 3600), session("without", 3600)] {
        storage.call(other).expect("a save");
    }
    assert_eq!(db.number(ALIVE), 3);
    assert_eq!(db.number(METADATA), 4);
}

#[test]
fn one_beyond_the_limit_may_be_refused() {
    let db = Database::new();
    let storage = limited(&db, 2, "refuse");
    storage.call(login("one")).expect("a save");
    storage.call(login_of("ada", "two", -60)).expect("a save");
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
    login(key).replacing(old, Some(Epoch::now().plus(10))).expect("a key")
}

/// Each save of lua-resty-session replaces the session by one of another key, and the old one lives
/// on for a few seconds.
#[test]
fn sessions_that_were_replaced_do_not_count() {
    let db = Database::new();
    let storage = limited(&db, 2, "refuse");
    storage.call(login("first")).expect("a login");
    for (old, key) in [("first", "second"), ("second", "third"), ("third", "fourth")] {
        storage.call(replacing(old, key)).expect("another save");
    }
    storage.call(login("device")).expect("the second of two");
    let refused = storage.call(login("too many"));
    assert_eq!(refused, Err(Error::TooManySessions { limit: 2 }));

    let db = Database::new();
    let storage = limited(&db, 2, "end-oldest");
    storage.call(login("first")).expect("a login");
    storage.call(replacing("first", "second")).expect("a save");
    storage.call(login("device")).expect("the second of two");
    // Requests that carry the first key are still under way.
    assert_eq!(db.number(ALIVE), 3);
}

/// Thirty requests carry one cookie, whose session the first of them replaces.
#[test]
fn a_cookie_that_is_replayed_leaves_one_session_beyond_the_limit() {
    for beyond in ["refuse", "end-oldest"] {
        let db = Database::new();
        let pools = [4, 5].map(|size| limited_pool(&db, 2, beyond, size));
        for key in ["device", "cookie"] {
            pools[0].call(login(key)).expect("a login");
        }
        let outcomes: Vec<_> = thread::scope(|scope| {
            let pools = &pools;
            let replay = |n: usize| move || pools[n % 2].call(replacing("cookie", &format!("{n}")));
            let requests: Vec<_> = (0..30).map(|n| scope.spawn(replay(n))).collect();
            requests.into_iter().map(|it| it.join().expect("no panic")).collect()
        });
        let saved: Vec<_> = (0..30).filter(|n| outcomes[*n].is_ok()).collect();
        let counted = "SELECT count(*) FROM sessions_meta JOIN sessions USING (sid)
                       WHERE exp > now() + interval '1 minute'";
        match beyond {
            "refuse" => {
                assert_eq!((saved.len(), db.number(counted)), (2, 3));
                // Each goes on by itself, and there is no room for another one.
                for n in saved {
                    let old = n.to_string();
                    pools[0].call(replacing(&old, &format!("next {n}"))).expect("a save");
                    let refused = pools[1].call(replacing(&old, &format!("another {n}")));
                    assert_eq!(refused, Err(Error::TooManySessions { limit: 2 }));
                }
                assert_eq!(db.number(counted), 3);
            }
            _ => assert_eq!(db.number(counted), 2),
        }
    }
}

/// A visitor has a session before the login, which replaces it.
#[test]
fn a_login_that_replaces_a_session_without_metadata_counts() {
    let db = Database::new();
    let storage = limited(&db, 1, "refuse");
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
        let db = Database::new();
        let storage = limited(&db, 1, beyond);
        storage.call(login("session")).expect("a login");
        let expires = Epoch::now().plus(3600);
        let remember = Set::new("remember", "remember", "value", expires);
        let remember = remember.and_then(|set| set.under("shop", "ada"));
        let remember = remember.expect("texts that can be stored");
        storage.call(remember).expect("its other part");
        assert_eq!(db.number(ALIVE), 2);
    }
}

/// So many logins at once through two pools, as in two processes; returns how many were refused.
fn log_in_at_once(db: &Database, number: usize, beyond: &str, run: usize) -> usize {
    let pools = [4, 5].map(|size| limited_pool(db, 5, beyond, size));
    thread::scope(|scope| {
        let logins: Vec<_> = (0..number)
            .map(|n| {
                let storage = &pools[n % 2];
                scope.spawn(move || storage.call(login(format!("run {run}, login {n}"))))
            })
            .collect();
        let outcomes = logins.into_iter().map(|it| it.join().expect("no panic"));
        let limit = Error::TooManySessions { limit: 5 };
        outcomes.filter_map(Result::err).inspect(|error| assert_eq!(*error, limit)).count()
    })
}

#[test]
fn concurrent_logins_leave_no_more_than_the_limit() {
    let db = Database::new();
    for run in 0..50 {
        assert_eq!(log_in_at_once(&db, 100, "end-oldest", run), 0);
        assert_eq!(db.number(ALIVE), 5, "run {run}");
    }
    let db = Database::new();
    assert_eq!(log_in_at_once(&db, 50, "refuse", 0), 45);
    assert_eq!(db.number(ALIVE), 5);
}

#[test]
fn ended_sessions_lose_their_metadata_where_nothing_cascades() {
    let db = Database::new();
    db.execute("ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey");
    let storage = limited(&db, 1, "end-oldest");
    for key in ["one", "two"] {
        storage.call(login(key)).expect("a save");
    }
    assert_eq!(db.number(METADATA), 1);
    assert_eq!(db.number(ALIVE), 1);
}
