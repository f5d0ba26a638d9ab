//! Batches against one operation at a time: the same operations, the same outcomes, the same tables.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use resty_session_postgres as rsp;
use rsp::config::{Draft, Value as Setting};
use rsp::ops::{Delete, Get, Set};
use rsp::{Answer, CompletionQueue, Epoch, Outcome, Storage, Ticket};

use crate::support;

/// Few enough that most operations meet another one's session.
const KEYS: usize = 8;

/// All of a run happens in this second, so that nothing depends on the clock.
const NOW: i64 = 1_700_000_000;

/// What the tables' constraint refuses.
const REFUSED: &str = "refused";

#[derive(Debug, Clone)]
enum Step {
    Set {
        key: usize,
        value: String,
        ttl: i64,
        old: Option<(usize, Option<i64>)>,
        subjects: Vec<usize>,
    },
    Get {
        key: usize,
    },
    Delete {
        key: usize,
    },
}

fn key(number: usize) -> String {
    format!("key {number}")
}

fn now() -> Epoch {
    Epoch::from_seconds("now", NOW as f64).expect("a time")
}

impl Step {
    fn call(&self, storage: &Storage) -> Outcome {
        match self {
            Step::Get { key } => storage.call(get(*key)).map(Answer::from),
            Step::Delete { key } => storage.call(delete(*key)).map(Answer::from),
            Step::Set { .. } => storage.call(self.set()).map(Answer::from),
        }
    }

    fn submit(&self, storage: &Storage, queue: &Arc<CompletionQueue>) -> Ticket {
        let ticket = match self {
            Step::Get { key } => storage.submit(get(*key), queue),
            Step::Delete { key } => storage.submit(delete(*key), queue),
            Step::Set { .. } => storage.submit(self.set(), queue),
        };
        ticket.expect("room for it")
    }

    fn set(&self) -> Set {
        let Step::Set {
            key: number,
            value,
            ttl,
            old,
            subjects,
        } = self
        else {
            unreachable!("another step");
        };
        let set = Set::new("session", key(*number), value, now().plus(*ttl));
        let mut set = set.expect("texts that can be stored");
        if let Some((old, stale_ttl)) = old {
            let at = stale_ttl.map(|stale_ttl| now().plus(stale_ttl));
            set = set.replacing(key(*old), at).expect("a key");
        }
        for subject in subjects {
            let subject = format!("subject {subject}");
            set = set.under("audience", &subject).expect("texts");
        }
        set
    }
}

fn get(number: usize) -> Get {
    Get::new(key(number), now()).expect("a key")
}

fn delete(number: usize) -> Delete {
    Delete::new(key(number)).expect("a key")
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![
        8 => (0..100u32).prop_map(|number| format!("value {number}")),
        1 => Just(REFUSED.to_owned()),
    ];
    let old = proptest::option::of((0..KEYS, proptest::option::of(-5..5i64)));
    let subjects = proptest::collection::vec(0..3usize, 0..3);
    let set =
        (0..KEYS, value, -2..5i64, old, subjects).prop_map(|(key, value, ttl, old, subjects)| {
            Step::Set {
                key,
                value,
                ttl,
                old,
                subjects,
            }
        });
    prop_oneof![
        5 => set,
        4 => (0..KEYS).prop_map(|key| Step::Get { key }),
        1 => (0..KEYS).prop_map(|key| Step::Delete { key }),
    ]
}

/// One pair of tables and the storage on them.
struct Side {
    storage: Storage,
    table: &'static str,
}

type Row = (String, String, String, f64);
type Link = (String, String, String);

impl Side {
    fn new(sql: &mut Client, database: &str, table: &'static str, pool_size: f64) -> Self {
        sql.batch_execute(&format!(
            "CREATE TABLE {table} (sid TEXT PRIMARY KEY, name TEXT, data TEXT CHECK (data <> '{REFUSED}'), \
               exp TIMESTAMPTZ); \
             CREATE TABLE {table}_meta (aud TEXT, sub TEXT, \
               sid TEXT REFERENCES {table} (sid) ON DELETE CASCADE, PRIMARY KEY (aud, sub, sid))"
        ))
        .expect("tables");
        let mut draft = Draft::default();
        for (name, value) in [
            ("port", Setting::Number(support::shared().port().into())),
            ("database", Setting::Text(database.to_owned())),
            ("table_name", Setting::Text(table.to_owned())),
            ("pool_size", Setting::Number(pool_size)),
        ] {
            draft.set(name, &value).expect("a setting");
        }
        let storage = Storage::new(draft.build().expect("a configuration"));
        Side { storage, table }
    }

