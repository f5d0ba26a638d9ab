//! A database that is down, comes back, ends its connections, or refuses them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::site::{self, ANSWER, CONNECT, Site, assert_answer, timed};
use crate::support::process::SetAtDrop;
use crate::support::{self, Cluster, Stop, disconnect};

/// What a machine under load may add to a limit.
const NOISE: Duration = Duration::from_millis(250);

#[test]
fn a_stopped_database_fails_in_time_and_serves_again_without_a_reload() {
    let cluster = Cluster::builder().start();
    let site = site::on(&cluster).start();
    site.assert_works();
    let worker = site.worker();
    for how in [Stop::Fast, Stop::Immediate] {
        cluster.stop(how);
        // The first finds that its connections are lost, the others only that there is none.
        for attempt in 0..3 {
            let (response, took) = timed(|| site.get("works"));
            let (body, server) = (response.body, site.server());
            assert_eq!(response.status, 503, "{body}");
            assert!(body.contains("connect: Connection refused"), "{body}");
            assert!(body.contains(&server), "{body}");
            let none = body.starts_with(&format!("no connection to {server} within 1000 ms"));
            assert!(none || attempt == 0, "{body}");
            let limit = if attempt == 0 { CONNECT + ANSWER } else { CONNECT };
            assert!(took < limit + NOISE, "{took:?}");
        }
        cluster.start_again();
        site.assert_works();
    }
    assert_eq!(site.worker(), worker, "the worker was replaced");
}

#[test]
fn a_restart_between_two_requests_is_not_noticed() {
    let cluster = Cluster::builder().start();
    let site = site::on(&cluster).start();
    site.assert_works();
    for how in [Stop::Fast, Stop::Immediate, Stop::Fast] {
        cluster.stop(how);
        cluster.start_again();
        site.assert_works();
    }
}

/// As long as a restart takes less time than a request has.
#[test]
fn a_restart_under_load_fails_no_request() {
    let cluster = Cluster::builder().start();
    let site =
        site::on(&cluster).conf("connect_timeout", 10_000).conf("read_timeout", 10_000).start();
    site.assert_works();
    under_load(&site, || {
        for _ in 0..2 {
            thread::sleep(Duration::from_millis(300));
            cluster.stop(Stop::Fast);
            cluster.start_again();
        }
    });
}

#[test]
fn connections_that_the_server_ends_between_two_requests_are_not_noticed() {
    let site = site::on(support::shared()).start();
    let mut sql = site.sql();
    for _ in 0..20 {
        site.assert_works();
        assert!(disconnect(&mut sql) > 0, "there was no connection to end");
    }
    site.assert_works();
}

/// Eight clients store and read without a pause while `trouble` runs; none of them may fail.
pub(super) fn under_load(site: &Site, trouble: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for client in 0..8 {
            let over = &over;
            scope.spawn(move || {
                let key = format!("client{client}");
                for n in 0.. {
                    let value = format!("value{n}");
                    assert_answer(&site.set(&key, &value), 200, "true");
                    assert_answer(&site.get(&key), 200, &value);
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        let _over = SetAtDrop(&over);
        trouble();
    });
}

/// Asks three times: the attempts that the pool makes by itself must not make a difference.
fn assert_refused_at_once(site: &Site, reason: &str) {
    for _ in 0..3 {
        let (response, took) = timed(|| site.get("key"));
        let body = response.body;
        assert_eq!(response.status, 503, "{body}");
        let server = format!("no connection to {}: ", site.server());
        assert!(body.starts_with(&server), "{body}");
        assert!(body.contains(reason), "{body}");
        assert!(took < Duration::from_millis(1500), "{took:?}: {body}");
    }
}

#[test]
fn a_wrong_password_fails_at_once_and_is_in_no_message() {
    let cluster = Cluster::builder().hba("host all all 127.0.0.1/32 scram-sha-256").start();
    let sql = "ALTER USER postgres PASSWORD 'correct-horse'";
    let mut client = cluster.client("postgres");
    client.batch_execute(sql).expect("a password");

    let wrong = site::on(&cluster)
        .conf("connect_timeout", 10_000)
        .conf("password", "battery-staple")
        .start();
    assert_refused_at_once(&wrong, "password authentication failed for user \"postgres\"");
    let body = wrong.get("key").body;
    assert!(!body.contains("battery-staple"), "{body}");
    let log = wrong.nginx.error_log();
    assert!(log.contains("password authentication failed"), "{log}");
    assert!(!log.contains("battery-staple"), "{log}");

    let right = site::on(&cluster).conf("password", "correct-horse").start();
    right.assert_works();
}

#[test]
fn an_unknown_database_fails_at_once() {
    let site = site::on(support::shared())
        .conf("connect_timeout", 10_000)
        .conf("database", "nowhere")
        .start();
    assert_refused_at_once(&site, "database \"nowhere\" does not exist");
}
