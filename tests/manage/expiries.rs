//! `check` on a server whose TimeZone is not UTC, where lua-resty-session's own storage shifts expiries.

use resty_session_postgres::{Epoch, Storage};
use serde_json::json;

use super::login;
use super::schema::{check, repair};
use crate::support::Database;

/// A database in that time zone whose tables lack nothing. What it saves expires later than any clean-up.
fn in_zone(zone: &str) -> (Database, Storage) {
    let db = Database::new();
    db.execute(&format!("ALTER DATABASE {} SET timezone = '{zone}'", db.name));
    db.reconnect();
    db.execute("CREATE INDEX ON sessions_meta (sid)");
    let storage = db.storage_with(json!({ "cleanup_interval": 0 }));
    (db, storage)
}

/// The same with ten sessions that upstream's statement saves, for an hour.
fn with_sessions_of_upstream(zone: &str) -> (Database, Storage) {
    let (db, storage) = in_zone(zone);
    let expires = Epoch::now().plus(3600).seconds();
    db.execute(&format!(
        "INSERT INTO sessions (sid, name, data, exp)
         SELECT 'key ' || n, 'session', 'value', TO_TIMESTAMP({expires}) AT TIME ZONE 'UTC'
         FROM generate_series(1, 10) AS n"
    ));
    (db, storage)
}

/// The number of sessions that expire in an hour.
const RIGHT: &str = "SELECT count(*) FROM sessions WHERE exp > now() + interval '59 minutes'
                     AND exp < now() + interval '61 minutes'";

/// The one problem that a check finds.
fn problem(storage: &Storage) -> String {
    let mut found = check(storage);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0).0
}

/// The statements in the problem, which move the expiries.
fn moves(problem: &str) -> &str {
    let at = problem.find("BEGIN;").expect("statements");
    let end = problem.find("COMMIT;").expect("the end of them");
    &problem[at..end + "COMMIT;".len()]
}

#[test]
fn sessions_that_upstream_saved_can_be_moved_to_their_true_expiry() {
    for (zone, how) in [
        ("Asia/Tokyo", "9 hours too early, and 10"),
        ("Asia/Kolkata", "5.5 hours too early, and 10"),
        ("America/Los_Angeles", "hours too late, and 10 may"),
    ] {
        let (db, storage) = with_sessions_of_upstream(zone);
        assert_eq!(db.number(RIGHT), 0, "{zone}");
        let problem = problem(&storage);
        assert!(problem.contains(how) && problem.contains(zone), "{problem}");
        db.execute(moves(&problem));
        assert_eq!(db.number(RIGHT), 10, "{zone}");
        storage.call(login("new")).expect("a save");
        assert_eq!(check(&storage), []);
    }
}

/// Such as sessions that expired while the clean-up did not run.
#[test]
fn the_repair_leaves_expired_sessions_as_they_are() {
    let (db, storage) = with_sessions_of_upstream("Asia/Tokyo");
    let problem = problem(&storage);
    assert!(problem.contains("wait for the clean-up"), "{problem}");
    repair(&storage, &db);
    let expired = "SELECT count(*) FROM sessions WHERE exp < now() - interval '7 hours'";
    assert_eq!(db.number(expired), 10);
}

#[test]
fn west_of_utc_the_repair_ends_no_session_of_this_storage() {
    let (db, storage) = in_zone("America/Los_Angeles");
    assert_eq!(check(&storage), []);
    for n in 0..10 {
        storage.call(login(format!("key {n}"))).expect("a save");
    }
    let problem = problem(&storage);
    assert!(problem.contains("when they should"), "{problem}");
    repair(&storage, &db);
    assert_eq!(db.number(RIGHT), 10);
}

/// A user who may not write the comment, which says that it is done, would move them again.
#[test]
fn a_user_who_may_not_comment_moves_nothing() {
    let (db, storage) = with_sessions_of_upstream("Asia/Tokyo");
    let role = db.create_role("web");
    db.execute(&format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, sessions_meta TO {role}"
    ));
    let problem = problem(&storage);
    for _ in 0..2 {
        let mut sql = db.sql();
        sql.batch_execute(&format!("SET ROLE {role}")).expect("a role");
        // One after the other, as psql sends them, which goes on after a failure.
        let statements = moves(&problem).split(';');
        let sent: Vec<_> = statements.map(|one| sql.batch_execute(one)).collect();
        assert!(format!("{sent:?}").contains("must be owner"), "{sent:?}");
    }
    assert_eq!(db.number(RIGHT), 0);
    db.execute(moves(&problem));
    assert_eq!(db.number(RIGHT), 10);
}

#[test]
fn a_user_who_may_not_read_gets_a_finding() {
    let (db, _) = with_sessions_of_upstream("Asia/Tokyo");
    let found = check(&db.storage_with(json!({ "username": db.create_role("blind") })));
    assert!(found[0].0.contains("may not SELECT"), "{found:?}");
}

#[test]
fn columns_of_other_types_become_true_instants() {
    for zone in ["America/Los_Angeles", "Asia/Tokyo"] {
        for of_type in
            ["timestamp USING exp AT TIME ZONE 'UTC'", "bigint USING extract(epoch FROM exp)"]
        {
            let (db, storage) = in_zone(zone);
            storage.call(login("key")).expect("a save");
            db.execute(&format!("ALTER TABLE sessions ALTER exp TYPE {of_type}"));
            repair(&storage, &db);
            assert_eq!(db.number(RIGHT), 1, "{zone}, {of_type}");
        }
    }
}

#[test]
fn the_tables_of_schema_sql_hold_true_instants() {
    let schema = include_str!("../../sql/schema.sql");
    let (db, storage) = in_zone("America/Los_Angeles");
    // For tables that are there, it says nothing.
    db.execute(schema);
    let comment = "SELECT count(*) FROM pg_description WHERE objoid = 'sessions'::regclass";
    assert_eq!(db.number(comment), 0);
    db.execute("DROP TABLE sessions_meta, sessions");
    for _ in 0..2 {
        db.execute(schema);
    }
    storage.call(login("key")).expect("a save");
    assert_eq!(check(&storage), []);
}

#[test]
fn in_utc_nothing_is_shifted() {
    let (_db, storage) = with_sessions_of_upstream("Etc/UTC");
    assert_eq!(check(&storage), []);
}
