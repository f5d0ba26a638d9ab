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
    let same = "host=127.0.0.1 port=5432 application=pgmoon username=postgres database=postgres \
                table_name=sessions table_name_meta=sessions_meta pool_size=4 backlog=1024 \
                connect_timeout=5000 send_timeout=5000 read_timeout=5000 keepalive_timeout=60000 \
                cleanup_interval=60000 max_sessions_per_subject=0 ssl=false allow_cleartext=false";
    assert_eq!(from(same), Ok(Config::default()));
    let timeouts = Config::default().timeouts;
    assert_eq!(timeouts.connect, Duration::from_secs(5));
    assert_eq!(timeouts.statement, Duration::from_secs(10));
    for key in KEYS {
        let value = key.default.ok();
        let accepted = value.is_none_or(|value| key.kind.accepts(&text(value)));
        assert!(accepted, "{}", key.name);
    }
}

#[test]
fn zero_turns_clean_up_and_the_end_of_idle_connections_off() {
    let config = from("cleanup_interval=0 keepalive_timeout=0").expect("valid");
    assert_eq!((config.cleanup_interval, config.pool.keepalive), (None, None));
}

#[test]
fn several_hosts_take_one_port_or_one_each_and_numbers_may_be_strings() {
    let list = Value::List(vec![text("::1"), text("unix:/run/pg"), text("/run/pg")]);
    let sockets = "[::1]:7, /run/pg/.s.PGSQL.7, /run/pg/.s.PGSQL.7";
    let cases = [
        (text("a, b"), text("1, 2"), "a:1, b:2"),
        (text("[::1]"), text(" 6543"), "[::1]:6543"),
        (list, Value::Number(7.0), sockets),
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
    let number = Value::Number;
    let cases = [
        ("port", text("abc"), "the string \"abc\""),
        ("port", number(65_536.0), "the number 65536"),
        ("port", number(f64::NAN), "the number NaN"),
        ("port", Value::List(vec![]), "a list of 0"),
        ("pool_size", number(0.0), "the number 0"),
        ("read_timeout", number(0.5), "the number 0.5"),
        ("ssl", text("yes"), "the string \"yes\""),
        ("username", Value::Flag(true), "the boolean true"),
        ("database", text("a\0b"), "the string \"a\\0b\""),
        ("password", text("hunter2\0"), "another string"),
        ("password", number(2.0), "a number"),
        ("host", text("a b"), "the string \"a b\""),
        ("host", text("unix:run"), "the string \"unix:run\""),
        ("host", text("postgres://h"), "a connection string"),
        ("host", text("user=me"), "a connection string"),
        ("sslcrl", text("a.crl"), "the string \"a.crl\""),
        ("sslrootcert", text("a.crt"), "the string \"a.crt\""),
        ("sslmode", text("allow"), "the string \"allow\""),
        ("require_auth", text("md5,!none"), "the string \"md5,!none\""),
        ("require_auth", text("scram"), "the string \"scram\""),
        ("table", Value::Other("function"), "a function"),
    ];
    for (key, value, got) in cases {
        let accepted = Key::find(key).expect("a key").kind.accepted();
        let expected = format!("{key}: expected {accepted}, got {got}");
        assert_eq!(reason(build(&[(key, value)])), expected);
    }
    let expected = "pool_sise: unknown key (is pool_size meant?)";
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
        // Verification that "no TLS here" would end is none.
        ("ssl=true ssl_verify=true", Require, Verify::Name),
        ("ssl=true sslrootcert=/r", Require, Verify::Chain),
        ("ssl=true ssl_required=true", Require, Verify::Nothing),
        ("sslmode=disable", Off, Verify::Nothing),
        ("sslmode=disable sslrootcert=/r", Off, Verify::Nothing),
        ("sslmode=prefer", Prefer, Verify::Nothing),
        ("sslmode=prefer sslrootcert=/r", Prefer, Verify::Chain),
        ("sslmode=require", Require, Verify::Nothing),
        ("sslmode=require sslrootcert=/r", Require, Verify::Chain),
        ("sslmode=verify-ca sslrootcert=/r", Require, Verify::Chain),
        ("sslmode=verify-full", Require, Verify::Name),
        ("sslmode=verify-full sslrootcert=/r", Require, Verify::Name),
        ("sslrootcert=system", Require, Verify::Name),
        // The same, said by two keys, is no contradiction.
        ("sslmode=verify-full ssl_verify=true", Require, Verify::Name),
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
        "sslmode=verify-ca",
        "sslmode: verify-ca requires sslrootcert, the file of the authority; verify-full does not",
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

#[test]
fn every_key_and_each_of_its_words_changes_the_configuration() {
    for key in KEYS {
        // One of them may be its default.
        let values = match &key.kind {
            Kind::Flag => vec!["true"],
            Kind::Number(..) | Kind::Ports => vec!["2"],
            Kind::Word(words) => words.to_vec(),
            Kind::Text | Kind::Secret | Kind::Table => vec!["other"],
            Kind::Path => vec!["/other"],
            Kind::AuthMethods => vec!["md5,scram-sha-256", "!password,!none"],
            Kind::PathOr(word) => vec!["/other", word],
            Kind::Hosts => vec!["other", "/other"],
        };
        // Some keys have no effect, or are refused, without others.
        let others = match key.name {
            "ssl" | "sslmode" => "",
            "ssl_required" | "ssl_verify" => "ssl=true",
            "max_sessions_beyond" => "max_sessions_per_subject=1",
            _ => "sslmode=verify-full sslcert=/file sslkey=/file",
        };
        let mut built = vec![from(others).expect("valid")];
        for value in &values {
            let root = if *value == "verify-ca" { "sslrootcert=/root" } else { "" };
            let config = from(&format!("{others} {root} {}={value}", key.name)).expect("valid");
            if !built.contains(&config) {
                built.push(config);
            }
        }
        let changed = built.len() - 1;
        assert!(changed >= 1.max(values.len() - 1), "{}", key.name);
    }
}

#[test]
fn connection_strings_of_both_kinds_set_keys() {
    let dsn = |dsn| {
        let mut draft = Draft::default();
        draft.set_dsn(dsn).and_then(|()| draft.build())
    };
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
        "postgres://ada:secret?secret@h/x",
        "in a user or a password, write / ? # : and @ as %2F %3F %23 %3A and %40",
        "postgres://ada:secret@host:port/x",
        "port: expected a whole number between the host's colon and the next slash",
        "mysql://ada:secret@h/x",
        "expected postgres:// or postgresql://, got mysql://",
        "username=secret",
        "the keyword username is not supported (is user meant?)",
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

#[test]
fn an_unknown_key_names_the_one_that_is_meant() {
    let known = [
        ("user", "username"),
        ("dbname", "database"),
        ("application_name", "application"),
        ("db", "database"),
        ("pass", "password"),
        ("hosts", "host"),
        ("pasword", "password"),
        ("Host", "host"),
        ("tabel", "table"),
        ("usr", "username"),
    ];
    for (unknown, meant) in known {
        assert_eq!(Key::meant(unknown), Some(meant), "{unknown}");
    }
    for unknown in ["cqueues_openssl_context", "sslcompression", "socket_type", "abc"] {
        assert_eq!(Key::meant(unknown), None, "{unknown}");
    }
    // Each word of another client is of a key that there is, and is none itself.
    for (word, key) in super::keys::OTHER_WORDS {
        assert!(Key::find(key).is_some() && Key::find(word).is_none(), "{word}");
    }
}
