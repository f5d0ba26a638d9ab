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
    assert_eq!(config.connection.tls.mode, TlsMode::Off);
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
            "port: expected a whole number from 1 to 65535, or several as an array or comma-separated, got the string \"abc\"",
        ),
        (
            "port",
            Value::Number(0.5),
            "port: expected a whole number from 1 to 65535, or several as an array or comma-separated, got the number 0.5",
        ),
        (
            "port",
            Value::Number(f64::NAN),
            "port: expected a whole number from 1 to 65535, or several as an array or comma-separated, got the number NaN",
        ),
        (
            "port",
            Value::List(vec![]),
            "port: expected a whole number from 1 to 65535, or several as an array or comma-separated, got a list of 0",
        ),
        (
            "pool_size",
            Value::Number(0.0),
            "pool_size: expected a whole number of connections from 1 to 1000, got the number 0",
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
            "host: expected a host name, an address, or a socket folder (unix:/dir or /dir), or several as an array or comma-separated, got the boolean true",
        ),
        (
            "host",
            text("a b"),
            "host: expected a host name, an address, or a socket folder (unix:/dir or /dir), or several as an array or comma-separated, got the string \"a b\"",
        ),
        (
            "host",
            text("unix:run"),
            "host: expected a host name, an address, or a socket folder (unix:/dir or /dir), or several as an array or comma-separated, got the string \"unix:run\"",
        ),
        (
            "read_timeout",
            Value::Number(0.0),
            "read_timeout: expected a whole number of milliseconds from 1 to 86400000, got the number 0",
        ),
        (
            "pool_sise",
            Value::Number(1.0),
            "pool_sise: unknown key; the nearest known one is pool_size",
        ),
        (
            "table",
            Value::Other("function"),
            "table: expected a table name or schema.table, each of letters, digits, _ and $ or in double quotes, at most 63 bytes, got a function",
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

/// The mode and what is verified.
fn tls(keys: &[(&str, Value)]) -> (TlsMode, Verify) {
    let config = build(keys).expect("valid").connection.tls;
    (config.mode, config.verify)
}

#[test]
fn tls_needs_ssl_to_be_on() {
    let on = || Value::Flag(true);
    let switches = [("ssl_required", on()), ("ssl_verify", on())];
    assert_eq!(tls(&switches), (TlsMode::Off, Verify::Nothing));
    assert_eq!(tls(&[("ssl", on())]), (TlsMode::Offered, Verify::Nothing));
    let [required, verify] = switches;
    let all = [("ssl", on()), required, verify];
    assert_eq!(tls(&all), (TlsMode::Require, Verify::Name));
}

#[test]
fn sslmode_means_what_it_does_to_libpq() {
    let cases = [
        ("disable", TlsMode::Off, Verify::Nothing, Verify::Nothing),
        ("prefer", TlsMode::Prefer, Verify::Nothing, Verify::Chain),
        ("require", TlsMode::Require, Verify::Nothing, Verify::Chain),
        ("verify-ca", TlsMode::Require, Verify::Chain, Verify::Chain),
        ("verify-full", TlsMode::Require, Verify::Name, Verify::Name),
    ];
    for (word, mode, verify, with_root) in cases {
        assert_eq!(tls(&[("sslmode", text(word))]), (mode, verify), "{word}");
        let root = ("sslrootcert", text("/root.crt"));
        assert_eq!(tls(&[("sslmode", text(word)), root]), (mode, with_root));
    }
    let system = [("sslrootcert", text("system"))];
    assert_eq!(tls(&system), (TlsMode::Require, Verify::Name));
}

#[test]
fn tls_keys_that_contradict_each_other_are_both_named() {
    let flag = Value::Flag;
    let cases: &[(&[(&str, Value)], &str)] = &[
        (
            &[("sslmode", text("disable")), ("ssl", flag(true))],
            "sslmode: disable contradicts ssl = true",
        ),
        (
            &[("sslmode", text("require")), ("ssl", flag(false))],
            "sslmode: require contradicts ssl = false",
        ),
        (
            &[("sslmode", text("prefer")), ("ssl_required", flag(true))],
            "sslmode: prefer contradicts ssl_required = true",
        ),
        (
            &[("sslmode", text("require")), ("ssl_verify", flag(true))],
            "sslmode: require contradicts ssl_verify = true",
        ),
        (
            &[("sslmode", text("verify-ca")), ("ssl_verify", flag(true))],
            "sslmode: verify-ca contradicts ssl_verify = true",
        ),
        (
            &[
                ("sslmode", text("require")),
                ("sslrootcert", text("system")),
            ],
            "sslrootcert: system requires an sslmode of verify-full",
        ),
        (
            &[
                ("sslmode", text("prefer")),
                ("sslnegotiation", text("direct")),
            ],
            "sslnegotiation: direct requires an sslmode of require or stricter",
        ),
        (
            &[("channel_binding", text("require"))],
            "channel_binding: require needs TLS, which sslmode or ssl turns on",
        ),
        (
            &[("ssl", flag(true)), ("sslcrl", text("/crl"))],
            "sslcrl: is not used unless sslmode or ssl_verify has certificates verified",
        ),
        (
            &[("sslcert", text("/crt"))],
            "sslcert: requires sslkey, its key",
        ),
        (
            &[("sslkey", text("/key"))],
            "sslkey: requires sslcert, its certificate",
        ),
        (
            &[("sslrootcert", text("root.crt"))],
            "sslrootcert: expected the absolute path of a file, or \"system\", got the string \"root.crt\"",
        ),
        (
            &[("sslmode", text("allow"))],
            "sslmode: expected one of disable, prefer, require, verify-ca, verify-full, got the string \"allow\"",
        ),
    ];
    for (keys, expected) in cases {
        assert_eq!(reason(keys), *expected);
    }
    // The same, said by two keys, is no contradiction.
    let twice = [
        ("sslmode", text("verify-full")),
        ("ssl", flag(true)),
        ("ssl_required", flag(true)),
        ("ssl_verify", flag(true)),
    ];
    assert_eq!(tls(&twice), (TlsMode::Require, Verify::Name));
}

/// Values of a key, one of which may be its default.
fn values(key: &Key) -> Vec<Value> {
    match &key.kind {
        Kind::Flag => vec![Value::Flag(true)],
        Kind::Number(_, range) => vec![Value::Number((*range.end()).into())],
        Kind::Word(words) => words.iter().map(|word| text(word)).collect(),
        Kind::Text | Kind::Secret | Kind::Table => vec![text("other")],
        Kind::Path => vec![text("/other")],
        Kind::PathOr(word) => vec![text("/other"), text(word)],
        Kind::Hosts => vec![text("other"), text("/other")],
        Kind::Ports => vec![text("1")],
    }
}

#[test]
fn every_key_and_each_of_its_words_changes_the_configuration() {
    for key in KEYS {
        // Some keys have no effect, or are refused, without others.
        let others = match key.name {
            "ssl" | "sslmode" => vec![],
            "ssl_required" | "ssl_verify" => vec![("ssl", Value::Flag(true))],
            "max_sessions_beyond" => vec![("max_sessions_per_subject", Value::Number(1.0))],
            _ => vec![
                ("sslmode", text("verify-full")),
                ("sslcert", text("/file")),
                ("sslkey", text("/file")),
            ],
        };
        let mut built = vec![build(&others).expect("valid")];
        for value in values(key) {
            let config = build(&[&others[..], &[(key.name, value)]].concat()).expect("valid");
            if !built.contains(&config) {
                built.push(config);
            }
        }
        let (changed, values) = (built.len() - 1, values(key).len());
        assert!(changed >= 1.max(values - 1), "{}", key.name);
    }
}
