//! Tables as they are made, found, and repaired.

use std::thread;

use resty_session_postgres::op::Finding;
use resty_session_postgres::ops::{Check, Migrate};
use resty_session_postgres::{Epoch, Error, Storage};
use serde_json::json;

use super::{login, login_of};
use crate::support::{Calls, Database};

/// How many changes were made.
pub(super) fn migrate(storage: &Storage, unlogged: bool) -> Result<usize, Error> {
    let migrate = match unlogged {
        true => Migrate::default().unlogged(),
        false => Migrate::default(),
    };
    storage.call(migrate).map(|made| made.len())
}

/// What a check finds.
pub(super) fn findings(storage: &Storage) -> Vec<Finding> {
    storage.call(Check::default()).expect("a check")
}

/// The problems that a check finds, with their repairs, without its advice.
pub(super) fn check(storage: &Storage) -> Vec<(String, String)> {
    let findings = findings(storage).into_iter().filter(|found| !found.advice);
    findings.map(|found| (found.problem, found.repair.unwrap_or_default())).collect()
}

pub(super) fn repair(storage: &Storage, db: &Database) {
    for (problem, statement) in check(storage) {
        println!("{problem}");
        db.execute(&statement);
    }
    assert_eq!(check(storage), []);
}

/// A db without tables.
fn bare() -> Database {
    let db = Database::new();
    db.execute("DROP TABLE sessions_meta, sessions");
    db
}

#[test]
fn migrate_makes_the_tables() {
    let db = bare();
    let storage = db.storage();
    assert!(migrate(&storage, false).expect("a migration") > 0);
    assert_eq!(check(&storage), []);
    assert_eq!(migrate(&storage, false), Ok(0));
    let before = Epoch::now();
    storage.call(login("key")).expect("a save");
    let sessions = storage.call(super::list_of_ada()).expect("a list");
    let created = sessions[0].created.expect("the time of the first save");
    assert!((before..=Epoch::now().plus(1)).contains(&created));
    let logged = "SELECT count(*) FROM pg_class WHERE relname ~ '^sessions' AND relkind = 'r'
                  AND relpersistence = 'p'";
    assert_eq!(db.number(logged), 2);
    storage.delete("key").expect("a delete");
    assert_eq!(db.number("SELECT count(*) FROM sessions_meta"), 0);
}

#[test]
fn migrate_makes_unlogged_tables_in_a_schema_of_their_own() {
    let db = bare();
    let storage = db.storage_with(json!({ "table_name": "web.logins" }));
    migrate(&storage, true).expect("a migration");
    assert_eq!(check(&storage), []);
    storage.call(login("key")).expect("a save");
    let unlogged = "SELECT count(*) FROM pg_class WHERE relnamespace = 'web'::regnamespace
                    AND relkind = 'r' AND relpersistence = 'u'";
    assert_eq!(db.number(unlogged), 2);
}

#[test]
fn many_may_migrate_at_once() {
    let db = bare();
    thread::scope(|scope| {
        for size in 1..=8 {
            let storage = db.storage_with(json!({ "pool_size": size }));
            scope.spawn(move || migrate(&storage, false).expect("a migration"));
        }
    });
    assert_eq!(check(&db.storage()), []);
}

