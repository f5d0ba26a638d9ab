use super::*;

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

fn build(pairs: &[(&str, Value)]) -> Result<Config, Error> {
    let mut draft = Draft::default();
    for (key, value) in pairs {
        draft.set(key, value)?;
    }
    draft.build()
}

fn reason(pairs: &[(&str, Value)]) -> String {
    build(pairs).expect_err("a wrong configuration").to_string()
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = Config::default();
    assert_eq!(&*config.connection.describe(), "127.0.0.1:5432");
    assert_eq!(config.connection.application, "pgmoon");
    assert_eq!(config.connection.username, "postgres");
    assert_eq!(config.connection.database, "postgres");
    assert_eq!(config.sessions.to_string(), "\"sessions\"");
    assert_eq!(config.metadata.to_string(), "\"sessions_meta\"");
    assert_eq!(config.pool.size, 4);
    assert_eq!(config.pool.backlog, 1024);
    assert_eq!(config.pool.keepalive, Some(Duration::from_secs(60)));
    assert_eq!(config.timeouts.connect, Duration::from_secs(5));
    assert_eq!(config.timeouts.statement, Duration::from_secs(10));
    assert_eq!(config.connection.tls, TlsMode::Off);
}

#[test]
fn several_hosts_take_one_port_or_one_each() {
    let config = build(&[("host", text("a, b")), ("port", text("1, 2"))]).expect("valid");
    assert_eq!(&*config.connection.describe(), "a:1, b:2");
    let list = Value::List(vec![text("::1"), text("unix:/run/pg"), text("/run/pg")]);
    let config = build(&[("host", list), ("port", Value::Number(7.0))]).expect("valid");
    let servers = "[::1]:7, /run/pg/.s.PGSQL.7, /run/pg/.s.PGSQL.7";
    assert_eq!(&*config.connection.describe(), servers);
    let reason = reason(&[("host", text("a,b,c")), ("port", text("1,2"))]);
    assert_eq!(
        reason,
        "port: expected one port, or one for each of the 3 hosts, got 2"
    );
}

#[test]
fn numbers_may_come_as_strings() {
    let config = build(&[("port", text("6543")), ("connect_timeout", text("250"))]).expect("valid");
    assert_eq!(&*config.connection.describe(), "127.0.0.1:6543");
    assert_eq!(config.timeouts.connect, Duration::from_millis(250));
}

#[test]
fn a_wrong_value_is_named_with_what_is_accepted() {
    let cases = [
        (
            "port",
            text("abc"),
            "port: expected a whole number from 1 to 65535, got the string \"abc\"",
        ),
        (
            "port",
            Value::Number(0.5),
            "port: expected a whole number from 1 to 65535, got the number 0.5",
        ),
        (
            "port",
            Value::Number(f64::NAN),
            "port: expected a whole number from 1 to 65535, got the number NaN",
        ),
        (
            "port",
            Value::List(vec![]),
            "port: expected at least one port, got a list of 0",
        ),
        (
            "pool_size",
            Value::Number(0.0),
            "pool_size: expected a whole number from 1 to 1000, got the number 0",
        ),
        (
            "ssl",
            text("yes"),
            "ssl: expected a boolean, got the string \"yes\"",
        ),
        (
            "username",
            Value::Flag(true),
            "username: expected a non-empty string without NUL bytes, got the boolean true",
        ),
        (
            "database",
            text("a\0b"),
            "database: expected a non-empty string without NUL bytes, got the string \"a\\0b\"",
        ),
        (
            "host",
            Value::Flag(true),
            "host: expected a host name, an address, or a socket folder (unix:/dir or /dir), got the boolean true",
        ),
        (
            "host",
            text("a b"),
            "host: expected a host name, an address, or a socket folder (unix:/dir or /dir), got the string \"a b\"",
        ),
        (
            "host",
            text("unix:run"),
            "host: expected a host name, an address, or a socket folder (unix:/dir or /dir), got the string \"unix:run\"",
        ),
        (
            "read_timeout",
            Value::Number(0.0),
            "read_timeout: expected a whole number from 1 to 86400000, got the number 0 (milliseconds)",
        ),
        (
            "pool_sise",
            Value::Number(1.0),
            "pool_sise: unknown key; the nearest known one is pool_size",
        ),
        (
            "table",
            Value::Other("function"),
            "table: expected a non-empty string without NUL bytes, got a function",
        ),
    ];
    for (key, value, expected) in cases {
        assert_eq!(reason(&[(key, value)]), expected);
    }
}

#[test]
fn the_password_is_never_shown() {
    let config = build(&[("password", text("hunter2"))]).expect("valid");
    assert!(!format!("{config:?}").contains("hunter2"));
    let reason = reason(&[("password", text("hunter2\0"))]);
    assert_eq!(
        reason,
        "password: expected a string without NUL bytes, got another string"
    );
}

#[test]
fn a_connection_string_in_place_of_a_host_is_not_shown() {
    let reason = reason(&[("host", text("postgres://me:hunter2@db/sessions"))]);
    assert!(reason.ends_with("got a connection string"), "{reason}");
}

#[test]
fn both_spellings_of_the_tables_work() {
    for (sessions, metadata) in [("table", "table_meta"), ("table_name", "table_name_meta")] {
        let config = build(&[(sessions, text("a.b")), (metadata, text("c"))]).expect("valid");
        assert_eq!(config.sessions.to_string(), "\"a\".\"b\"");
        assert_eq!(config.metadata.to_string(), "\"c\"");
    }
    let reason = reason(&[("table", text("a")), ("table_meta", text("A"))]);
    assert_eq!(
        reason,
        "table_name_meta: the same table as table_name, \"a\""
    );
}

#[test]
fn tls_needs_ssl_to_be_on() {
    let flag = Value::Flag(true);
    let off =
        build(&[("ssl_required", flag.clone()), ("ssl_verify", flag.clone())]).expect("valid");
    assert_eq!(
        (off.connection.tls, off.connection.tls_verify),
        (TlsMode::Off, false)
    );
    let prefer = build(&[("ssl", flag.clone())]).expect("valid");
    assert_eq!(prefer.connection.tls, TlsMode::Prefer);
    let require = build(&[
        ("ssl", flag.clone()),
        ("ssl_required", flag.clone()),
        ("ssl_verify", flag),
    ]);
    let require = require.expect("valid");
    assert_eq!(
        (require.connection.tls, require.connection.tls_verify),
        (TlsMode::Require, true)
    );
}
