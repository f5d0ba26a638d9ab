//! Revocations beside saves of the same subject.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use resty_session_postgres::ops::RevokeAudience;
use resty_session_postgres::{Error, Storage};

use serde_json::json;

use super::{login, login_of};
use crate::nginx::site::lock_row;
use crate::support::process::SetAtDrop;
use crate::support::{self, Calls, Database, PgBouncer, process};

/// What a save does, held open: a transaction that another client has begun and not yet committed.
/// The lock is the one that every save with metadata takes.
const SAVE: &str = "\
BEGIN;
INSERT INTO sessions VALUES ('open', 'session', 'value', now() + interval '1 hour');
INSERT INTO sessions_meta (aud, sub, sid) SELECT 'shop', 'ada', 'open' WHERE
";

/// Those that were not ended.
const SESSIONS: &str = "SELECT count(*) FROM sessions WHERE exp > '1950-01-01'";

/// The text of the lock, taken from the statement that the library itself has sent.
fn lock_of_saves(db: &Database) -> String {
    db.storage().call(login("first")).expect("a save");
    let sent = "SELECT query FROM pg_stat_activity \
                WHERE datname = current_database() AND query LIKE 'WITH fence%'";
    let query: String = db.one(sent);
    let (_, lock) = query.split_once("(SELECT ").expect("the lock");
    let (lock, _) = lock.split_once(" AS passed").expect("the end of it");
    lock.replace("(aud)", "('shop'::text)")
}

/// Also where a transaction sees what was committed at its beginning, unless it says otherwise.
#[test]
fn a_save_in_an_open_transaction_is_waited_for_and_ended() {
    for isolation in ["read committed", "repeatable read", "serializable"] {
        let db = Database::new();
        let set = "SET default_transaction_isolation";
        db.execute(&format!("ALTER DATABASE {} {set} = '{isolation}'", db.name));
        ends_what_is_not_committed(&db);
    }
}

fn ends_what_is_not_committed(db: &Database) {
    let lock = lock_of_saves(db);
    let mut save = db.sql();
    save.batch_execute(&format!("{SAVE}{lock}")).expect("a save");
    let revoking = thread::spawn({
        let storage = db.storage();
        move || storage.revoke("shop", "ada", None)
    });
    // While its statement waits: the next try would see the save whatever the isolation.
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    process::wait_until(20, "it waits for the save", || db.number(waits) > 0);
    assert!(!revoking.is_finished(), "it did not wait for the save");
    save.batch_execute("COMMIT").expect("a commit");
    let revoked = revoking.join().expect("no panic").expect("a revocation");
    assert_eq!(revoked, 2);
    assert_eq!(db.number(SESSIONS), 0);
}

/// In whichever way sessions are ended. The second is that of the database's clock.
#[test]
fn a_revocation_counts_a_session_in_its_last_second() {
    // The table by which Citus is recognised.
    let distributed =
        "SET allow_system_table_mods = on; CREATE TABLE pg_catalog.pg_dist_partition ()";
    let no_key = "ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey";
    for (tables, ended_ttl) in
        [("", 60_000), (distributed, 60_000), ("", 0), (no_key, 0), (distributed, 0)]
    {
        let db = Database::new();
        db.execute(tables);
        let storage = db.storage_with(json!({ "ended_ttl": ended_ttl, "cleanup_interval": 0 }));
        let second = || db.number("SELECT floor(extract(epoch FROM now()))::bigint");
        let counted = (0..20).find_map(|n| {
            let key = format!("key {n}");
            storage.call(login(&key)).expect("a save");
            let began: i64 = db.one(&format!(
                "UPDATE sessions SET exp = date_trunc('second', now()) WHERE sid = '{key}'
                 RETURNING extract(epoch FROM exp)::bigint"
            ));
            let counted = storage.revoke("shop", "ada", None).expect("a revocation");
            (second() == began).then_some(counted)
        });
        assert_eq!(counted, Some(1), "{tables} {ended_ttl}");
    }
}

/// Saves of old and of new keys, and the moments in which they answered.
fn save_until(done: &AtomicBool, storage: &Storage, thread: usize) -> Vec<(String, Instant)> {
    let mut answered = Vec::new();
    for n in 0.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        for key in [format!("{thread}/{n}"), format!("{thread}/again")] {
            match storage.call(login(&*key)) {
                Ok(()) => answered.push((key, Instant::now())),
                Err(error) => assert_eq!(error, Error::Ended),
            }
        }
    }
    answered
}

