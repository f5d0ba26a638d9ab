//! The command line: a command for each operation of the library, made from its table. Exit codes: 0 for
//! success, 1 for a failure, 2 for a wrong command line, 3 where `check` finds something or there is no
//! such session.

mod commands;
mod output;

use clap::ArgMatches;
use commands::Request;
use output::Output;
use resty_session_postgres::config::{Draft, Value as Setting};
use resty_session_postgres::op::{Answer, Value};
use resty_session_postgres::ops::List;
use resty_session_postgres::{Config, Epoch, Error, Storage, log};
use std::env;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

/// Sessions that one call of a long clean-up deletes.
const STEP: u32 = 20_000;

/// Why a command failed: an error of the library, or one of the output.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let matches = commands::command().get_matches();
    let fail = |error: Failure, code: u8| {
        let error = log::printable(&error.to_string());
        eprintln!("resty-session-postgres: {error}");
        ExitCode::from(code)
    };
    let Some(request) = Request::of(&matches) else {
        return ExitCode::from(2);
    };
    let storage = match config(request.options) {
        Ok(config) => Storage::new(config),
        Err(error) => return fail(error, 2),
    };
    match run(request, &storage) {
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
    if let Some(seconds) = given.get_one::<u32>("timeout") {
        draft.set("read_timeout", &Setting::Number(f64::from(*seconds) * 1000.0))?;
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

/// Carries a command out and prints what it has answered; false where `check` finds something, or there
/// is no such session.
fn run(request: Request<'_>, storage: &Storage) -> Result<bool, Failure> {
    let mut output = Output::new(request.options.get_flag("json"));
    let spec = request.kind.spec;
    let answer = match spec.name {
        "list" => return list(request, storage, &mut output),
        "cleanup" => Answer::Count(cleanup(request, storage)?),
        _ => request.call(storage)?,
    };
    let good = output.answer(spec, &answer)?;
    output.flush()?;
    Ok(good)
}

/// Prints all pages, or as many sessions as the limit allows.
fn list(mut request: Request<'_>, storage: &Storage, output: &mut Output) -> Result<bool, Failure> {
    let mut left = request.number("limit").unwrap_or(f64::INFINITY);
    while left > 0.0 && output.is_read() {
        let page_size = left.min(List::PAGE.into());
        request.set("limit", Value::Number(page_size));
        let answer = request.call(storage)?;
        let Answer::Sessions(page) = &answer else {
            break;
        };
        output.answer(request.kind.spec, &answer)?;
        // A page is shown as soon as it is there.
        output.flush()?;
        left -= page.len() as f64;
        match page.last() {
            Some(last) if page.len() as f64 >= page_size => {
                request.set("after_key", Value::Text(last.key.clone().into_bytes()));
            }
            _ => break,
        }
    }
    Ok(true)
}

/// Deletes what has expired now, or as much of it as the limit allows. On a terminal it shows how much that
/// is so far. Says why sessions were passed over, or deleted slowly.
fn cleanup(mut request: Request<'_>, storage: &Storage) -> Result<u64, Failure> {
    // On a busy site sessions expire all the time: those that expire from now on are left.
    if request.number("current_time").is_none() {
        let now = Epoch::now().seconds();
        request.set("current_time", Value::Number(now as f64));
    }
    let terminal = io::stderr().is_terminal();
    let limit = request.number("limit").unwrap_or(f64::INFINITY);
    let mut removed = 0;
    let last = loop {
        let left = limit - removed as f64;
        if left <= 0.0 {
            break Ok(());
        }
        request.set("limit", Value::Number(left.min(STEP.into())));
        // A step may end early, when its time does; the last one finds nothing.
        match request.call(storage) {
            Ok(Answer::Count(count @ 1..)) => removed += count,
            last => break last.map(drop),
        }
        if terminal {
            eprint!("\r{}", output::counted("cleanup", removed));
        }
    };
    if terminal {
        // What comes next takes its place.
        eprint!("\r\x1b[K");
    }
    if removed > 0 || last.is_ok() {
        report();
    }
    match last {
        Ok(()) => Ok(removed),
        Err(error) if removed == 0 => Err(error.into()),
        Err(error) => {
            let before = output::counted("cleanup", removed);
            Err(format!("{before}, then: {error}").into())
        }
    }
}

/// Prints what the library has to say about the clean-up.
fn report() {
    for line in log::take().into_iter().filter(|line| line.level >= log::Level::Warn) {
        eprintln!("resty-session-postgres: {}", line.text);
    }
}
