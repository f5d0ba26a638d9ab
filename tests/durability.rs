//! Durability by choice: when a save counts as committed, and tables that do not outlive a crash.

use std::fs;
use std::path::Path;

use resty_session_postgres::Storage;
use serde_json::{Value as Json, json};

use crate::support::{Calls, Cluster, Database, Stop, session};

fn save(storage: &Storage, key: &str) {
    let set = session(key, 60).under("audience", "subject").unwrap();
    storage.call(set).unwrap();
}

#[test]
fn a_save_is_committed_as_synchronous_commit_says() {
    let db = Database::new();
    // The table notes under which setting each of its rows is written.
    db.execute(
        "ALTER TABLE sessions ADD COLUMN seen text;
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN NEW.seen := current_setting('synchronous_commit'); RETURN NEW; END $$;
         CREATE TRIGGER note BEFORE INSERT OR UPDATE ON sessions
         FOR EACH ROW EXECUTE FUNCTION note()",
    );
    let seen = |keys: Json| -> String {
        save(&db.storage_with(keys), "key");
        db.one("SELECT seen FROM sessions")
    };
    assert_eq!(seen(json!({})), "on");
    for word in ["off", "local", "remote_write", "on", "remote_apply"] {
        assert_eq!(seen(json!({ "synchronous_commit": word })), word);
        // With the statement where the session is not ours to set it in.
        let pooled = json!({ "synchronous_commit": word, "prepared_statements": "false" });
        assert_eq!(seen(pooled), word);
    }
}

/// `sql/unlogged.sql`, and what it says of a crash.
#[test]
fn unlogged_tables_are_empty_after_a_crash_and_serve_again() {
    let cluster = Cluster::builder().start();
    let database = cluster.create_database();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/unlogged.sql");
    let unlogged = fs::read_to_string(file).unwrap();
    cluster.client(&database).batch_execute(&unlogged).unwrap();
    let storage = cluster.storage(&database, json!({}));
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
