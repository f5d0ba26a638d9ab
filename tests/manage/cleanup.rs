//! The clean-up: which sessions it deletes, which it leaves, which process does it, and when.

use std::thread;
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use resty_session_postgres::Epoch;
use resty_session_postgres::ops::{Cleanup, Get};
use serde_json::json;

use super::{login, login_of};
use crate::nginx::site;
use crate::support::{self, Calls, Database, PgBouncer, process};

/// Sessions, of which half have expired.
fn fill(db: &Database, rows: u32) {
    db.execute(&format!(
        "INSERT INTO sessions SELECT 'key ' || n, 'session', 'value',
           now() + (CASE n % 2 WHEN 0 THEN -1 ELSE 1 END) * interval '1 hour'
         FROM generate_series(1, {rows}) AS n;
         INSERT INTO sessions_meta SELECT 'shop', 'ada', sid FROM sessions WHERE sid LIKE 'key %'"
    ));
}

const EXPIRED: &str = "SELECT count(*) FROM sessions WHERE exp < now()";
const ALL: &str = "SELECT count(*) FROM sessions";
const METADATA: &str = "SELECT count(*) FROM sessions_meta";

#[test]
fn a_cleanup_deletes_expired_sessions_and_their_metadata_up_to_its_limit() {
    // The table by which Citus is recognised: distributed tables have no row locks.
    let distributed =
        "SET allow_system_table_mods = on; CREATE TABLE pg_catalog.pg_dist_partition ()";
    let no_key = "ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey";
    for tables in ["", distributed, no_key, &format!("{distributed}; {no_key}")] {
        let db = Database::new();
        db.execute(tables);
        fill(&db, 5_000);
        let storage = db.storage();
        for (limit, deleted) in [(Some(1_200), 1_200), (None, 1_300), (None, 0)] {
            assert_eq!(storage.cleanup(limit), Ok(deleted), "{tables}");
        }
        assert_eq!(db.number(EXPIRED), 0, "{tables}");
        assert_eq!(db.number(ALL), 2_500, "{tables}");
        assert_eq!(db.number(METADATA), 2_500, "{tables}");
    }
}

/// Such a pooler refuses transactions of several statements.
#[test]
fn a_pooler_of_statements_serves_the_cleanup() {
    let db = Database::new();
    fill(&db, 300);
    let pooler = PgBouncer::start(support::shared(), "statement", "");
    let storage = db.storage_with(json!({ "port": pooler.port() }));
    let expired = db.number(EXPIRED).unsigned_abs();
    assert!(expired > 0);
    assert_eq!(storage.cleanup(None), Ok(expired));
    assert_eq!(db.number(EXPIRED), 0);
}

/// A session must have expired a minute ago, by the caller's clock and by the database's.
#[test]
fn a_session_that_is_alive_by_either_clock_stays() {
    let db = Database::new();
    let (storage, now) = (db.storage(), Epoch::now());
    db.execute(
        "INSERT INTO sessions (sid, exp) VALUES
           ('2 hours', now() - interval '2 hours'), ('1 hour', now() - interval '1 hour'),
           ('2 minutes', now() - interval '2 minutes'), ('now', now() - interval '10 seconds'),
           ('alive', now() + interval '1 hour')",
    );
    let cleanup = |now| {
        storage.call(Cleanup::new(None, now)).expect("a clean-up");
        db.number(ALL)
    };
    assert_eq!(cleanup(now.plus(-90 * 60)), 4);
    assert_eq!(cleanup(now.plus(-90)), 3);
    assert_eq!(cleanup(now.plus(90 * 60)), 2);
}

/// A minute after its last second, on the slower one of the two clocks, and not a fraction of a second earlier.
#[test]
fn a_session_is_deleted_in_the_second_after_its_minute() {
    let db = Database::new();
    let storage = db.storage_with(json!({ "cleanup_interval": 0 }));
    let now = Epoch::now().plus(-3600);
    let deleted_after = |seconds: i64| {
        storage.call(login_of("ada", "key", 0)).expect("a save");
        let at = now.plus(-seconds).seconds();
        db.execute(&format!("UPDATE sessions SET exp = to_timestamp({at})"));
        storage.call(Cleanup::new(None, now)).expect("a clean-up")
    };
    assert_eq!([59, 60, 61].map(deleted_after), [0, 0, 1]);

    // The database's clock goes on between two statements.
    let second = || db.number("SELECT floor(extract(epoch FROM now()))::bigint");
    let deleted = (0..20).find_map(|_| {
        storage.call(login_of("ada", "key", 0)).expect("a save");
        let began: i64 = db.one(
            "UPDATE sessions SET exp = date_trunc('second', now()) - interval '60 seconds'
             RETURNING extract(epoch FROM exp)::bigint + 60",
        );
        let ahead = Epoch::now().plus(60);
        let deleted = storage.call(Cleanup::new(None, ahead)).expect("a clean-up");
        (second() == began).then_some(deleted)
    });
    assert_eq!(deleted, Some(0));
}

