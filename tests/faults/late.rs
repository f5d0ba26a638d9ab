//! A statement whose connection was given up is not carried out over what was saved meanwhile, also if
//! the server had not begun with it and goes on much later.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use postgres::Client;
use resty_session_postgres::ops::Set;
use resty_session_postgres::{Epoch, Error, Storage};
use serde_json::json;

use super::relay::{Mode, Relay};
use super::trial::one_at_a_time;
use crate::support::{self, Calls, Cluster, one, process};

/// A storage with one connection, which has 200 ms for an answer.
fn storage(cluster: &Cluster, database: &str, host: &str, port: u16) -> Storage {
    let keys = json!({
        "host": host, "port": port, "pool_size": 1, "cleanup_interval": 0,
        "connect_timeout": 1000, "send_timeout": 100, "read_timeout": 100,
    });
    cluster.storage(database, keys)
}

fn save(storage: &Storage, value: &str) -> Result<(), Error> {
    let expires = Epoch::now().plus(3600);
    storage.call(Set::new("session", "key", value, expires).expect("texts"))
}

/// Saves, and stops the server's process of the storage's one connection.
fn stop_backend(storage: &Storage, sql: &mut Client) -> u32 {
    save(storage, "before").expect("a save");
    let query = "SELECT pid FROM pg_stat_activity
                 WHERE application_name = 'pgmoon' AND datname = current_database()";
    let stopped = one::<i32>(sql, query).cast_unsigned();
    process::signal(stopped, Signal::SIGSTOP);
    stopped
}

/// The stopped process goes on, and ends; the session has this value then.
fn go_on(stopped: u32, storage: &Storage, sql: &mut Client, value: &str) {
    process::signal(stopped, Signal::SIGCONT);
    let there = format!("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {stopped})");
    process::wait_until(5, "the backend ends", || !one::<bool>(sql, &there));
    assert_eq!(storage.get("key").expect("an answer").as_deref(), Some(value));
}

/// Other clients of the same role, each idle.
fn bystanders(cluster: &Cluster, database: &str) -> Vec<Client> {
    (0..5).map(|_| cluster.client(database)).collect()
}

/// Saves on a backend that has been stopped before the statement arrives, then saves again: what counts
/// is the later one, also when the backend has gone on.
fn outdo_a_stopped_backend(storage: &Storage, sql: &mut Client) {
    let stopped = stop_backend(storage, sql);
    let late = save(storage, "late");
    let newer = save(storage, "newer");
    go_on(stopped, storage, sql, "newer");
    assert!(matches!(late, Err(Error::Timeout { .. })), "{late:?}");
    newer.expect("a save");
}

#[test]
fn a_save_that_timed_out_is_not_carried_out_over_a_newer_one() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().start();
    let socket = cluster.socket_dir().to_str().expect("a path");
    for host in ["127.0.0.1", socket] {
        let database = cluster.create_database();
        let mut sql = cluster.client(&database);
        let mut others = bystanders(&cluster, &database);
        let storage = storage(&cluster, &database, host, cluster.port());
        for _ in 0..5 {
            outdo_a_stopped_backend(&storage, &mut sql);
        }
        for other in &mut others {
            assert_eq!(one::<i32>(other, "SELECT 1"), 1);
        }
    }
}

#[test]
fn a_save_whose_connection_was_cut_is_not_carried_out_over_a_newer_one() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().start();
    let database = cluster.create_database();
    let mut sql = cluster.client(&database);
    let relay = Relay::to(cluster.port());
    let storage = storage(&cluster, &database, "127.0.0.1", relay.port());
    let stopped = stop_backend(&storage, &mut sql);
    thread::scope(|scope| {
        let late = scope.spawn(|| save(&storage, "late"));
        // The statement is with the backend.
        thread::sleep(Duration::from_millis(50));
        relay.cut();
        late.join().expect("an answer").expect("it is repeated on another connection");
    });
    save(&storage, "newer").expect("a save");
    go_on(stopped, &storage, &mut sql, "newer");
}

/// The network is gone, too, for longer than a call lasts.
#[test]
fn what_was_given_up_while_no_server_could_be_reached_ends_before_the_first_save_after_that() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().start();
    let database = cluster.create_database();
    let mut sql = cluster.client(&database);
    let relay = Relay::to(cluster.port());
    let storage = storage(&cluster, &database, "127.0.0.1", relay.port());
    let stopped = stop_backend(&storage, &mut sql);
    save(&storage, "late").expect_err("nothing answers");
    relay.set(Mode::Lose);
    save(&storage, "later").expect_err("no connection opens");
    relay.set(Mode::Pass);
    save(&storage, "newer").expect("a save");
    go_on(stopped, &storage, &mut sql, "newer");
}

/// Another process could save it meanwhile, so it is not left to the next operation.
#[test]
fn what_timed_out_is_ended_without_another_operation() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().start();
    let database = cluster.create_database();
    let mut sql = cluster.client(&database);
    let storage = storage(&cluster, &database, "127.0.0.1", cluster.port());
    let stopped = stop_backend(&storage, &mut sql);
    save(&storage, "late").expect_err("nothing answers");
    thread::sleep(Duration::from_millis(500));
    go_on(stopped, &storage, &mut sql, "before");
}

#[test]
fn where_backends_may_not_be_ended_the_storage_works_all_the_same() {
    let _turn = one_at_a_time();
    for (function, refusals) in [("pg_terminate_backend", 1), ("pg_stat_get_activity", 2)] {
        let cluster = Cluster::builder().start();
        let database = cluster.create_database();
        let mut sql = cluster.client(&database);
        let role = format!(
            "CREATE ROLE weak LOGIN PASSWORD '{}'; GRANT ALL ON sessions, sessions_meta TO weak;
             REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC",
            support::password()
        );
        sql.batch_execute(&role).expect("a role");
        let keys = json!({
            "username": "weak", "pool_size": 1, "cleanup_interval": 0,
            "connect_timeout": 1000, "send_timeout": 100, "read_timeout": 100,
        });
        let storage = cluster.storage(&database, keys);
        let stopped = stop_backend(&storage, &mut sql);
        save(&storage, "late").expect_err("nothing answers");
        for value in ["newer", "newest"] {
            save(&storage, value).expect("a save");
        }
        process::signal(stopped, Signal::SIGCONT);
        // Once for what was given up, or once for each connection.
        let refused = format!("permission denied for function {function}");
        assert_eq!(cluster.log().matches(&refused).count(), refusals, "{function}");
    }
}
