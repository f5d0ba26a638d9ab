//! The command line: a command for each operation of the library, made from its table. Exit codes: 0 for
//! success, 1 for a failure, 2 for a wrong command line, 3 where `check` finds something or there is no
//! such session.

mod commands;
mod connection;
mod output;

use clap::ArgMatches;
use commands::Given;
use output::{Output, Printed};
use resty_session_postgres::op::{Answer, Args, Kind, Value};
use resty_session_postgres::ops::{Count, List, Scope};
use resty_session_postgres::{Epoch, Error, Storage};
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Sessions that one call of a long clean-up deletes, between two looks at the clock.
const STEP: u32 = 20_000;

fn main() -> ExitCode {
    let matches = commands::command().get_matches();
    let Some((kind, given)) = commands::chosen(&matches) else {
        return ExitCode::from(2);
    };
    let storage = match connection::config(given) {
        Ok(config) => Storage::new(config),
        Err(error) => {
            eprintln!("resty-session-postgres: {error}");
            return ExitCode::from(2);
        }
    };
    let mut output = Output::new(given.get_flag("json"));
    let printed = run(kind, given, &storage, &mut output);
    let printed = printed.and_then(|printed| {
        output.flush()?;
        Ok(printed)
    });
    match printed {
        Ok(Printed::All) => ExitCode::SUCCESS,
        Ok(Printed::Findings | Printed::NoSession) => ExitCode::from(3),
        Err(Failed::Storage(error)) => {
            eprintln!("resty-session-postgres: {error}");
            ExitCode::from(if error.is_callers_mistake() { 2 } else { 1 })
        }
        Err(Failed::Output(error)) => {
            eprintln!("resty-session-postgres: cannot write: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why a command failed.
enum Failed {
    Storage(Error),
    Output(io::Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed::Storage(error)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed::Output(error)
    }
}

fn run(
    kind: &'static Kind,
    given: &ArgMatches,
    storage: &Storage,
    output: &mut Output,
) -> Result<Printed, Failed> {
    let given = Given::new(kind.spec, given);
    match kind.spec.name {
        "list" => list(kind, given, storage, output),
        "cleanup" => {
            let removed = cleanup(kind, given, storage)?;
            Ok(output.answer(kind.spec, &Answer::Count(removed))?)
        }
        _ => {
            let answer = storage.call_any((kind.read)(&Args::new(kind.spec, &given))?)?;
            Ok(output.answer(kind.spec, &answer)?)
        }
    }
}

/// Prints all pages, or as many sessions as the limit allows.
fn list(
    kind: &'static Kind,
    mut given: Given<'_>,
    storage: &Storage,
    output: &mut Output,
) -> Result<Printed, Failed> {
    let most = given.number("limit");
    let mut left = most.unwrap_or(f64::INFINITY);
    while left > 0.0 && output.is_read() {
        let page_size = left.min(List::PAGE.into());
        given.set("limit", Value::Number(page_size));
        let answer = storage.call_any((kind.read)(&Args::new(kind.spec, &given))?)?;
        let Answer::Sessions(page) = &answer else {
            break;
        };
        output.answer(kind.spec, &answer)?;
        // A page is shown as soon as it is there.
        output.flush()?;
        left -= page.len() as f64;
        match page.last() {
            Some(last) if page.len() as f64 >= page_size => {
                given.set("after_key", Value::Text(last.key.clone().into_bytes()));
            }
            _ => break,
        }
    }
    Ok(Printed::All)
}

/// Deletes what has expired now, or as much of it as the limit allows; shows its progress on a terminal.
fn cleanup(kind: &'static Kind, mut given: Given<'_>, storage: &Storage) -> Result<u64, Error> {
    let progress = io::stderr().is_terminal();
    let now = Epoch::now();
    let total = match progress {
        true => {
            let alive = storage.call(Count::new(Scope::All, now))?;
            storage.call(Count::estimate())?.saturating_sub(alive)
        }
        false => 0,
    };
    let (start, mut shown) = (Instant::now(), Duration::ZERO);
    // On a busy site sessions expire all the time: those that expire from now on are left.
    if given.number("current_time").is_none() {
        given.set("current_time", Value::Number(now.seconds() as f64));
    }
    let limit = given.number("limit").unwrap_or(f64::INFINITY);
    let mut removed: u64 = 0;
    loop {
        let step = (limit - removed as f64).min(STEP.into());
        given.set("limit", Value::Number(step));
        // A step may end early, when its time does; the last one finds nothing.
        let answer = match step > 0.0 {
            true => storage.call_any((kind.read)(&Args::new(kind.spec, &given))?),
            false => Ok(Answer::Count(0)),
        };
        let step = answer.map(|answer| match answer {
            Answer::Count(count) => count,
            _ => 0,
        });
        let done = !matches!(step, Ok(1..));
        removed += step.as_ref().copied().unwrap_or(0);
        if progress && (done || start.elapsed() - shown > Duration::from_millis(200)) {
            shown = start.elapsed();
            eprint!("\r{}", output::bar(removed, total.max(removed), done));
        }
        if done {
            return step.map(|_| removed);
        }
    }
}
