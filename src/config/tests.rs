//! What keys and connection strings mean, and which are refused.

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

/// Builds from `key=value` pairs with a space between two of them.
fn from(pairs: &str) -> Result<Config, Error> {
    let pairs = pairs.split_whitespace().map(|pair| {
        let (key, value) = pair.split_once('=').expect("key=value");
        let flag = value.parse().map(Value::Flag);
        (key, flag.unwrap_or_else(|_| text(value)))
    });
    build(&pairs.collect::<Vec<_>>())
}

fn reason(config: Result<Config, Error>) -> String {
    config.expect_err("a wrong configuration").to_string()
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = Config::default();
    let connection = &config.connection;
    let names = (&*connection.application, &*connection.username);
    assert_eq!(&*connection.describe(), "127.0.0.1:5432");
    assert_eq!(names, ("pgmoon", "postgres"));
    assert_eq!(connection.database, "postgres");
    assert_eq!(connection.tls.mode, TlsMode::Off);
    assert_eq!(config.sessions.to_string(), "\"sessions\"");
    assert_eq!(config.metadata.to_string(), "\"sessions_meta\"");
    assert_eq!((config.pool.size, config.pool.backlog), (4, 1024));
    assert_eq!(config.pool.keepalive, Some(Duration::from_secs(60)));
    assert_eq!(config.timeouts.connect, Duration::from_secs(5));
    assert_eq!(config.timeouts.statement, Duration::from_secs(10));
    for key in KEYS {
        let value = key.default.value();
        let accepted = value.is_none_or(|value| key.kind.accepts(&value));
        assert!(accepted, "{}", key.name);
    }
}

#[test]
fn several_hosts_take_one_port_or_one_each_and_numbers_may_be_strings() {
    let list = Value::List(vec![text("::1"), text("unix:/run/pg"), text("/run/pg")]);
    let cases = [
        (text("a, b"), text("1, 2"), "a:1, b:2"),
        (text("[::1]"), text(" 6543"), "[::1]:6543"),
        (
            list,
            Value::Number(7.0),
            "[::1]:7, /run/pg/.s.PGSQL.7, /run/pg/.s.PGSQL.7",
        ),
    ];
    for (host, port, expected) in cases {
        let config = build(&[("host", host), ("port", port)]).expect("valid");
        assert_eq!(&*config.connection.describe(), expected);
    }
    let expected = "port: expected one port, or one for each of the 3 hosts, got 2";
    assert_eq!(reason(from("host=a,b,c port=1,2")), expected);
}

