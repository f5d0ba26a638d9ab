//! The clean-up: which sessions it deletes, which it leaves, which process does it, and when.

use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use resty_session_postgres::ops::Cleanup;
use resty_session_postgres::{Epoch, Storage};

use super::{Site, login, number};
use crate::nginx::site;
use crate::support::{self, Calls, NginxBuilder, process};

/// Sessions, of which half have expired.
fn fill(sql: &mut Client, rows: u32) {
    sql.batch_execute(&format!(
        "INSERT INTO sessions SELECT 'key ' || n, 'session', 'value',
           now() + (CASE n % 2 WHEN 0 THEN -1 ELSE 1 END) * interval '1 hour'
         FROM generate_series(1, {rows}) AS n;
         INSERT INTO sessions_meta SELECT 'shop', 'ada', sid FROM sessions WHERE sid LIKE 'key %'"
    ))
    .expect("rows");
}

const EXPIRED: &str = "SELECT count(*) FROM sessions WHERE exp < now()";
const ALL: &str = "SELECT count(*) FROM sessions";
const METADATA: &str = "SELECT count(*) FROM sessions_meta";

#[test]
fn a_cleanup_deletes_expired_sessions_up_to_its_limit() {
    let site = Site::new();
    let (storage, mut sql) = (site.storage(), site.sql());
    fill(&mut sql, 5_000);
    assert_eq!(storage.cleanup(Some(1_200)).expect("a clean-up"), 1_200);
    assert_eq!(number(&mut sql, EXPIRED), 1_300);
    assert_eq!(storage.cleanup(None).expect("a clean-up"), 1_300);
    assert_eq!(storage.cleanup(None).expect("a clean-up"), 0);
    assert_eq!(number(&mut sql, ALL), 2_500);
    assert_eq!(number(&mut sql, METADATA), 2_500);
}

#[test]
fn distributed_tables_are_cleaned_up_without_row_locks() {
    let site = Site::new();
    let mut sql = site.sql();
    // The table by which Citus is recognised.
    sql.batch_execute("CREATE TABLE pg_dist_partition ()")
        .expect("a table");
    fill(&mut sql, 5_000);
    let storage = site.storage();
    assert_eq!(storage.cleanup(Some(1_200)).expect("a clean-up"), 1_200);
    assert_eq!(storage.cleanup(None).expect("a clean-up"), 1_300);
    assert_eq!(number(&mut sql, ALL), 2_500);
    assert_eq!(number(&mut sql, METADATA), 2_500);
}

#[test]
fn distributed_tables_without_a_key_lose_their_metadata_too() {
    let site = Site::new();
    let mut sql = site.sql();
    sql.batch_execute(
        "CREATE TABLE pg_dist_partition ();
         ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey",
    )
    .expect("tables");
    fill(&mut sql, 100);
    assert_eq!(site.storage().cleanup(None).expect("a clean-up"), 50);
    assert_eq!(number(&mut sql, METADATA), 50);
}

#[test]
fn metadata_is_cleaned_up_where_nothing_cascades() {
    let site = Site::new();
    let mut sql = site.sql();
    sql.batch_execute("ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey")
        .expect("no foreign key");
    fill(&mut sql, 100);
    assert_eq!(site.storage().cleanup(None).expect("a clean-up"), 50);
    assert_eq!(number(&mut sql, METADATA), 50);
}

/// A session must have expired a minute ago, by the caller's clock and by the database's.
#[test]
fn a_session_that_is_alive_by_either_clock_stays() {
    let site = Site::new();
    let (storage, mut sql) = (site.storage(), site.sql());
    let now = Epoch::now();
    sql.batch_execute(
        "INSERT INTO sessions (sid, exp) VALUES
           ('2 hours', now() - interval '2 hours'), ('1 hour', now() - interval '1 hour'),
           ('2 minutes', now() - interval '2 minutes'), ('now', now() - interval '10 seconds'),
           ('alive', now() + interval '1 hour')",
    )
    .expect("rows");
    let cleanup = |now| {
        let cleanup = Cleanup::new(None, now);
        storage.call(cleanup).expect("a clean-up");
        number(&mut site.sql(), ALL)
    };
    assert_eq!(cleanup(now.plus(-90 * 60)), 4);
    assert_eq!(cleanup(now.plus(-90)), 3);
    assert_eq!(cleanup(now.plus(90 * 60)), 2);
}

