//! The command line: a command for each operation of the library, made from its table. Exit codes: 0 for
//! success, 1 for a failure, 2 for a wrong command line, 3 where `check` finds something or there is no
//! such session, 130 where it was interrupted (143 by SIGTERM).

mod commands;
mod generate;
mod interrupt;
mod metrics;
mod numbers;
mod output;
mod run;
mod stderr;
mod subjects;
mod top;

use clap::ArgMatches;
use commands::Request;
use resty_session_postgres::config::{Draft, Value as Setting};
use resty_session_postgres::{Config, Error, Storage};
use std::env;
use std::path::Path;
use std::process::ExitCode;

/// Why a command failed: an error of the library, or one of the output.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let matches = commands::command().subcommand(generate::subcommand()).get_matches();
    let fail = |error: Failure, code: u8| {
        let known: Option<&Error> = error.downcast_ref();
        stderr::fail(&match known.and_then(Error::remedy) {
            Some(remedy) => format!("{error}: {remedy}"),
            None => error.to_string(),
        });
        ExitCode::from(code)
    };
    let other = match matches.subcommand() {
        Some(("generate", given)) => Some(generate::run(given)),
        Some(("top", given)) => Some(top::run(given)),
        _ => None,
    };
    if let Some(done) = other {
        return done.map_or_else(|error| fail(error, 1), |()| ExitCode::SUCCESS);
    }
    let Some(request) = Request::of(&matches) else {
        return ExitCode::from(2);
    };
    if let Err(error) = interrupt::handle() {
        return fail(error.into(), 1);
    }
    let storage = match config(request.options) {
        Ok(config) => Storage::new(config),
        Err(error) => return fail(error, 2),
    };
    if let Err(error) = stderr::start(request.flag("quiet"), &storage) {
        return fail(error.into(), 1);
    }
    let done = run::run(request, &storage);
    interrupt::let_exit();
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            let known: Option<&Error> = error.downcast_ref();
            let code = if known.is_some_and(Error::is_callers_mistake) { 2 } else { 1 };
            fail(error, code)
        }
    }
}

/// The configuration that the options, libpq's environment variables and libpq's defaults ask for.
fn config(given: &ArgMatches) -> Result<Config, Failure> {
    let mut draft = Draft::default();
    let text = |value: &str| Setting::Text(value.to_owned());
    // A command does what it was asked to do, and no clean-up besides.
    draft.set("cleanup_interval", &Setting::Number(0.0))?;
    draft.set("application", &text("resty-session-postgres"))?;
    draft.set("pool_size", &Setting::Number(1.0))?;
    if let Some(seconds) = given.get_one::<f64>("timeout") {
        draft.set("read_timeout", &Setting::Number(seconds * 1000.0))?;
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
