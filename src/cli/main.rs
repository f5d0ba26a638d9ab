//! The command line: what people who run a site do by hand or from cron. Exit codes: 0 for success,
//! 1 for a failure, 2 for a wrong command line, 3 where `check` finds something.

mod connection;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use resty_session_postgres::manage::{List, Scope, Session};
use resty_session_postgres::{Epoch, Error, Storage};
use serde_json::{Value as Json, json};
use std::io::{IsTerminal, Write};
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
            "Without --dsn, PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE and PGSSLMODE say where \
             the database is.\n\nExit codes: 0 success, 1 failure, 2 wrong usage, 3 check found \
             something.",
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
                .about("List live sessions in the order of their keys")
                .args([audience(), subject()])
                .arg(
                    option("limit", "Sessions at most").value_parser(value_parser!(u32).range(1..)),
                ),
            Command::new("count")
                .about("Count live sessions")
                .args([audience(), subject()])
                .arg(flag(
                    "estimate",
                    "Of all: PostgreSQL's estimate of the rows is enough",
                )),
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
        Err(message) => {
            eprintln!("resty-session-postgres: {message}");
            return ExitCode::from(2);
        }
    };
    match run(name, given, &storage) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("resty-session-postgres: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, given: &ArgMatches, storage: &Storage) -> Result<ExitCode, Error> {
    let json = given.get_flag("json");
    match name {
        "migrate" => {
            let changes = storage.migrate(given.get_flag("unlogged"))?;
            tell(
                json,
                &json!({ "changes": changes }),
                &format!("{changes} changes"),
            );
        }
        "check" => return check(storage, json),
        "cleanup" => {
            let limit = given.get_one::<u32>("limit").copied();
            let removed = cleanup(storage, limit, !given.get_flag("quiet"))?;
            tell(
                json,
                &json!({ "removed": removed }),
                &format!("{removed} sessions deleted"),
            );
        }
        "list" => list(
            storage,
            scope(given)?,
            given.get_one("limit").copied(),
            json,
        )?,
        "count" => {
            let count = match given.get_flag("estimate") {
                true => storage.estimate()?,
                false => storage.count(scope(given)?, Epoch::now())?,
            };
            tell(json, &json!({ "count": count }), &count.to_string());
        }
        "revoke" => {
            let text = |name| given.get_one::<String>(name).map(String::as_str);
            let audience = text("audience").unwrap_or_default();
            let ended = match text("subject") {
                Some(subject) => storage.revoke(audience, subject, text("except"))?,
                None => storage.revoke_audience(audience)?,
            };
            tell(
                json,
                &json!({ "ended": ended }),
                &format!("{ended} sessions ended"),
            );
        }
        _ => {
            let live = storage.count(Scope::All, Epoch::now())?;
            let rows = storage.estimate()?;
            let text = format!("live sessions {live}\nrows, estimated {rows}");
            tell(
                json,
                &json!({ "live": live, "rows_estimated": rows }),
                &text,
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn scope(given: &ArgMatches) -> Result<Scope, Error> {
    let text = |name| given.get_one::<String>(name).cloned();
    Scope::new(text("audience"), text("subject"))
}

/// A reader that has gone, such as `head`, is no failure.
fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn tell(as_json: bool, json: &Json, text: &str) {
    match as_json {
        true => print(&json.to_string()),
        false => print(text),
    }
}

fn check(storage: &Storage, as_json: bool) -> Result<ExitCode, Error> {
    let findings = storage.check()?;
    if as_json {
        let all = findings
            .iter()
            .map(|found| json!({ "problem": found.problem, "repair": found.repair }));
        print(&json!(all.collect::<Vec<_>>()).to_string());
    } else if findings.is_empty() {
        print("All is well.");
    } else {
        for found in &findings {
            print(&format!("{}\n    {};", found.problem, found.repair));
        }
    }
    Ok(match findings.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FOUND),
    })
}

fn list(storage: &Storage, scope: Scope, most: Option<u32>, json: bool) -> Result<(), Error> {
    let mut left = most.unwrap_or(u32::MAX);
    let mut after = None;
    while left > 0 {
        let limit = left.min(List::PAGE);
        let page = storage.list(List {
            scope: scope.clone(),
            now: Epoch::now(),
            after: after.take(),
            limit,
        })?;
        page.iter().for_each(|session| print(&line(session, json)));
        left -= page.len() as u32;
        after = page.last().map(|session| session.key.clone());
        if page.len() < limit as usize {
            break;
        }
    }
    Ok(())
}

/// One of the sessions: of JSON, one object a line.
fn line(session: &Session, json: bool) -> String {
    let (expires, created) = (
        session.expires.seconds(),
        session.created.map(Epoch::seconds),
    );
    if json {
        json!({
            "key": session.key, "name": session.name, "expires": expires, "created": created,
        })
        .to_string()
    } else {
        let created = created.map_or("-".to_owned(), |created| created.to_string());
        format!("{}\t{}\t{expires}\t{created}", session.key, session.name)
    }
}

/// Deletes until nothing is left, or the limit is reached; says on the terminal how far it is.
fn cleanup(storage: &Storage, limit: Option<u32>, progress: bool) -> Result<u64, Error> {
    let progress = progress && std::io::stderr().is_terminal();
    let total = match progress {
        true => storage
            .estimate()?
            .saturating_sub(storage.count(Scope::All, Epoch::now())?),
        false => 0,
    };
    let (start, mut shown) = (Instant::now(), Duration::ZERO);
    let mut removed: u64 = 0;
    loop {
        let left = limit.map_or(u64::from(u32::MAX), |limit| u64::from(limit) - removed);
        let step = left.min(STEP.into()) as u32;
        let now = if step == 0 {
            0
        } else {
            storage.cleanup(Some(step))?
        };
        removed += now;
        let done = now < u64::from(step) || step == 0;
        if progress && (done || start.elapsed() - shown > Duration::from_millis(200)) {
            shown = start.elapsed();
            eprint!("\r{}", bar(removed, total.max(removed), done));
        }
        if done {
            return Ok(removed);
        }
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
