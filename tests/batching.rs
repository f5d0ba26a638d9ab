//! Batches against one operation at a time: the same operations, the same outcomes, the same tables.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use resty_session_postgres::op::Operation;
use resty_session_postgres::ops::{self, Delete, Get, ReadMetadata, Set, Touch};
use resty_session_postgres::{Answer, CompletionQueue, Epoch, Outcome, Storage};
use serde_json::json;

use crate::behaviour::call::{Call, call as call_of, delete, get, set};
use crate::support::{Database, session, stat, together};

/// Few enough that most operations meet another one's session.
const KEYS: u32 = 8;

/// What the tables' constraint refuses.
const REFUSED: &str = "refused";

fn key() -> impl Strategy<Value = String> {
    (0..KEYS).prop_map(|number| format!("key {number}"))
}

/// An operation. All have the same current time, so that nothing depends on the clock.
fn call() -> impl Strategy<Value = Call> {
    let value = prop_oneof![
        8 => (0..100u32).prop_map(|number| format!("value {number}")),
        1 => Just(REFUSED.to_owned()),
    ];
    let old = proptest::option::of((key(), proptest::option::of(-5..5i32)));
    let subjects = proptest::collection::vec(0..3usize, 0..3);
    let set =
        (key(), value, -2..5i32, old, subjects).prop_map(|(key, value, ttl, old, subjects)| {
            let mut set = set(key, value).number("ttl", ttl.into());
            if let Some((old, stale_ttl)) = old {
                set = set.text("old_key", old);
                set = match stale_ttl {
                    Some(stale_ttl) => set.number("stale_ttl", stale_ttl.into()),
                    None => set.flag("remember", true),
                };
            }
            let pair = |subject| ("audience".to_owned(), format!("subject {subject}"));
            let pairs: Vec<_> = subjects.into_iter().map(pair).collect();
            set.pairs("metadata", &pairs)
        });
    prop_oneof![
        5 => set,
        4 => key().prop_map(get),
        1 => key().prop_map(delete),
        1 => (key(), -2..5i32).prop_map(|(key, ttl)| {
            call_of("touch").text("key", key).number("ttl", ttl.into())
        }),
    ]
}

/// One pair of tables and the storage on them.
struct Side {
    storage: Storage,
    table: &'static str,
}

impl Side {
    fn new(db: &Database, table: &'static str, pool_size: u32) -> Self {
        db.execute(&format!(
            "CREATE TABLE {table} (sid TEXT PRIMARY KEY, name TEXT, data TEXT CHECK (data <> '{REFUSED}'), \
               exp TIMESTAMPTZ); \
             CREATE TABLE {table}_meta (aud TEXT, sub TEXT, \
               sid TEXT REFERENCES {table} (sid) ON DELETE CASCADE, PRIMARY KEY (aud, sub, sid))"
        ));
        let storage = db.storage_with(json!({ "table_name": table, "pool_size": pool_size }));
        Side { storage, table }
    }

    fn one_by_one(&self, calls: &[Call]) -> Vec<Outcome> {
        let outcome = |call: &Call| {
            let kind = ops::find(call.operation).expect("an operation");
            self.storage.call_any((kind.read)(&call.args())?)
        };
        calls.iter().map(outcome).collect()
    }

    /// All at once, so that what waits shares statements.
    fn at_once(&self, calls: &[Call]) -> Vec<Outcome> {
        let queue = Arc::new(CompletionQueue::new());
        let submit = |call: &Call| {
            let (storage, args) = (&self.storage, call.args());
            match call.operation {
                "set" => storage.submit(Set::read(&args)?, &queue),
                "get" => storage.submit(Get::read(&args)?, &queue),
                "touch" => storage.submit(Touch::read(&args)?, &queue),
                _ => storage.submit(Delete::read(&args)?, &queue),
            }
        };
        let tickets: Vec<_> = calls.iter().map(|call| submit(call).expect("room")).collect();
        let (mut outcomes, mut taken) = (HashMap::new(), Vec::new());
        let latest = Instant::now() + Duration::from_secs(20);
        while outcomes.len() < tickets.len() {
            assert!(Instant::now() < latest, "an operation has no outcome");
            thread::sleep(Duration::from_micros(200));
            queue.drain_into(&mut taken);
            outcomes.extend(taken.drain(..));
        }
        let outcome = |ticket| outcomes.remove(ticket).expect("one outcome each");
        tickets.iter().map(outcome).collect()
    }

    /// All rows of both tables, as text, but for the moments in which sessions have ended.
    fn contents(&self, db: &Database) -> String {
        let table = self.table;
        db.one(&format!(
            "SELECT concat((SELECT jsonb_agg(CASE
                      WHEN exp < '1950-01-01' THEN jsonb_build_object('ended', sid, 'data', data)
                      ELSE to_jsonb(s) END ORDER BY sid) FROM {table} AS s),
                    (SELECT jsonb_agg(m ORDER BY aud, sub, sid) FROM {table}_meta AS m))"
        ))
    }
}

/// Runs the same operations on both sides; returns how many sessions shared a transaction.
fn compare(single: &Side, batched: &Side, calls: &[Call], db: &Database) -> i64 {
    for Side { table, .. } in [single, batched] {
        db.execute(&format!("TRUNCATE {table}, {table}_meta"));
    }
    // Errors name their table.
    let comparable = |outcome: Outcome| {
        outcome.map_err(|error| error.to_string().replace(single.table, batched.table))
    };
    let outcomes = single.one_by_one(calls).into_iter().zip(batched.at_once(calls));
    for (call, (expected, outcome)) in calls.iter().zip(outcomes) {
        assert_eq!(comparable(expected), comparable(outcome), "{call:?}");
    }
    assert_eq!(single.contents(db), batched.contents(db), "the tables");
    let table = batched.table;
    db.number(&format!("SELECT count(*) - count(DISTINCT xmin::text) FROM {table}"))
}

