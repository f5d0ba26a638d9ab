//! The clean-up where deletions are slow, or fail for some sessions.

use std::thread;
use std::time::{Duration, Instant};

use resty_session_postgres::Error;
use resty_session_postgres::ops::Check;
use serde_json::json;

use super::login;
use crate::nginx::site;
use crate::support::{self, Calls, Database, process};

const ALL: &str = "SELECT count(*) FROM sessions";

/// Sessions that have expired, the first one the longest ago.
fn add_expired(db: &Database, prefix: &str, rows: u32) {
    db.execute(&format!(
        "INSERT INTO sessions SELECT '{prefix} ' || n, 'session', 'value',
           now() - interval '2 hours' + n * interval '1 second'
         FROM generate_series(1, {rows}) AS n;
         INSERT INTO sessions_meta SELECT 'shop', 'ada', sid FROM sessions
         WHERE sid LIKE '{prefix} %'"
    ));
}

/// Has each statement that deletes sessions note how many, and each deleted session take so long.
fn slow_down(db: &Database, seconds: f64) {
    db.execute(&format!(
        "CREATE TABLE noted (rows bigint);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO noted SELECT count(*) FROM gone; RETURN NULL; END $$;
         CREATE TRIGGER note AFTER DELETE ON sessions REFERENCING OLD TABLE AS gone
         FOR EACH STATEMENT EXECUTE FUNCTION note();
         CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           PERFORM pg_sleep({seconds}); RETURN NULL; END $$;
         CREATE TRIGGER nap AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION nap()"
    ));
}

const MOST: &str = "SELECT coalesce(max(rows), 0) FROM noted";

/// As where the metadata has no index by session, and is large.
#[test]
fn slow_deletions_are_statements_of_few_rows() {
    let db = Database::new();
    slow_down(&db, 0.05);
    add_expired(&db, "old", 200);
    let keys = json!({ "cleanup_interval": 50, "send_timeout": 300, "read_timeout": 300 });
    let storage = db.storage_with(keys);
    storage.call(login("key")).expect("a save");
    process::wait_until(20, "some sessions are deleted", || db.number(ALL) <= 195);
    let most = db.number(MOST);
    assert!((1..=2).contains(&most), "{most}");
    // Once nothing slows them down, they grow again.
    db.execute("DROP TRIGGER nap ON sessions");
    add_expired(&db, "more", 5_000);
    process::wait_until(60, "no expired session is left", || db.number(ALL) == 1);
    assert!(db.number(MOST) >= 100);
}

/// The size of the statements is known to the next call.
#[test]
fn a_clean_up_that_is_asked_for_ends_in_time_where_deletions_are_slow() {
    let db = Database::new();
    slow_down(&db, 0.05);
    add_expired(&db, "old", 20);
    let keys = json!({ "cleanup_interval": 0, "send_timeout": 300, "read_timeout": 300 });
    let storage = db.storage_with(keys);
    let mut deleted = 0;
    while deleted < 20 {
        let start = Instant::now();
        let some = storage.cleanup(None).expect("a clean-up");
        assert!(some > 0 && start.elapsed() < Duration::from_millis(600), "{some}");
        deleted += some;
    }
    assert_eq!(storage.cleanup(None), Ok(0));
    assert_eq!(deleted, 20);
}

/// What each statement takes, whatever it deletes, is no reason for small ones.
#[test]
fn slow_statements_are_as_large_as_others() {
    let db = Database::new();
    slow_down(&db, 0.0);
    db.execute(
        "CREATE FUNCTION nap_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           PERFORM pg_sleep(0.06); RETURN NULL; END $$;
         CREATE TRIGGER nap_once AFTER DELETE ON sessions
         FOR EACH STATEMENT EXECUTE FUNCTION nap_once()",
    );
    add_expired(&db, "old", 500);
    let storage = db.storage_with(json!({ "cleanup_interval": 50 }));
    storage.call(login("key")).expect("a save");
    process::wait_until(60, "no expired session is left", || db.number(ALL) == 1);
    let most = db.number(MOST);
    assert!(most >= 30, "{most}");
}

