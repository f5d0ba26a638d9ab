//! Where the database is: a connection string, or the PG* variables.

use clap::ArgMatches;
use postgres::config::{Host, SslMode};
use resty_session_postgres::Config;
use resty_session_postgres::config::{Draft, Value};

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
    match given.get_one::<String>("dsn") {
        Some(dsn) => by_string(dsn, set)?,
        None => by_environment(set)?,
    }
    draft.build().map_err(|error| error.to_string())
}

fn by_environment(mut set: impl FnMut(&str, Value) -> Result<(), String>) -> Result<(), String> {
    let variables = [
        ("PGHOST", "host"),
        ("PGPORT", "port"),
        ("PGUSER", "username"),
        ("PGPASSWORD", "password"),
        ("PGDATABASE", "database"),
    ];
    for (variable, key) in variables {
        if let Ok(value) = std::env::var(variable) {
            set(key, Value::Text(value))?;
        }
    }
    let (ssl, required, verify) = match std::env::var("PGSSLMODE").as_deref() {
        Err(_) | Ok("disable") => (false, false, false),
        Ok("allow" | "prefer") => (true, false, false),
        Ok("require") => (true, true, false),
        Ok("verify-ca" | "verify-full") => (true, true, true),
        Ok(other) => return Err(format!("PGSSLMODE: {other} is not known")),
    };
    tls((ssl, required, verify), set)
}

fn tls(
    (ssl, required, verify): (bool, bool, bool),
    mut set: impl FnMut(&str, Value) -> Result<(), String>,
) -> Result<(), String> {
    set("ssl", Value::Flag(ssl))?;
    set("ssl_required", Value::Flag(required))?;
    set("ssl_verify", Value::Flag(verify))
}

fn by_string(
    dsn: &str,
    mut set: impl FnMut(&str, Value) -> Result<(), String>,
) -> Result<(), String> {
    // libpq's words for a verified connection, which the parser does not have.
    let verify = dsn.contains("sslmode=verify-");
    let dsn = dsn
        .replace("sslmode=verify-full", "sslmode=require")
        .replace("sslmode=verify-ca", "sslmode=require");
    let parsed: postgres::Config = dsn
        .parse()
        .map_err(|_| "--dsn is neither a URL nor key=value pairs".to_owned())?;
    let hosts = parsed.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => Value::Text(name.clone()),
        Host::Unix(folder) => Value::Text(folder.display().to_string()),
    });
    let hosts: Vec<Value> = hosts.collect();
    if !hosts.is_empty() {
        set("host", Value::List(hosts))?;
    }
    let ports = parsed
        .get_ports()
        .iter()
        .map(|port| Value::Number((*port).into()));
    let ports: Vec<Value> = ports.collect();
    if !ports.is_empty() {
        set("port", Value::List(ports))?;
    }
    if let Some(user) = parsed.get_user() {
        set("username", Value::Text(user.to_owned()))?;
    }
    if let Some(password) = parsed.get_password() {
        let password = String::from_utf8_lossy(password).into_owned();
        set("password", Value::Text(password))?;
    }
    if let Some(database) = parsed.get_dbname() {
        set("database", Value::Text(database.to_owned()))?;
    }
    let given = dsn.contains("sslmode=");
    let (ssl, required) = match parsed.get_ssl_mode() {
        SslMode::Require => (true, true),
        SslMode::Prefer if given => (true, false),
        _ => (false, false),
    };
    tls((ssl, required, verify), set)
}