/// A row of a child may be where one of its parent is that has expired, and may have its key.
#[test]
fn live_sessions_of_a_table_that_inherits_stay() {
    let db = Database::new();
    db.execute(
        "CREATE TABLE more () INHERITS (sessions);
         INSERT INTO sessions (sid, exp) SELECT 'old ' || n, now() - interval '1 hour'
         FROM generate_series(1, 100) AS n;
         INSERT INTO more (sid, exp) SELECT 'live ' || n, now() + interval '1 hour'
         FROM generate_series(1, 100) AS n;
         INSERT INTO more (sid, exp) VALUES ('old 7', now() + interval '1 hour')",
    );
    assert_eq!(db.storage().cleanup(None), Ok(100));
    assert_eq!(db.number("SELECT count(*) FROM sessions WHERE exp > now()"), 101);
}

#[test]
fn a_locked_row_is_left_for_the_next_time() {
    let db = Database::new();
    let (storage, mut other) = (db.storage(), db.sql());
    fill(&db, 100);
    let holder = site::lock_row(&mut other, "key 2");
    assert_eq!(storage.cleanup(None), Ok(49));
    holder.rollback().expect("the end");
    assert_eq!(storage.cleanup(None), Ok(1));
}

/// The first number of the advisory locks of tables of that name.
fn locks(table: &str) -> i32 {
    let step = |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    table.bytes().fold(0x811c_9dc5, step).cast_signed()
}

#[test]
fn one_process_cleans_up_at_a_time() {
    let db = Database::new();
    let mut other = db.sql();
    fill(&db, 100);
    // The lock is the library's own.
    let mut holder = other.transaction().expect("a transaction");
    let taken = holder.execute("SELECT pg_advisory_xact_lock($1, 16)", &[&locks("sessions")]);
    taken.expect("the lock");
    let storage = db.storage_with(json!({ "send_timeout": 200, "read_timeout": 200 }));
    let error = storage.cleanup(None).expect_err("a clean-up").to_string();
    assert!(error.contains("another process cleans up"), "{error}");
    assert_eq!(db.number(EXPIRED), 50);
    holder.rollback().expect("the end");
    assert_eq!(storage.cleanup(None), Ok(50));
}

/// Any role that may connect can take any advisory lock.
#[test]
fn a_strangers_locks_stop_no_clean_up_and_only_saves_with_metadata() {
    let content = "local user = require('site').storage()
        local metadata = ngx.var.arg_subject and { audiences = { 'shop' }, subjects = { 'ada' } }
        local ok, err = user:set('n', 'key', 'value', 60, ngx.time(), nil, nil, metadata)
        ngx.print(ok and 'saved' or err)";
    let plan = site::on(support::shared()).conf("cleanup_interval", 50).content("/save", content);
    let site = plan.start();
    let database = &*site.database;
    let mut admin = site.sql();
    let stranger = format!("stranger_{database}");
    let password = support::password();
    let role = format!("CREATE ROLE {stranger} LOGIN PASSWORD '{password}'");
    admin.batch_execute(&role).expect("a role");
    let mut sql = Client::connect(
        &format!(
            "host=127.0.0.1 port={} dbname={database} user={stranger} password={password}",
            support::shared().port()
        ),
        NoTls,
    )
    .expect("a connection");
    let take = "SELECT pg_advisory_lock_shared($1, 16), pg_advisory_lock($1, n)
                FROM generate_series(0, 15) AS n";
    sql.execute(take, &[&locks("sessions")]).expect("all locks");

    let save = |query: &str| site.nginx.get(&format!("/save{query}")).body;
    assert_eq!(save(""), "saved");
    assert!(save("?subject=ada").contains("locked by another transaction"));
    admin
        .batch_execute(
            "INSERT INTO sessions (sid, exp) SELECT 'old ' || n, now() - interval '1 hour'
             FROM generate_series(1, 5000) AS n",
        )
        .expect("sessions");
    process::wait_until(20, "no expired session is left", || {
        support::one::<i64>(&mut admin, EXPIRED) == 0
    });
    assert_eq!(save(""), "saved");
    let log = site.nginx.error_log();
    let named = format!("an advisory lock that the role {stranger} holds");
    assert!(log.contains(&named), "{log}");
    drop(sql);
    process::wait_until(5, "no save", || save("?subject=ada") == "saved");
}

