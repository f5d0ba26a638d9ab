//! nginx reloads, stops, and is replaced under load. It loses no request that it would not lose
//! without us, its workers leave in time and say goodbye to the database, and nothing stays behind.

use std::thread;
use std::time::{Duration, Instant};

use super::checker::{Wrong, list};
use super::load::Meter;
use super::site::{self, ANSWER, CONNECT};
use super::trial::{Ground, one_at_a_time};
use crate::support::{Cluster, Exit, Nginx, NginxBuilder, process};

/// What nginx, which looks for its workers' ends in growing steps, and a busy machine may add.
const NOISE: Duration = Duration::from_millis(250);

/// It tells of each client that goes without a word; of one that was idle, only at this level.
fn cluster() -> Cluster {
    Cluster::builder()
        .setting("log_min_messages", "debug1")
        .start()
}

fn ground<'a>(
    cluster: &'a Cluster,
    change: impl FnOnce(NginxBuilder) -> NginxBuilder,
) -> Ground<'a> {
    let init = "init_by_lua_block { require('site').storage() }";
    let ground = Ground::with(cluster, &[], |nginx| change(nginx.http(init)));
    ground.without_kept_connections()
}

/// What has to be true however nginx has left. Requests that began from `told` on it may have cut.
fn assert_left_well(ground: &Ground, meter: &Meter, wrong: &[Wrong], told: Instant) {
    assert!(wrong.is_empty(), "{}", list(wrong));
    let errors = process::lock(&meter.errors);
    assert!(errors.is_empty(), "{errors:?}");
    // Those that it had not accepted yet, or found no listener any more, it cuts itself.
    let cut = process::lock(&meter.cut);
    let lost = cut.iter().find(|(began, _)| *began < told);
    assert!(lost.is_none(), "{lost:?} before {told:?}");
    assert!(meter.slowest() < CONNECT + ANSWER, "{:?}", meter.slowest());
    let none = || ground.site.connections() == 0;
    assert!(
        process::eventually(Duration::from_secs(1), none),
        "connections are left"
    );
    assert_log(ground);
}

fn assert_log(ground: &Ground) {
    let log = ground.site.nginx.error_log();
    assert!(!log.contains("exited on signal"), "{log}");
    assert!(!log.contains("exited with fatal code"), "{log}");
    // That nginx warns of this mode is no complaint about us.
    let complaints = ground.site.complaints();
    let ours = |line: &&String| !line.contains("lua_code_cache is off");
    assert_eq!(complaints.iter().find(ours), None);
}

fn assert_said_goodbye(cluster: &Cluster) {
    let log = cluster.log();
    let rude = |line: &&str| {
        ["unexpected EOF", "could not receive data"]
            .iter()
            .any(|words| line.contains(words))
    };
    assert_eq!(log.lines().find(rude), None);
}

#[test]
fn thirty_reloads_lose_no_request_and_no_worker_stays() {
    let _turn = one_at_a_time();
    let cluster = cluster();
    let ground = ground(&cluster, |nginx| nginx);
    let nginx = &ground.site.nginx;
    let mut leaving = Vec::new();
    let mut told = Instant::now();
    let (meter, wrong) = ground.under_load(|meter| {
        thread::sleep(Duration::from_millis(200));
        for _ in 0..30 {
            let old = nginx.worker_pids();
            nginx.reload();
            let start = Instant::now();
            let gone = || nginx.worker_pids().is_disjoint(&old);
            assert!(
                process::eventually(Duration::from_secs(2), gone),
                "a worker stays"
            );
            leaving.push(start.elapsed());
        }
        assert!(
            process::lock(&meter.cut).is_empty(),
            "{:?}",
            process::lock(&meter.cut)
        );
        told = Instant::now() - Duration::from_millis(20);
        let exit = nginx.quit();
        assert!(exit.status.success(), "{exit:?}");
    });
    leaving.sort();
    println!(
        "30 reloads: {} operations, workers gone {:.0?} (median) to {:.0?} after the new ones served",
        meter.operations.load(std::sync::atomic::Ordering::Relaxed),
        leaving[leaving.len() / 2],
        leaving[leaving.len() - 1],
    );
    assert_left_well(&ground, &meter, &wrong, told);
    assert_said_goodbye(&cluster);
}

