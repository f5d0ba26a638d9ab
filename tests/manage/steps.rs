//! `migrate` beside other users, other tables and other transactions.

use std::thread;

use serde_json::json;

use super::login;
use super::schema::{check, migrate};
use crate::support::{Calls, Database, process};

#[test]
fn a_user_who_owns_nothing_may_migrate_tables_that_need_nothing() {
    let db = Database::new();
    let user = db.create_role("web");
    db.execute(&format!(
        "CREATE INDEX ON sessions_meta (sid);
         GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, sessions_meta TO {user}"
    ));
    let storage = db.storage_with(json!({ "username": user }));
    assert_eq!(migrate(&storage, false), Ok(0));
}

#[test]
fn tables_are_made_in_a_schema_where_the_user_may_make_no_schemas() {
    let db = Database::new();
    let user = db.create_role("web");
    db.execute(&format!("CREATE SCHEMA web AUTHORIZATION {user}"));
    let storage = db.storage_with(json!({ "username": user, "table_name": "web.sessions" }));
    assert!(migrate(&storage, false).expect("a migration") > 0);
    assert_eq!(check(&storage), []);
}

#[test]
fn a_missing_table_becomes_what_the_other_one_is() {
    let unlogged = "DROP TABLE sessions_meta; ALTER TABLE sessions SET UNLOGGED";
    for (change, kind) in [(unlogged, "u"), ("DROP TABLE sessions CASCADE", "p")] {
        for unlogged in [false, true] {
            let db = Database::new();
            db.execute(change);
            let storage = db.storage();
            migrate(&storage, unlogged).unwrap_or_else(|error| panic!("{change}: {error}"));
            assert_eq!(check(&storage), []);
            let alike = format!(
                "SELECT count(*) FROM pg_class WHERE relname IN ('sessions', 'sessions_meta')
                 AND relpersistence = '{kind}'"
            );
            assert_eq!(db.number(&alike), 2, "{change}");
            storage.call(login("key")).expect("a save");
        }
    }
}

/// A change of a table waits for its readers; a new index does not.
#[test]
fn a_long_reader_has_no_index_made_twice() {
    let db = Database::new();
    let mut reader = db.sql();
    let mut reading = reader.transaction().expect("a transaction");
    let read = reading.query("SELECT * FROM sessions", &[]);
    read.expect("rows");
    let storage = db.storage();
    let index = "SELECT coalesce(max(indexrelid::bigint), 0) FROM pg_index
                 WHERE indrelid = 'sessions_meta'::regclass AND NOT indisprimary";
    thread::scope(|scope| {
        let changes = scope.spawn(|| migrate(&storage, false));
        let mut made = 0;
        process::wait_until(3, "there is an index", || {
            made = db.number(index);
            made != 0
        });
        db.storage().call(login("key")).expect("a save meanwhile");
        reading.commit().expect("the end of the reader");
        // The index and the column.
        assert_eq!(changes.join().expect("no panic"), Ok(2));
        assert_eq!(db.number(index), made);
    });
    assert_eq!(check(&storage), []);
}

#[test]
fn what_another_process_has_repaired_is_not_repaired_again() {
    let db = Database::new();
    db.execute("ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey");
    let [storage, other] = [1, 2].map(|size| db.storage_with(json!({ "pool_size": size })));
    // This storage keeps for some seconds that there is no foreign key.
    storage.delete("no such key").expect("a delete");
    migrate(&other, false).expect("a migration");
    assert_eq!(migrate(&storage, false), Ok(0));
    let keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'";
    assert_eq!(db.number(keys), 1);
}

/// What the catalog says of the tables, in words.
const CATALOG: &str = "
    SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
      SELECT concat_ws(' ', relname, relkind, relpersistence, reloptions) AS line FROM pg_class
      WHERE relname LIKE 'sessions%'
      UNION ALL SELECT concat_ws(' ', attrelid::regclass, attnum, attname,
        format_type(atttypid, atttypmod), collname, attnotnull, pg_get_expr(adbin, adrelid),
        col_description(attrelid, attnum))
      FROM pg_attribute LEFT JOIN pg_collation AS c ON c.oid = attcollation
      LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
      WHERE attrelid IN ('sessions'::regclass, 'sessions_meta'::regclass) AND attnum > 0
      UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index
      WHERE indrelid IN ('sessions'::regclass, 'sessions_meta'::regclass)
      UNION ALL SELECT concat_ws(' ', conname, pg_get_constraintdef(oid)) FROM pg_constraint
      WHERE conrelid IN ('sessions'::regclass, 'sessions_meta'::regclass)) AS lines";

#[test]
fn migrate_makes_the_tables_of_schema_sql() {
    let catalogs = [true, false].map(|by_migrate| {
        let db = Database::new();
        db.execute("DROP TABLE sessions_meta, sessions");
        match by_migrate {
            true => drop(migrate(&db.storage(), false).expect("a migration")),
            false => db.execute(include_str!("../../sql/schema.sql")),
        }
        assert_eq!(migrate(&db.storage(), false), Ok(0));
        db.one::<String>(CATALOG)
    });
    assert!(catalogs[0].contains("sessions_meta_sid_idx"), "{}", catalogs[0]);
    assert_eq!(catalogs[0], catalogs[1]);
}