#[test]
fn check_names_each_defect_and_what_repairs_it() {
    let db = Database::new();
    let storage = db.storage();
    storage.call(login("key")).expect("a save");
    assert!(migrate(&storage, false).expect("a migration") > 0);
    // The time of its first save is not known.
    let sessions = storage.call(super::list_of_ada()).expect("a list");
    assert_eq!(sessions[0].created, None);
    // Each defect, and words of the problem that names it.
    let defects = [
        "DROP INDEX sessions_exp_idx",
        "no index on (exp)",
        "DROP INDEX sessions_meta_sid_idx",
        "no index on (sid)",
        "ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey",
        "no foreign key",
        "ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey;
         ALTER TABLE sessions_meta ADD FOREIGN KEY (sid) REFERENCES sessions",
        "no foreign key",
        "ALTER TABLE sessions DROP CONSTRAINT sessions_pkey CASCADE",
        "no unique index on (sid)",
        "ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_pkey",
        "no unique index on (aud, sub, sid)",
        "ALTER TABLE sessions ALTER exp TYPE timestamp USING exp AT TIME ZONE 'UTC'",
        "exp of \"sessions\" is of type timestamp without time zone",
        "ALTER TABLE sessions ALTER data TYPE bytea USING data::bytea",
        "data of \"sessions\" is of type bytea",
        "ALTER TABLE sessions DROP name",
        "has no column name",
        // Beside the key that deletes.
        r#"ALTER TABLE sessions_meta ADD CONSTRAINT "The ""old"" key; " FOREIGN KEY (sid)
           REFERENCES sessions (sid) ON DELETE RESTRICT"#,
        "does not delete with the session",
        "DROP INDEX sessions_sid_idx CASCADE;
         CREATE UNIQUE INDEX ON sessions (sid, lower(name))",
        "no unique index on (sid)",
        "DROP INDEX sessions_sid_idx CASCADE;
         ALTER TABLE sessions ADD CONSTRAINT \"Later\" UNIQUE (sid) DEFERRABLE",
        "deferrable unique constraint on (sid)",
        "ALTER TABLE sessions ADD CONSTRAINT \"Later\" UNIQUE (sid) DEFERRABLE",
        "deferrable unique constraint on (sid)",
        "DROP INDEX sessions_meta_aud_sub_sid_idx;
         ALTER TABLE sessions_meta ADD PRIMARY KEY (aud, sub, sid) DEFERRABLE",
        "deferrable unique constraint on (aud, sub, sid)",
        "DROP INDEX sessions_meta_aud_sub_sid_idx;
         INSERT INTO sessions_meta SELECT * FROM sessions_meta",
        "no unique index on (aud, sub, sid): each save adds",
        "DROP TABLE sessions_meta",
        "There is no table \"sessions_meta\"",
        "DROP TABLE sessions_meta; ALTER TABLE sessions SET UNLOGGED",
        "There is no table \"sessions_meta\"",
        "ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey;
         ALTER TABLE sessions_meta SET LOGGED",
        "no foreign key",
    ];
    let test = |defect: &str, words: &str| {
        db.execute(defect);
        let found = check(&storage);
        let named = found.iter().any(|(problem, _)| problem.contains(words));
        assert!(named, "{defect}: {found:?}");
        repair(&storage, &db);
        sessions_come_and_go(&storage, &db, defect);
    };
    for case in defects.chunks(2) {
        test(case[0], case[1]);
    }
    // A session's data is not what it was after bytea; its expiry is.
    let alive = "SELECT count(*) FROM sessions WHERE exp > now() + interval '59 minutes'";
    assert_eq!(db.number(alive), 1);
    for tables in ["sessions CASCADE", "sessions_meta, sessions"] {
        test(&format!("DROP TABLE {tables}"), "There is no table \"sessions\"");
    }
}

/// Two sessions are saved; another client deletes one, and the other is revoked.
fn sessions_come_and_go(storage: &Storage, db: &Database, defect: &str) {
    // A key that was revoked may not be saved again for a while.
    for key in ["deleted".to_owned(), format!("revoked {defect}")] {
        storage
            .call(login_of("grace", key, 3600))
            .unwrap_or_else(|error| panic!("{defect}: {error}"));
    }
    println!("{defect}");
    db.execute("DELETE FROM sessions WHERE sid = 'deleted'");
    let revoked = storage.revoke("shop", "grace", None);
    assert_eq!(revoked, Ok(1), "{defect}");
    let left = "SELECT count(*) FROM sessions_meta WHERE sub = 'grace'";
    assert_eq!(db.number(left), 0, "{defect}");
}

