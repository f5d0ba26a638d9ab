//! What about the tables refuses saves: `check` names it, and with `try` finds it by saving a session.

use serde_json::json;

use resty_session_postgres::Storage;
use resty_session_postgres::op::Finding;
use resty_session_postgres::ops::{Check, Migrate};

use super::login;
use super::schema::{check, findings, migrate};
use crate::support::{Calls, Database, session};

fn migrated() -> (Database, Storage) {
    let db = Database::new();
    let storage = db.storage();
    migrate(&storage, false).expect("a migration");
    (db, storage)
}

fn tried(storage: &Storage) -> Vec<Finding> {
    storage.call(Check::trying()).expect("a check")
}

/// What makes saves fail, and words that name it.
const REFUSALS: [(&str, &str); 10] = [
    (
        "ALTER TABLE sessions ADD \"Tenant\" text NOT NULL",
        "column \"Tenant\" of \"sessions\" must not be NULL and has no default",
    ),
    (
        "ALTER TABLE sessions_meta ADD tenant text NOT NULL",
        "column tenant of \"sessions_meta\" must not be NULL and has no default",
    ),
    (
        "ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey;
         ALTER TABLE sessions ALTER sid TYPE varchar(32)",
        "column sid of \"sessions\" takes 32 characters at most",
    ),
    (
        "ALTER TABLE sessions ALTER data TYPE varchar(255)",
        "column data of \"sessions\" takes 255 characters at most",
    ),
    ("ALTER TABLE sessions ADD CONSTRAINT short CHECK (length(data) < 100)", "constraints short"),
    ("CREATE UNIQUE INDEX \"One\" ON sessions (name)", "constraints \"One\""),
    ("CREATE UNIQUE INDEX one ON sessions_meta (sub)", "constraints one"),
    (
        "CREATE TABLE audience (aud text PRIMARY KEY);
         ALTER TABLE sessions_meta ADD CONSTRAINT known FOREIGN KEY (aud) REFERENCES audience",
        "\"sessions_meta\" has the constraints known",
    ),
    (
        "ALTER TABLE sessions ADD CONSTRAINT apart EXCLUDE USING btree (name WITH =)",
        "constraints apart",
    ),
    ("ALTER TABLE sessions ALTER exp TYPE date", "exp of \"sessions\" is of type date"),
];

#[test]
fn check_names_what_refuses_saves() {
    for (refusal, words) in REFUSALS {
        let (db, storage) = migrated();
        assert_eq!(findings(&storage), []);
        db.execute(refusal);
        let found = check(&storage);
        assert!(found.iter().any(|(problem, _)| problem.contains(words)), "{refusal}: {found:?}");
    }
}

#[test]
fn what_refuses_no_usual_save_is_advice_or_nothing() {
    let (db, storage) = migrated();
    db.execute(
        "ALTER TABLE sessions ADD tenant text NOT NULL DEFAULT 'shop', ADD n bigint NOT NULL
         GENERATED ALWAYS AS IDENTITY, ADD size int GENERATED ALWAYS AS (length(data)) STORED;
         CREATE UNIQUE INDEX ON sessions (sid, name);
         ALTER TABLE sessions_meta ALTER sub TYPE varchar(100)",
    );
    let [advice] = &findings(&storage)[..] else {
        panic!("{:?}", findings(&storage));
    };
    assert!(advice.advice && advice.problem.contains("100 characters"), "{advice:?}");
    assert_eq!(tried(&storage), findings(&storage));
    // Nothing is rewritten for it, and the order of keys stays.
    let made = storage.call(Migrate::default()).expect("a migration");
    assert_eq!(made.len(), 1);
    assert_eq!(findings(&storage), []);
}

