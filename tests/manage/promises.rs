//! What holds while operations on the same sessions take place beside each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use resty_session_postgres::ops::Set;
use resty_session_postgres::{Epoch, Error, Storage};
use serde_json::json;

use super::{login, login_of};
use crate::nginx::site::lock_row;
use crate::support::{Calls, Database, session, stat, together};

fn replacing(old: &str, key: &str) -> Set {
    login(key).replacing(old, Some(Epoch::now().plus(10))).expect("a key")
}

/// Storages with connections of their own, as of several processes.
fn storages(db: &Database, keys: serde_json::Value) -> Vec<Storage> {
    let storage = |size: u32| {
        let mut keys = keys.clone();
        keys["pool_size"] = size.into();
        db.storage_with(keys)
    };
    (2..5).map(storage).collect()
}

const WITHOUT_METADATA: &str = "SELECT count(*) FROM sessions AS s WHERE exp > now()
     AND NOT EXISTS (SELECT FROM sessions_meta AS m WHERE m.sid = s.sid)";

/// Each kind of operation runs on a thread of its own, on the same few keys, for some seconds.
fn on_the_same_keys(db: &Database, keys: serde_json::Value) {
    let storages = storages(db, keys);
    let done = AtomicBool::new(false);
    let again = |operation: &(dyn Fn(usize) + Sync)| {
        (0..).take_while(|_| !done.load(Ordering::Relaxed)).for_each(operation);
    };
    let key = |n: usize| format!("key {}", n % 4);
    let save =
        |n: usize| match storages[n % 2].call(login_of("ada", key(n / 2), [3600, -120][n % 2])) {
            Ok(()) | Err(Error::Ended) => {}
            Err(error) => panic!("{error}"),
        };
    thread::scope(|scope| {
        for kind in 0..6 {
            let (storage, again) = (&storages[kind % 3], &again);
            scope.spawn(move || match kind {
                0 => again(&|n| storage.delete(&key(n)).expect("a delete")),
                1 => again(&|_| drop(storage.cleanup(None))),
                2 => again(&|_| {
                    storage.revoke("shop", "ada", None).expect("a revocation");
                    thread::sleep(Duration::from_millis(20));
                }),
                _ => again(&save),
            });
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(3) && db.number(WITHOUT_METADATA) == 0 {}
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(db.number(WITHOUT_METADATA), 0);
}

#[test]
fn a_saved_session_has_its_metadata_whatever_ends_its_key_meanwhile() {
    for ended_ttl in [0, 50] {
        let db = Database::new();
        on_the_same_keys(&db, json!({ "ended_ttl": ended_ttl }));
    }
}

#[test]
fn a_saved_session_has_its_metadata_where_nothing_cascades() {
    for ended_ttl in [0, 50] {
        let db = Database::new();
        db.execute("ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey");
        on_the_same_keys(&db, json!({ "ended_ttl": ended_ttl }));
    }
}

/// Requests that have read their session go on to save it, with a new key, under the same key, and
/// without metadata.
#[test]
fn nobody_is_signed_in_after_a_revocation() {
    let db = Database::new();
    let storages = storages(&db, json!({}));
    let mut refused = 0;
    for n in 0..150 {
        let (old, new) = (format!("old {n}"), format!("new {n}"));
        storages[0].call(login(&old)).expect("a save");
        let pause = |n: u64| thread::sleep(Duration::from_micros(n % 40 * 50));
        thread::scope(|scope| {
            let sets = [replacing(&old, &new), session(&old, 3600), login(&old)];
            let saves = sets.map(|set| scope.spawn(|| (pause(n * 7), storages[1].call(set)).1));
            pause(n * 11);
            storages[2].revoke("shop", "ada", None).expect("a revocation");
            for save in saves {
                refused += usize::from(save.join().expect("no panic") == Err(Error::Ended));
            }
        });
        assert_eq!(db.number("SELECT count(*) FROM sessions WHERE exp > now()"), 0, "{n}");
    }
    assert!(refused > 20, "{refused} were refused: no race");
}

/// Every session of one batch of saves is replaced by one of the other.
#[test]
fn saves_that_replace_each_others_sessions_do_not_wait_for_each_other() {
    let db = Database::new();
    // So slow that they meet, and faster than a lock is given up.
    db.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END $$;
         CREATE TRIGGER slow BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    let key = |side: &str, n: usize| format!("{side} {n}");
    let sets = |new: &'static str, old: &'static str| {
        // The order of the new keys is not that of the old ones.
        let at = Epoch::now().plus(60);
        let set = move |n| session(key(new, n), 600).replacing(key(old, 3 - n), Some(at));
        (0..4).map(set).map(|set| set.expect("a key")).collect::<Vec<_>>()
    };
    let exchange = |new, old, storage: &Storage| {
        for _ in 0..60 {
            let outcomes = together(storage, sets(new, old));
            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        }
    };
    let storages: Vec<_> = storages(&db, json!({})).into_iter().take(2).collect();
    thread::scope(|scope| {
        for (storage, (new, old)) in storages.iter().zip([("one", "two"), ("two", "one")]) {
            scope.spawn(move || exchange(new, old, storage));
        }
    });
    let splits = storages.iter().map(|it| stat(it, "batches_split_total{reason=\"locked\"}"));
    assert_eq!(splits.sum::<f64>(), 0.0);
}

/// A deletion that holds the session's row when the save comes to it, and deletes its metadata then.
#[test]
fn a_save_that_waits_for_a_deletion_of_its_key_saves_its_metadata() {
    let db = Database::new();
    let (storage, mut other) = (db.storage(), db.sql());
    let mut waited = 0;
    for n in 0..30 {
        let key = format!("key {n}");
        storage.call(login(&key)).expect("a save");
        let mut deletion = lock_row(&mut other, &key);
        thread::scope(|scope| {
            let save = scope.spawn(|| storage.call(login(&key)));
            thread::sleep(Duration::from_millis(8));
            waited += usize::from(!save.is_finished());
            deletion.execute("DELETE FROM sessions WHERE sid = $1", &[&key]).expect("a deletion");
            deletion.commit().expect("a commit");
            save.join().expect("no panic").expect("a save");
        });
    }
    assert!(waited > 20, "{waited} saves have waited");
    assert_eq!(db.number(WITHOUT_METADATA), 0);
}