#[test]
fn none_survives_that_was_saved_before_a_revocation() {
    let db = Database::new();
    let storage = db.storage();
    storage.revoke("shop", "ada", None).expect("a revocation");
    let done = AtomicBool::new(false);
    let (saves, revocations) = thread::scope(|scope| {
        let end = SetAtDrop(&done);
        let savers: Vec<_> = (0..8)
            .map(|thread| {
                // Every second one has connections of its own, as another process would.
                let storage = db.storage_with(json!({ "pool_size": 4 + thread % 2 }));
                let done = &done;
                scope.spawn(move || save_until(done, &storage, thread))
            })
            .collect();
        let start = Instant::now();
        let mut revocations = Vec::new();
        while start.elapsed() < Duration::from_secs(2) {
            let called = Instant::now();
            storage.revoke("shop", "ada", None).expect("a revocation");
            let alive = db.number(SESSIONS);
            revocations.push((called, alive));
        }
        drop(end);
        let saves = savers.into_iter().flat_map(|saver| saver.join().expect("no panic"));
        (saves.collect::<Vec<_>>(), revocations)
    });
    let (last, _) = revocations.last().expect("a revocation");
    assert!(saves.iter().any(|(_, at)| at < last), "nothing to revoke");
    let survivors = db.sql().query("SELECT sid FROM sessions WHERE exp > now()", &[]);
    for row in survivors.expect("rows") {
        let key: &str = row.get(0);
        let answered = saves.iter().rev().find(|(saved, _)| saved == key);
        let (_, at) = answered.expect("it was saved");
        assert!(at > last, "{key} survives");
    }
}

/// More than a transaction ends at once.
#[test]
fn thousands_are_ended_in_pieces() {
    for unlink in [false, true] {
        let db = Database::new();
        let storage = db.storage();
        if unlink {
            let drop = "ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey";
            db.execute(drop);
        }
        db.execute(
            "INSERT INTO sessions (sid, exp) SELECT 'key ' || n,
               now() + (CASE n % 5 WHEN 0 THEN -1 ELSE 1 END) * interval '1 hour'
             FROM generate_series(1, 5000) AS n;
             INSERT INTO sessions_meta SELECT 'shop', 'ada', sid FROM sessions;
             INSERT INTO sessions_meta SELECT 'bank', 'ada', sid FROM sessions;
             INSERT INTO sessions (sid, exp) VALUES ('other', now() + interval '1 hour');
             INSERT INTO sessions_meta VALUES ('bank', 'ada', 'other')",
        );
        let ended = storage.revoke("shop", "ada", Some("key 1"));
        assert_eq!(ended.expect("a revocation"), 3_999);
        assert_eq!(db.number(SESSIONS), 2);
        assert_eq!(db.number("SELECT count(*) FROM sessions_meta"), 3);
        let revoke = RevokeAudience::new("bank").expect("a text");
        assert_eq!(storage.call(revoke).expect("a revocation"), 2);
        assert_eq!(db.number(SESSIONS), 0);
    }
}

/// What a transaction has ended is counted, though the next one has to wait for a row.
#[test]
fn what_is_interrupted_goes_on_and_counts_on() {
    let db = Database::new();
    let (storage, mut other) = (db.storage(), db.sql());
    db.execute(
        "INSERT INTO sessions (sid, exp) SELECT 'key ' || n, now() + interval '1 hour'
         FROM generate_series(1, 2500) AS n;
         INSERT INTO sessions_meta SELECT 'shop', 'ada', sid FROM sessions",
    );
    let holder = lock_row(&mut other, "key 2500");
    let revoking = thread::spawn(move || storage.revoke("shop", "ada", None));
    thread::sleep(Duration::from_millis(500));
    assert!(!revoking.is_finished(), "it did not wait for the row");
    holder.rollback().expect("the end");
    let ended = revoking.join().expect("no panic");
    assert_eq!(ended.expect("a revocation"), 2_500);
    assert_eq!(db.number(SESSIONS), 0);
}

/// Rows that were written while triggers were off, as a restore may do.
#[test]
fn metadata_without_a_session_hides_no_session() {
    let db = Database::new();
    db.storage().call(login("alive")).expect("a save");
    db.execute(
        "SET session_replication_role = replica;
         CREATE TABLE alive AS SELECT * FROM sessions_meta;
         DELETE FROM sessions_meta;
         INSERT INTO sessions_meta SELECT 'shop', 'ada', 'orphan ' || n FROM generate_series(1, 2500) n;
         INSERT INTO sessions_meta SELECT * FROM alive;
         RESET session_replication_role",
    );
    assert_eq!(db.storage().revoke("shop", "ada", None), Ok(1));
    assert_eq!(db.number(SESSIONS), 0);
}

/// So many sessions of Ada, and a trigger that may be slow.
fn sessions_with_a_trigger(count: u32, body: &str, trigger: &str) -> Database {
    let db = Database::new();
    db.execute(&format!(
        "INSERT INTO sessions (sid, exp) SELECT n, now() + interval '1 hour'
         FROM generate_series(1, {count}) AS n;
         INSERT INTO sessions_meta SELECT 'shop', 'ada', sid FROM sessions;
         CREATE TABLE ended (by bigint);
         CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; END $$;
         CREATE TRIGGER slow {trigger} EXECUTE FUNCTION slow()"
    ));
    db
}

