//! Tables as they are made, found, and repaired.

use std::thread;

use postgres::Client;
use resty_session_postgres::config::Value;
use resty_session_postgres::ops::{Check, Migrate};
use resty_session_postgres::{Config, Epoch, Error, Storage};

use super::{Site, login, login_of, number};
use crate::support::Calls;

pub(super) fn migrate(storage: &Storage, unlogged: bool) -> Result<u64, Error> {
    storage.call(match unlogged {
        true => Migrate::unlogged(),
        false => Migrate::default(),
    })
}

/// The problems that a check finds, with their repairs.
pub(super) fn check(storage: &Storage) -> Vec<(String, String)> {
    let findings = storage.call(Check::default()).expect("a check");
    let findings = findings.into_iter();
    findings
        .map(|found| (found.problem, found.repair))
        .collect()
}

pub(super) fn repair(storage: &Storage, sql: &mut Client) {
    for (problem, statement) in check(storage) {
        let done = sql.batch_execute(&statement);
        done.unwrap_or_else(|error| panic!("{problem}\n{statement}\n{error}"));
    }
    assert_eq!(check(storage), []);
}

/// A site without tables.
fn bare() -> Site {
    let site = Site::new();
    site.sql()
        .batch_execute("DROP TABLE sessions_meta, sessions")
        .expect("no tables");
    site
}

#[test]
fn migrate_makes_the_tables() {
    let site = bare();
    let storage = site.storage();
    assert!(migrate(&storage, false).expect("a migration") > 0);
    assert_eq!(check(&storage), []);
    assert_eq!(migrate(&storage, false), Ok(0));
    let before = Epoch::now();
    storage.call(login("key")).expect("a save");
    let sessions = storage.call(super::list_of_ada()).expect("a list");
    let created = sessions[0].created.expect("the time of the first save");
    assert!((before..=Epoch::now().plus(1)).contains(&created));
    let mut sql = site.sql();
    let logged = "SELECT count(*) FROM pg_class WHERE relname ~ '^sessions' AND relkind = 'r'
                  AND relpersistence = 'p'";
    assert_eq!(number(&mut sql, logged), 2);
    storage.delete("key").expect("a delete");
    assert_eq!(number(&mut sql, "SELECT count(*) FROM sessions_meta"), 0);
}

#[test]
fn migrate_makes_unlogged_tables_in_a_schema_of_their_own() {
    let site = bare();
    let table = [("table_name", Value::Text("web.logins".into()))];
    let storage = Storage::new(site.config_with(table));
    migrate(&storage, true).expect("a migration");
    assert_eq!(check(&storage), []);
    storage.call(login("key")).expect("a save");
    let unlogged = "SELECT count(*) FROM pg_class WHERE relnamespace = 'web'::regnamespace
                    AND relkind = 'r' AND relpersistence = 'u'";
    assert_eq!(number(&mut site.sql(), unlogged), 2);
}

#[test]
fn migrate_makes_documented_tables_better_and_keeps_what_is_in_them() {
    let site = Site::new();
    let storage = site.storage();
    storage.call(login("key")).expect("a save");
    assert!(migrate(&storage, false).expect("a migration") > 0);
    assert_eq!(migrate(&storage, false), Ok(0));
    assert_eq!(check(&storage), []);
    let sessions = storage.call(super::list_of_ada()).expect("a list");
    assert_eq!(sessions[0].created, None);
}

#[test]
fn many_may_migrate_at_once() {
    let site = bare();
    thread::scope(|scope| {
        for size in 1..=8 {
            let storage = Storage::new(site.config(&[("pool_size", size.into())]));
            scope.spawn(move || migrate(&storage, false).expect("a migration"));
        }
    });
    assert_eq!(check(&site.storage()), []);
}

#[test]
fn check_misses_one_index_of_the_documented_tables() {
    let site = Site::new();
    let found = check(&site.storage());
    let [(problem, _)] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(
        problem.contains("sessions_meta\" has no index on (sid)"),
        "{problem}"
    );
    repair(&site.storage(), &mut site.sql());
}