#[test]
fn a_locked_row_is_left_for_the_next_time() {
    let site = Site::new();
    let (storage, mut sql, mut other) = (site.storage(), site.sql(), site.sql());
    fill(&mut sql, 100);
    let mut holder = other.transaction().expect("a transaction");
    holder
        .execute("SELECT FROM sessions WHERE sid = 'key 2' FOR UPDATE", &[])
        .expect("a lock");
    assert_eq!(storage.cleanup(None).expect("a clean-up"), 49);
    holder.rollback().expect("the end");
    assert_eq!(storage.cleanup(None).expect("a clean-up"), 1);
}

#[test]
fn one_process_cleans_up_at_a_time() {
    let site = Site::new();
    let (mut sql, mut other) = (site.sql(), site.sql());
    fill(&mut sql, 100);
    // The lock is the library's own.
    let mut holder = other.transaction().expect("a transaction");
    let taken = "SELECT pg_advisory_xact_lock(hash, 16) FROM (VALUES ($1::int)) AS lock (hash)";
    let hash = "sessions".bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    holder
        .execute(taken, &[&hash.cast_signed()])
        .expect("the lock");
    let storage = Storage::new(site.config(&[("send_timeout", 200.0), ("read_timeout", 200.0)]));
    let error = storage
        .cleanup(None)
        .expect_err("another process cleans up");
    assert!(
        error.to_string().contains("another process cleans up"),
        "{error}"
    );
    assert_eq!(number(&mut sql, EXPIRED), 50);
    holder.rollback().expect("the end");
    assert_eq!(storage.cleanup(None).expect("a clean-up"), 50);
}

/// One operation, and nothing after it.
#[test]
fn a_site_at_rest_is_cleaned_up() {
    let site = Site::new();
    let mut sql = site.sql();
    let keys = [("cleanup_interval", 200.0), ("keepalive_timeout", 1_000.0)];
    let storage = Storage::new(site.config(&keys));
    storage.call(login("first")).expect("a save");
    // The clean-up comes, whether the connection is still there or not.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sql.execute(end, &[]).expect("an end");
    fill(&mut sql, 2_000);
    let clean = || number(&mut site.sql(), EXPIRED) == 0;
    assert!(process::eventually(Duration::from_secs(30), clean));
    assert_eq!(number(&mut site.sql(), ALL), 1_001);
}

/// Four workers in each of two nginx instances delete one after the other.
#[test]
fn many_workers_never_clean_up_at_the_same_time() {
    let database = support::shared();
    let four = |nginx: NginxBuilder| nginx.workers(4);
    let one = site::on(database)
        .conf("cleanup_interval", 50)
        .nginx(four)
        .start();
    let mut sql = one.sql();
    // Every deletion of any rows notes a time within its transaction, after it has taken its turn.
    sql.batch_execute(
        "CREATE TABLE noted (pid int, began timestamptz, ended timestamptz);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
         DECLARE began timestamptz := clock_timestamp(); BEGIN
           IF EXISTS (SELECT FROM gone) THEN
             PERFORM pg_sleep(0.005);
             INSERT INTO noted VALUES (pg_backend_pid(), began, clock_timestamp());
           END IF;
           RETURN NULL; END $$;
         CREATE TRIGGER note AFTER DELETE ON sessions REFERENCING OLD TABLE AS gone
         FOR EACH STATEMENT EXECUTE FUNCTION note()",
    )
    .expect("a trigger");
    // The second instance names the server differently, as one on another machine would.
    let two = site::on(database)
        .conf("database", &*one.database)
        .conf("host", "localhost")
        .conf("cleanup_interval", 50)
        .nginx(four)
        .start();
    for n in 0..40 {
        for site in [&one, &two] {
            assert_eq!(site.get(&format!("key{n}")).status, 404);
        }
    }
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        fill_again(&mut sql);
        thread::sleep(Duration::from_millis(100));
    }
    let clean = || number(&mut one.sql(), EXPIRED) == 0;
    assert!(process::eventually(Duration::from_secs(10), clean));
    let beside = "SELECT count(*) FROM noted AS a JOIN noted AS b ON a.ctid < b.ctid
                  AND a.began < b.ended AND b.began < a.ended AND a.pid <> b.pid";
    assert_eq!(number(&mut sql, beside), 0);
    assert!(number(&mut sql, "SELECT count(*) FROM noted") > 5);
    // Connections of any of the eight workers.
    let cleaners = number(&mut sql, "SELECT count(DISTINCT pid) FROM noted");
    assert!(cleaners > 1, "{cleaners}");
    one.nginx.assert_clean_log();
    two.nginx.assert_clean_log();
}

fn fill_again(sql: &mut Client) {
    sql.batch_execute(
        "INSERT INTO sessions SELECT gen_random_uuid(), 'session', 'value', now() - interval '1 hour'
         FROM generate_series(1, 200)",
    )
    .expect("rows");
}
