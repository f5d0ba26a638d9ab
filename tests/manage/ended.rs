//! Ended sessions stay ended: what a save of one is answered, for how long, and what else sees of its row.

use std::time::{Duration, Instant};

use resty_session_postgres::ops::{Count, Scope, Set, Touch};
use resty_session_postgres::{Answer, Epoch, Error, Storage};
use serde_json::json;

use super::{list_of_ada, login};
use crate::support::{self, Calls, Cluster, Database, PgBouncer, session, stat, together};

fn replacing(old: &str, key: &str) -> Set {
    login(key).replacing(old, Some(Epoch::now().plus(10))).expect("a key")
}

/// Ends Ada's session "old" by an operation.
type End = fn(&Storage);

const DELETE: End = |storage| storage.delete("old").expect("a delete");
const REVOKE: End = |storage| assert_eq!(storage.revoke("shop", "ada", None), Ok(1));

fn with_old(db: &Database, keys: serde_json::Value, end: End) -> Storage {
    let storage = db.storage_with(keys);
    storage.call(login("old")).expect("a save");
    end(&storage);
    storage
}

fn refuses(storage: &Storage, set: Set) {
    assert_eq!(storage.call(set), Err(Error::Ended));
}

#[test]
fn a_save_that_replaces_an_ended_session_is_refused() {
    for end in [DELETE, REVOKE] {
        let db = Database::new();
        let storage = with_old(&db, json!({}), end);
        refuses(&storage, replacing("old", "new"));
        let remembered = login("new").replacing("old", None).expect("a key");
        refuses(&storage, remembered);
        let plain = session("new", 60).replacing("old", None).expect("a key");
        refuses(&storage, plain);
        refuses(&storage, replacing("old", "old"));
        assert_eq!(storage.get("new"), Ok(None));
        assert_eq!(storage.get("old"), Ok(None));
        assert_eq!(db.number("SELECT count(*) FROM sessions_meta"), 0);
        storage.call(replacing("another", "new")).expect("a save");
    }
}

#[test]
fn a_key_is_free_after_a_deletion_and_not_after_a_revocation() {
    let db = Database::new();
    let storage = with_old(&db, json!({}), DELETE);
    storage.call(login("old")).expect("a save");
    storage.revoke("shop", "ada", None).expect("a revocation");
    refuses(&storage, login("old"));
    refuses(&storage, session("old", 60));
    storage.delete("old").expect("a delete");
    refuses(&storage, session("old", 60));
    assert_eq!(storage.get("old"), Ok(None));
}

#[test]
fn the_limit_of_sessions_ends_them_like_a_revocation() {
    let db = Database::new();
    let storage = db.storage_with(json!({ "max_sessions_per_subject": 1 }));
    for key in ["old", "newer"] {
        storage.call(login(key)).expect("a save");
    }
    refuses(&storage, replacing("old", "new"));
    refuses(&storage, session("old", 60));
    // Refused within a transaction that saves others, too.
    assert_eq!(storage.get("newer").expect("an answer").as_deref(), Some("value"));
}

#[test]
fn what_was_not_ended_can_be_replaced() {
    let db = Database::new();
    let storage = db.storage();
    storage.delete("never there").expect("a delete");
    storage.call(replacing("never there", "one")).expect("a save");
    assert_eq!(db.number("SELECT count(*) FROM sessions"), 1);
    // What `remember` deletes leaves nothing: the same save may be carried out again.
    for _ in 0..2 {
        let set = login("two").replacing("one", None).expect("a key");
        storage.call(set).expect("a save");
    }
    storage.call(login_that_expired("three")).expect("a save");
    storage.call(replacing("three", "four")).expect("a save");
}

fn login_that_expired(key: &str) -> Set {
    super::login_of("ada", key, -5)
}

#[test]
fn an_ended_session_is_remembered_for_its_time_and_then_cleaned_up() {
    for end in [DELETE, REVOKE] {
        let db = Database::new();
        let storage = with_old(&db, json!({ "ended_ttl": 1_500, "cleanup_interval": 0 }), end);
        let start = Instant::now();
        assert_eq!(storage.cleanup(None), Ok(0));
        refuses(&storage, replacing("old", "new"));
        support::process::wait_until(10, "it is forgotten", || {
            storage.call(replacing("old", "new")).is_ok()
        });
        assert!(start.elapsed() > Duration::from_secs(1), "{:?}", start.elapsed());
        // It is no expired session.
        assert_eq!(storage.cleanup(None), Ok(0));
        assert_eq!(stat(&storage, "cleaned_sessions_total"), 0.0);
        assert_eq!(db.number("SELECT count(*) FROM sessions WHERE sid = 'old'"), 0);
    }
}