/// Each table has its own size.
#[test]
fn slow_deletions_from_one_table_do_not_slow_another_one_down() {
    let [slow, fast] = [Database::new(), Database::new()];
    slow_down(&slow, 0.05);
    slow_down(&fast, 0.0);
    add_expired(&slow, "old", 2_000);
    add_expired(&fast, "old", 5_000);
    let keys = json!({ "cleanup_interval": 50 });
    let storages = [&slow, &fast].map(|db| db.storage_with(keys.clone()));
    for storage in &storages {
        storage.call(login("key")).expect("a save");
    }
    process::wait_until(60, "no expired session is left", || fast.number(ALL) == 1);
    assert!(fast.number(MOST) >= 100);
    assert!(slow.number(MOST) <= 2);
}

/// A process that meets another one's turn leaves the rest to that one.
#[test]
fn many_processes_do_not_keep_the_server_busy_where_deletions_are_slow() {
    let db = Database::new();
    slow_down(&db, 0.05);
    add_expired(&db, "old", 1_000);
    let storage = |name: &str| {
        let keys = json!({ "cleanup_interval": 10_000, "application": name });
        db.storage_with(keys)
    };
    let storages: Vec<_> = (0..8).map(|n| storage(&format!("worker {n}"))).collect();
    for (n, storage) in storages.iter().enumerate() {
        storage.call(login(format!("key {n}"))).expect("a save");
    }
    // By then all have begun, and each of them would delete two sessions a second.
    thread::sleep(Duration::from_secs(12));
    let before = db.number(ALL);
    thread::sleep(Duration::from_secs(6));
    let deleted = before - db.number(ALL);
    assert!((3..60).contains(&deleted), "{deleted}");
}

/// The lines come to nginx's log although no request brings them, whether coroutines have waited or not.
#[test]
fn a_missing_index_that_makes_deletions_slow_is_logged_also_without_requests() {
    let blocking = "header_filter_by_lua_block { require('site').storage():get('session', 'key') }
                    return 204;";
    let site = site::on(support::shared()).conf("cleanup_interval", 50);
    let site = site.nginx(|nginx| nginx.location("/blocking", blocking)).start();
    names_the_missing_index(&site, || assert_eq!(site.nginx.get("/blocking").status, 204));
    let site = site::on(support::shared()).conf("cleanup_interval", 50).start();
    names_the_missing_index(&site, || site.assert_works());
}

fn names_the_missing_index(site: &site::Site<'_>, first_request: impl Fn()) {
    let mut sql = site.sql();
    sql.batch_execute(
        "DROP INDEX IF EXISTS sessions_meta_sid_idx;
         INSERT INTO sessions SELECT 'old ' || n, 'session', 'value', now() - interval '1 hour'
         FROM generate_series(1, 50) AS n;
         CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           PERFORM pg_sleep(0.05); RETURN NULL; END $$;
         CREATE TRIGGER nap AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION nap()",
    )
    .expect("slow deletions");
    first_request();
    let statement = "CREATE INDEX CONCURRENTLY ON \"sessions_meta\" (sid)";
    let logged = || site.nginx.error_log().matches(statement).count();
    process::wait_until(20, "the log names the index", || logged() > 0);
    process::wait_until(30, "more are deleted", || {
        support::one::<i64>(&mut sql, "SELECT count(*) FROM sessions WHERE sid LIKE 'old %'") < 20
    });
    assert_eq!(logged(), 1, "{}", site.nginx.error_log());
}

