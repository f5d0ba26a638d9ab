//! The command line: a command for each operation of the library, made from its table. Exit codes: 0 for
//! success, 1 for a failure, 2 for a wrong command line, 3 where `check` finds something or there is no
//! such session.

mod commands;
mod connection;
mod output;

use commands::Request;
use output::Output;
use resty_session_postgres::op::{Answer, Value};
use resty_session_postgres::ops::{Count, List, Scope};
use resty_session_postgres::{Epoch, Error, Storage, log};
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Sessions that one call of a long clean-up deletes, between two looks at the clock.
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
    let storage = match connection::config(request.options) {
        Ok(config) => Storage::new(config),
        Err(error) => return fail(error, 2),
    };
    match run(request, &storage) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            let known: Option<&Error> = error.downcast_ref();
            let code = if known.is_some_and(Error::is_callers_mistake) {
                2
            } else {
                1
            };
            fail(error, code)
        }
    }
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

/// Deletes what has expired now, or as much of it as the limit allows; shows its progress on a terminal.
fn cleanup(mut request: Request<'_>, storage: &Storage) -> Result<u64, Error> {
    let now = Epoch::now();
    let progress = io::stderr().is_terminal();
    let total = match progress {
        true => {
            let alive = storage.call(Count::new(Scope::ALL, now))?;
            storage.call(Count::estimate())?.saturating_sub(alive)
        }
        false => 0,
    };
    let show = |removed: u64, end: bool| {
        if progress {
            eprint!("\r{}", output::bar(removed, total.max(removed), end));
        }
    };
    // On a busy site sessions expire all the time: those that expire from now on are left.
    if request.number("current_time").is_none() {
        request.set("current_time", Value::Number(now.seconds() as f64));
    }
    let limit = request.number("limit").unwrap_or(f64::INFINITY);
    let (mut removed, mut shown) = (0, Instant::now());
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
        if shown.elapsed() > Duration::from_millis(200) {
            shown = Instant::now();
            show(removed, false);
        }
    };
    show(removed, true);
    last.map(|()| removed)
}
