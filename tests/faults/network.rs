//! The network between the library and its database misbehaves.

use std::thread;
use std::time::Duration;

use super::relay::{Mode, Relay};
use super::trial::{Ground, one_at_a_time};
use crate::support::Cluster;

const SILENT: &[&str] = &["no connection to within ms", "no answer from within ms"];

fn ground<'a>(cluster: &'a Cluster, relay: &Relay) -> Ground<'a> {
    Ground::with(cluster, &[("port", relay.port().into())], |nginx| nginx)
}

#[test]
fn connections_that_are_cut_or_left_half_open_lose_nothing() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().start();
    let relay = Relay::to(cluster.port());
    let ground = ground(&cluster, &relay);
    ground.trial("connections cut, 10 times", &[], || {
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(80));
            relay.cut();
        }
    });
    // What runs on them fails in its time, and what comes later finds others.
    ground.trial("half-open connections", SILENT, || {
        relay.leave_half_open();
        thread::sleep(Duration::from_millis(1000));
    });
}

#[test]
fn a_network_that_loses_everything_loses_no_session() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().start();
    let relay = Relay::to(cluster.port());
    let ground = ground(&cluster, &relay);
    for hole in [300, 1300] {
        ground.trial(&format!("a black hole of {hole} ms"), SILENT, || {
            relay.set(Mode::Lose);
            thread::sleep(Duration::from_millis(hole));
            relay.set(Mode::Pass);
        });
    }
}

#[test]
fn a_slow_network_fails_no_operation() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().start();
    let relay = Relay::to(cluster.port());
    let ground = ground(&cluster, &relay);
    ground.trial("50 ms each way", &[], || {
        relay.set(Mode::Delay(Duration::from_millis(50)));
        thread::sleep(Duration::from_millis(600));
        relay.set(Mode::Pass);
    });
    // What it held comes after all, also to a server whose client has stopped waiting.
    ground.trial("a standstill", SILENT, || {
        relay.set(Mode::Hold);
        thread::sleep(Duration::from_millis(1300));
        relay.set(Mode::Pass);
    });
}