#[test]
fn the_problem_says_how_to_keep_one_of_each_session() {
    let db = Database::new();
    let storage = db.storage();
    db.execute(
        "CREATE INDEX ON sessions_meta (sid);
         ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey;
         ALTER TABLE sessions DROP CONSTRAINT sessions_pkey;
         INSERT INTO sessions SELECT 'key', 'session', n, now() + n * interval '1 hour'
         FROM generate_series(1, 3) AS n",
    );
    let (problem, _) = check(&storage).remove(0);
    let at = problem.find("DELETE").expect("a statement");
    db.execute(&problem[at..]);
    repair(&storage, &db);
    let latest = "SELECT count(*) FROM sessions WHERE data = '3'";
    assert_eq!(db.number(latest), 1);
}

/// Its table has the indexes and the keys.
#[test]
fn a_table_name_with_a_dollar_works_with_and_without_prepared_statements() {
    for prepared in ["true", "false"] {
        let db = bare();
        let keys = json!({ "table_name": "sess$1", "prepared_statements": prepared });
        let storage = db.storage_with(keys);
        assert!(migrate(&storage, false).expect("tables") > 0);
        storage.call(login("key")).expect("a save");
        assert_eq!(storage.get("key").expect("an answer").as_deref(), Some("value"));
        assert_eq!(storage.revoke("shop", "ada", None), Ok(1));
        assert_eq!(storage.cleanup(None), Ok(0));
    }
}

#[test]
fn a_view_is_not_to_be_indexed() {
    let db = Database::new();
    db.execute(
        "CREATE SCHEMA web; CREATE VIEW web.sessions AS SELECT * FROM sessions;
         CREATE VIEW web.sessions_meta AS SELECT * FROM sessions_meta",
    );
    let storage = db.storage_with(json!({ "table_name": "web.sessions" }));
    assert_eq!(check(&storage), []);
    assert_eq!(migrate(&storage, false), Ok(0));
    sessions_come_and_go(&storage, &db, "views");
    let expired = "INSERT INTO sessions (sid, exp) VALUES ('expired', now() - interval '1 hour')";
    db.execute(expired);
    assert_eq!(storage.cleanup(None), Ok(1));
}

#[test]
fn a_column_created_of_another_type_is_not_used() {
    for kind in ["timestamp DEFAULT now()", "text DEFAULT 'long ago'", "int"] {
        let db = Database::new();
        let storage = db.storage();
        db.execute(&format!(
            "CREATE INDEX ON sessions_meta (sid); ALTER TABLE sessions ADD created {kind}"
        ));
        storage.call(login("key")).expect("a save");
        let sessions = storage.call(super::list_of_ada()).expect(kind);
        assert_eq!((sessions.len(), sessions[0].created), (1, None), "{kind}");
        assert_eq!(check(&storage), []);
    }
}

#[test]
fn check_names_the_privileges_that_the_user_lacks() {
    let db = Database::new();
    let user = db.create_role("web");
    db.execute(&format!(
        "CREATE INDEX ON sessions_meta (sid);
         GRANT SELECT, INSERT ON sessions TO {user}; GRANT SELECT ON sessions_meta TO {user}"
    ));
    let storage = db.storage_with(json!({ "username": user }));
    let found = check(&storage);
    let lacking =
        ["may not UPDATE, DELETE on \"sessions\"", "may not INSERT, DELETE on \"sessions_meta\""];
    assert_eq!(found.len(), lacking.len(), "{found:?}");
    for ((problem, _), lacking) in found.iter().zip(lacking) {
        assert!(problem.contains(lacking), "{problem}");
    }
    repair(&storage, &db);
    storage.call(login("key")).expect("a save");
}