#[test]
fn without_a_time_an_ended_session_is_gone() {
    for end in [DELETE, REVOKE] {
        let db = Database::new();
        let storage = with_old(&db, json!({ "ended_ttl": 0 }), end);
        assert_eq!(db.number("SELECT count(*) FROM sessions"), 0);
        assert_eq!(db.number("SELECT count(*) FROM sessions_meta"), 0);
        storage.call(replacing("old", "new")).expect("a save");
        storage.call(login("old")).expect("a save");
    }
}

#[test]
fn other_operations_see_no_ended_session() {
    for end in [DELETE, REVOKE] {
        let db = Database::new();
        let storage = with_old(&db, json!({}), end);
        storage.call(session("alive", 60)).expect("a save");
        let now = Epoch::now();
        assert_eq!(storage.call(Touch::new("old", now, now.plus(60)).expect("a key")), Ok(false));
        assert_eq!(storage.call(list_of_ada()), Ok(Vec::new()));
        assert_eq!(storage.call(Count::new(Scope::ALL, now)), Ok(1));
        db.execute("ANALYZE sessions");
        assert_eq!(storage.call(Count::estimate()), Ok(1));
        assert_eq!(storage.revoke("shop", "ada", None), Ok(0));
        // As lua-resty-session's own storage asks for it.
        let found = "SELECT count(*) FROM sessions WHERE sid = 'old' AND exp >= TO_TIMESTAMP(0)";
        assert_eq!(db.number(found), 0);
        let kept = "SELECT count(*) FROM sessions WHERE sid = 'old' AND data = ''";
        assert_eq!(db.number(kept), 1);
    }
}

#[test]
fn a_save_that_is_refused_costs_the_others_of_its_batch_nothing() {
    let db = Database::new();
    let storage = with_old(&db, json!({ "pool_size": 1 }), REVOKE);
    let batches = || stat(&storage, "batch_operations_count");
    let before = batches();
    let sets = (0..100).map(|n| match n % 10 {
        3 => replacing("old", &format!("refused {n}")),
        7 if n == 57 => session("old", 60),
        _ => replacing(&format!("old {n}"), &format!("key {n}")),
    });
    let outcomes = together(&storage, sets.collect());
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let expected = if n % 10 == 3 || n == 57 { Err(Error::Ended) } else { Ok(Answer::Done) };
        assert_eq!(outcome, expected, "{n}");
    }
    // Those that name "old" do not share a statement.
    assert!(batches() - before < 30.0, "{}", batches() - before);
    let alive = "SELECT count(*) FROM sessions_meta JOIN sessions USING (sid) WHERE exp > now()";
    assert_eq!(db.number(alive), 89);
}

#[test]
fn poolers_and_tables_of_other_shapes_keep_it() {
    let db = Database::new();
    let pooler = PgBouncer::start(support::shared(), "transaction", "");
    let shapes = [
        "ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey",
        "ALTER TABLE sessions_meta ADD FOREIGN KEY (sid) REFERENCES sessions (sid)",
        "DROP TABLE sessions_meta CASCADE; DROP TABLE sessions;
         CREATE TABLE sessions (sid varchar(64) PRIMARY KEY, name varchar, data varchar, exp timestamptz)
           PARTITION BY HASH (sid);
         CREATE TABLE sessions_0 PARTITION OF sessions FOR VALUES WITH (modulus 2, remainder 0);
         CREATE TABLE sessions_1 PARTITION OF sessions FOR VALUES WITH (modulus 2, remainder 1);
         CREATE TABLE sessions_meta (aud varchar, sub varchar, sid varchar, PRIMARY KEY (aud, sub, sid))",
        "DROP TABLE sessions_meta",
        // An update that changes nothing writes no row.
        "CREATE TABLE plain (sid text PRIMARY KEY, name text, data text, exp timestamptz);
         DROP TABLE sessions; ALTER TABLE plain RENAME TO sessions;
         CREATE TRIGGER same BEFORE UPDATE ON sessions
           FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ];
    for (n, shape) in shapes.into_iter().enumerate() {
        let pool = format!("shape {n}");
        db.execute(shape);
        let port = if n % 2 == 0 { pooler.port() } else { support::shared().port() };
        let storage = db.storage_with(json!({ "pool": pool, "port": port }));
        let keys = ["one", "two", "three"].map(|key| format!("{key} {n}"));
        for key in &keys {
            storage.call(session(key, 60)).expect("a save");
            storage.delete(key).expect("a delete");
        }
        let new = session("new", 60).replacing(&keys[0], Some(Epoch::now())).expect("a key");
        refuses(&storage, new);
        storage.call(session(&keys[1], 60)).expect("a save");
        storage.cleanup(None).expect("a clean-up");
        let new = session("new", 60).replacing(&keys[2], None).expect("a key");
        refuses(&storage, new);
    }
}

