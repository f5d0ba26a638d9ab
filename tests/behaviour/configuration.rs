//! `new`: what it returns, and which configurations it accepts.

use super::call::{NOW, set};
use super::lua_binding::LuaBinding;
use super::store::Store;
use super::value::Value;

type LuaStore = Store<LuaBinding>;

pub fn new_gives_a_table(store: &LuaStore) {
    for args in [vec![], vec![Value::Nil], vec![Value::Table(vec![])]] {
        let returned = store.binding.call_method(&store.conf, "new", &args).unwrap();
        assert_eq!(returned, ["table".into()]);
    }
}

pub fn an_instance_cannot_be_changed(store: &LuaStore) {
    for field in ["get", "anything"] {
        let message = store.raise("assign", &[field.into(), 1.0.into()]);
        assert_eq!(message, "attempt to update a read-only table");
    }
    assert_eq!(store.get("key"), None);
}

pub fn a_wrong_configuration_is_raised_with_its_key(store: &LuaStore) {
    let wrong: &[(&str, Value)] = &[
        ("host", true.into()),
        ("host", "".into()),
        ("port", "abc".into()),
        ("port", 0.0.into()),
        ("port", 65536.0.into()),
        ("port", 5432.5.into()),
        ("application", 1.0.into()),
        ("username", Value::Table(vec![])),
        ("password", true.into()),
        ("database", 1.0.into()),
        ("table_name", "a.b.c".into()),
        ("table_name", "a;b".into()),
        ("table_name", "a\0b".into()),
        ("table_name", "".into()),
        ("table_name_meta", "a b".into()),
        ("table_name_meta", 1.0.into()),
        ("connect_timeout", "soon".into()),
        ("connect_timeout", (-1.0).into()),
        ("send_timeout", f64::NAN.into()),
        ("read_timeout", f64::INFINITY.into()),
        ("keepalive_timeout", (-1.0).into()),
        ("pool_size", 0.0.into()),
        ("pool_size", 1.5.into()),
        ("pool_size", true.into()),
        ("backlog", (-1.0).into()),
        ("ssl", "maybe".into()),
        ("ssl_verify", 1.0.into()),
    ];
    for (key, value) in wrong {
        let conf = Value::Table(vec![((*key).into(), value.clone())]);
        let message = store.raise("new", &[conf]);
        assert!(message.contains(key), "{key}, {value:?}: {message}");
    }
    for conf in [Value::from("text"), 1.0.into(), true.into()] {
        store.raise("new", &[conf]);
    }
}

pub fn a_password_is_in_no_error(store: &LuaStore) {
    let conf = |value: Value| {
        let password = ("password".into(), value);
        Value::Table(vec![password, ("port".into(), "hunter2".into())])
    };
    let secret: Value = ["hunter3"].into_iter().collect();
    let message = store.raise("new", &[conf(secret)]);
    assert!(!message.contains("hunter3"), "{message}");
    let message = store.raise("new", &[conf("hunter3".into())]);
    assert!(!message.contains("hunter3"), "{message}");
}

pub fn numbers_and_names_have_more_than_one_spelling(store: &LuaStore) {
    let port = store.conf["port"].clone();
    let Value::Number(number) = port else { panic!("the port is no number") };
    store.run(&set("key", "value"));
    let text = store.with("port", &*number.to_string());
    assert!(text.get("key").is_some());
    let list = [&*number.to_string()].into_iter().collect::<Value>();
    let lists = store.with("port", list).with("host", ["127.0.0.1"].into_iter().collect::<Value>());
    assert!(lists.get("key").is_some());
}

pub fn the_other_spelling_of_the_table_keys_works(store: &LuaStore) {
    store.alter(
        "ALTER TABLE sessions RENAME TO logins;
         ALTER TABLE sessions_meta RENAME TO owners",
    );
    let renamed = store.with("table", "logins").with("table_meta", "owners");
    renamed.run(&set("key", "value").pairs("metadata", &[("audience", "subject")]));
    let sessions = renamed.read_metadata("audience", "subject");
    assert_eq!(sessions["key"], NOW as i64 + 60);
}

pub fn the_database_is_named_after_the_user(store: &LuaStore) {
    let name = &store.db.name;
    store.db.execute(&format!(
        "CREATE ROLE {name} LOGIN PASSWORD '{}'; GRANT ALL ON sessions TO {name}",
        crate::support::password()
    ));
    let mut user = store.with("username", &**name);
    user.conf.remove("database");
    user.run(&set("key", "value"));
    assert_eq!(store.db.row("key").unwrap().data, "value");
    store.db.execute(&format!("DROP OWNED BY {name} CASCADE; DROP ROLE {name}"));
}

pub fn connections_have_the_configured_application_name(store: &LuaStore) {
    let sql = "SELECT string_agg(DISTINCT application_name, ',' ORDER BY application_name)
               FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    store.spoil();
    store.get("key");
    assert_eq!(store.db.one::<String>(sql), "pgmoon");
    store.with("application", "shop").get("key");
    assert_eq!(store.db.one::<String>(sql), "pgmoon,shop");
}