/// Tables that each forbid that the session `held 42` be deleted.
fn obstacles() -> [(&'static str, &'static str, &'static str); 3] {
    let key = "CREATE TABLE orders (sid text REFERENCES sessions);
               INSERT INTO orders VALUES ('held 42')";
    let raises = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    RAISE 'not the session %', OLD.sid; END $$;
                  CREATE TRIGGER refuse BEFORE DELETE ON sessions FOR EACH ROW
                  WHEN (OLD.sid = 'held 42') EXECUTE FUNCTION refuse()";
    let keeps = "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   RETURN NULL; END $$;
                 CREATE TRIGGER keep BEFORE DELETE ON sessions FOR EACH ROW
                 WHEN (OLD.sid = 'held 42') EXECUTE FUNCTION keep()";
    [
        ("a foreign key", key, "DROP TABLE orders"),
        ("a trigger", raises, "DROP TRIGGER refuse ON sessions"),
        ("a trigger that says nothing", keeps, "DROP TRIGGER keep ON sessions"),
    ]
}

#[test]
fn a_session_that_cannot_be_deleted_is_passed_over() {
    let distributed =
        "SET allow_system_table_mods = on; CREATE TABLE pg_catalog.pg_dist_partition ()";
    for tables in ["", distributed] {
        for (what, obstacle, removal) in obstacles() {
            let db = Database::new();
            db.execute(tables);
            add_expired(&db, "held", 2_500);
            db.execute(obstacle);
            let storage = db.storage_with(json!({ "cleanup_interval": 0 }));
            assert_eq!(storage.cleanup(None), Ok(2_499), "{what}, {tables}");
            assert_eq!(storage.cleanup(None), Ok(0), "{what}, {tables}");
            assert_eq!(db.number(ALL), 1, "{what}, {tables}");
            db.execute(removal);
            assert_eq!(storage.cleanup(None), Ok(1), "{what}, {tables}");
        }
    }
}

#[test]
fn a_locked_session_of_a_partitioned_table_is_passed_over() {
    let db = Database::new();
    db.execute(
        "DROP TABLE sessions_meta, sessions;
         CREATE TABLE sessions (sid text PRIMARY KEY, name text, data text, exp timestamptz)
         PARTITION BY HASH (sid);
         CREATE TABLE one PARTITION OF sessions FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE two PARTITION OF sessions FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         CREATE TABLE sessions_meta (aud text, sub text, sid text,
           FOREIGN KEY (sid) REFERENCES sessions (sid) ON DELETE CASCADE)",
    );
    add_expired(&db, "held", 500);
    let storage = db.storage_with(json!({ "cleanup_interval": 0 }));
    let mut other = db.sql();
    let holder = site::lock_row(&mut other, "held 42");
    assert_eq!(storage.cleanup(None), Ok(499));
    holder.rollback().expect("the end");
    assert_eq!(storage.cleanup(None), Ok(1));
}

/// They may be the oldest of all, and many.
#[test]
fn many_sessions_that_cannot_be_deleted_do_not_stop_the_others() {
    let db = Database::new();
    add_expired(&db, "held", 200);
    add_expired(&db, "old", 2_000);
    db.execute(
        "UPDATE sessions SET exp = exp - interval '1 day' WHERE sid LIKE 'held %';
         CREATE TABLE orders AS SELECT sid FROM sessions WHERE sid LIKE 'held %';
         ALTER TABLE orders ADD FOREIGN KEY (sid) REFERENCES sessions;
         CREATE SEQUENCE tries;
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           PERFORM nextval('tries'); RETURN OLD; END $$;
         CREATE TRIGGER note BEFORE DELETE ON sessions FOR EACH ROW
         WHEN (OLD.sid LIKE 'held %') EXECUTE FUNCTION note()",
    );
    let storage = db.storage_with(json!({ "cleanup_interval": 50 }));
    storage.call(login("key")).expect("a save");
    process::wait_until(60, "the others are deleted", || db.number(ALL) == 201);
    // The next ones are deleted at once, long before those are tried again.
    let tries = db.number("SELECT last_value FROM tries");
    db.execute(
        "INSERT INTO sessions SELECT 'more ' || n, 'session', 'value', now() - interval '90 seconds'
         FROM generate_series(1, 2000) AS n",
    );
    process::wait_until(60, "the next ones are deleted", || db.number(ALL) == 201);
    assert_eq!(db.number("SELECT last_value FROM tries"), tries);
}

/// There is no order among them to go on by.
#[test]
fn many_sessions_of_one_second_that_cannot_be_deleted_do_not_stop_the_others() {
    let db = Database::new();
    for (year, last) in [("'2001-01-01'", 1_500), ("'-infinity'", 3_000)] {
        db.execute(&format!(
            "INSERT INTO sessions SELECT 'held ' || n, 'session', 'value', {year}
             FROM generate_series({last} - 1499, {last}) AS n"
        ));
    }
    db.execute(
        "CREATE TABLE orders AS SELECT sid FROM sessions;
         ALTER TABLE orders ADD FOREIGN KEY (sid) REFERENCES sessions",
    );
    add_expired(&db, "old", 500);
    let keys = json!({ "cleanup_interval": 0, "read_timeout": 240_000 });
    assert_eq!(db.storage_with(keys).cleanup(None), Ok(500));
}

/// It costs the time of a whole operation to learn that.
#[test]
fn a_session_whose_deletion_never_ends_is_passed_over() {
    let db = Database::new();
    add_expired(&db, "held", 100);
    db.execute(
        "CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           PERFORM pg_sleep(60); RETURN NULL; END $$;
         CREATE TRIGGER nap AFTER DELETE ON sessions FOR EACH ROW
         WHEN (OLD.sid = 'held 42') EXECUTE FUNCTION nap()",
    );
    let keys = json!({ "cleanup_interval": 50, "send_timeout": 300, "read_timeout": 300 });
    let storage = db.storage_with(keys);
    storage.call(login("key")).expect("a save");
    process::wait_until(30, "the others are deleted", || db.number(ALL) == 2);
}

#[test]
fn check_names_what_forbids_deletions_and_sessions_that_are_left() {
    let db = Database::new();
    let storage = db.storage_with(json!({ "cleanup_interval": 0 }));
    let problems = || -> Vec<String> {
        let found = storage.call(Check::default()).expect("a check");
        found.into_iter().filter(|it| !it.advice).map(|it| it.problem).collect()
    };
    db.execute("CREATE INDEX ON sessions_meta (sid)");
    assert_eq!(problems(), [""; 0]);
    db.execute(
        "CREATE SCHEMA shop;
         CREATE TABLE shop.\"Orders\" (sid text CONSTRAINT \"its session\" REFERENCES sessions);
         CREATE TABLE carts (sid text REFERENCES sessions ON DELETE SET NULL)",
    );
    let found = problems();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("shop.\"Orders\" has the foreign key \"its session\" to "),
        "{found:?}"
    );
    db.execute(
        "DROP TABLE shop.\"Orders\";
         INSERT INTO sessions (sid, exp) VALUES ('a', now() - interval '2 days'), ('b', now())",
    );
    let found = problems();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("1 sessions in \"sessions\" expired more than a day ago"),
        "{found:?}"
    );
}

