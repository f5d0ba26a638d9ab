//! The command line: what people who run a site do by hand or from cron. Exit codes: 0 for success,
//! 1 for a failure, 2 for a wrong command line, 3 where `check` finds something.

mod connection;
mod output;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use output::{Output, line};
use resty_session_postgres::Output as Answer;
use resty_session_postgres::manage::{Cleanup, List, Scope};
use resty_session_postgres::{Epoch, Error, Storage};
use serde_json::json;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What `check` found is no failure, but not success either.
const FOUND: u8 = 3;

/// Sessions that one call of a long clean-up deletes, between two looks at the clock.
const STEP: u32 = 20_000;

fn command() -> Command {
    let option = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    let flag = |name, help| option(name, help).action(ArgAction::SetTrue);
    let audience = || {
        option(
            "audience",
            "Only sessions of this audience, as it was saved",
        )
    };
    let subject = || option("subject", "Only those of this subject").requires("audience");
    Command::new("resty-session-postgres")
        .version(resty_session_postgres::VERSION)
        .about("Looks after the tables of resty.session.postgres")
        .after_help(
            "What --dsn leaves open, PGHOST, PGPORT, PGUSER, PGDATABASE, PGSSLMODE, PGSSLROOTCERT and \
             libpq's other variables say. Others of the machine can see a password on a command \
             line: PGPASSWORD, PGPASSFILE and ~/.pgpass keep it from them.\n\nExit codes: 0 \
             success, 1 failure, 2 wrong usage, 3 check found something.",
        )
        .subcommand_required(true)
        .args([
            option("dsn", "postgres://user@host/database, or host=… dbname=…").global(true),
            option("table", "Sessions table, also schema.table").global(true),
            option("table-meta", "Metadata table, also schema.table").global(true),
            option("timeout", "Seconds that a statement may take")
                .global(true)
                .default_value("3600")
                .value_parser(value_parser!(u32).range(1..=86_400)),
            flag("json", "Print JSON").global(true),
        ])
        .subcommands([
            Command::new("migrate")
                .about("Create the tables, or make of older ones what they should be")
                .arg(flag(
                    "unlogged",
                    "New tables are empty after a crash, and faster",
                )),
            Command::new("check").about("Say what is wrong or slow, and what repairs it"),
            Command::new("cleanup")
                .about("Delete ended sessions")
                .arg(
                    option("limit", "Sessions at most").value_parser(value_parser!(u32).range(1..)),
                )
                .arg(flag("quiet", "Show no progress")),
            Command::new("list")
                .about("List live sessions in the order of their keys: key, name, end, creation")
                .args([audience(), subject()])
                .arg(
                    option("limit", "Sessions at most").value_parser(value_parser!(u32).range(1..)),
                ),
            Command::new("count")
                .about("Count live sessions")
                .args([audience(), subject()])
                .arg(
                    flag(
                        "estimate",
                        "Of all: PostgreSQL's estimate of the rows is enough",
                    )
                    .conflicts_with("audience"),
                ),
            Command::new("revoke")
                .about("End all sessions of an audience, or of a subject in it")
                .args([audience().required(true), subject()])
                .arg(option("except", "The key of a session that stays").requires("subject")),
            Command::new("stats").about("Say how many sessions there are"),
        ])
}