#[test]
fn migrate_lengthens_columns() {
    let (db, storage) = migrated();
    db.execute("ALTER TABLE sessions ALTER sid TYPE varchar(32), ALTER data TYPE varchar(100)");
    assert_eq!(migrate(&storage, false), Ok(2));
    assert_eq!(findings(&storage), []);
    let long = "k".repeat(500);
    storage.call(session(&long, 60)).expect("a save");
    assert_eq!(storage.get(&long).expect("an answer").as_deref(), Some("value"));
}

#[test]
fn a_trial_leaves_nothing_behind() {
    let (db, storage) = migrated();
    // Also under a limit, whose saves are transactions of their own.
    let limited = json!({ "max_sessions_per_subject": 1, "max_sessions_beyond": "refuse" });
    for (key, storage) in [("key 1", storage), ("key 2", db.storage_with(limited))] {
        assert_eq!(tried(&storage), []);
        assert_eq!(db.sessions(), 0);
        assert_eq!(db.number("SELECT count(*) FROM sessions_meta"), 0);
        // The connection is used again.
        storage.call(login(key)).expect("a save");
        assert_eq!(storage.revoke("shop", "ada", None), Ok(1));
    }
}

#[test]
fn a_trial_says_which_step_fails() {
    let owner = "CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN %; END';
                 CREATE TRIGGER t BEFORE ? EXECUTE FUNCTION change()";
    let trigger = |code: &str, when: &str| owner.replace('%', code).replace('?', when);
    let each = "ON sessions FOR EACH ROW";
    let cases = [
        (
            "ALTER TABLE sessions ADD CHECK (length(data) < 100)".to_owned(),
            "Saving a session with metadata fails: new row for relation",
        ),
        (
            "CREATE TABLE audience (aud text PRIMARY KEY);
             ALTER TABLE sessions_meta ADD FOREIGN KEY (aud) REFERENCES audience
             DEFERRABLE INITIALLY DEFERRED"
                .to_owned(),
            "Checking deferred constraints fails: insert or update on table \"sessions_meta\"",
        ),
        (
            trigger("RETURN NULL", &format!("INSERT {each}")),
            "Saving a session with metadata stores nothing. A trigger",
        ),
        (
            trigger("NEW.data = ''changed''; RETURN NEW", &format!("INSERT {each}")),
            "A session is read other than it was saved.",
        ),
        (
            trigger("NEW.exp = ''2000-01-01''; RETURN NEW", &format!("INSERT {each}")),
            "A session that was just saved is not found.",
        ),
        (
            trigger("RETURN NULL", "INSERT ON sessions_meta FOR EACH ROW"),
            "A session that was just saved is not found by its subject.",
        ),
        (
            trigger("RAISE ''no update''", &format!("UPDATE {each}")),
            "Saving a session in place of another one fails: no update",
        ),
    ];
    for (change, words) in cases {
        let (db, storage) = migrated();
        db.execute(&change);
        let found = tried(&storage);
        assert!(found.iter().any(|it| it.problem.starts_with(words)), "{change}: {found:?}");
        assert!(!check(&storage).iter().any(|(problem, _)| problem.contains("was tried")));
        assert_eq!(db.number("SELECT count(*) FROM sessions"), 0);
    }
}

#[test]
fn a_trial_needs_the_rights_of_a_site() {
    let (db, _) = migrated();
    let user = db.create_role("web");
    db.execute(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO {user}"));
    let found = tried(&db.storage_with(json!({ "username": user })));
    let [right, trial] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(right.problem.contains("may not SELECT, INSERT, DELETE"), "{right:?}");
    let words = "Saving a session with metadata fails: permission denied for table sessions_meta";
    assert!(trial.problem.starts_with(words), "{trial:?}");
}

#[test]
fn check_counts_rows_without_an_expiry() {
    let (db, storage) = migrated();
    db.execute("INSERT INTO sessions (sid) SELECT n FROM generate_series(1, 3) AS n");
    let found = check(&storage);
    let [(problem, repair)] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(problem.starts_with("3 rows of \"sessions\" have no exp"), "{problem}");
    db.execute(repair);
    assert_eq!(check(&storage), []);
}
