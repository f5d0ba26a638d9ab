//! Which database a command works on: as the options, libpq's environment variables and libpq's
//! defaults say.

use crate::Failure;
use clap::ArgMatches;
use resty_session_postgres::Config;
use resty_session_postgres::config::{Draft, Value};
use std::env;
use std::path::Path;

/// The configuration that the options and the environment ask for.
pub fn config(given: &ArgMatches) -> Result<Config, Failure> {
    let mut draft = Draft::default();
    let text = |value: &str| Value::Text(value.to_owned());
    // A command does what it was asked to do, and no clean-up besides.
    draft.set("cleanup_interval", &Value::Number(0.0))?;
    draft.set("application", &text("resty-session-postgres"))?;
    draft.set("pool_size", &Value::Number(1.0))?;
    if let Some(seconds) = given.get_one::<u32>("timeout") {
        draft.set("read_timeout", &Value::Number(f64::from(*seconds) * 1000.0))?;
    }
    for (option, key) in [("table", "table_name"), ("table-meta", "table_name_meta")] {
        if let Some(name) = given.get_one::<String>(option) {
            draft.set(key, &text(name))?;
        }
    }
    // As libpq's programs do.
    draft.set("sslmode", &text("prefer"))?;
    if let Some(file) = usual_passfile() {
        draft.set("passfile", &text(&file))?;
    }
    draft.set_environment()?;
    if let Some(dsn) = given.get_one::<String>("dsn") {
        draft.set_dsn(dsn).map_err(|error| format!("--{error}"))?;
    }
    Ok(draft.build()?)
}

/// Where libpq looks for passwords if it is given no other file.
fn usual_passfile() -> Option<String> {
    let file = Path::new(&env::var_os("HOME")?).join(".pgpass");
    file.is_file().then(|| file.to_str().map(str::to_owned))?
}
