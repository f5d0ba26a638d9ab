//! `check` on a server whose TimeZone is not UTC, where lua-resty-session's own storage shifts expiries.

use postgres::Client;
use resty_session_postgres::config::Value;
use resty_session_postgres::{Epoch, Storage};

use super::schema::{check, repair};
use super::{Site, login, number};

/// A site whose tables lack nothing, in that time zone. What it saves expires later than any clean-up.
fn in_zone(zone: &str) -> (Site, Client, Storage) {
    let site = Site::new();
    let name = &site.database;
    let set = format!("ALTER DATABASE {name} SET timezone = '{zone}'");
    site.sql().batch_execute(&set).expect("a time zone");
    let mut sql = site.sql();
    sql.batch_execute("CREATE INDEX ON sessions_meta (sid)")
        .expect("an index");
    let storage = of_user(&site, "postgres");
    (site, sql, storage)
}

fn of_user(site: &Site, user: &str) -> Storage {
    let keys = [
        ("username", Value::Text(user.into())),
        ("cleanup_interval", Value::Number(0.0)),
    ];
    Storage::new(site.config_with(keys))
}

/// Ten sessions that upstream's statement saves, for an hour.
fn save_as_upstream(sql: &mut Client) {
    let expires = Epoch::now().plus(3600).seconds();
    sql.batch_execute(&format!(
        "INSERT INTO sessions (sid, name, data, exp)
         SELECT 'key ' || n, 'session', 'value', TO_TIMESTAMP({expires}) AT TIME ZONE 'UTC'
         FROM generate_series(1, 10) AS n"
    ))
    .expect("rows");
}

/// How many expire in an hour.
fn right(sql: &mut Client) -> i64 {
    number(
        sql,
        "SELECT count(*) FROM sessions WHERE exp > now() + interval '59 minutes'
         AND exp < now() + interval '61 minutes'",
    )
}

/// The one thing that a check finds.
fn one(storage: &Storage) -> (String, String) {
    let mut found = check(storage);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// The statements in the problem, which move the expiries.
fn moves(problem: &str) -> &str {
    let at = problem.find("BEGIN;").expect("statements");
    let end = problem.find("COMMIT;").expect("the end of them");
    &problem[at..end + "COMMIT;".len()]
}

#[test]
fn east_of_utc_sessions_may_have_expired_too_early() {
    for (zone, how) in [
        ("Asia/Tokyo", "9 hours too early, and 10"),
        ("Asia/Kolkata", "5.5 hours too early, and 10"),
    ] {
        let (_site, mut sql, storage) = in_zone(zone);
        save_as_upstream(&mut sql);
        assert_eq!(right(&mut sql), 0, "{zone}");
        let (problem, _) = one(&storage);
        assert!(problem.contains(how) && problem.contains(zone), "{problem}");
        sql.batch_execute(moves(&problem)).expect("a move");
        assert_eq!(right(&mut sql), 10, "{zone}");
        storage.call(login("new")).expect("a save");
        assert_eq!(check(&storage), []);
    }
}

/// Such as sessions that expired while the clean-up did not run.
#[test]
fn the_repair_leaves_expired_sessions_as_they_are() {
    let (_site, mut sql, storage) = in_zone("Asia/Tokyo");
    save_as_upstream(&mut sql);
    let (problem, _) = one(&storage);
    assert!(problem.contains("wait for the clean-up"), "{problem}");
    repair(&storage, &mut sql);
    let expired = "SELECT count(*) FROM sessions WHERE exp < now() - interval '7 hours'";
    assert_eq!(number(&mut sql, expired), 10);
}

#[test]
fn west_of_utc_no_session_is_ended() {
    let (_site, mut sql, storage) = in_zone("America/Los_Angeles");
    assert_eq!(check(&storage), []);
    for n in 0..10 {
        storage.call(login(format!("key {n}"))).expect("a save");
    }
    let (problem, _) = one(&storage);
    assert!(
        problem.contains("hours too late, and 10 may") && problem.contains("when they should"),
        "{problem}"
    );
    repair(&storage, &mut sql);
    assert_eq!(right(&mut sql), 10);

    let (_site, mut sql, storage) = in_zone("America/Los_Angeles");
    save_as_upstream(&mut sql);
    let (problem, _) = one(&storage);
    sql.batch_execute(moves(&problem)).expect("a move");
    assert_eq!(right(&mut sql), 10);
    assert_eq!(check(&storage), []);
}

/// A user who may not write the comment, which says that it is done, would move them again.
#[test]
fn a_user_who_may_not_comment_moves_nothing() {
    let (site, mut sql, storage) = in_zone("Asia/Tokyo");
    save_as_upstream(&mut sql);
    let role = format!("web_{}", site.database);
    sql.batch_execute(&format!(
        "CREATE ROLE {role} LOGIN;
         GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, sessions_meta TO {role}"
    ))
    .expect("a role");
    let (problem, _) = one(&storage);
    for _ in 0..2 {
        sql.batch_execute(&format!("SET ROLE {role}"))
            .expect("a role");
        // One after the other, as psql sends them, which goes on after a failure.
        let sent: Vec<_> = moves(&problem)
            .split(';')
            .map(|statement| sql.batch_execute(statement))
            .collect();
        assert!(format!("{sent:?}").contains("must be owner"), "{sent:?}");
        sql.batch_execute("ROLLBACK; RESET ROLE")
            .expect("the owner");
    }
    assert_eq!(right(&mut sql), 0);
    sql.batch_execute(moves(&problem)).expect("a move");
    assert_eq!(right(&mut sql), 10);
}

#[test]
fn a_user_who_may_not_read_gets_a_finding() {
    let (site, mut sql, _) = in_zone("Asia/Tokyo");
    save_as_upstream(&mut sql);
    let role = format!("blind_{}", site.database);
    sql.batch_execute(&format!("CREATE ROLE {role} LOGIN"))
        .expect("a role");
    let found = check(&of_user(&site, &role));
    assert!(found[0].0.contains("may not SELECT"), "{found:?}");
}

#[test]
fn columns_of_other_types_become_true_instants() {
    for zone in ["America/Los_Angeles", "Asia/Tokyo"] {
        for of_type in [
            "timestamp USING exp AT TIME ZONE 'UTC'",
            "bigint USING extract(epoch FROM exp)",
        ] {
            let (_site, mut sql, storage) = in_zone(zone);
            storage.call(login("key")).expect("a save");
            sql.batch_execute(&format!("ALTER TABLE sessions ALTER exp TYPE {of_type}"))
                .expect("another type");
            repair(&storage, &mut sql);
            assert_eq!(right(&mut sql), 1, "{zone}, {of_type}");
        }
    }
}

#[test]
fn the_tables_of_schema_sql_hold_true_instants() {
    let schema = include_str!("../../sql/schema.sql");
    let comment = "SELECT count(*) FROM pg_description WHERE objoid = 'sessions'::regclass";
    let (_site, mut sql, storage) = in_zone("America/Los_Angeles");
    sql.batch_execute(schema).expect("tables that are there");
    assert_eq!(number(&mut sql, comment), 0);
    sql.batch_execute("DROP TABLE sessions_meta, sessions")
        .expect("no tables");
    for _ in 0..2 {
        sql.batch_execute(schema).expect("tables");
    }
    storage.call(login("key")).expect("a save");
    assert_eq!(check(&storage), []);
}

#[test]
fn in_utc_nothing_is_shifted() {
    let (_site, mut sql, storage) = in_zone("Etc/UTC");
    save_as_upstream(&mut sql);
    assert_eq!(check(&storage), []);
}