#[test]
fn check_names_each_defect_and_what_repairs_it() {
    let site = Site::new();
    let (storage, mut sql) = (site.storage(), site.sql());
    migrate(&storage, false).expect("a migration");
    storage.call(login("key")).expect("a save");
    let defects = [
        ("DROP INDEX sessions_exp_idx", "no index on (exp)"),
        ("DROP INDEX sessions_meta_sid_idx", "no index on (sid)"),
        (
            "ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey",
            "no foreign key",
        ),
        (
            "ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey;
             ALTER TABLE sessions_meta ADD FOREIGN KEY (sid) REFERENCES sessions",
            "no foreign key",
        ),
        (
            "ALTER TABLE sessions DROP CONSTRAINT sessions_pkey CASCADE",
            "no unique index on (sid)",
        ),
        (
            "ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_pkey",
            "no unique index on (aud, sub, sid)",
        ),
        (
            "ALTER TABLE sessions ALTER exp TYPE timestamp USING exp AT TIME ZONE 'UTC'",
            "exp of \"sessions\" is of type timestamp without time zone",
        ),
        (
            "ALTER TABLE sessions ALTER data TYPE bytea USING data::bytea",
            "data of \"sessions\" is of type bytea",
        ),
        ("ALTER TABLE sessions DROP name", "has no column name"),
        // Beside the key that deletes.
        (
            r#"ALTER TABLE sessions_meta ADD CONSTRAINT "The ""old"" key; " FOREIGN KEY (sid)
               REFERENCES sessions (sid) ON DELETE RESTRICT"#,
            "does not delete with the session",
        ),
        (
            "DROP INDEX sessions_sid_idx CASCADE;
             CREATE UNIQUE INDEX ON sessions (sid, lower(name))",
            "no unique index on (sid)",
        ),
        (
            "DROP INDEX sessions_sid_idx CASCADE;
             ALTER TABLE sessions ADD CONSTRAINT \"Later\" UNIQUE (sid) DEFERRABLE",
            "deferrable unique constraint on (sid)",
        ),
        (
            "ALTER TABLE sessions ADD CONSTRAINT \"Later\" UNIQUE (sid) DEFERRABLE",
            "deferrable unique constraint on (sid)",
        ),
        (
            "DROP INDEX sessions_meta_aud_sub_sid_idx;
             ALTER TABLE sessions_meta ADD PRIMARY KEY (aud, sub, sid) DEFERRABLE",
            "deferrable unique constraint on (aud, sub, sid)",
        ),
        (
            "DROP INDEX sessions_meta_aud_sub_sid_idx;
             INSERT INTO sessions_meta SELECT * FROM sessions_meta",
            "no unique index on (aud, sub, sid): each save adds",
        ),
        (
            "DROP TABLE sessions_meta",
            "There is no table \"sessions_meta\"",
        ),
        (
            "DROP TABLE sessions_meta; ALTER TABLE sessions SET UNLOGGED",
            "There is no table \"sessions_meta\"",
        ),
        (
            "ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey;
             ALTER TABLE sessions_meta SET LOGGED",
            "no foreign key",
        ),
    ];
    for (defect, words) in defects {
        sql.batch_execute(defect).expect(defect);
        let found = check(&storage);
        let named = found.iter().any(|(problem, _)| problem.contains(words));
        assert!(named, "{defect}: {found:?}");
        repair(&storage, &mut sql);
        sessions_come_and_go(&storage, &mut sql, defect);
    }
    // A session's data is not what it was after bytea; its expiry is.
    let alive = "SELECT count(*) FROM sessions WHERE exp > now() + interval '59 minutes'";
    assert_eq!(number(&mut sql, alive), 1);
    for defect in [
        "DROP TABLE sessions CASCADE",
        "DROP TABLE sessions_meta, sessions",
    ] {
        sql.batch_execute(defect).expect(defect);
        let found = check(&storage);
        let words = "There is no table \"sessions\"";
        assert!(found[0].0.contains(words), "{found:?}");
        repair(&storage, &mut sql);
        sessions_come_and_go(&storage, &mut sql, defect);
    }
}

/// Two sessions are saved; another client deletes one, and the other is revoked.
fn sessions_come_and_go(storage: &Storage, sql: &mut Client, defect: &str) {
    for key in ["deleted", "revoked"] {
        storage
            .call(login_of("grace", key, 3600))
            .unwrap_or_else(|error| panic!("{defect}: {error}"));
    }
    let deleted = sql.execute("DELETE FROM sessions WHERE sid = 'deleted'", &[]);
    assert_eq!(
        deleted.map_err(|error| format!("{defect}: {error:?}")),
        Ok(1)
    );
    let revoked = storage.revoke("shop", "grace", None);
    assert_eq!(revoked, Ok(1), "{defect}");
    let left = "SELECT count(*) FROM sessions_meta WHERE sub = 'grace'";
    assert_eq!(number(sql, left), 0, "{defect}");
}

