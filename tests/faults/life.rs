//! nginx reloads, exits, and is replaced under load. It loses no request that it would not lose
//! without the library, its workers exit in time and close their connections, and nothing is left.

use std::thread;
use std::time::{Duration, Instant};

use super::checker::list;
use super::load::Meter;
use super::site::{self, ANSWER, CONNECT, assert_closed_properly, attentive_cluster};
use super::trial::{Ground, one_at_a_time};
use crate::support::{Cluster, Nginx, NginxBuilder, process};

/// What nginx, which checks for exited workers at growing intervals, and a busy machine may add.
const NOISE: Duration = Duration::from_millis(250);

fn ground<'a>(
    cluster: &'a Cluster,
    change: impl FnOnce(NginxBuilder) -> NginxBuilder,
) -> Ground<'a> {
    let init = "init_by_lua_block { require('site').storage() }";
    let ground = Ground::with(cluster, &[], |nginx| change(nginx.http(init)));
    ground.without_kept_connections()
}

/// Runs `body` under load and then has nginx exit, which may cut requests that began later than
/// `before` the exit; until then it may cut none. Checks what holds after every exit.
fn exit_under_load(
    ground: &Ground,
    before: Duration,
    body: impl FnOnce(&Nginx),
    exit: impl FnOnce(&Nginx) -> Duration,
) -> (Meter, Duration) {
    let nginx = &ground.site.nginx;
    let mut exited = None;
    let (meter, wrong) = ground.under_load(|meter| {
        thread::sleep(Duration::from_millis(150));
        body(nginx);
        let cut = process::lock(&meter.cut);
        assert!(cut.is_empty(), "{cut:?}");
        drop(cut);
        let may_cut = Instant::now() - before;
        exited = Some((may_cut, exit(nginx)));
    });
    let (may_cut, took) = exited.expect("it has exited");
    // No request takes longer than a moment here.
    assert!(took < Duration::from_secs(1) + NOISE, "{took:?}");
    assert!(wrong.is_empty(), "{}", list(&wrong));
    let errors = process::lock(&meter.errors).clone();
    assert!(errors.is_empty(), "{errors:?}");
    // nginx itself cuts those that it had not accepted yet, or that found no listener.
    let cut = process::lock(&meter.cut).clone();
    let lost = cut.iter().find(|(began, _)| *began < may_cut);
    assert!(lost.is_none(), "{lost:?} before {may_cut:?}");
    assert!(meter.slowest() < CONNECT + ANSWER, "{:?}", meter.slowest());
    ground.site.assert_no_connections();
    (meter, took)
}

#[test]
fn thirty_reloads_lose_no_request_and_no_worker_stays() {
    let _turn = one_at_a_time();
    let cluster = attentive_cluster();
    let ground = ground(&cluster, |nginx| nginx);
    let mut exits = Vec::new();
    let reload = |nginx: &Nginx| exits.extend((0..30).map(|_| nginx.reload_all()));
    let (meter, _) = exit_under_load(&ground, Duration::from_millis(20), reload, Nginx::quit);
    exits.sort();
    println!(
        "30 reloads: {} operations, old workers gone {:.0?} (median) to {:.0?} after new ones served",
        meter.operations.load(std::sync::atomic::Ordering::Relaxed),
        exits[15],
        exits[29],
    );
    assert!(exits[29] < Duration::from_secs(2), "{exits:?}");
    assert_closed_properly(&cluster);
}

fn stop_ten_times(name: &str, before: Duration, stop: impl Fn(&Nginx) -> Duration) {
    let _turn = one_at_a_time();
    let cluster = attentive_cluster();
    let mut times: Vec<_> = (0..10)
        .map(|_| exit_under_load(&ground(&cluster, |nginx| nginx), before, |_| (), &stop).1)
        .collect();
    times.sort();
    println!("{name}: gone after {:.0?} (median) to {:.0?}", times[5], times[9]);
    assert_closed_properly(&cluster);
}

#[test]
fn ten_fast_exits_under_load_take_less_than_a_second() {
    // A fast exit cuts what is in flight.
    stop_ten_times("10 × TERM", Duration::from_millis(500), Nginx::term);
}

#[test]
fn ten_graceful_exits_under_load_lose_no_request() {
    // One that nginx has not accepted yet counts from its arrival.
    stop_ten_times("10 × QUIT", Duration::from_millis(20), Nginx::quit);
}

/// A connection that would wait for half a minute more is cut off, and its thread ends.
#[test]
fn a_fast_exit_cancels_what_is_stuck() {
    let _turn = one_at_a_time();
    let cluster = attentive_cluster();
    let site = site::on(&cluster).conf("read_timeout", 30_000).start();
    site.assert_works();
    cluster.pause();
    let waiting = site.leave_many(20, |_| "/call?do=set&key=works&value=late".into());
    thread::sleep(Duration::from_millis(200));
    let took = site.nginx.term();
    drop(waiting);
    cluster.resume();
    println!("TERM during a stuck statement: gone after {took:.0?}");
    // Half of the 800 ms are for threads that end by themselves.
    assert!(took < Duration::from_millis(700), "{took:?}");
}

/// A new master, forked and executed by the old one, takes over its sockets. nginx only does that as
/// a daemon.
#[test]
fn a_binary_upgrade_of_a_daemon_loses_no_request() {
    let _turn = one_at_a_time();
    let cluster = attentive_cluster();
    let ground = ground(&cluster, NginxBuilder::daemon);
    let upgrade = |nginx: &Nginx| {
        for _ in 0..2 {
            let took = nginx.upgrade();
            println!("upgrade: the old one gone after {took:.0?}");
            assert!(took < Duration::from_secs(1) + NOISE, "{took:?}");
            thread::sleep(Duration::from_millis(200));
        }
    };
    exit_under_load(&ground, Duration::from_millis(500), upgrade, Nginx::term);
    assert_closed_properly(&cluster);
}

/// Each request has a Lua VM then, with its own pump, which ends with it. Requests take longer, and
/// wait longer to be accepted.
#[test]
fn reloads_lose_no_request_with_a_vm_for_each() {
    let _turn = one_at_a_time();
    let cluster = attentive_cluster();
    let ground = ground(&cluster, |nginx| nginx.http("lua_code_cache off;"));
    let reload = |nginx: &Nginx| {
        for _ in 0..5 {
            let took = nginx.reload_all();
            assert!(took < Duration::from_secs(2), "{took:?}");
        }
    };
    exit_under_load(&ground, Duration::from_millis(250), reload, Nginx::quit);
    assert_closed_properly(&cluster);
}
