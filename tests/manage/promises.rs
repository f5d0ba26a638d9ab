//! What holds while operations on the same sessions take place beside each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use resty_session_postgres::ops::Set;
use resty_session_postgres::{Epoch, Error, Storage};
use serde_json::json;

use super::{login, login_of};
use crate::nginx::site::lock_row;
use crate::support::process::{self, SetAtDrop};
use crate::support::{Calls, Database, session, together};

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
        let _end = SetAtDrop(&done);
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
    revokes_beside_saves(&Database::new());
    // Where an update that changes nothing writes no row.
    let db = Database::new();
    db.execute(
        "CREATE TRIGGER same BEFORE UPDATE ON sessions
           FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    );
    revokes_beside_saves(&db);
}

fn revokes_beside_saves(db: &Database) {
    let storages = storages(db, json!({}));
    let mut refused = 0;
    for n in 0..100 {
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

/// Two storages save batches of four sessions, each many times; `sets` names the sessions that a side
/// saves and those that they replace. Returns how many deadlocks there were.
fn beside_each_other(db: &Database, sets: impl Fn(usize, usize) -> (String, String) + Sync) -> i64 {
    // So slow that they meet. PostgreSQL looks for deadlocks before a lock is given up.
    db.execute(&format!(
        "ALTER DATABASE {} SET deadlock_timeout = '2ms';
         CREATE FUNCTION slow(timestamptz) RETURNS bool LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_sleep(0.001); RETURN true; END $$;
         ALTER TABLE sessions ADD CHECK (slow(exp)) NOT VALID",
        db.name
    ));
    let at = Epoch::now().plus(60);
    let batch = |side| {
        let set = |n| {
            let (new, old) = sets(side, n);
            session(new, 600).replacing(old, Some(at)).expect("a key")
        };
        (0..4).map(set).collect()
    };
    thread::scope(|scope| {
        for (side, storage) in storages(db, json!({})).into_iter().take(2).enumerate() {
            let batch = &batch;
            scope.spawn(move || {
                for _ in 0..60 {
                    let outcomes = together(&storage, batch(side));
                    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
                }
            });
        }
    });
    // A server process reports them when it ends.
    process::wait_until(10, "the connections are closed", || {
        let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
        db.number(others) == 0
    });
    db.number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
}

/// In whatever order their own keys are. The sessions are so many that they are found by the index.
#[test]
fn saves_that_replace_the_same_sessions_lock_them_in_one_order() {
    let db = Database::new();
    db.execute(
        "INSERT INTO sessions SELECT 'old ' || n, '', repeat('x', 1000), now() + interval '1 hour'
         FROM generate_series(0, 3000) AS n; ANALYZE sessions",
    );
    let deadlocks = beside_each_other(&db, |side, n| {
        let place = [n, 3 - n][side];
        (format!("new {side} {place}"), format!("old {n}"))
    });
    assert_eq!(deadlocks, 0);
}

/// Each waits for what the other one has locked, so one of them is tried again.
#[test]
fn saves_that_replace_each_others_sessions_are_carried_out() {
    let deadlocks = beside_each_other(&Database::new(), |side, n| {
        (format!("{side} {n}"), format!("{} {}", 1 - side, 3 - n))
    });
    assert!(deadlocks > 0, "they did not meet");
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