#[test]
fn a_wrong_value_is_named_with_what_is_accepted() {
    let port = "a whole number from 1 to 65535, or several as an array or comma-separated";
    let host = "a host name, an address, or a socket folder (unix:/dir or /dir), or several as an \
                array or comma-separated";
    let table = "a table name or schema.table, each of letters, digits, _ and $ or in double \
                 quotes, at most 63 bytes";
    let word = "a non-empty string without NUL bytes";
    let secret = "a string without NUL bytes";
    let root = "the absolute path of a file, or \"system\"";
    let modes = "one of disable, prefer, require, verify-ca, verify-full";
    let number = Value::Number;
    let cases = [
        ("port", text("abc"), port, "the string \"abc\""),
        ("port", number(0.5), port, "the number 0.5"),
        ("port", number(65_536.0), port, "the number 65536"),
        ("port", number(f64::NAN), port, "the number NaN"),
        ("port", Value::List(vec![]), port, "a list of 0"),
        (
            "pool_size",
            number(0.0),
            "a whole number of connections from 1 to 1000",
            "the number 0",
        ),
        (
            "read_timeout",
            number(0.0),
            "a whole number of milliseconds from 1 to 86400000",
            "the number 0",
        ),
        ("ssl", text("yes"), "a boolean", "the string \"yes\""),
        ("username", Value::Flag(true), word, "the boolean true"),
        ("database", text("a\0b"), word, "the string \"a\\0b\""),
        ("password", text("hunter2\0"), secret, "another string"),
        ("password", number(2.0), secret, "a number"),
        ("host", Value::Flag(true), host, "the boolean true"),
        ("host", text("a b"), host, "the string \"a b\""),
        ("host", text("unix:run"), host, "the string \"unix:run\""),
        ("host", text("postgres://h"), host, "a connection string"),
        ("host", text("user=me"), host, "a connection string"),
        ("sslrootcert", text("a.crt"), root, "the string \"a.crt\""),
        ("sslmode", text("allow"), modes, "the string \"allow\""),
        ("table", Value::Other("function"), table, "a function"),
    ];
    for (key, value, accepted, got) in cases {
        let expected = format!("{key}: expected {accepted}, got {got}");
        assert_eq!(reason(build(&[(key, value)])), expected);
    }
    let expected = "pool_sise: unknown key; the nearest known one is pool_size";
    assert_eq!(reason(from("pool_sise=1")), expected);
    let config = from("password=hunter2").expect("valid");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn table_names_fold_and_quote_as_in_sql() {
    let long = "x".repeat(60);
    let cases = [
        ("sessions", "\"sessions\" \"sessions_meta\""),
        ("Web.Users", "\"web\".\"users\" \"web\".\"users_meta\""),
        ("\"A \"\"b\"\"\"", "\"A \"\"b\"\"\" \"A \"\"b\"\"_meta\""),
        ("für_gäste", "\"für_gäste\" \"für_gäste_meta\""),
    ];
    for (name, expected) in cases {
        for key in ["table", "table_name"] {
            let config = build(&[(key, text(name))]).expect("valid");
            assert_eq!(format!("{} {}", config.sessions, config.metadata), expected);
        }
    }
    for wrong in [
        "", "a.b.c", "a.", ".a", "1a", "a;b", "a b", "a'b", "\"a", "\"\"", "\"a\"b", &*long,
        "\"\0\"",
    ] {
        assert!(build(&[("table", text(wrong))]).is_err(), "{wrong}");
    }
    let config = from(&format!("table={long} table_meta=c")).expect("valid");
    assert_eq!(config.metadata.to_string(), "\"c\"");
    let expected = "table_name_meta: the same table as table_name, \"a\"";
    assert_eq!(reason(from("table=a table_meta=A")), expected);
}

#[test]
fn sslmode_means_what_it_does_to_libpq_and_the_switches_as_upstream() {
    use TlsMode::{Off, Offered, Prefer, Require};
    let cases = [
        ("ssl_required=true ssl_verify=true", Off, Verify::Nothing),
        ("ssl=true", Offered, Verify::Nothing),
        ("ssl=true ssl_verify=true", Offered, Verify::Name),
        ("ssl=true ssl_required=true", Require, Verify::Nothing),
        ("sslmode=disable", Off, Verify::Nothing),
        ("sslmode=disable sslrootcert=/r", Off, Verify::Nothing),
        ("sslmode=prefer", Prefer, Verify::Nothing),
        ("sslmode=prefer sslrootcert=/r", Prefer, Verify::Chain),
        ("sslmode=require", Require, Verify::Nothing),
        ("sslmode=require sslrootcert=/r", Require, Verify::Chain),
        ("sslmode=verify-ca", Require, Verify::Chain),
        ("sslmode=verify-full sslrootcert=/r", Require, Verify::Name),
        ("sslrootcert=system", Require, Verify::Name),
        // The same, said by two keys, is no contradiction.
        (
            "sslmode=verify-full ssl=true ssl_required=true ssl_verify=true",
            Require,
            Verify::Name,
        ),
    ];
    for (keys, mode, verify) in cases {
        let tls = from(keys).expect("valid").connection.tls;
        assert_eq!((tls.mode, tls.verify), (mode, verify), "{keys}");
    }
}

#[test]
fn tls_keys_that_contradict_each_other_are_both_named() {
    for (mode, switch) in [
        ("disable", "ssl = true"),
        ("require", "ssl = false"),
        ("prefer", "ssl_required = true"),
        ("require", "ssl_verify = true"),
        ("verify-ca", "ssl_verify = true"),
        ("verify-ca", "ssl_verify = false"),
    ] {
        let keys = format!("sslmode={mode} {}", switch.replace(' ', ""));
        let expected = format!("sslmode: {mode} contradicts {switch}");
        assert_eq!(reason(from(&keys)), expected);
    }
    let cases = [
        "sslmode=require sslrootcert=system",
        "sslrootcert: system requires an sslmode of verify-full",
        "sslmode=prefer sslnegotiation=direct",
        "sslnegotiation: direct requires an sslmode of require or stricter",
        "channel_binding=require",
        "channel_binding: require needs TLS, which sslmode or ssl turns on",
        "ssl=true sslcrl=/crl",
        "sslcrl: is not used unless sslmode or ssl_verify has certificates verified",
        "sslcert=/crt",
        "sslcert: requires sslkey, its key",
        "sslkey=/key",
        "sslkey: requires sslcert, its certificate",
    ];
    for case in cases.chunks(2) {
        assert_eq!(reason(from(case[0])), case[1]);
    }
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

fn dsn(dsn: &str) -> Result<Config, Error> {
    let mut draft = Draft::default();
    draft.set_dsn(dsn)?;
    draft.build()
}

#[test]
fn connection_strings_of_both_kinds_set_keys() {
    let url = "postgresql://me:un%2Fused@[::1]:1,db/shop?connect_timeout=9&sslmode=allow";
    let pairs = "host = ::1,db port=1,5432 user=me password='un/used' dbname=shop \
                 connect_timeout=9 sslmode=prefer application_name=''";
    let keys = "host=::1,db port=1,5432 username=me password=un/used database=shop \
                connect_timeout=9000 sslmode=prefer";
    assert_eq!(dsn(url), from(keys));
    assert_eq!(dsn(pairs), from(keys));
    for empty in ["", " ", "postgres://", "postgres:///", "postgresql://@"] {
        assert_eq!(dsn(empty), Ok(Config::default()), "{empty}");
    }
}

#[test]
fn a_refused_connection_string_is_not_shown_and_changes_nothing() {
    let cases = [
        "postgres://ada:secret/secret@h/x",
        "in a user or a password, write / ? # : and @ as %2F %3F %23 %3A and %40",
        "postgres://ada:secret%@h/x",
        "password: a % must precede the two digits of a code",
        "postgres://ada@h/x?secret",
        "expected keyword=value after the ?",
        "secret",
        "expected a URL or keyword=value pairs",
        "user=a password='secret",
        "password: the value has no end",
        "user=a hostaddr=secret",
        "the keyword hostaddr is not supported",
        "user=a connect_timeout=secret",
        "connect_timeout: expected a whole number of seconds, at most a day",
        "user=a sslmode=secret",
        "sslmode: expected one of disable, prefer, require, verify-ca, verify-full",
    ];
    for case in cases.chunks(2) {
        let mut draft = Draft::default();
        let error = draft.set_dsn(case[0]).expect_err("a wrong string");
        assert_eq!(error.to_string(), format!("dsn: {}", case[1]));
        assert_eq!(draft.build(), Ok(Config::default()));
    }
}
