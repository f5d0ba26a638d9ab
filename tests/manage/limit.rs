//! How many sessions a subject may have.

use std::thread;

use resty_session_postgres::config::Value;
use resty_session_postgres::{Epoch, Error, Old, Set, Storage};

use super::{Site, login, number};

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

fn ending(key: &str, seconds: i64) -> Set {
    Set {
        expires: Epoch::now().plus(seconds),
        ..login(key)
    }
}

#[test]
fn one_beyond_the_limit_ends_the_oldest() {
    let site = Site::new();
    let storage = limited(&site, 3.0, "end-oldest", 4.0);
    for n in 0..6 {
        storage
            .set(ending(&format!("key {n}"), 600 + n))
            .expect("a save");
    }
    let keys = storage
        .list(super::list_of_ada())
        .expect("a list")
        .into_iter();
    let keys: Vec<String> = keys.map(|session| session.key).collect();
    assert_eq!(keys, ["key 3", "key 4", "key 5"]);
    // Saved again, none is new.
    storage.set(ending("key 3", 900)).expect("a save");
    assert_eq!(number(&mut site.sql(), ALIVE), 3);
    // Others' do not count, nor do those without metadata.
    for (key, subject) in [("bob", Some("bob")), ("nobody", None)] {
        let metadata = subject.map(|subject| ("shop".into(), subject.into()));
        let metadata = metadata.into_iter().collect();
        storage
            .set(Set {
                metadata,
                ..login(key)
            })
            .expect("a save");
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
    storage.set(login("one")).expect("a save");
    storage.set(ending("two", -60)).expect("a save");
    storage.set(login("three")).expect("one is over");
    let refused = storage.set(login("four"));
    assert_eq!(refused, Err(Error::TooManySessions { limit: 2 }));
    assert_eq!(storage.get("four", Epoch::now()), Ok(None));
    storage.set(login("three")).expect("it is one of them");
    let renewed = Set {
        old: Some(Old::Expire {
            key: "three".into(),
            at: Epoch::now().plus(10),
        }),
        ..login("four")
    };
    storage.set(renewed).expect("it replaces one of them");
    storage.delete("one").expect("a delete");
    storage.delete("three").expect("a delete");
    storage.set(login("five")).expect("there is room");
}

fn replacing(old: &str, key: &str) -> Set {
    let old = Old::Expire {
        key: old.into(),
        at: Epoch::now().plus(10),
    };
    Set {
        old: Some(old),
        ..login(key)
    }
}

/// Each save of lua-resty-session replaces the session by one of another key, and the old one lives
/// on for a few seconds.
#[test]
fn sessions_that_were_replaced_do_not_count() {
    let site = Site::new();
    let storage = limited(&site, 2.0, "refuse", 4.0);
    storage.set(login("first")).expect("a login");
    for (old, key) in [
        ("first", "second"),
        ("second", "third"),
        ("third", "fourth"),
    ] {
        storage.set(replacing(old, key)).expect("another save");
    }
    storage.set(login("device")).expect("the second of two");
    let refused = storage.set(login("too many"));
    assert_eq!(refused, Err(Error::TooManySessions { limit: 2 }));

    let site = Site::new();
    let storage = limited(&site, 2.0, "end-oldest", 4.0);
    storage.set(login("first")).expect("a login");
    storage.set(replacing("first", "second")).expect("a save");
    storage.set(login("device")).expect("the second of two");
    // Requests that carry the first key are still under way.
    assert_eq!(number(&mut site.sql(), ALIVE), 3);
}

/// A visitor has a session, too, and it becomes another one at the login.
#[test]
fn a_login_that_replaces_a_session_of_nobody_counts() {
    let site = Site::new();
    let storage = limited(&site, 1.0, "refuse", 4.0);
    storage.set(login("first")).expect("a login");
    let metadata = Vec::new();
    let visitor = Set {
        metadata,
        ..login("visitor")
    };
    storage.set(visitor).expect("a visit");
    let refused = storage.set(replacing("visitor", "login"));
    assert_eq!(refused, Err(Error::TooManySessions { limit: 1 }));
    // Nor does one that is not there, or somebody else's.
    let bob = Set {
        metadata: vec![("shop".into(), "bob".into())],
        ..login("bob")
    };
    storage.set(bob).expect("a login");
    for old in ["nothing", "bob"] {
        let refused = storage.set(replacing(old, "login"));
        assert_eq!(refused, Err(Error::TooManySessions { limit: 1 }));
    }
    storage.set(replacing("first", "second")).expect("a save");
}

/// lua-resty-session stores what remembers a person under a name of its own, beside the session.
#[test]
fn each_name_has_the_limit_for_itself() {
    for beyond in ["refuse", "end-oldest"] {
        let site = Site::new();
        let storage = limited(&site, 1.0, beyond, 4.0);
        storage.set(login("session")).expect("a login");
        let remember = Set {
            name: "remember".into(),
            ..login("remember")
        };
        storage.set(remember).expect("its other part");
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
                    storage.set(login(key)).expect("a login");
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
                scope.spawn(move || storage.set(login(format!("login {n}"))))
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
fn what_is_ended_takes_its_metadata_along_where_nothing_cascades() {
    let site = Site::new();
    site.sql()
        .batch_execute("ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey")
        .expect("no foreign key");
    let storage = limited(&site, 1.0, "end-oldest", 4.0);
    for key in ["one", "two"] {
        storage.set(login(key)).expect("a save");
    }
    assert_eq!(
        number(&mut site.sql(), "SELECT count(*) FROM sessions_meta"),
        1
    );
    assert_eq!(number(&mut site.sql(), ALIVE), 1);
}