/// `before`: how much older than the word to leave a request may be that is cut.
fn stop_ten_times(name: &str, before: Duration, stop: impl Fn(&Nginx) -> Exit) {
    let _turn = one_at_a_time();
    let cluster = cluster();
    let mut times = Vec::new();
    for _ in 0..10 {
        let ground = ground(&cluster, |nginx| nginx);
        let mut told = Instant::now();
        let mut exit = None;
        let (meter, wrong) = ground.under_load(|_| {
            thread::sleep(Duration::from_millis(150));
            told = Instant::now() - before;
            exit = Some(stop(&ground.site.nginx));
        });
        let exit = exit.expect("it was stopped");
        assert!(exit.status.success(), "{exit:?}");
        // No request takes longer than a moment here.
        assert!(exit.took < Duration::from_secs(1) + NOISE, "{exit:?}");
        times.push(exit.took);
        assert_left_well(&ground, &meter, &wrong, told);
    }
    times.sort();
    println!(
        "{name}: gone after {:.0?} (median) to {:.0?}",
        times[5], times[9]
    );
    assert_said_goodbye(&cluster);
}

#[test]
fn ten_fast_exits_under_load_take_less_than_a_second() {
    // A fast exit cuts what is in flight.
    stop_ten_times("10 × TERM", Duration::from_millis(500), Nginx::term);
}

/// A connection that would wait for half a minute more is cut off, and its thread comes.
#[test]
fn a_fast_exit_cancels_what_is_stuck() {
    let _turn = one_at_a_time();
    let cluster = cluster();
    let site = site::on(&cluster).conf("read_timeout", 30_000).start();
    site.assert_works();
    cluster.pause();
    let waiting: Vec<_> = (0..20)
        .map(|_| site.leave("/call?do=set&key=works&value=late"))
        .collect();
    thread::sleep(Duration::from_millis(200));
    let exit = site.nginx.term();
    drop(waiting);
    cluster.resume();
    println!(
        "TERM in the middle of a stuck statement: gone after {:.0?}",
        exit.took
    );
    assert!(exit.status.success(), "{exit:?}");
    // Half of the 800 ms are for what comes by itself.
    assert!(exit.took < Duration::from_millis(700), "{exit:?}");
}

#[test]
fn ten_graceful_exits_under_load_lose_no_request() {
    // One that nginx has not accepted yet counts from its arrival.
    stop_ten_times("10 × QUIT", Duration::from_millis(20), Nginx::quit);
}

/// A new master, forked and executed by the old one, takes over its sockets. nginx only does that as
/// a daemon.
#[test]
fn a_binary_upgrade_of_a_daemon_loses_no_request() {
    let _turn = one_at_a_time();
    let cluster = cluster();
    let ground = ground(&cluster, NginxBuilder::daemon);
    let nginx = &ground.site.nginx;
    let mut told = Instant::now();
    let (meter, wrong) = ground.under_load(|meter| {
        for _ in 0..2 {
            thread::sleep(Duration::from_millis(200));
            let took = nginx.upgrade();
            println!("upgrade: the old one gone after {took:.0?}");
            assert!(took < Duration::from_secs(1) + NOISE, "{took:?}");
        }
        thread::sleep(Duration::from_millis(200));
        let cut = process::lock(&meter.cut);
        assert!(cut.is_empty(), "{cut:?}");
        drop(cut);
        told = Instant::now() - Duration::from_millis(500);
        let exit = nginx.term();
        assert!(exit.took < Duration::from_secs(1) + NOISE, "{exit:?}");
    });
    assert_left_well(&ground, &meter, &wrong, told);
    assert_said_goodbye(&cluster);
}

/// Each request has a Lua VM of its own then, with a pump of its own, which ends with it.
#[test]
fn reloads_lose_no_request_with_a_vm_for_each() {
    let _turn = one_at_a_time();
    let cluster = cluster();
    let ground = ground(&cluster, |nginx| nginx.http("lua_code_cache off;"));
    let nginx = &ground.site.nginx;
    let mut told = Instant::now();
    let (meter, wrong) = ground.under_load(|meter| {
        for _ in 0..5 {
            let old = nginx.worker_pids();
            nginx.reload();
            let gone = || nginx.worker_pids().is_disjoint(&old);
            assert!(
                process::eventually(Duration::from_secs(2), gone),
                "a worker stays"
            );
        }
        let cut = process::lock(&meter.cut);
        assert!(cut.is_empty(), "{cut:?}");
        drop(cut);
        // Requests take longer then, and wait longer to be accepted.
        told = Instant::now() - Duration::from_millis(250);
        let exit = nginx.quit();
        assert!(exit.status.success(), "{exit:?}");
        assert!(exit.took < Duration::from_secs(1) + NOISE, "{exit:?}");
    });
    assert_left_well(&ground, &meter, &wrong, told);
    assert_said_goodbye(&cluster);
}
