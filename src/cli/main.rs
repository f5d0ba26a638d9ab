//! The command line: a command for each operation of the library, made from its table. Exit codes: 0 for
//! success, 1 for a failure, 2 for a wrong command line, 3 where `check` finds something or there is no
//! such session, 130 where it was interrupted (143 by SIGTERM).

mod commands;
mod interrupt;
mod output;
mod subjects;

use clap::ArgMatches;
use commands::Request;
use output::Output;
use resty_session_postgres::config::{Draft, Value as Setting};
use resty_session_postgres::op::{Answer, Session, Value};
use resty_session_postgres::ops::List;
use resty_session_postgres::{Config, Epoch, Error, Storage, log};
use std::collections::HashSet;
use std::env;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use subjects::Form;

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
    if let Err(error) = interrupt::handle() {
        return fail(error.into(), 1);
    }
    let storage = match config(request.options) {
        Ok(config) => Storage::new(config),
        Err(error) => return fail(error, 2),
    };
    let done = run(request, &storage);
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
    let dry = request.flag("dry_run");
    let answer = match spec.name {
        "list" => return list(&request, storage, &mut output),
        "revoke" | "revoke_audience" if dry => {
            let list = request.of_kind("list").ok_or("there is no list")?;
            return self::list(&list, storage, &mut output);
        }
        "revoke" | "revoke_audience" => Answer::Count(revoke(&request, storage)?),
        "count" if request.text("audience").is_some() => Answer::Count(count(&request, storage)?),
        "cleanup" if !dry => Answer::Count(cleanup(request, storage)?),
        _ => request.call(storage)?,
    };
    let good = output.answer(spec, &answer, dry)?;
    output.flush()?;
    Ok(good)
}

/// Prints all sessions, or as many as the limit allows.
fn list(request: &Request<'_>, storage: &Storage, output: &mut Output) -> Result<bool, Failure> {
    let spec = request.kind.spec;
    each_page(request, storage, |page| {
        output.answer(spec, &Answer::Sessions(page), false)?;
        // A page is shown as soon as it is there.
        output.flush()?;
        Ok(output.is_read())
    })?;
    Ok(true)
}

/// Ends the sessions of each form. Returns how many of them were alive.
fn revoke(request: &Request<'_>, storage: &Storage) -> Result<u64, Failure> {
    let forms = subjects::forms(request);
    let (mut ended, mut matched) = (0, Vec::new());
    for form in &forms {
        match form.request.call(storage) {
            Ok(Answer::Count(0)) => {}
            Ok(Answer::Count(count)) => {
                ended += count;
                matched.push(form.name);
            }
            Err(error) if ended > 0 => {
                let before = output::counted(request.kind.spec.name, ended, false);
                return Err(format!("{before}, then: {error}").into());
            }
            other => drop(other?),
        }
    }
    subjects::remark(forms.len(), &matched);
    Ok(ended)
}

/// Counts the sessions of each form. One that is found in several forms is one.
fn count(request: &Request<'_>, storage: &Storage) -> Result<u64, Failure> {
    let forms = subjects::forms(request);
    let (mut counted, mut matched) = (0, Vec::new());
    for form in &forms {
        if let Answer::Count(count @ 1..) = form.request.call(storage)? {
            counted += count;
            matched.push(form.name);
        }
    }
    if matched.len() < 2 {
        subjects::remark(forms.len(), &matched);
        return Ok(counted);
    }
    let list = request.of_kind("list").ok_or("there is no list")?;
    let mut counted = 0;
    each_page(&list, storage, |page| {
        counted += page.len() as u64;
        Ok(true)
    })?;
    Ok(counted)
}

/// Hands over the sessions of each form, page by page, and each but once, as long as `show` wants more and
/// the limit allows.
fn each_page(
    request: &Request<'_>,
    storage: &Storage,
    mut show: impl FnMut(Vec<Session>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let forms = subjects::forms(request);
    let several = forms.len();
    let except = request.text("except_key").map(str::to_owned);
    let mut left = request.number("limit").unwrap_or(f64::INFINITY);
    let (mut seen, mut matched) = (HashSet::new(), Vec::new());
    let mut wanted = true;
    for Form { mut request, name } in forms {
        let mut found = false;
        while wanted && left > 0.0 {
            let page_size = left.min(List::PAGE.into());
            request.set("limit", Value::Number(page_size));
            let Answer::Sessions(mut page) = request.call(storage)? else {
                break;
            };
            let full = page.len() as f64 >= page_size;
            if let Some(last) = page.last() {
                request.set("after_key", Value::Text(last.key.clone().into_bytes()));
            }
            found |= !page.is_empty();
            page.retain(|session| Some(&session.key) != except.as_ref());
            if several > 1 {
                page.retain(|session| seen.insert(session.key.clone()));
            }
            left -= page.len() as f64;
            wanted = show(page)?;
            if !full {
                break;
            }
        }
        if found {
            matched.push(name);
        }
    }
    if wanted {
        subjects::remark(several, &matched);
    }
    Ok(())
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
            eprint!("\r{}", output::counted("cleanup", removed, false));
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
            let before = output::counted("cleanup", removed, false);
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