#[test]
fn the_problem_says_how_to_keep_one_of_each_session() {
    let site = Site::new();
    let (storage, mut sql) = (site.storage(), site.sql());
    sql.batch_execute(
        "CREATE INDEX ON sessions_meta (sid);
         ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey;
         ALTER TABLE sessions DROP CONSTRAINT sessions_pkey;
         INSERT INTO sessions SELECT 'key', 'session', n, now() + n * interval '1 hour'
         FROM generate_series(1, 3) AS n",
    )
    .expect("rows");
    let (problem, _) = check(&storage).remove(0);
    let at = problem.find("DELETE").expect("a statement");
    sql.batch_execute(&problem[at..]).expect("one of each");
    repair(&storage, &mut sql);
    let latest = "SELECT count(*) FROM sessions WHERE data = '3'";
    assert_eq!(number(&mut sql, latest), 1);
}

/// Its table has the indexes and the keys.
#[test]
fn a_view_is_not_to_be_indexed() {
    let site = Site::new();
    let mut sql = site.sql();
    sql.batch_execute(
        "CREATE SCHEMA web; CREATE VIEW web.sessions AS SELECT * FROM sessions;
         CREATE VIEW web.sessions_meta AS SELECT * FROM sessions_meta",
    )
    .expect("views");
    let table = [("table_name", Value::Text("web.sessions".into()))];
    let storage = Storage::new(site.config_with(table));
    assert_eq!(check(&storage), []);
    assert_eq!(migrate(&storage, false), Ok(0));
    sessions_come_and_go(&storage, &mut sql, "views");
    let expired = "INSERT INTO sessions (sid, exp) VALUES ('expired', now() - interval '1 hour')";
    sql.batch_execute(expired).expect("a row");
    assert_eq!(storage.cleanup(None), Ok(1));
}

#[test]
fn a_column_created_of_another_type_is_not_used() {
    for kind in ["timestamp DEFAULT now()", "text DEFAULT 'long ago'", "int"] {
        let site = Site::new();
        let (storage, mut sql) = (site.storage(), site.sql());
        sql.batch_execute(&format!(
            "CREATE INDEX ON sessions_meta (sid); ALTER TABLE sessions ADD created {kind}"
        ))
        .expect("a column");
        storage.call(login("key")).expect("a save");
        let sessions = storage.call(super::list_of_ada()).expect(kind);
        assert_eq!((sessions.len(), sessions[0].created), (1, None), "{kind}");
        assert_eq!(check(&storage), []);
    }
}

#[test]
fn check_names_the_privileges_that_the_user_lacks() {
    let site = Site::new();
    let mut sql = site.sql();
    let user = format!("web_{}", site.database);
    sql.batch_execute(&format!(
        "CREATE INDEX ON sessions_meta (sid); CREATE ROLE {user} LOGIN;
         GRANT SELECT, INSERT ON sessions TO {user}; GRANT SELECT ON sessions_meta TO {user}"
    ))
    .expect("a role");
    let mut config: Config = site.config(&[]);
    config.connection.username = user;
    let storage = Storage::new(config);
    let found = check(&storage);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0]
            .0
            .contains("may not UPDATE, DELETE on \"sessions\""),
        "{found:?}"
    );
    assert!(
        found[1]
            .0
            .contains("may not INSERT, DELETE on \"sessions_meta\""),
        "{found:?}"
    );
    repair(&storage, &mut sql);
    storage.call(login("key")).expect("a save");
}

/// Functions in place of Citus's note their arguments, in order.
#[test]
fn migrate_distributes_new_tables() {
    let site = bare();
    let mut sql = site.sql();
    sql.batch_execute(
        "CREATE TABLE pg_dist_partition ();
         CREATE TABLE noted (n serial, what text);
         CREATE FUNCTION create_distributed_table(t regclass, c text, colocate_with text DEFAULT '')
         RETURNS void LANGUAGE plpgsql AS $$ BEGIN
           IF EXISTS (SELECT FROM pg_constraint WHERE contype = 'f') THEN
             RAISE 'a foreign key to a table that is not distributed';
           END IF;
           INSERT INTO noted (what) VALUES (concat_ws(' ', t, c, colocate_with)); END $$",
    )
    .expect("functions");
    migrate(&site.storage(), false).expect("a migration");
    let noted: String = sql
        .query_one("SELECT string_agg(what, ', ' ORDER BY n) FROM noted", &[])
        .expect("a row")
        .get(0);
    assert_eq!(noted, "sessions sid , sessions_meta sid \"sessions\"");
    let cascades = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'
                    AND confdeltype = 'c' AND confupdtype = 'a'";
    assert_eq!(number(&mut sql, cascades), 1);
    assert_eq!(check(&site.storage()), []);
    assert_eq!(migrate(&site.storage(), false), Ok(0));
}
