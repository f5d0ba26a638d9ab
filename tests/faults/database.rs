//! The server ends, stops for a while, throws its clients out, or has no room for them.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::trial::{Ground, one_at_a_time};
use crate::support::{Cluster, Stop, process};

/// What a server that is away brings: nothing else may be told.
const AWAY: &[&str] = &["no connection to within ms", "connection to lost"];

/// What one that stays and does not answer brings.
const SILENT: &[&str] = &["no connection to within ms", "no answer from within ms"];

#[test]
fn restarts_lose_nothing() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().start();
    let ground = Ground::on(&cluster);
    ground.trial("a fast restart", AWAY, || {
        cluster.stop(Stop::Fast);
        cluster.start_again();
    });
    ground.trial("an immediate restart", AWAY, || {
        cluster.stop(Stop::Immediate);
        cluster.start_again();
    });
    ground.trial("an outage longer than any deadline", AWAY, || {
        cluster.stop(Stop::Fast);
        thread::sleep(Duration::from_millis(1300));
        cluster.start_again();
    });
}

const BACKENDS: &str = "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgmoon'";

#[test]
fn backends_that_are_ended_again_and_again_lose_nothing() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().start();
    let ground = Ground::on(&cluster);
    let mut sql = ground.site.sql();
    ground.trial("a backend terminated, 20 times", &[], || {
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(50));
            let end = format!("SELECT pg_terminate_backend(pid) FROM ({BACKENDS} LIMIT 1) one");
            sql.query(&end, &[]).expect("an answer");
        }
    });
    // The server takes such an end for a crash, and throws everybody out.
    ground.trial("a backend killed", AWAY, || {
        let backend: i32 = sql.query(BACKENDS, &[]).expect("backends")[0].get(0);
        process::signal(backend.cast_unsigned(), Signal::SIGKILL);
        let down = || cluster.try_client("postgres").is_err();
        assert!(
            process::eventually(Duration::from_secs(5), down),
            "no crash"
        );
        let up = || cluster.try_client("postgres").is_ok();
        assert!(
            process::eventually(Duration::from_secs(10), up),
            "no recovery"
        );
    });
}

#[test]
fn a_server_that_is_stopped_for_a_while_loses_nothing() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().start();
    let ground = Ground::on(&cluster);
    // It carries out what it had received before it was stopped.
    ground.late_trial("stopped for 1300 ms", SILENT, || {
        cluster.pause();
        thread::sleep(Duration::from_millis(1300));
        cluster.resume();
    });
}

/// There the client keeps no deadline by itself: what is stuck is left to the server.
#[test]
fn a_server_that_is_stopped_behind_a_unix_socket_loses_nothing() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().start();
    let folder = cluster.socket_dir().to_str().expect("a path");
    let ground = Ground::with(&cluster, &[("host", folder.into())], |nginx| nginx);
    ground.late_trial("stopped behind a unix socket", SILENT, || {
        cluster.pause();
        thread::sleep(Duration::from_millis(1300));
        cluster.resume();
    });
}

#[test]
fn connections_that_others_have_used_up_are_waited_for() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().setting("max_connections", "20").start();
    let ground = Ground::on(&cluster);
    let mut sql = ground.site.sql();
    ground.trial("no connection left", AWAY, || {
        let mut others = Vec::new();
        // Ours have to go for the others to come.
        while others.is_empty() || !sql.query(BACKENDS, &[]).expect("backends").is_empty() {
            let end = format!("SELECT pg_terminate_backend(pid) FROM ({BACKENDS}) ours");
            sql.query(&end, &[]).expect("an answer");
            while let Ok(other) = cluster.try_client("postgres") {
                others.push(other);
            }
        }
        thread::sleep(Duration::from_millis(1200));
    });
}
