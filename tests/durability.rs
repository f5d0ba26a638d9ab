//! Durability by choice: when a save counts as committed, and tables that do not outlive a crash.

use std::fs;
use std::path::Path;

use resty_session_postgres::Storage;
use resty_session_postgres::config::{Draft, Value};

use crate::support::{self, Calls, Cluster, Stop, session};

fn storage(cluster: &Cluster, database: &str, keys: &[(&str, &str)]) -> Storage {
    let mut draft = Draft::default();
    let port = cluster.port().to_string();
    for (key, value) in [("port", &*port), ("database", database)]
        .iter()
        .chain(keys)
    {
        draft.set(key, &Value::Text((*value).into())).unwrap();
    }
    Storage::new(draft.build().unwrap())
}

fn save(storage: &Storage, key: &str) {
    let set = session(key, 60).under("audience", "subject").unwrap();
    storage.call(set).unwrap();
}

#[test]
fn a_save_is_committed_as_synchronous_commit_says() {
    let cluster = support::shared();
    let database = cluster.create_database();
    let mut sql = cluster.client(&database);
    // The table notes under which setting each of its rows is written.
    sql.batch_execute(
        "ALTER TABLE sessions ADD COLUMN seen text;
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN NEW.seen := current_setting('synchronous_commit'); RETURN NEW; END $$;
         CREATE TRIGGER note BEFORE INSERT OR UPDATE ON sessions
         FOR EACH ROW EXECUTE FUNCTION note()",
    )
    .unwrap();
    let mut seen = |keys: &[(&str, &str)]| -> String {
        save(&storage(cluster, &database, keys), "key");
        let row = sql.query_one("SELECT seen FROM sessions", &[]).unwrap();
        row.get(0)
    };
    assert_eq!(seen(&[]), "on");
    for word in ["off", "local", "remote_write", "on", "remote_apply"] {
        let commit = ("synchronous_commit", word);
        assert_eq!(seen(&[commit]), word);
        // With the statement where the session is not ours to set it in.
        assert_eq!(seen(&[commit, ("prepared_statements", "false")]), word);
    }
    drop(sql);
    cluster.drop_database(&database);
}

/// `sql/unlogged.sql`, and what it says of a crash.
#[test]
fn unlogged_tables_are_empty_after_a_crash_and_serve_again() {
    let cluster = Cluster::builder().start();
    let database = cluster.create_database();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/unlogged.sql");
    let unlogged = fs::read_to_string(file).unwrap();
    cluster.client(&database).batch_execute(&unlogged).unwrap();
    let storage = storage(&cluster, &database, &[]);
    let get = || storage.get("key").unwrap();

    save(&storage, "key");
    cluster.stop(Stop::Fast);
    cluster.start_again();
    assert_eq!(get().as_deref(), Some("value"));

    cluster.stop(Stop::Immediate);
    cluster.start_again();
    assert_eq!(get(), None);
    save(&storage, "key");
    assert_eq!(get().as_deref(), Some("value"));
}
