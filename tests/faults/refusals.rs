//! The server is there and answers, but does not do what it is asked: its disk is full, it only lets
//! itself be read, its tables or its locks are gone, or it does not know its client any more.

use std::thread;
use std::time::Duration;

use postgres::Client;

use super::trial::{Ground, one_at_a_time};
use crate::support::Cluster;

const LONG: Duration = Duration::from_millis(600);

fn execute(sql: &mut Client, statements: &str) {
    sql.batch_execute(statements).unwrap_or_else(|error| panic!("{statements}: {error}"));
}

#[test]
fn what_the_server_rejects_fails_clearly_and_works_again_later() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().start();
    let ground = Ground::on(&cluster);
    let mut sql = ground.site.sql();
    let read_only = |on| cluster.set("default_transaction_read_only", on);
    ground.trial("read-only", &["SQLSTATE 25006"], || {
        read_only("on");
        thread::sleep(LONG);
        read_only("off");
    });
    ground.trial("tables missing", &["SQLSTATE 42P01"], || {
        execute(&mut sql, "ALTER TABLE sessions RENAME TO elsewhere");
        thread::sleep(LONG);
        execute(&mut sql, "ALTER TABLE elsewhere RENAME TO sessions");
    });
}

#[test]
fn a_lock_table_that_others_have_filled_fails_only_saves() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder()
        .setting("max_connections", "40")
        .setting("max_locks_per_transaction", "10")
        .start();
    let ground = Ground::on(&cluster);
    let mut hog = ground.site.sql();
    ground.trial("out of shared memory", &["SQLSTATE 53200"], || {
        let fill = "SELECT pg_advisory_lock(n) FROM generate_series(1, 100000) n";
        let full = hog.batch_execute(fill).expect_err("there are not so many locks");
        assert_eq!(full.code().map(|code| code.code()), Some("53200"), "{full}");
        thread::sleep(LONG);
        execute(&mut hog, "SELECT pg_advisory_unlock_all()");
    });
}

/// A role with what it needs, and with a password.
const ROLE: &str = "
    CREATE ROLE web LOGIN PASSWORD 'correct-horse';
    GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, sessions_meta TO web;";

const THROW_OUT: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'web'";

#[test]
fn a_role_that_loses_its_rights_gets_errors_until_it_has_them_again() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().hba("host all all 127.0.0.1/32 scram-sha-256").start();
    let settings = [("username", "web".into()), ("password", "correct-horse".into())];
    execute(&mut cluster.client("template1"), ROLE);
    let ground = Ground::with(&cluster, &settings, |nginx| nginx);
    let mut sql = ground.site.sql();
    ground.trial("a privilege revoked", &["SQLSTATE 42501"], || {
        execute(&mut sql, "REVOKE INSERT, UPDATE ON sessions FROM web");
        thread::sleep(LONG);
        execute(&mut sql, "GRANT INSERT, UPDATE ON sessions TO web");
    });
    // One looks whether the password is right again; who waits for that may run out of time.
    let refused = &["no connection to start-up", "no connection to within ms"];
    ground.trial("the password changed", refused, || {
        execute(&mut sql, "ALTER ROLE web PASSWORD 'battery-staple'");
        execute(&mut sql, THROW_OUT);
        thread::sleep(LONG);
        execute(&mut sql, "ALTER ROLE web PASSWORD 'correct-horse'");
    });
    let log = ground.site.nginx.error_log();
    assert!(!log.contains("correct-horse"), "{log}");
}

/// The server may give up altogether, where it finds no room for its log.
const FULL: &[&str] = &["SQLSTATE 53100", "no connection to within ms", "connection to lost"];

#[test]
fn a_full_disk_loses_nothing() {
    let _turn = one_at_a_time();
    let cluster = Cluster::builder().disk(160).start();
    let ground = Ground::on(&cluster);
    let mut sql = ground.site.sql();
    ground.trial("a full disk", FULL, || {
        let ballast = cluster.disk().fill();
        // What grows a table finds that there is no room; updates may find some in it.
        let grown = sql.batch_execute("CREATE TABLE large AS SELECT generate_series(1, 100000)");
        assert!(grown.is_err(), "there was room");
        thread::sleep(2 * LONG);
        drop(ballast);
        if !cluster.is_running() {
            cluster.start_again();
        }
        cluster.wait_until_up();
    });
}
