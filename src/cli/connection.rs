//! Where the database is: a connection string, and for what that leaves open libpq's variables.

use super::dsn;
use clap::ArgMatches;
use resty_session_postgres::Config;
use resty_session_postgres::config::{Draft, Value};
use std::env;
use std::path::Path;

/// libpq's keywords, its variables, and the keys of the configuration that mean the same.
const KEYWORDS: &[(&str, &str, &str)] = &[
    ("host", "PGHOST", "host"),
    ("port", "PGPORT", "port"),
    ("user", "PGUSER", "username"),
    ("password", "PGPASSWORD", "password"),
    ("passfile", "PGPASSFILE", "passfile"),
    ("dbname", "PGDATABASE", "database"),
    ("application_name", "PGAPPNAME", "application"),
    ("connect_timeout", "PGCONNECT_TIMEOUT", "connect_timeout"),
    ("sslmode", "PGSSLMODE", "sslmode"),
    ("sslrootcert", "PGSSLROOTCERT", "sslrootcert"),
    ("sslcrl", "PGSSLCRL", "sslcrl"),
    ("sslcert", "PGSSLCERT", "sslcert"),
    ("sslkey", "PGSSLKEY", "sslkey"),
    ("sslpassword", "", "sslpassword"),
    (
        "ssl_min_protocol_version",
        "PGSSLMINPROTOCOLVERSION",
        "ssl_min_protocol_version",
    ),
    ("sslnegotiation", "PGSSLNEGOTIATION", "sslnegotiation"),
    ("channel_binding", "PGCHANNELBINDING", "channel_binding"),
    (
        "target_session_attrs",
        "PGTARGETSESSIONATTRS",
        "target_session_attrs",
    ),
    (
        "load_balance_hosts",
        "PGLOADBALANCEHOSTS",
        "load_balance_hosts",
    ),
];

/// The configuration that the arguments and the environment ask for.
pub fn config(given: &ArgMatches) -> Result<Config, String> {
    let mut draft = Draft::default();
    let mut set =
        |key: &str, value: Value| draft.set(key, &value).map_err(|error| error.to_string());
    let text = |value: &str| Value::Text(value.to_owned());
    // Nothing here is to be done behind anybody's back.
    set("cleanup_interval", Value::Number(0.0))?;
    set("application", text("resty-session-postgres"))?;
    set("pool_size", Value::Number(1.0))?;
    let seconds = given.get_one::<u32>("timeout").copied().unwrap_or(3600);
    set("read_timeout", Value::Number(f64::from(seconds) * 1000.0))?;
    for (option, key) in [("table", "table_name"), ("table-meta", "table_name_meta")] {
        if let Some(name) = given.get_one::<String>(option) {
            set(key, text(name))?;
        }
    }
    // As for libpq's programs.
    set("sslmode", text("prefer"))?;
    if let Some(file) = usual_passfile() {
        set("passfile", Value::Text(file))?;
    }
    for (_, variable, key) in KEYWORDS {
        if let Some(value) = variable_of(variable)? {
            set(
                key,
                value_of(key, value).map_err(|why| format!("{variable}: {why}"))?,
            )?;
        }
    }
    let dsn = given.get_one::<String>("dsn").map(String::as_str);
    let pairs = dsn::parse(dsn.unwrap_or_default()).map_err(|why| format!("--dsn: {why}"))?;
    for (keyword, value) in pairs {
        let known = KEYWORDS.iter().find(|(known, _, _)| *known == keyword);
        let (_, _, key) = known.ok_or_else(|| format!("--dsn: {keyword} is not known here"))?;
        set(
            key,
            value_of(key, value).map_err(|why| format!("--dsn: {keyword} {why}"))?,
        )?;
    }
    draft.build().map_err(|error| error.to_string())
}

/// A variable that is set to something.
fn variable_of(name: &str) -> Result<Option<String>, String> {
    let value = (!name.is_empty()).then(|| env::var_os(name)).flatten();
    let value = value.filter(|value| !value.is_empty());
    let text = value.map(|value| value.into_string());
    text.transpose()
        .map_err(|_| format!("{name} is not valid UTF-8"))
}

/// libpq's value as the key's.
fn value_of(key: &str, value: String) -> Result<Value, &'static str> {
    match key {
        "connect_timeout" => match value.parse::<u32>() {
            Ok(seconds @ 1..=3600) => Ok(Value::Number(f64::from(seconds) * 1000.0)),
            _ => Err("is not a number of seconds from 1 to 3600"),
        },
        // That would begin without TLS and go over to it where the server insists.
        "sslmode" if value == "allow" => Ok(Value::Text("prefer".into())),
        _ => Ok(Value::Text(value)),
    }
}

/// Where libpq looks for passwords by itself.
fn usual_passfile() -> Option<String> {
    let file = Path::new(&env::var_os("HOME")?).join(".pgpass");
    file.is_file().then(|| file.to_str().map(str::to_owned))?
}
