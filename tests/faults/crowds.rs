//! More operations than there is room for, and what an outage does to those who wait for its end.

use std::io::Read;
use std::time::Duration;

use postgres::Client;

use super::site::{self, CONNECT, timed, together};
use super::trial::one_at_a_time;
use crate::support::{Cluster, disconnect};

/// Those beyond the backlog fail at once and clearly, the rest completes, and then all is as it was.
#[test]
fn a_crowd_beyond_the_backlog_is_turned_away_and_the_others_are_served() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().start();
    let site = site::on(&cluster).conf("backlog", 50).start();
    site.assert_works();
    let worker = site.worker();
    let mut memory = Vec::new();
    for _ in 0..3 {
        cluster.pause();
        let answers = std::thread::scope(|scope| {
            let crowd = scope.spawn(|| {
                together(300, |_| {
                    let mut response = String::new();
                    let mut client = site.leave("/call?do=get&key=works");
                    client.read_to_string(&mut response).expect("a response");
                    response
                })
            });
            std::thread::sleep(CONNECT / 2);
            cluster.resume();
            crowd.join().expect("no panic")
        });
        memory.push(site::memory(worker));
        let is_served = |(response, _): &(String, _)| response.starts_with("HTTP/1.1 200");
        let (served, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(is_served);
        for (response, took) in &refused {
            let clear = "too many waiting operations (the backlog of 50 is full)";
            assert!(response.ends_with(clear), "{response}");
            assert!(*took < CONNECT / 2, "{took:?}");
        }
        // One that a connection could be had for does not count as waiting, and what the first
        // statement holds does not wait any more.
        assert!((50..=54 + 128).contains(&served.len()), "{}", served.len());
        let (_, took) = timed(|| site.assert_works());
        assert!(took < Duration::from_millis(250), "{took:?}");
    }
    println!("memory after each crowd, in KiB: {memory:?}");
    assert!(memory[2] < memory[0] + 4_000, "{memory:?}");
}

fn attempts(cluster: &Cluster) -> usize {
    cluster.log().matches("connection received").count()
}

/// While a server starts up it refuses all connections: each process makes one attempt at a time, with
/// growing random pauses.
#[test]
fn reconnecting_does_not_flood_a_server_that_comes_back() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder()
        .setting("log_connections", "on")
        .setting("max_connections", "10")
        .start();
    let site =
        site::on(&cluster).conf("connect_timeout", 3500).nginx(|nginx| nginx.workers(2)).start();
    site.assert_works();
    let mut sql = site.sql();
    let others = take_all_connections(&cluster, &mut sql);
    let before = attempts(&cluster);
    std::thread::scope(|scope| {
        let crowd = scope.spawn(|| together(200, |_| site.get("works")));
        std::thread::sleep(Duration::from_millis(2000));
        let during = attempts(&cluster) - before;
        println!("{during} attempts of two workers in 2 s, with 200 requests waiting");
        // 20, 40, 80 … 500 ms, less what chance takes off, of each worker.
        assert!((6..=30).contains(&during), "{during} attempts");
        drop(others);
        let (_, took) = timed(|| crowd.join().expect("no panic"));
        assert!(took < Duration::from_secs(1), "{took:?}");
        let after = attempts(&cluster) - before - during;
        // Each opens a few connections, once there is room.
        assert!(after <= 12, "{after} attempts");
        disconnect(&mut sql);
    });
}

/// All connections of the server in place of the site's, each of whose attempts it then refuses.
pub fn take_all_connections(cluster: &Cluster, sql: &mut Client) -> Vec<Client> {
    let mut others = Vec::new();
    while disconnect(sql) > 0 || others.is_empty() {
        while let Ok(other) = cluster.try_client("postgres") {
            others.push(other);
        }
    }
    others
}