/// Functions in place of Citus's note their arguments, in order.
#[test]
fn check_reports_what_others_have_put_on_the_tables() {
    let db = Database::new();
    let storage = db.storage();
    repair(&storage, &db);
    assert_eq!(check(&storage), []);
    let owner = db.create_role("owner");
    db.execute(&format!(
        "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER \"Audit\" BEFORE INSERT ON sessions EXECUTE FUNCTION audit();
         CREATE TRIGGER another AFTER DELETE ON sessions EXECUTE FUNCTION audit();
         CREATE TRIGGER \"off\" AFTER DELETE ON sessions EXECUTE FUNCTION audit();
         ALTER TABLE sessions DISABLE TRIGGER \"off\";
         CREATE RULE watch AS ON INSERT TO sessions_meta DO ALSO NOTIFY saved;
         ALTER TABLE sessions OWNER TO {owner}; ALTER TABLE sessions_meta OWNER TO {owner}"
    ));
    let found = check(&storage);
    assert!(found.iter().all(|(_, repair)| repair.is_empty()), "{found:?}");
    let problems: Vec<_> = found.into_iter().map(|(problem, _)| problem).collect();
    let begins = |place: usize, words: &str| {
        assert!(problems[place].starts_with(words), "{problems:#?}");
    };
    begins(
        0,
        &format!("\"sessions\", which belongs to {owner}, has the triggers \"Audit\", another: "),
    );
    begins(1, &format!("\"sessions_meta\", which belongs to {owner}, has the rules watch: "));
    assert_eq!(problems.len(), 2);

    // A superuser and the owner do not notice it. PostgreSQL applies it to no table of template1 here.
    let visitor = db.create_role("visitor");
    db.execute(&format!(
        "CREATE SCHEMA web;
         CREATE TABLE web.sessions (LIKE sessions INCLUDING ALL);
         CREATE TABLE web.sessions_meta (LIKE sessions_meta INCLUDING ALL);
         ALTER TABLE web.sessions ENABLE ROW LEVEL SECURITY;
         GRANT USAGE ON SCHEMA web TO {visitor};
         GRANT ALL ON ALL TABLES IN SCHEMA web TO {visitor}"
    ));
    let hidden = |username: &str| {
        let keys = json!({ "username": username, "table_name": "web.sessions" });
        let found = check(&db.storage_with(keys));
        found.iter().any(|(problem, _)| {
            problem.contains("\"sessions\", which belongs to postgres, has row security")
        })
    };
    assert!(hidden(&visitor) && !hidden("postgres"));
}

#[test]
fn migrate_distributes_new_tables() {
    let db = bare();
    db.execute(
        "SET allow_system_table_mods = on;
         CREATE TABLE pg_catalog.pg_dist_partition ();
         CREATE TABLE noted (n serial, what text);
         CREATE FUNCTION pg_catalog.create_distributed_table(
           t regclass, c text, colocate_with text DEFAULT '')
         RETURNS void LANGUAGE plpgsql AS $$ BEGIN
           IF EXISTS (SELECT FROM pg_constraint WHERE contype = 'f') THEN
             RAISE 'a foreign key to a table that is not distributed';
           END IF;
           INSERT INTO noted (what) VALUES (concat_ws(' ', t, c, colocate_with)); END $$",
    );
    migrate(&db.storage(), false).expect("a migration");
    let noted: String = db.one("SELECT string_agg(what, ', ' ORDER BY n) FROM noted");
    assert_eq!(noted, "sessions sid , sessions_meta sid \"sessions\"");
    let cascades = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'
                    AND confdeltype = 'c' AND confupdtype = 'a'";
    assert_eq!(db.number(cascades), 1);
    assert_eq!(check(&db.storage()), []);
    assert_eq!(migrate(&db.storage(), false), Ok(0));
}

/// lua-resty-session documents `table_name`, and reads `table`.
#[test]
fn check_says_where_the_sessions_are_if_upstream_has_ignored_the_name_of_the_table() {
    let db = Database::new();
    let storage = db.storage_with(json!({ "table_name": "logins" }));
    let words = "There is no table \"logins\", but a table sessions.";
    let says = |storage: &Storage| {
        check(storage).iter().filter(|(problem, _)| problem.starts_with(words)).count()
    };
    assert_eq!(says(&storage), 1);
    db.execute("ALTER TABLE sessions RENAME TO logins");
    assert_eq!(says(&storage), 0);
    db.execute("DROP TABLE logins CASCADE");
    assert_eq!(says(&storage), 0);
}
