//! `migrate` on tables in use: saves do not wait, and a step that fails does not stop the others.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use postgres::IsolationLevel;
use resty_session_postgres::Storage;
use resty_session_postgres::ops::Migrate;
use serde_json::json;

use super::login;
use super::schema::{check, migrate};
use crate::support::{self, Database, process};

/// Many sessions of the subjects of a shop.
fn fill(db: &Database, number: u32) {
    db.execute(&format!(
        "ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey;
         INSERT INTO sessions SELECT 'filled ' || n, 'n', 'v', now() + interval '1 day'
         FROM generate_series(1, {number}) AS n;
         INSERT INTO sessions_meta SELECT 'shop', 'subject ' || n, 'filled ' || n
         FROM generate_series(1, {number}) AS n;
         INSERT INTO sessions_meta VALUES ('shop', 'orphan', 'gone');
         DROP INDEX sessions_exp_idx"
    ));
}

/// Saves one session after the other while `work` runs; the longest that one save took.
fn slowest_save(storage: &Storage, work: impl FnOnce()) -> Duration {
    let ended = AtomicBool::new(false);
    let save = || {
        let mut slowest = Duration::ZERO;
        let mut number = 0;
        while !ended.load(Ordering::Relaxed) {
            number += 1;
            let start = Instant::now();
            storage.call(login(format!("saved {number}"))).expect("a save");
            slowest = slowest.max(start.elapsed());
        }
        assert!(number > 10, "{number} saves");
        slowest
    };
    thread::scope(|scope| {
        let saves = scope.spawn(save);
        let worked = catch_unwind(AssertUnwindSafe(work));
        ended.store(true, Ordering::Relaxed);
        let slowest = saves.join().expect("no panic");
        worked.unwrap_or_else(|panic| resume_unwind(panic));
        slowest
    })
}

#[test]
fn saves_do_not_wait_for_an_index_or_a_foreign_key() {
    let db = Database::new();
    fill(&db, 300_000);
    let storage = db.storage();
    let mut took = Duration::ZERO;
    let slowest = slowest_save(&db.storage_with(json!({ "pool_size": 1 })), || {
        let start = Instant::now();
        // The two indexes, the foreign key, its validation, and the time of creation.
        assert_eq!(migrate(&storage, false), Ok(5));
        took = start.elapsed();
    });
    println!("a save took {slowest:?} of the {took:?} at most");
    assert!(slowest < took / 5, "a save took {slowest:?} of the {took:?} at most");
    assert_eq!(check(&storage), []);
    assert_eq!(db.number("SELECT count(*) FROM sessions_meta WHERE sub = 'orphan'"), 0);
}

#[test]
fn a_foreign_key_that_was_not_validated_is_validated() {
    let db = Database::new();
    let storage = db.storage();
    db.execute(
        "ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey;
         INSERT INTO sessions_meta VALUES ('shop', 'orphan', 'gone');
         ALTER TABLE sessions_meta ADD CONSTRAINT \"Mine\" FOREIGN KEY (sid)
         REFERENCES sessions ON DELETE CASCADE NOT VALID",
    );
    let found = check(&storage);
    assert!(found.iter().any(|(problem, _)| problem.contains("is not validated")), "{found:?}");
    migrate(&storage, false).expect("a migration");
    assert_eq!(check(&storage), []);
    let valid = "SELECT count(*) FROM pg_constraint WHERE conname = 'Mine' AND convalidated";
    assert_eq!(db.number(valid), 1);
    assert_eq!(db.number("SELECT count(*) FROM sessions_meta"), 0);
}

#[test]
fn an_index_that_an_interruption_left_is_replaced() {
    let db = Database::new();
    let storage = db.storage();
    migrate(&storage, false).expect("a migration");
    // As PostgreSQL leaves it when a unique one meets two equal rows.
    db.execute(
        "DROP INDEX sessions_exp_idx;
         INSERT INTO sessions SELECT n, 'n', 'v', '2100-01-01' FROM generate_series(1, 2) AS n",
    );
    let mut sql = db.sql();
    let interrupted = "CREATE UNIQUE INDEX CONCURRENTLY \"Half; made\" ON sessions (exp)";
    sql.batch_execute(interrupted).expect_err("equal rows");
    let left = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
    assert_eq!(db.number(left), 1);
    let found = check(&storage);
    let [(problem, repair)] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(problem.contains("invalid index"), "{problem}");
    let statements = "DROP INDEX CONCURRENTLY public.\"Half; made\"; \
                      CREATE INDEX CONCURRENTLY ON \"sessions\" (exp)";
    assert_eq!(repair, statements);
    assert_eq!(migrate(&storage, false), Ok(2));
    assert_eq!(db.number(left), 0);
    assert_eq!(check(&storage), []);
    // Also where the index has been made meanwhile.
    sql.batch_execute(interrupted).expect_err("equal rows");
    assert_eq!(migrate(&storage, false), Ok(1));
    assert_eq!((db.number(left), check(&storage)), (0, vec![]));
}

