//! The server ends, stops for a while, throws its clients out, or has no room for them.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::crowds::take_all_connections;
use super::trial::{Ground, one_at_a_time};
use crate::support::{Cluster, Stop, process};

/// The only errors while the server is away.
const AWAY: &[&str] = &["no connection to within ms", "connection to lost"];

/// The only errors while it stays and does not answer.
const SILENT: &[&str] = &["no connection to within ms", "no answer from within ms"];

#[test]
fn restarts_lose_nothing() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().start();
    let ground = Ground::on(&cluster);
    for (name, how, pause) in [
        ("a fast restart", Stop::Fast, 0),
        ("an immediate restart", Stop::Immediate, 0),
        ("an outage longer than any deadline", Stop::Fast, 1300),
    ] {
        ground.trial(name, AWAY, || {
            cluster.stop(how);
            thread::sleep(Duration::from_millis(pause));
            cluster.start_again();
        });
    }
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
    // The server takes such an end for a crash, and ends all connections.
    ground.trial("a backend killed", AWAY, || {
        let backend: i32 = sql.query(BACKENDS, &[]).expect("backends")[0].get(0);
        process::signal(backend.cast_unsigned(), Signal::SIGKILL);
        let down = || cluster.try_client("postgres").is_err();
        process::wait_until(5, "the server refuses clients", down);
        cluster.wait_until_up();
    });
}

#[test]
fn a_server_that_is_stopped_for_a_while_loses_nothing() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().start();
    let socket = cluster.socket_dir().to_str().expect("a path");
    for host in ["127.0.0.1", socket] {
        let ground = Ground::with(&cluster, &[("host", host.into())], |nginx| nginx);
        // It carries out what it had received before it was stopped.
        ground.trial(&format!("{host} stopped for 1300 ms"), SILENT, || {
            cluster.pause();
            thread::sleep(Duration::from_millis(1300));
            cluster.resume();
        });
    }
}

#[test]
fn connections_that_others_have_used_up_are_waited_for() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().setting("max_connections", "20").start();
    let ground = Ground::on(&cluster);
    let mut sql = ground.site.sql();
    ground.trial("no connection left", AWAY, || {
        let _others = take_all_connections(&cluster, &mut sql);
        thread::sleep(Duration::from_millis(1200));
    });
}
