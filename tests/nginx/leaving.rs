//! Exits: workers exit in time, whatever waits in them, and close their connections with a Terminate
//! message.

use std::thread;
use std::time::Duration;

use super::site::{self, ANSWER, CONNECT, Site, assert_answer};
use super::site::{assert_closed_properly, attentive_cluster};
use crate::support::{Nginx, one};
use crate::tls::switches::tls_cluster;

/// What nginx, which checks for exited workers at growing intervals, and other tests may add. Exits are
/// measured more closely where nothing else runs, in `tests/faults/life.rs`.
const NOISE: Duration = Duration::from_millis(1500);

fn assert_clean_exit(site: &Site, took: Duration, limit: Duration) {
    assert!(took < limit + NOISE, "{took:?}");
    site.assert_no_connections();
}

#[test]
fn a_graceful_exit_waits_for_a_request_and_no_longer() {
    let cluster = attentive_cluster();
    let site = site::on(&cluster).start();
    site.assert_works();
    let mut sql = site.sql();
    let holder = site::lock_row(&mut sql, "works");
    let held = Duration::from_millis(400);
    let exit = thread::scope(|scope| {
        let waiting = scope.spawn(|| site.set("works", "late"));
        thread::sleep(Duration::from_millis(100));
        let exit = scope.spawn(|| site.nginx.quit());
        thread::sleep(held);
        assert!(!exit.is_finished(), "it did not wait for the request");
        holder.rollback().expect("a transaction to end");
        assert_answer(&waiting.join().expect("no panic"), 200, "true");
        exit.join().expect("no panic")
    });
    assert_clean_exit(&site, exit, held + Duration::from_secs(1));
    assert_closed_properly(&cluster);
}

#[test]
fn a_graceful_exit_takes_no_longer_than_a_requests_deadline() {
    let cluster = attentive_cluster();
    let site = site::on(&cluster).start();
    site.assert_works();
    cluster.pause();
    let exit = thread::scope(|scope| {
        let waiting = scope.spawn(|| site::together(20, |_| site.get("works").status));
        thread::sleep(Duration::from_millis(200));
        let exit = site.nginx.quit();
        let statuses = waiting.join().expect("no panic");
        let failed = statuses.iter().all(|(status, _)| *status == 503);
        assert!(failed, "{statuses:?}");
        exit
    });
    cluster.resume();
    assert_clean_exit(&site, exit, CONNECT + ANSWER + Duration::from_secs(1));
}

/// A second later the master kills workers that have not exited. Behind a Unix socket the client keeps no
/// deadline by itself: its thread is stuck until the server goes on, and is left behind.
#[test]
fn a_fast_exit_does_not_wait_for_whatever_waits() {
    let cluster = attentive_cluster();
    let socket = cluster.socket_dir().to_str().expect("a path");
    for (trouble, host) in [
        ("none", "127.0.0.1"),
        ("a lock", "127.0.0.1"),
        ("a pause", "127.0.0.1"),
        ("a pause before the first call", "127.0.0.1"),
        ("a pause", socket),
    ] {
        let site = site::on(&cluster).conf("host", host);
        let site = site.nginx(|nginx| nginx.workers(2)).start();
        let mut sql = site.sql();
        if trouble != "a pause before the first call" {
            site.assert_works();
        }
        let holder = (trouble == "a lock").then(|| site::lock_row(&mut sql, "works"));
        if trouble.starts_with("a pause") {
            cluster.pause();
        }
        let requests = if trouble == "none" { 0 } else { 20 };
        let waiting = site.leave_many(requests, |_| "/call?do=set&key=works&value=late".into());
        thread::sleep(Duration::from_millis(200));
        let exit = site.nginx.term();
        drop(waiting);
        cluster.resume();
        drop(holder);
        eprintln!("{trouble}, {host}: {exit:?}");
        assert_clean_exit(&site, exit, Duration::from_secs(1));
        if trouble == "none" || trouble == "a lock" {
            assert_closed_properly(&cluster);
        }
    }
}

/// A worker whose own thread has used a connection, which a call that blocks may do, is no other.
#[test]
fn a_worker_in_which_calls_have_blocked_closes_its_connections() {
    let cluster = attentive_cluster();
    for leave in [Nginx::quit, Nginx::term] {
        let site = site::on(&cluster)
            .nginx(|nginx| {
                let call = "require('site').run { ['do'] = 'get', key = 'key' }";
                let directive = format!("return 200; header_filter_by_lua_block {{ {call} }}");
                nginx.location("= /blocking", &directive)
            })
            .start();
        for _ in 0..10 {
            assert_eq!(site.nginx.get("/blocking").status, 200);
            // One after the other: a single caller may be served otherwise than many.
            thread::sleep(Duration::from_millis(20));
        }
        assert_clean_exit(&site, leave(&site.nginx), Duration::from_secs(1));
        assert_closed_properly(&cluster);
    }
}

/// nginx runs timers early when a worker leaves: the last occasion to save what they would have.
#[test]
fn a_timer_that_runs_because_of_the_exit_can_save() {
    let cluster = attentive_cluster();
    for used_before in [true, false] {
        let site = site::on(&cluster)
            .content(
                "/later",
                "for n = 1, 20 do
                   assert(ngx.timer.at(3600, function(premature)
                     assert(premature)
                     require('site').run { ['do'] = 'set', key = 'timer' .. n, value = 'early' }
                   end))
                 end",
            )
            .start();
        if used_before {
            site.assert_works();
        }
        assert_eq!(site.nginx.get("/later").status, 200);
        assert_clean_exit(&site, site.nginx.quit(), Duration::from_secs(1));
        let saved = "SELECT count(*) FROM sessions WHERE data = 'early'";
        let saved: i64 = one(&mut site.sql(), saved);
        assert_eq!(saved, 20, "used before: {used_before}");
    }
    assert_closed_properly(&cluster);
}

/// No thread may be inside OpenSSL any more when that takes itself down.
#[test]
fn a_worker_with_tls_connections_leaves_cleanly_under_load() {
    let cluster = tls_cluster("hostssl all all 127.0.0.1/32 trust");
    for _ in 0..5 {
        let site = site::on(&cluster)
            .conf("ssl", true)
            .conf("ssl_required", true)
            .nginx(|nginx| nginx.workers(2))
            .start();
        site.assert_works();
        let waiting = site.leave_many(40, |n| format!("/call?do=set&key=key{n}&value=late"));
        thread::sleep(Duration::from_millis(5));
        assert_clean_exit(&site, site.nginx.term(), Duration::from_secs(1));
        drop(waiting);
    }
}