/// Saves of the audience wait for each of its transactions.
#[test]
fn where_sessions_are_slow_to_end_a_transaction_ends_few() {
    let db = sessions_with_a_trigger(
        150,
        "PERFORM pg_sleep(0.001); INSERT INTO ended SELECT txid_current(); RETURN OLD",
        "BEFORE DELETE ON sessions FOR EACH ROW",
    );
    let storage = db.storage_with(json!({ "ended_ttl": 0 }));
    assert_eq!(storage.revoke("shop", "ada", None), Ok(150));
    let most = "SELECT max(count) FROM (SELECT count(*) FROM ended GROUP BY by) AS transactions";
    let most = db.number(most);
    // At a millisecond each, no transaction after one of six or more may be larger.
    assert!((2..=12).contains(&most), "a transaction has ended {most}");
}

/// On a machine that stands still for a moment.
#[test]
fn a_transaction_that_took_long_is_followed_by_others_while_there_is_time() {
    let db = sessions_with_a_trigger(
        60,
        "PERFORM pg_sleep(0.9); RETURN NEW",
        "BEFORE UPDATE ON sessions FOR EACH ROW WHEN (OLD.sid = '1')",
    );
    let storage = db.storage_with(json!({ "read_timeout": 2_000, "send_timeout": 2_000 }));
    assert_eq!(storage.revoke("shop", "ada", None), Ok(60));
}

/// Behind a pooler a transaction has no more than itself.
#[test]
fn a_pooler_of_transactions_serves_revocations() {
    let db = Database::new();
    let pooler = PgBouncer::start(support::shared(), "transaction", "");
    let storage = db.storage_with(json!({ "port": pooler.port() }));
    for n in 0..10 {
        storage.call(login(format!("key {n}"))).expect("a save");
    }
    let ended = storage.revoke("shop", "ada", Some("key 3"));
    assert_eq!(ended.expect("a revocation"), 9);
    assert_eq!(db.number(SESSIONS), 1);
    assert!(storage.get("key 3").expect("an answer").is_some());
}

/// Saves hold their lock until they have committed.
#[test]
fn a_revocation_has_its_turn_where_commits_are_slow() {
    let db = Database::new();
    db.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON sessions_meta INITIALLY DEFERRED
           FOR EACH ROW WHEN (NEW.sub = 'bob') EXECUTE FUNCTION slow()",
    );
    let done = AtomicBool::new(false);
    let storage =
        db.storage_with(json!({ "pool_size": 1, "read_timeout": 1, "send_timeout": 1_500 }));
    thread::scope(|scope| {
        let _end = SetAtDrop(&done);
        for thread in 0..8 {
            let (done, storage) = (&done, db.storage_with(json!({ "pool_size": 8 })));
            scope.spawn(move || {
                for n in (0..).take_while(|_| !done.load(Ordering::Relaxed)) {
                    storage.call(login_of("bob", format!("{thread}/{n}"), 60)).expect("a save");
                }
            });
        }
        thread::sleep(Duration::from_millis(300));
        let revocations: Vec<_> = (0..10).map(|_| storage.revoke("shop", "ada", None)).collect();
        assert_eq!(revocations, vec![Ok(0); 10]);
    });
}

/// Without an index on the metadata's keys alone, each deleted session would read all metadata.
#[test]
fn thousands_are_ended_on_the_documented_tables() {
    for ended_ttl in [0, 60_000] {
        let db = Database::new();
        db.execute(
            "DROP INDEX IF EXISTS sessions_meta_sid_idx;
             INSERT INTO sessions (sid, exp) SELECT 'key ' || n, now() + interval '1 hour'
             FROM generate_series(1, 100000) AS n;
             INSERT INTO sessions_meta SELECT CASE WHEN n <= 2000 THEN 'shop' ELSE 'bank' END, n, 'key ' || n
             FROM generate_series(1, 100000) AS n",
        );
        let revoke = || {
            db.storage_with(json!({ "ended_ttl": ended_ttl })).call(RevokeAudience::new("shop")?)
        };
        if ended_ttl == 0 {
            // Each call ends some of them.
            let before = db.number(SESSIONS);
            let ended = revoke();
            let left = db.number(SESSIONS);
            assert!(left < before - 20, "{ended:?}, {left} are left");
        } else {
            assert_eq!(revoke(), Ok(2_000));
            assert_eq!(db.number(SESSIONS), 98_000);
        }
    }
}

#[test]
fn a_locked_row_keeps_no_other_session_alive() {
    for ended_ttl in [0, 60_000] {
        let db = Database::new();
        let keys = json!({ "ended_ttl": ended_ttl, "read_timeout": 1_000, "send_timeout": 1_000 });
        let (storage, mut other) = (db.storage_with(keys), db.sql());
        for n in 0..20 {
            storage.call(login(format!("key {n}"))).expect("a save");
        }
        let holder = lock_row(&mut other, "key 7");
        let failed = storage.revoke("shop", "ada", None).expect_err("a session is locked");
        assert!(matches!(failed, Error::Locked { .. }), "{failed}");
        assert!(failed.to_string().contains("1 session is left"), "{failed}");
        assert_eq!(db.number(SESSIONS), 1);
        holder.rollback().expect("the end");
        assert_eq!(storage.revoke("shop", "ada", None), Ok(1));
    }
}