#[test]
fn what_keeps_all_sessions_from_being_deleted_is_the_answer() {
    let db = Database::new();
    let role = db.create_role("web");
    add_expired(&db, "old", 5_000);
    db.execute(&format!("GRANT SELECT, UPDATE ON sessions, sessions_meta TO {role}"));
    let storage = db.storage_with(json!({ "username": role, "cleanup_interval": 0 }));
    let start = Instant::now();
    let error = storage.cleanup(None).expect_err("no privilege");
    assert!(matches!(&error, Error::Database { code, .. } if &**code == "42501"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn sessions_that_cannot_be_deleted_are_logged_without_their_keys_and_counted() {
    let site = site::on(support::shared())
        .conf("cleanup_interval", 50)
        .content("/metrics", "ngx.print(require('site').storage():metrics())");
    let site = site.start();
    let (_, raises, _) = obstacles()[1];
    let mut sql = site.sql();
    sql.batch_execute(
        "INSERT INTO sessions SELECT 'held ' || n, 'session', 'value', now() - interval '1 hour'
         FROM generate_series(1, 100) AS n",
    )
    .expect("sessions");
    sql.batch_execute(raises).expect("a trigger");
    site.assert_works();
    let logged =
        || site.nginx.error_log().contains("cannot be deleted: not the session … (SQLSTATE P0001)");
    process::wait_until(20, "it is logged", logged);
    assert!(!site.nginx.error_log().contains("held 42"), "{}", site.nginx.error_log());
    let metrics = site.nginx.get("/metrics").body;
    let counted = "resty_session_postgres_cleanup_passed_over_total 1\n";
    assert!(metrics.contains(counted), "{metrics}");
}