#[test]
fn no_expiry_is_taken_for_a_mark_or_takes_its_place() {
    let long_ago = Epoch::from_seconds("a time", -3_100_000_000.0).expect("a time");
    let db = Database::new();
    let storage = with_old(&db, json!({}), REVOKE);
    for _ in 0..2 {
        refuses(&storage, login("new").replacing("old", Some(long_ago)).expect("a key"));
    }
    let now = Epoch::now();
    for key in ["expired", "replaced", "touched"] {
        // As old as a mark of a deleted session that was made just now, and of a revoked one.
        for years in [100, 200] {
            let expires = now.plus(-years * 365 * 24 * 3600 - years / 4 * 24 * 3600);
            let set =
                Set::new("session", key, "value", if key == "expired" { expires } else { now });
            storage.call(set.expect("a key")).expect("a save");
            if key == "replaced" {
                let set = session("successor", 60).replacing(key, Some(expires));
                storage.call(set.expect("a key")).expect("a save");
            } else if key == "touched" {
                storage.call(Touch::new(key, now, expires).expect("a key")).expect("a touch");
            }
            storage.call(replacing(key, "another")).expect("a save");
            storage.call(session(key, 60)).expect("a save");
        }
    }
    assert_eq!(db.number("SELECT count(*) FROM sessions WHERE exp < '1970-01-01Z'"), 1);
}

/// Rows of other programs.
#[test]
fn a_row_without_an_expiry_is_not_brought_to_life() {
    let db = Database::new();
    db.execute("INSERT INTO sessions (sid) VALUES ('old')");
    db.storage().call(replacing("old", "new")).expect("a save");
    assert_eq!(db.number("SELECT count(*) FROM sessions WHERE sid = 'old' AND exp IS NULL"), 1);
}

/// A save that has waited for the row of the session that it replaces looks at what has become of it.
#[test]
fn a_save_that_waits_for_a_deletion_is_refused() {
    let cluster = Cluster::builder().setting("track_commit_timestamp", "on").start();
    let name = cluster.create_database();
    let settings = json!({ "pool_size": 2 });
    let (savers, enders) =
        (cluster.storage(&name, settings), cluster.storage(&name, json!({ "pool_size": 3 })));
    let mut refused = 0;
    for n in 0..400 {
        let (old, new) = (format!("old {n}"), format!("new {n}"));
        savers.call(login(&old)).expect("a save");
        let saved = std::thread::scope(|scope| {
            let (set, pause) = (replacing(&old, &new), Duration::from_micros(n % 20 * 50));
            let saver = scope.spawn(|| {
                std::thread::sleep(Duration::from_micros(500));
                savers.call(set)
            });
            std::thread::sleep(pause);
            enders.delete(&old).expect("a delete");
            saver.join().expect("no panic")
        });
        match saved {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error, Error::Ended);
                refused += 1;
            }
        }
    }
    assert!((20..380).contains(&refused), "{refused} were refused: no race");
    // Each that was saved had committed before its predecessor was ended.
    let late: i64 = support::one(
        &mut cluster.client(&name),
        "SELECT count(*) FROM sessions AS new JOIN sessions AS old ON old.sid = replace(new.sid, 'new', 'old')
         WHERE new.sid LIKE 'new%' AND old.exp < '1950-01-01'
         AND pg_xact_commit_timestamp(new.xmin) > pg_xact_commit_timestamp(old.xmin)",
    );
    assert_eq!(late, 0);
}
