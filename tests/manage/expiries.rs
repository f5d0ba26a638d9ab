//! Ends that the server's time zone has shifted, and those that it has not.

use postgres::Client;
use resty_session_postgres::config::{Draft, Value};
use resty_session_postgres::{Epoch, Storage};

use super::schema::{check, repair};
use super::{login, number};
use crate::support::Cluster;

/// A server of its own: the proof of a shift is in what was saved since its last checkpoint, and other
/// tests make some.
struct Server(Cluster);

impl Server {
    fn new() -> Server {
        Server(Cluster::builder().start())
    }

    /// A database with the documented tables in that zone.
    fn database(&self, zone: &str) -> (Client, Storage) {
        let name = self.0.create_database();
        let mut sql = self.0.client(&name);
        let set = format!("ALTER DATABASE {name} SET timezone = '{zone}'");
        sql.batch_execute(&set).expect("a time zone");
        let mut sql = self.0.client(&name);
        sql.batch_execute("CREATE INDEX ON sessions_meta (sid)")
            .expect("an index");
        let storage = self.storage(&name, "postgres");
        (sql, storage)
    }

    fn storage(&self, database: &str, user: &str) -> Storage {
        let mut draft = Draft::default();
        let mut set = |key, value| draft.set(key, &value).expect("a good key");
        set("port", Value::Number(self.0.port().into()));
        set("database", Value::Text(database.to_owned()));
        set("username", Value::Text(user.to_owned()));
        set("cleanup_interval", Value::Number(0.0));
        Storage::new(draft.build().expect("a good configuration"))
    }
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

/// How many end in an hour.
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

/// The statements in the words of a finding.
fn other_case(problem: &str) -> &str {
    let at = problem
        .find("BEGIN;")
        .expect("what to do in the other case");
    &problem[at..]
}

#[test]
fn sessions_that_were_over_when_they_were_saved_are_moved() {
    let server = Server::new();
    for (zone, how) in [
        ("Asia/Tokyo", "9 hours too early, and 10"),
        ("Asia/Kolkata", "5.5 hours too early, and 10"),
    ] {
        let (mut sql, storage) = server.database(zone);
        save_as_upstream(&mut sql);
        assert_eq!(right(&mut sql), 0, "{zone}");
        let (problem, _) = one(&storage);
        assert!(problem.contains(how) && problem.contains(zone), "{problem}");
        repair(&storage, &mut sql);
        assert_eq!(right(&mut sql), 10, "{zone}");
        storage.set(login("new")).expect("a save");
        assert_eq!(check(&storage), []);
    }
}

#[test]
fn the_time_of_the_first_save_proves_a_shift_too() {
    let server = Server::new();
    let (mut sql, storage) = server.database("Asia/Tokyo");
    sql.batch_execute("ALTER TABLE sessions ADD created timestamptz DEFAULT now()")
        .expect("a column");
    save_as_upstream(&mut sql);
    sql.batch_execute("CHECKPOINT").expect("a checkpoint");
    repair(&storage, &mut sql);
    assert_eq!(right(&mut sql), 10);
}

/// Such as sessions that ended overnight, while nobody cleaned up.
#[test]
fn sessions_that_may_wait_to_be_cleaned_up_stay_over() {
    let server = Server::new();
    let (mut sql, storage) = server.database("Asia/Tokyo");
    save_as_upstream(&mut sql);
    sql.batch_execute("CHECKPOINT").expect("a checkpoint");
    let (problem, _) = one(&storage);
    assert!(problem.contains("wait to be cleaned up"), "{problem}");
    repair(&storage, &mut sql);
    let over = "SELECT count(*) FROM sessions WHERE exp < now() - interval '7 hours'";
    assert_eq!(number(&mut sql, over), 10);
    // Who knows better finds in the words what is right then.
    sql.batch_execute(other_case(&problem)).expect("a move");
    assert_eq!(right(&mut sql), 10);
    assert_eq!(check(&storage), []);
}

#[test]
fn west_of_utc_no_session_is_ended() {
    let server = Server::new();
    let (mut sql, storage) = server.database("America/Los_Angeles");
    assert_eq!(check(&storage), []);
    for n in 0..10 {
        storage.set(login(format!("key {n}"))).expect("a save");
    }
    let (problem, _) = one(&storage);
    assert!(
        problem.contains("hours too late, and 10 may") && problem.contains("when they should"),
        "{problem}"
    );
    repair(&storage, &mut sql);
    assert_eq!(right(&mut sql), 10);

    let (mut sql, storage) = server.database("America/Los_Angeles");
    save_as_upstream(&mut sql);
    let (problem, _) = one(&storage);
    sql.batch_execute(other_case(&problem)).expect("a move");
    assert_eq!(right(&mut sql), 10);
    assert_eq!(check(&storage), []);
}

#[test]
fn who_may_not_comment_moves_nothing() {
    let server = Server::new();
    let (mut sql, storage) = server.database("Asia/Tokyo");
    save_as_upstream(&mut sql);
    sql.batch_execute(
        "CREATE ROLE web LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, sessions_meta TO web",
    )
    .expect("a role");
    let (_, statements) = one(&storage);
    for _ in 0..2 {
        sql.batch_execute("SET ROLE web").expect("a role");
        // One after the other, as psql sends them, which goes on after a failure.
        let sent: Vec<_> = statements
            .split(';')
            .map(|statement| sql.batch_execute(statement))
            .collect();
        assert!(format!("{sent:?}").contains("must be owner"), "{sent:?}");
        sql.batch_execute("ROLLBACK; RESET ROLE")
            .expect("the owner");
    }
    assert_eq!(right(&mut sql), 0);
    repair(&storage, &mut sql);
    assert_eq!(right(&mut sql), 10);
}

#[test]
fn who_may_not_read_is_told_so() {
    let server = Server::new();
    let (mut sql, _) = server.database("Asia/Tokyo");
    save_as_upstream(&mut sql);
    sql.batch_execute("CREATE ROLE blind LOGIN")
        .expect("a role");
    let database: String = sql
        .query_one("SELECT current_database()::text", &[])
        .expect("a row")
        .get(0);
    let found = check(&server.storage(&database, "blind"));
    assert!(found[0].0.contains("may not SELECT"), "{found:?}");
}

#[test]
fn columns_that_are_made_or_turned_have_true_ends() {
    let server = Server::new();
    for zone in ["America/Los_Angeles", "Asia/Tokyo"] {
        for of_type in [
            "timestamp USING exp AT TIME ZONE 'UTC'",
            "bigint USING extract(epoch FROM exp)",
        ] {
            let (mut sql, storage) = server.database(zone);
            storage.set(login("key")).expect("a save");
            sql.batch_execute(&format!("ALTER TABLE sessions ALTER exp TYPE {of_type}"))
                .expect("another type");
            repair(&storage, &mut sql);
            assert_eq!(right(&mut sql), 1, "{zone}, {of_type}");
        }
    }
}

#[test]
fn the_tables_of_schema_sql_have_true_ends() {
    let server = Server::new();
    let schema = include_str!("../../sql/schema.sql");
    let comment = "SELECT count(*) FROM pg_description WHERE objoid = 'sessions'::regclass";
    let (mut sql, storage) = server.database("America/Los_Angeles");
    sql.batch_execute(schema).expect("tables that are there");
    assert_eq!(number(&mut sql, comment), 0);
    sql.batch_execute("DROP TABLE sessions_meta, sessions")
        .expect("no tables");
    for _ in 0..2 {
        sql.batch_execute(schema).expect("tables");
    }
    storage.set(login("key")).expect("a save");
    assert_eq!(check(&storage), []);
}

#[test]
fn nothing_is_shifted_where_the_server_is_in_utc() {
    let server = Server::new();
    let (mut sql, storage) = server.database("Etc/UTC");
    save_as_upstream(&mut sql);
    assert_eq!(check(&storage), []);
}