#[test]
fn a_strangers_lock_does_not_stop_a_clean_up_that_is_asked_for() {
    let db = Database::new();
    fill(&db, 100);
    let mut holder = db.sql();
    holder.execute("SELECT pg_advisory_lock($1, 16)", &[&locks("sessions")]).expect("the lock");
    let storage = db.storage_with(json!({ "cleanup_interval": 0 }));
    assert_eq!(storage.cleanup(None), Ok(50));
}

/// Who holds a lock is looked up for the log only.
#[test]
fn a_role_that_may_not_see_locks_waits_for_them_like_any_other() {
    let db = Database::new();
    let role = db.create_role("web");
    db.execute(&format!(
        "GRANT ALL ON sessions, sessions_meta TO {role};
         REVOKE SELECT ON pg_locks, pg_stat_activity FROM PUBLIC"
    ));
    let storage = db.storage_with(json!({ "username": role, "cleanup_interval": 0 }));
    storage.call(login("key 1")).expect("a save");
    let mut other = db.sql();
    thread::scope(|scope| {
        let holder = site::lock_row(&mut other, "key 1");
        let saved = scope.spawn(|| storage.call(login("key 1")));
        thread::sleep(Duration::from_millis(400));
        holder.rollback().expect("the end");
        saved.join().expect("no panic").expect("a save");
    });
}

/// One operation, and nothing after it.
#[test]
fn a_site_at_rest_is_cleaned_up() {
    let db = Database::new();
    let storage = db.storage_with(json!({ "cleanup_interval": 200, "keepalive_timeout": 1_000 }));
    storage.call(login("first")).expect("a save");
    // A caller whose clock is far behind holds nothing up.
    let long_ago = Epoch::from_seconds("current_time", 0.0).expect("a time");
    storage.call(Get::new("first", long_ago).expect("a key")).expect("an answer");
    // The clean-up comes, whether the connection is still there or not.
    support::disconnect(&mut db.sql());
    fill(&db, 2_000);
    process::wait_until(30, "no expired session is left", || db.number(EXPIRED) == 0);
    assert_eq!(db.number(ALL), 1_001);
}

/// Four workers in each of two nginx instances delete one after the other.
#[test]
fn many_workers_never_clean_up_at_the_same_time() {
    let db = Database::new();
    let plan = |host| {
        site::on(support::shared())
            .conf("host", host)
            .conf("database", &*db.name)
            .conf("cleanup_interval", 50)
            .nginx(|nginx| nginx.workers(4))
    };
    // The second instance names the server differently, as one on another machine would.
    let [one, two] = ["127.0.0.1", "localhost"].map(|host| plan(host).start());
    // Every deletion of any rows notes a time within its transaction, after it has taken its turn.
    db.execute(
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
    );
    for n in 0..40 {
        for site in [&one, &two] {
            assert_eq!(site.get(&format!("key{n}")).status, 404);
        }
    }
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        db.execute(
            "INSERT INTO sessions SELECT gen_random_uuid(), 'session', 'value',
               now() - interval '1 hour' FROM generate_series(1, 200)",
        );
        thread::sleep(Duration::from_millis(100));
    }
    process::wait_until(10, "no expired session is left", || db.number(EXPIRED) == 0);
    let beside = "SELECT count(*) FROM noted AS a JOIN noted AS b ON a.ctid < b.ctid
                  AND a.began < b.ended AND b.began < a.ended AND a.pid <> b.pid";
    assert_eq!(db.number(beside), 0);
    assert!(db.number("SELECT count(*) FROM noted") > 5);
    // Connections of any of the eight workers.
    let cleaners = db.number("SELECT count(DISTINCT pid) FROM noted");
    assert!(cleaners > 1, "{cleaners}");
}