fn compare_on(pool_size: u32) {
    let db = Database::new();
    let single = Side::new(&db, "single", 1);
    let batched = Side::new(&db, "batched", pool_size);
    let shared = Cell::new(0);
    let mut runner =
        TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let calls = proptest::collection::vec(call(), 1..80);
    let compared = runner.run(&calls, |calls| {
        shared.set(shared.get() + compare(&single, &batched, &calls, &db));
        Ok(())
    });
    compared.unwrap_or_else(|error| panic!("{error}"));
    // Otherwise nothing was compared but the operations with themselves.
    let shared = shared.get();
    assert!(shared > 30, "only {shared} sessions shared a transaction");
}

#[test]
fn a_batch_does_what_its_operations_do_one_by_one() {
    compare_on(1);
}

#[test]
fn batches_on_several_connections_do_what_their_operations_do_one_by_one() {
    compare_on(4);
}

/// Saves that are submitted together, on one connection. Returns their outcomes, and how many statements
/// they took.
fn save_together(
    storage: &Storage,
    number: usize,
    value: fn(usize) -> &'static str,
) -> (Vec<Outcome>, f64) {
    let count = || stat(storage, "batch_operations_count");
    storage.call(session("first", 60)).expect("a save");
    let before = count();
    let save = |n| {
        let expires = Epoch::now().plus(60);
        Set::new("session", format!("key {n}"), value(n), expires).expect("texts")
    };
    let outcomes = together(storage, (0..number).map(save).collect());
    (outcomes, count() - before)
}

#[test]
fn a_batch_that_is_rejected_is_split_by_halves() {
    let db = Database::new();
    db.execute("ALTER TABLE sessions ADD CHECK (data <> 'refused')");
    let storage = db.storage_with(json!({ "pool_size": 1 }));
    let value = |n| if n == 77 { REFUSED } else { "value" };
    let (outcomes, statements) = save_together(&storage, 100, value);
    let failed: Vec<usize> = (0..100).filter(|n| outcomes[*n].is_err()).collect();
    assert_eq!(failed, [77]);
    assert!(statements < 25.0, "{statements}");
}

#[test]
fn a_batch_whose_connection_breaks_is_tried_again_as_one() {
    let db = Database::new();
    db.execute(
        "CREATE SEQUENCE broken;
         CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF (SELECT count(*) FROM saved) > 10 AND nextval('broken') = 1 THEN
             PERFORM pg_terminate_backend(pg_backend_pid());
           END IF;
           RETURN NULL; END $$;
         CREATE TRIGGER break AFTER INSERT ON sessions REFERENCING NEW TABLE AS saved
         FOR EACH STATEMENT EXECUTE FUNCTION break()",
    );
    let storage = db.storage_with(json!({ "pool_size": 1 }));
    let (outcomes, statements) = save_together(&storage, 100, |_| "value");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    // A second statement has had as many.
    assert!(db.number("SELECT last_value FROM broken WHERE is_called") > 1);
    assert!(statements < 15.0, "{statements}");
}

/// Callers whose clocks differ share a statement: the session has expired for every other one.
#[test]
fn each_caller_of_a_batch_has_its_own_time() {
    let db = Database::new();
    let storage = db.storage_with(json!({ "pool_size": 1, "cleanup_interval": 0 }));
    let expires = Epoch::now().plus(60);
    let set = Set::new("session", "key", "value", expires).expect("texts");
    storage.call(set.under("shop", "ada").expect("texts")).expect("a save");
    let count = || stat(&storage, "batch_operations_count");
    let time = |n: i64| expires.plus(n % 2);

    let before = count();
    let read = |n| ReadMetadata::new("shop", "ada", time(n)).expect("texts");
    let listed = together(&storage, (0..200).map(read).collect());
    let read = |n| Get::new("key", time(n)).expect("a key");
    let found = together(&storage, (0..200).map(read).collect());
    assert!(count() - before < 200.0, "they did not share statements");
    for (n, (listed, found)) in listed.into_iter().zip(found).enumerate() {
        let (sessions, value) = match n % 2 {
            0 => (vec![("key".to_owned(), expires)], Some("value".to_owned())),
            _ => (Vec::new(), None),
        };
        assert_eq!(listed, Ok(Answer::Expiries(sessions)), "{n}");
        assert_eq!(found, Ok(Answer::Value(value)), "{n}");
    }
}

#[test]
fn saves_that_a_lock_of_the_table_held_up_share_statements_again() {
    let db = Database::new();
    let storage = db.storage_with(json!({ "pool_size": 1 }));
    storage.call(session("first", 60)).expect("a save");
    let mut other = db.sql();
    let count = || stat(&storage, "batch_operations_count");
    let (outcomes, during) = thread::scope(|scope| {
        let mut holder = other.transaction().expect("a transaction");
        holder.batch_execute("LOCK TABLE sessions IN EXCLUSIVE MODE").expect("the lock");
        let saves = (0..300).map(|n| session(format!("key {n}"), 60)).collect();
        let saves = scope.spawn(|| together(&storage, saves));
        thread::sleep(Duration::from_millis(500));
        let during = count();
        holder.rollback().expect("the end");
        (saves.join().expect("no panic"), during)
    });
    assert!(outcomes.iter().all(Result::is_ok));
    let statements = count() - during;
    assert!(statements < 60.0, "{statements}");
}