fn main() -> ExitCode {
    let matches = command().get_matches();
    let Some((name, given)) = matches.subcommand() else {
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
    let code = run(name, given, &storage, &mut output);
    let code = code.and_then(|code| output.end().map(|()| code).map_err(Failed::from));
    code.unwrap_or_else(|failed| {
        match failed {
            Failed::Storage(error) => eprintln!("resty-session-postgres: {error}"),
            Failed::Output(error) => eprintln!("resty-session-postgres: cannot write: {error}"),
        }
        ExitCode::FAILURE
    })
}

/// Why a command is not carried out, or not told of.
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
    name: &str,
    given: &ArgMatches,
    storage: &Storage,
    output: &mut Output,
) -> Result<ExitCode, Failed> {
    let number = |name| given.get_one::<u32>(name).copied();
    match name {
        "migrate" => {
            let changes = storage.migrate(given.get_flag("unlogged"))?;
            let text = match changes {
                1 => "1 change".to_owned(),
                changes => format!("{changes} changes"),
            };
            output.tell(&json!({ "changes": changes }), &text)?;
        }
        "check" => return check(storage, output),
        "cleanup" => {
            let removed = cleanup(storage, number("limit"), !given.get_flag("quiet"))?;
            output.tell(
                &json!({ "removed": removed }),
                &sessions(removed, "deleted"),
            )?;
        }
        "list" => list(storage, scope(given)?, number("limit"), output)?,
        "count" => {
            let count = match given.get_flag("estimate") {
                true => storage.estimate()?,
                false => storage.count(scope(given)?, Epoch::now())?,
            };
            output.tell(&json!({ "count": count }), &count.to_string())?;
        }
        "revoke" => {
            let text = |name| given.get_one::<String>(name).map(String::as_str);
            let audience = text("audience").unwrap_or_default();
            let ended = match text("subject") {
                Some(subject) => storage.revoke(audience, subject, text("except"))?,
                None => storage.revoke_audience(audience)?,
            };
            output.tell(&json!({ "ended": ended }), &sessions(ended, "ended"))?;
        }
        _ => {
            let live = storage.count(Scope::All, Epoch::now())?;
            let rows = storage.estimate()?;
            let text = format!("live sessions {live}\nrows, estimated {rows}");
            output.tell(&json!({ "live": live, "rows_estimated": rows }), &text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn sessions(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 session {what}"),
        number => format!("{number} sessions {what}"),
    }
}

fn scope(given: &ArgMatches) -> Result<Scope, Error> {
    let text = |name| given.get_one::<String>(name).cloned();
    Scope::new(text("audience"), text("subject"))
}

fn check(storage: &Storage, output: &mut Output) -> Result<ExitCode, Failed> {
    let findings = storage.check()?;
    let all = findings
        .iter()
        .map(|found| json!({ "problem": found.problem, "repair": found.repair }));
    let text = match findings.is_empty() {
        true => "All is well.".to_owned(),
        false => findings
            .iter()
            // As psql takes it.
            .map(|found| {
                let problem = found.problem.replace('\n', "\n-- ");
                format!("-- {problem}\n{};", found.repair)
            })
            .collect::<Vec<_>>()
            .join("\n"),
    };
    output.tell(&json!(all.collect::<Vec<_>>()), &text)?;
    Ok(match findings.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FOUND),
    })
}

fn list(
    storage: &Storage,
    scope: Scope,
    most: Option<u32>,
    output: &mut Output,
) -> Result<(), Failed> {
    let mut left = most.unwrap_or(u32::MAX);
    let mut after = None;
    while left > 0 && output.is_read() {
        let limit = left.min(List::PAGE);
        let page = storage.list(List {
            scope: scope.clone(),
            now: Epoch::now(),
            after: after.take(),
            limit,
        })?;
        for session in &page {
            output.print(&line(session, output.json))?;
        }
        // A page is shown as soon as it is there.
        output.flush()?;
        // Without a limit, there is no last one.
        left -= most.map_or(0, |_| page.len() as u32);
        after = page.last().map(|session| session.key.clone());
        if page.len() < limit as usize {
            break;
        }
    }
    Ok(())
}

/// Deletes what is over now, or as much of it as the limit allows; says on a terminal how far it is.
fn cleanup(storage: &Storage, limit: Option<u32>, progress: bool) -> Result<u64, Error> {
    let progress = progress && io::stderr().is_terminal();
    let total = match progress {
        true => storage
            .estimate()?
            .saturating_sub(storage.count(Scope::All, Epoch::now())?),
        false => 0,
    };
    let (start, mut shown) = (Instant::now(), Duration::ZERO);
    // On a busy site sessions end all the time: those that do from now on are for the next time.
    let now = Epoch::now();
    let mut removed: u64 = 0;
    loop {
        let left = limit.map_or(u64::from(u32::MAX), |limit| {
            u64::from(limit).saturating_sub(removed)
        });
        let step = left.min(STEP.into()) as u32;
        // A step may end early, as its time does; the last one finds nothing.
        let step = match step {
            0 => Ok(0),
            rows => delete(storage, rows, now),
        };
        let done = !matches!(step, Ok(1..));
        removed += step.as_ref().copied().unwrap_or(0);
        if progress && (done || start.elapsed() - shown > Duration::from_millis(200)) {
            shown = start.elapsed();
            eprint!("\r{}", bar(removed, total.max(removed), done));
        }
        if done {
            return step.map(|_| removed);
        }
    }
}

fn delete(storage: &Storage, rows: u32, now: Epoch) -> Result<u64, Error> {
    let limit = Some(rows);
    match storage.call(Cleanup { limit, now }.into())? {
        Answer::Count(removed) => Ok(removed),
        _ => Ok(0),
    }
}

fn bar(done: u64, total: u64, end: bool) -> String {
    let width = 40;
    let full = if end {
        width
    } else {
        (done * width / total.max(1)).min(width)
    };
    let bar = "#".repeat(full as usize) + &" ".repeat((width - full) as usize);
    let total = if end { done } else { total };
    format!(
        "[{bar}] {done} of about {total}{}",
        if end { "\n" } else { "" }
    )
}
