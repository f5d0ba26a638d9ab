//! `migrate` beside other users, other tables and other transactions.

use std::thread;
use std::time::Duration;

use postgres::Client;
use resty_session_postgres::config::Value;
use resty_session_postgres::{Config, Storage};

use super::schema::{check, migrate};
use super::{Site, login, number};
use crate::support::{Calls, process};

/// A storage of a user who owns nothing, with these keys besides.
fn of_user<'a>(
    site: &Site,
    sql: &mut Client,
    keys: impl IntoIterator<Item = (&'a str, Value)>,
) -> (String, Storage) {
    let user = format!("web_{}", site.database);
    sql.batch_execute(&format!("CREATE ROLE {user} LOGIN"))
        .expect("a role");
    let mut config: Config = site.config_with(keys);
    config.connection.username.clone_from(&user);
    (user, Storage::new(config))
}

#[test]
fn a_user_who_owns_nothing_may_migrate_tables_that_need_nothing() {
    let site = Site::new();
    let mut sql = site.sql();
    let (user, storage) = of_user(&site, &mut sql, []);
    sql.batch_execute(&format!(
        "CREATE INDEX ON sessions_meta (sid);
         GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, sessions_meta TO {user}"
    ))
    .expect("privileges");
    assert_eq!(migrate(&storage, false), Ok(0));
}

#[test]
fn tables_are_made_in_a_schema_where_the_user_may_make_no_schemas() {
    let site = Site::new();
    let mut sql = site.sql();
    let table = [("table_name", Value::Text("web.sessions".into()))];
    let (user, storage) = of_user(&site, &mut sql, table);
    sql.batch_execute(&format!("CREATE SCHEMA web AUTHORIZATION {user}"))
        .expect("a schema");
    assert!(migrate(&storage, false).expect("a migration") > 0);
    assert_eq!(check(&storage), []);
}

#[test]
fn a_missing_table_becomes_what_the_other_one_is() {
    for (change, kind) in [
        (
            "DROP TABLE sessions_meta; ALTER TABLE sessions SET UNLOGGED",
            "u",
        ),
        ("DROP TABLE sessions CASCADE", "p"),
    ] {
        for unlogged in [false, true] {
            let site = Site::new();
            let mut sql = site.sql();
            sql.batch_execute(change).expect(change);
            let storage = site.storage();
            migrate(&storage, unlogged).unwrap_or_else(|error| panic!("{change}: {error}"));
            assert_eq!(check(&storage), []);
            let alike = format!(
                "SELECT count(*) FROM pg_class WHERE relname IN ('sessions', 'sessions_meta')
                 AND relpersistence = '{kind}'"
            );
            assert_eq!(number(&mut sql, &alike), 2, "{change}");
            storage.call(login("key")).expect("a save");
        }
    }
}

/// A change of a table waits for its readers; a new index does not.
#[test]
fn a_long_reader_has_no_index_made_twice() {
    let site = Site::new();
    let (mut reader, mut sql) = (site.sql(), site.sql());
    let mut reading = reader.transaction().expect("a transaction");
    reading
        .query("SELECT * FROM sessions", &[])
        .expect("a reader");
    let storage = site.storage();
    let index = "SELECT coalesce(max(indexrelid::bigint), 0) FROM pg_index
                 WHERE indrelid = 'sessions_meta'::regclass AND NOT indisprimary";
    thread::scope(|scope| {
        let changes = scope.spawn(|| migrate(&storage, false));
        let mut made = 0;
        let soon = Duration::from_secs(3);
        assert!(process::eventually(soon, || {
            made = number(&mut sql, index);
            made != 0
        }));
        site.storage().call(login("key")).expect("a save meanwhile");
        reading.commit().expect("the end of the reader");
        // The index and the column.
        assert_eq!(changes.join().expect("no panic"), Ok(2));
        assert_eq!(number(&mut sql, index), made);
    });
    assert_eq!(check(&storage), []);
}

#[test]
fn what_another_process_has_repaired_is_not_repaired_again() {
    let site = Site::new();
    let mut sql = site.sql();
    sql.batch_execute("ALTER TABLE sessions_meta DROP CONSTRAINT sessions_meta_sid_fkey")
        .expect("no key");
    let [storage, other] = [1.0, 2.0].map(|size| Storage::new(site.config(&[("pool_size", size)])));
    // This storage keeps for some seconds that there is no foreign key.
    storage.delete("no such key").expect("a delete");
    migrate(&other, false).expect("a migration");
    assert_eq!(migrate(&storage, false), Ok(0));
    let keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'";
    assert_eq!(number(&mut sql, keys), 1);
}
