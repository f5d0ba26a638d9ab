//! Who waits for whom: how many connections are opened, and when an operation gets one beside others that
//! take long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use resty_session_postgres::op::Operation;
use resty_session_postgres::ops::{Count, Get, Scope};
use resty_session_postgres::{CompletionQueue, Epoch, Storage};
use serde_json::json;

use crate::support::{Calls, Cluster, Database, session, stat};

/// Saves take a tenth of a second.
const SLOW: &str = "
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END$$;
    CREATE TRIGGER slow AFTER INSERT ON sessions FOR EACH STATEMENT EXECUTE FUNCTION slow()";

fn get() -> Get {
    Get::new("key", Epoch::now()).expect("a key")
}

/// How long single operations take on the engine's threads; the median.
fn median<T: Operation>(storage: &Storage, mut operation: impl FnMut() -> T) -> Duration {
    let (queue, mut taken) = (Arc::new(CompletionQueue::new()), Vec::new());
    let mut times: Vec<Duration> = (0..30)
        .map(|_| {
            let start = Instant::now();
            storage.submit(operation(), &queue).expect("room");
            while taken.is_empty() {
                thread::sleep(Duration::from_micros(100));
                queue.drain_into(&mut taken);
            }
            let took = start.elapsed();
            taken.pop().expect("one").1.expect("an answer");
            thread::sleep(Duration::from_millis(7));
            took
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// Runs `work` while so many threads do something else again and again.
fn beside<T>(threads: usize, other: impl Fn() + Sync, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    other();
                }
            });
        }
        // Until they are at it.
        thread::sleep(Duration::from_millis(300));
        let result = work();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// Statements that take 3 ms have a second connection opened. While a server takes a second to let it in,
/// each look for one could order another.
#[test]
fn a_pool_opens_a_connection_at_a_time_and_few_of_them() {
    for delay in ["0", "1"] {
        let cluster = Cluster::builder().setting("post_auth_delay", delay).start();
        let database = cluster.create_database();
        let slow = SLOW.replace("0.1", "0.003");
        cluster.client(&database).batch_execute(&slow).expect("a trigger");
        let storage = cluster.storage(&database, json!({ "pool_size": 50 }));
        storage.call(session("key", 60)).expect("a save");
        let save = || storage.call(session("key", 60)).expect("a save");
        let get = || drop(storage.get("key").expect("an answer"));
        beside(16, get, || beside(4, save, || thread::sleep(Duration::from_secs(3))));
        let opened = stat(&storage, "connections_opened_total");
        assert!(opened <= 4.0, "{opened} with a delay of {delay} s");
    }
}

#[test]
fn a_count_that_takes_long_keeps_no_get_waiting() {
    let db = Database::new();
    // Who reads all sessions waits a tenth of a second for one of them.
    db.execute(
        "INSERT INTO sessions VALUES ('slow', '', '', now() + interval '1 hour');
         ALTER TABLE sessions RENAME TO stored;
         CREATE VIEW sessions AS SELECT * FROM stored
         WHERE CASE WHEN sid = 'slow' THEN pg_sleep(0.1) IS NOT NULL ELSE true END",
    );
    for pool_size in [2, 4] {
        let storage = db.storage_with(json!({ "pool_size": pool_size, "cleanup_interval": 0 }));
        let count = || assert!(storage.call(Count::new(Scope::ALL, Epoch::now())).is_ok());
        let took = beside(3, count, || median(&storage, get));
        assert!(took < Duration::from_millis(5), "{took:?} with {pool_size} connections");
    }
}

/// The wait threshold is 2 ms; a clock that ticks each 20 ms would notice after 12 on average.
#[test]
fn a_second_connection_is_used_as_soon_as_the_wait_threshold_is_over() {
    let db = Database::new();
    db.execute(SLOW);
    let storage = db.storage_with(json!({ "cleanup_interval": 0 }));
    let save = || storage.call(session("slow", 60)).expect("a save");
    let took = beside(1, save, || median(&storage, get));
    assert!(took < Duration::from_millis(8), "{took:?}");
}

/// Neither a connection that is open nor one that is to be opened is waited for without end.
#[test]
fn a_server_that_is_frozen_has_submitted_operations_answered_in_their_time() {
    let cluster = Cluster::builder().start();
    let socket = cluster.socket_dir().to_str().expect("a path").to_owned();
    let timeouts = json!({
        "connect_timeout": 500, "send_timeout": 250, "read_timeout": 250, "cleanup_interval": 0,
    });
    let database = cluster.create_database();
    let storages = ["127.0.0.1", &socket].map(|host| {
        let mut keys = timeouts.clone();
        keys["host"] = host.into();
        let storage = cluster.storage(&database, keys);
        storage.call(session("key", 60)).expect("a save");
        storage
    });
    cluster.pause();
    let start = Instant::now();
    let queue = Arc::new(CompletionQueue::new());
    for n in 0..10 {
        for storage in &storages {
            let key = format!("key {n}");
            storage.submit(session(&key, 60), &queue).expect("room");
            storage.submit(Get::new(key, Epoch::now()).expect("a key"), &queue).expect("room");
        }
    }
    let mut answered = Vec::new();
    while answered.len() < 40 && start.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(5));
        let mut taken = Vec::new();
        queue.drain_into(&mut taken);
        answered.extend(taken);
    }
    let took = start.elapsed();
    cluster.resume();
    assert_eq!(answered.len(), 40);
    assert!(answered.iter().all(|(_, outcome)| outcome.is_err()));
    assert!(took < Duration::from_millis(2_500), "{took:?}");
    for storage in &storages {
        storage.call(session("after", 60)).expect("a save");
    }
}