/// Somebody is making an index, and has not come to its end.
#[test]
fn an_index_that_is_being_made_is_left_alone() {
    let db = Database::new();
    let storage = db.storage();
    migrate(&storage, false).expect("a migration");
    let (mut reader, mut maker) = (db.sql(), db.sql());
    let reading = reader.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let mut reading = reading.start().expect("a transaction");
    reading.query("SELECT * FROM sessions", &[]).expect("rows");
    thread::scope(|scope| {
        let made = scope.spawn(move || {
            maker.batch_execute("CREATE INDEX CONCURRENTLY by_exp ON sessions (exp)")
        });
        let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
        process::wait_until(5, "it is there", || db.number(invalid) == 1);
        assert_eq!(check(&storage), []);
        reading.commit().expect("the end of the reader");
        made.join().expect("no panic").expect("an index");
    });
}

/// A reader holds up the index: without its cancellation the server would go on waiting, and then make it.
#[test]
fn an_interrupted_command_ends_what_the_server_does_for_it() {
    let db = Database::new();
    for (signal, over_socket, code) in [(Signal::SIGINT, false, 130), (Signal::SIGTERM, true, 143)]
    {
        db.execute("DROP INDEX IF EXISTS sessions_exp_idx");
        let mut writer = db.sql();
        let mut writing = writer.transaction().expect("a transaction");
        writing.execute("INSERT INTO sessions VALUES ('key')", &[]).expect("a row");
        // Whatever the tests were started to ignore.
        let signals = ["--default-signal=INT,TERM", "--ignore-signal=HUP"];
        let migrate = [super::cli::program(), "migrate".to_owned()];
        let mut command = super::cli::command(&db, "env", &signals);
        command.args(migrate);
        if over_socket {
            command.env("PGHOST", support::shared().socket_dir());
        }
        let child = command.stderr(Stdio::piped()).spawn().expect("the command line");
        let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'
                       AND datname = current_database() AND query LIKE 'CREATE INDEX%'";
        process::wait_until(5, "it makes the index", || db.number(running) == 1);
        // It was started so that it outlives its terminal.
        process::signal(child.id(), Signal::SIGHUP);
        thread::sleep(Duration::from_millis(100));
        assert_eq!(db.number(running), 1);
        process::signal(child.id(), signal);
        let start = Instant::now();
        let output = child.wait_with_output().expect("an end");
        assert!(start.elapsed() < Duration::from_secs(2), "{signal}: {:?}", start.elapsed());
        assert_eq!(output.status.code(), Some(code), "{signal}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("interrupted"), "{signal}: {said}");
        process::wait_until(2, "the server has ended it", || db.number(running) == 0);
    }
}

#[test]
fn a_step_that_is_impossible_stops_no_other() {
    let db = Database::new();
    let storage = db.storage();
    db.execute(
        "ALTER TABLE sessions DROP CONSTRAINT sessions_pkey CASCADE;
         INSERT INTO sessions SELECT 'twice', 'n', 'v', now() + interval '1 hour'
         FROM generate_series(1, 2)",
    );
    let before = check(&storage);
    let said = storage.call(Migrate::default()).expect_err("a key that is there twice").to_string();
    // The index of the metadata, and the time of creation.
    assert!(said.contains("changes made: 2, left: 2"), "{said}");
    assert!(said.contains("\"sessions\" has no unique index on (sid)"), "{said}");
    assert!(said.contains("could not create unique index"), "{said}");
    assert!(said.contains("no foreign key"), "{said}");
    let left = check(&storage);
    assert_eq!((before.len(), left.len()), (3, 2), "{left:?}");
    db.execute("DELETE FROM sessions");
    assert_eq!(migrate(&storage, false), Ok(3));
    assert_eq!(check(&storage), []);
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_would_be_done() {
    let db = Database::new();
    let storage = db.storage();
    db.execute("ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey");
    let dry = || storage.call(Migrate::default().dry_run()).expect("a dry run");
    let wanted = dry();
    assert_eq!(wanted, dry());
    // `check` says the same.
    assert_eq!(wanted, super::schema::findings(&storage));
    let made = storage.call(Migrate::default()).expect("a migration");
    let statements = |findings: Vec<_>| -> Vec<String> {
        let found = findings.into_iter();
        let repairs = found.filter_map(|it: resty_session_postgres::op::Finding| it.repair);
        repairs.flat_map(|all| all.split("; ").map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    assert_eq!(statements(wanted), statements(made));
    assert_eq!(dry(), []);
}
