//! Several servers: a primary that dies and its standby that takes over, servers that take no
//! writes, and which of them is chosen.

use std::collections::{BTreeSet, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::nginx::site::{self, assert_answer, timed};
use crate::support::{Calls, Cluster, Stop, one, process};

const TIMEOUT: Duration = Duration::from_secs(20);

/// How long after its promotion the standby must be found.
const FOUND: Duration = Duration::from_secs(2);

/// Waits until the standby has received what the primary has written so far.
fn wait_for_the_standby(primary: &Cluster, standby: &Cluster) {
    let flushed = "SELECT pg_current_wal_flush_lsn()::text";
    let written: String = one(&mut primary.client("postgres"), flushed);
    let received = format!("SELECT pg_last_wal_receive_lsn() >= '{written}'");
    let mut standby = standby.client("postgres");
    let has_received = || one(&mut standby, &received);
    process::wait_until(20, "the standby has received all", has_received);
}

/// What the writers have seen.
#[derive(Default)]
struct Seen {
    /// The keys whose saves were acknowledged, and when.
    saved: Vec<(String, Instant)>,
    failed: Vec<String>,
}

fn the_standby_takes_over(synchronous: bool) {
    let primary = Cluster::builder().start();
    let site = site::on(&primary);
    let standby = primary.standby();
    if synchronous {
        let mut admin = primary.client("postgres");
        primary.set("synchronous_standby_names", "'*'");
        let waits = "SELECT sync_state = 'sync' FROM pg_stat_replication";
        process::wait_until(20, "synchronous", || one(&mut admin, waits));
    }
    let site = site
        .conf("host", json!(["127.0.0.1", "127.0.0.1"]))
        .conf("port", json!([primary.port(), standby.port()]))
        .conf("target_session_attrs", "read-write")
        .conf("connect_timeout", 10_000)
        .conf("read_timeout", 10_000)
        .start();
    site.assert_works();
    let worker = site.worker();

    let (seen, over) = (Mutex::new(Seen::default()), AtomicBool::new(false));
    let (received, killed, promoted) = thread::scope(|scope| {
        for writer in 0..8 {
            let (site, seen, over) = (&site, &seen, &over);
            scope.spawn(move || {
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let key = format!("{writer}-{n}");
                    let response = site.set(&key, "value");
                    let mut seen = process::lock(seen);
                    if response.status == 200 {
                        seen.saved.push((key, Instant::now()));
                    } else {
                        seen.failed.push(response.body);
                    }
                }
            });
        }
        thread::sleep(Duration::from_millis(700));
        let received = process::lock(&seen).saved.len();
        if !synchronous {
            wait_for_the_standby(&primary, &standby);
        }
        primary.stop(Stop::Immediate);
        let killed = Instant::now();
        thread::sleep(Duration::from_millis(400));
        let promote = "SELECT pg_promote(true, 20)";
        assert!(one::<bool>(&mut standby.client("postgres"), promote));
        let promoted = Instant::now();
        let goes_on = || {
            let seen = process::lock(&seen);
            seen.saved.last().is_some_and(|(_, at)| *at > promoted)
        };
        let _ = process::eventually(TIMEOUT, goes_on);
        thread::sleep(Duration::from_millis(300));
        over.store(true, Ordering::Relaxed);
        (received, killed, promoted)
    });

    let seen = seen.into_inner().unwrap();
    assert!(seen.failed.is_empty(), "{:?}", seen.failed);
    assert!(received > 20, "only {received} before the failover");
    let after: Vec<_> = seen.saved.iter().filter(|(_, at)| *at > killed).collect();
    let first = after.iter().map(|(_, at)| *at).min().expect("a save after it");
    let took = first.saturating_duration_since(promoted);
    println!(
        "synchronous: {synchronous}; {} saves acknowledged, the first {took:?} after the promotion",
        seen.saved.len()
    );
    assert!(took < FOUND, "{took:?}");

    let rows = standby.client(&site.database).query("SELECT sid FROM sessions", &[]);
    let there: HashSet<String> = rows.unwrap().iter().map(|row| row.get(0)).collect();
    let owed = if synchronous { seen.saved.len() } else { received };
    // What was acknowledged after the failover was acknowledged by the new primary.
    let kept = seen.saved[..owed].iter().chain(after);
    let lost: Vec<_> = kept.filter(|(key, _)| !there.contains(key)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert_eq!(site.worker(), worker);
}

#[test]
fn writes_go_on_when_the_standby_takes_over_and_what_it_had_received_is_there() {
    the_standby_takes_over(false);
}

#[test]
fn with_synchronous_replication_no_acknowledged_save_is_lost() {
    the_standby_takes_over(true);
}

/// As a primary that has been succeeded, or is about to be.
#[test]
fn a_write_to_a_server_that_takes_none_is_tried_until_one_does() {
    let cluster = Cluster::builder().start();
    let site = site::on(&cluster).conf("read_timeout", 2_000).start();
    site.assert_works();
    let read_only = |on| cluster.set("default_transaction_read_only", on);
    read_only("on");
    thread::sleep(Duration::from_millis(100));
    let (_, took) = timed(|| {
        thread::scope(|scope| {
            let saves: Vec<_> = (0..20)
                .map(|n| {
                    let site = &site;
                    scope.spawn(move || site.set(&format!("key{n}"), "value"))
                })
                .collect();
            thread::sleep(Duration::from_millis(500));
            assert_answer(&site.get("works"), 200, "yes");
            read_only("off");
            for save in saves {
                assert_answer(&save.join().unwrap(), 200, "true");
            }
        });
    });
    assert!(took < Duration::from_secs(2), "{took:?}");

    // And no longer than its time.
    read_only("on");
    thread::sleep(Duration::from_millis(100));
    let (response, took) = timed(|| site.set("key", "value"));
    assert_eq!(response.status, 503);
    let body = response.body;
    assert!(body.contains("read-only transaction"), "{body}");
    let limits = Duration::from_secs(2)..Duration::from_secs(4);
    assert!(limits.contains(&took), "{took:?}");
}

/// The port of the server that a new storage with these keys comes to.
fn chosen(servers: [&Cluster; 2], number: usize, keys: &[(&str, &str)]) -> u16 {
    let application = format!("chosen{number}");
    let mut all = json!({
        "host": ["127.0.0.1", "127.0.0.1"],
        "port": servers.map(Cluster::port),
        "application": application,
        // A second connection might come to the other one.
        "pool_size": 1,
    });
    for (key, value) in keys {
        all[key] = json!(value);
    }
    let storage = servers[0].storage("postgres", all);
    storage.get("no such session").unwrap();
    let sql = format!("SELECT FROM pg_stat_activity WHERE application_name = '{application}'");
    let is_there = |server: &&Cluster| {
        let rows = server.client("postgres").query(&sql, &[]);
        !rows.unwrap().is_empty()
    };
    // A server that was looked at and passed over takes a moment to see the connection go.
    let mut found: Vec<&Cluster> = Vec::new();
    let settled = process::eventually(TIMEOUT, || {
        found = servers.into_iter().filter(is_there).collect();
        found.len() == 1
    });
    assert!(settled, "connected to {} servers", found.len());
    found[0].port()
}

#[test]
fn the_server_is_chosen_by_what_it_can_and_by_chance() {
    let primary = Cluster::builder().start();
    primary
        .client("postgres")
        .batch_execute(
            "CREATE TABLE sessions (sid TEXT PRIMARY KEY, name TEXT, data TEXT, exp TIMESTAMPTZ)",
        )
        .unwrap();
    let standby = primary.standby();
    wait_for_the_standby(&primary, &standby);
    let mut number = 0;
    let mut chosen = |servers, keys| {
        number += 1;
        chosen(servers, number, keys)
    };
    for servers in [[&primary, &standby], [&standby, &primary]] {
        assert_eq!(chosen(servers, &[]), servers[0].port());
        let writes = &[("target_session_attrs", "read-write")];
        assert_eq!(chosen(servers, writes), primary.port());
        let reads = &[("target_session_attrs", "read-only")];
        assert_eq!(chosen(servers, reads), standby.port());
        // Of a pooler's sessions no setting is asked; which server it is, is.
        let pooled = &[("target_session_attrs", "read-only"), ("prepared_statements", "false")];
        assert_eq!(chosen(servers, pooled), standby.port());
    }
    let random = &[("load_balance_hosts", "random")];
    let seen: BTreeSet<u16> = (0..20).map(|_| chosen([&primary, &standby], random)).collect();
    // In one of a million runs all 20 choose the same.
    assert_eq!(seen.len(), 2);
}