    fn one_by_one(&self, steps: &[Step]) -> Vec<Outcome> {
        steps.iter().map(|step| step.call(&self.storage)).collect()
    }

    /// All at once, so that what waits shares statements.
    fn at_once(&self, steps: &[Step]) -> Vec<Outcome> {
        let queue = Arc::new(CompletionQueue::new());
        let tickets: Vec<_> = steps
            .iter()
            .map(|step| step.submit(&self.storage, &queue))
            .collect();
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

    /// Empties the tables.
    fn clear(&self, sql: &mut Client) {
        let table = self.table;
        sql.batch_execute(&format!("TRUNCATE {table}, {table}_meta"))
            .expect("tables");
    }

    fn contents(&self, sql: &mut Client) -> (Vec<Row>, Vec<Link>) {
        let table = self.table;
        let rows = sql.query(
            &format!(
                "SELECT sid, name, data, extract(epoch FROM exp)::float8 FROM {table} ORDER BY sid"
            ),
            &[],
        );
        let row = |row: &postgres::Row| (row.get(0), row.get(1), row.get(2), row.get(3));
        let links = sql.query(
            &format!("SELECT aud, sub, sid FROM {table}_meta ORDER BY aud, sub, sid"),
            &[],
        );
        let link = |row: &postgres::Row| (row.get(0), row.get(1), row.get(2));
        (
            rows.expect("rows").iter().map(row).collect(),
            links.expect("rows").iter().map(link).collect(),
        )
    }

    /// How many sessions were saved in a transaction with another one.
    fn shared_transactions(&self, sql: &mut Client) -> i64 {
        let table = self.table;
        let count = sql.query_one(
            &format!("SELECT count(*) - count(DISTINCT xmin::text) FROM {table}"),
            &[],
        );
        count.expect("a count").get(0)
    }
}

/// Runs the same steps on both sides; returns how many sessions shared a transaction.
fn compare(single: &Side, batched: &Side, steps: &[Step], sql: &mut Client) -> i64 {
    for side in [single, batched] {
        side.clear(sql);
    }
    let expected = single.one_by_one(steps);
    let outcomes = batched.at_once(steps);
    for (step, (expected, outcome)) in steps.iter().zip(expected.iter().zip(&outcomes)) {
        match (expected, outcome) {
            (Ok(expected), Ok(output)) => assert_eq!(expected, output, "{step:?}"),
            // Both name their own table.
            (Err(expected), Err(error)) => assert_eq!(
                expected.to_string().replace(single.table, batched.table),
                error.to_string(),
                "{step:?}"
            ),
            _ => panic!("{step:?}: {expected:?} single, {outcome:?} batched"),
        }
    }
    assert_eq!(single.contents(sql), batched.contents(sql), "the tables");
    batched.shared_transactions(sql)
}

fn compare_on(pool_size: f64, names: [&'static str; 2]) {
    let cluster = support::shared();
    let database = cluster.create_database();
    let mut sql = cluster.client(&database);
    let single = Side::new(&mut sql, &database, names[0], 1.0);
    let batched = Side::new(&mut sql, &database, names[1], pool_size);
    let (shared, sql) = (Cell::new(0), RefCell::new(sql));
    let mut runner = TestRunner::new(Config {
        cases: 60,
        failure_persistence: None,
        ..Config::default()
    });
    let steps = proptest::collection::vec(step(), 1..80);
    runner
        .run(&steps, |steps| {
            let more = compare(&single, &batched, &steps, &mut sql.borrow_mut());
            shared.set(shared.get() + more);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    // Otherwise nothing was compared but the operations with themselves.
    let shared = shared.get();
    assert!(shared > 30, "only {shared} sessions shared a transaction");
}

#[test]
fn a_batch_does_what_its_operations_do_one_by_one() {
    compare_on(1.0, ["single", "batched"]);
}

#[test]
fn batches_on_several_connections_do_what_their_operations_do_one_by_one() {
    compare_on(4.0, ["one_each", "several"]);
}
