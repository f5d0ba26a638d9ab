//! Tables whose keys are in the order of bytes or of a language.

use resty_session_postgres::Epoch;
use resty_session_postgres::ops::{List, Scope};

use super::login;
use super::schema::{check, findings, migrate};
use crate::support::{Calls, Database};

/// Each key is where bytes and languages order it differently.
const KEYS: [&str; 10] = ["a", "B", "c", "D", "e", "F", "g", "H", "i", "J"];

const BYTES: &str = "pg_catalog.\"C\"";
const LANGUAGE: &str = "pg_catalog.\"en-x-icu\"";

fn collate(db: &Database, table: &str, collation: &str) {
    db.execute(&format!("ALTER TABLE {table} ALTER sid TYPE text COLLATE {collation}"));
}

/// All keys of a scope, page by page.
fn listed(db: &Database, scope: &Scope) -> Vec<String> {
    let storage = db.storage();
    let mut keys: Vec<String> = Vec::new();
    loop {
        let list = List::new(scope.clone(), Epoch::now()).limit(3);
        let page = match keys.last() {
            Some(last) => list.after(last).expect("a key"),
            None => list,
        };
        let page = storage.call(page).expect("a page");
        if page.is_empty() || keys.len() > KEYS.len() {
            return keys;
        }
        keys.extend(page.into_iter().map(|session| session.key));
    }
}

#[test]
fn pages_have_each_session_once_whatever_order_the_tables_have() {
    let default = "pg_catalog.\"default\"";
    let orders = [
        [default, LANGUAGE],
        [LANGUAGE, default],
        [default, BYTES],
        [BYTES, default],
        [LANGUAGE, LANGUAGE],
        [BYTES, BYTES],
    ];
    let shop = || Some("shop".to_owned());
    let scopes = [
        Scope::ALL,
        Scope::new(shop(), None).expect("an audience"),
        Scope::new(shop(), Some("ada".into())).expect("a subject"),
    ];
    for [ours, theirs] in orders {
        let db = Database::new();
        collate(&db, "sessions", ours);
        collate(&db, "sessions_meta", theirs);
        for key in KEYS {
            db.storage().call(login(key)).expect("a save");
        }
        for (depth, scope) in scopes.iter().enumerate() {
            let mut keys = listed(&db, scope);
            keys.sort();
            let mut all = KEYS;
            all.sort_unstable();
            assert_eq!(keys, all, "{ours}, {theirs}, scope {depth}");
        }
    }
}

/// The collation of each column that is looked up by.
fn collations(db: &Database) -> String {
    db.one(
        "SELECT string_agg(concat_ws(' ', attrelid::regclass, attname, collname), ', '
                ORDER BY attrelid::regclass::text, attname)
         FROM pg_attribute JOIN pg_collation AS c ON c.oid = attcollation
         WHERE attrelid IN ('sessions'::regclass, 'sessions_meta'::regclass)
         AND attname IN ('aud', 'sub', 'sid')",
    )
}

#[test]
fn new_tables_compare_keys_as_bytes() {
    let db = Database::new();
    db.execute("DROP TABLE sessions_meta, sessions");
    migrate(&db.storage(), false).expect("a migration");
    let expected = "sessions sid C, sessions_meta aud C, sessions_meta sid C, sessions_meta sub C";
    assert_eq!(collations(&db), expected);
    db.storage().call(login("key")).expect("a save");
    assert_eq!(db.storage().revoke("shop", "ada", None), Ok(1));
}

/// PostgreSQL would not compare them otherwise.
#[test]
fn a_new_table_has_its_keys_in_the_order_of_the_other_one() {
    for dropped in ["sessions_meta", "sessions"] {
        let db = Database::new();
        collate(&db, "sessions", LANGUAGE);
        collate(&db, "sessions_meta", LANGUAGE);
        db.execute(&format!("DROP TABLE {dropped} CASCADE"));
        migrate(&db.storage(), false).expect("a migration");
        assert_eq!(collations(&db).matches("sid en-x-icu").count(), 2, "{dropped}");
        db.storage().call(login("key")).expect("a save");
        assert_eq!(
            listed(&db, &Scope::new(Some("shop".into()), None).expect("an audience")),
            ["key"]
        );
    }
}

#[test]
fn check_advises_about_the_order_of_a_language_and_migrate_rewrites_nothing() {
    let db = Database::new();
    let storage = db.storage();
    migrate(&storage, false).expect("a migration");
    assert_eq!(findings(&storage), []);
    collate(&db, "sessions", LANGUAGE);
    let files =
        "SELECT relfilenode::bigint + (SELECT sum(indexrelid::bigint) FROM pg_index)::bigint
                 FROM pg_class WHERE oid = 'sessions'::regclass";
    let before = db.number(files);
    let found = findings(&storage);
    let [advice] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(advice.advice && advice.repair.is_none(), "{advice:?}");
    let named = advice.problem.contains("The indexes of sid of \"sessions\" are in the order");
    assert!(named, "{advice:?}");
    assert_eq!(migrate(&storage, false), Ok(0));
    assert_eq!(db.number(files), before);
    assert_eq!(check(&storage), []);
}

#[test]
fn check_reports_tables_that_postgresql_cannot_compare() {
    let db = Database::new();
    let storage = db.storage();
    migrate(&storage, false).expect("a migration");
    storage.call(login("key")).expect("a save");
    collate(&db, "sessions", LANGUAGE);
    collate(&db, "sessions_meta", BYTES);
    let found = check(&storage);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0.contains("refuses to compare"), "{found:?}");
    let scope = Scope::new(Some("shop".into()), None).expect("an audience");
    storage.call(List::new(scope, Epoch::now())).expect_err("what the problem says");
}
