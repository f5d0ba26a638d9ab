//! `top`: a site's live figures in a terminal, from its metrics address.

use crate::Failure;
use crate::metrics::{Metrics, WINDOW};
use crate::numbers::{is_whole, number};
use clap::{Arg, ArgMatches, Command};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use resty_session_postgres::log::printable;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::thread;
use std::time::Duration;

pub fn subcommand() -> Command {
    let option = |name: &'static str, help, value| {
        let arg = Arg::new(name).long(name).help(help).value_name(value);
        arg.allow_negative_numbers(true)
    };
    let seconds = |text: &str| {
        let accepts = |seconds| (0.1..=3600.0).contains(&seconds);
        number(text, "a number of seconds from 0.1 to 3600", accepts)
    };
    let count = |text: &str| {
        number(text, "a whole number from 1 on", |count| is_whole(count, u32::MAX.into()))
    };
    Command::new("top")
        .about("Show a site's live figures, from its metrics address.")
        .long_about(format!(
            "Show a site's live figures, from its metrics address, until Ctrl-C.\n\nThe address serves \
             what storage:metrics() returns, as examples/metrics does. Rates and times are those of the \
             last {} s. Nothing but this address is asked, and no database.",
            WINDOW.as_secs()
        ))
        .args([
            Arg::new("address")
                .required(true)
                .value_name("ADDRESS")
                .help("Such as http://127.0.0.1:8080/metrics"),
            option("interval", "How often to ask", "SECONDS")
                .default_value("2")
                .value_parser(seconds),
            option("count", "Ask so many times, instead of until Ctrl-C", "NUMBER")
                .value_parser(count),
        ])
}

pub fn run(given: &ArgMatches) -> Result<(), Failure> {
    let address = given.get_one::<String>("address").ok_or("no address is given")?;
    if given.get_flag("json") {
        return Err("top prints no JSON: the address itself is what programs read".into());
    }
    let interval = given.get_one("interval").copied().unwrap_or(2.0);
    let mut left = given.get_one("count").copied().unwrap_or(f64::INFINITY);
    let mut metrics = Metrics::of(address);
    metrics.ask()?;
    let mut failure = None;
    loop {
        match show(&screen(address, &metrics, failure.as_ref())) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            shown => shown?,
        }
        left -= 1.0;
        if left < 1.0 {
            return Ok(());
        }
        thread::sleep(Duration::from_secs_f64(interval));
        // The site may be restarting.
        failure = metrics.ask().err();
    }
}

/// In place of what was shown before; below it where that cannot be.
fn show(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let (begin, end, rest) = match out.is_terminal() {
        // What is longer than the terminal is wide is cut off.
        true => ("\x1b[H\x1b[?7l", "\x1b[K\n", "\x1b[?7h\x1b[J"),
        false => ("", "\n", "\n"),
    };
    let text: String = lines.iter().map(|line| printable(line) + end).collect();
    write!(out, "{begin}{text}{rest}")?;
    out.flush()
}

fn screen(address: &str, metrics: &Metrics, failure: Option<&Failure>) -> Vec<String> {
    let time = |time: Timestamp| time.to_zoned_datetime(TimeZone::system()).strftime("%H:%M:%S");
    let number =
        |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.1}"));
    let rate = |name: &str| number(metrics.rate(name));
    let now = Timestamp::now();
    let mut lines = vec![format!("{address}  {}  last {} s", time(now), WINDOW.as_secs())];
    lines.extend(failure.map(|failure| format!("no figures now: {failure}")));
    lines.push(String::new());
    lines.push(format!("{:<24}{:>12}{:>12}", "OPERATIONS A SECOND", "OK", "FAILED"));
    let mut failures = BTreeMap::new();
    for (kind, outcomes) in kinds(metrics) {
        let (ok, failed): (Vec<_>, Vec<_>) =
            outcomes.into_iter().partition(|(outcome, _)| *outcome == "ok");
        for (outcome, rate) in &failed {
            *failures.entry(*outcome).or_insert(0.0) += rate.unwrap_or_default();
        }
        let sum = |rates: &[(_, Option<f64>)]| number(rates.iter().map(|(_, rate)| *rate).sum());
        lines.push(format!("{kind:<24}{:>12}{:>12}", sum(&ok), sum(&failed)));
    }
    failures.retain(|_, rate| *rate > 0.0);
    if !failures.is_empty() {
        let each = failures.iter().map(|(outcome, rate)| format!("{outcome} {rate:.1}"));
        lines.push(format!("{:<24}{}", "failed by reason", each.collect::<Vec<_>>().join(", ")));
    }
    lines.push(String::new());
    lines.push(format!("{:<24}{:>12}{:>12}{:>12}", "TIMES IN MS", "MEDIAN", "95 %", "99 %"));
    for (name, title) in [
        ("queue", "in the queue"),
        ("checkout", "until connected"),
        ("statement", "of a statement"),
    ] {
        let part = |part| {
            let time = metrics.quantile(&format!("{name}_seconds"), part);
            number(time.map(|seconds| seconds * 1e3))
        };
        lines.push(format!("{title:<24}{:>12}{:>12}{:>12}", part(0.5), part(0.95), part(0.99)));
    }
    lines.push(String::new());
    let state = |state| metrics.now(&format!("connections{{state=\"{state}\"}}"));
    lines.push(format!(
        "{:<24}{} busy, {} idle, {} opening; opened {} and failed {} a second",
        "connections",
        state("busy"),
        state("idle"),
        state("opening"),
        rate("connections_opened_total"),
        rate("connections_failed_total"),
    ));
    lines.push(format!("{:<24}{}", "waiting operations", metrics.now("backlog")));
    let average = number(metrics.average("batch_operations"));
    lines.push(format!("{:<24}{average}", "operations a statement"));
    let cleaned = metrics.now("cleanup_last_timestamp_seconds");
    let cleaned = Timestamp::from_second(cleaned as i64).ok().filter(|_| cleaned > 0.0);
    let cleaned = cleaned.map_or("never".to_owned(), |at| time(at).to_string());
    let rate = rate("cleaned_sessions_total");
    lines.push(format!("{:<24}{rate} sessions a second, last at {cleaned}", "clean-up"));
    lines
}

/// The operations that there have been, by kind: the rate of each outcome.
fn kinds(metrics: &Metrics) -> BTreeMap<&str, Vec<(&str, Option<f64>)>> {
    let mut kinds = BTreeMap::<_, Vec<_>>::new();
    for (name, labels) in metrics.names("operations_total{kind=\"") {
        if let Some((kind, outcome)) = labels.split_once("\",outcome=\"") {
            let outcome = outcome.trim_end_matches("\"}");
            kinds.entry(kind).or_default().push((outcome, metrics.rate(name), metrics.now(name)));
        }
    }
    kinds.retain(|_, outcomes| outcomes.iter().any(|(.., count)| *count > 0.0));
    let rates = |outcomes: Vec<_>| outcomes.into_iter().map(|(name, rate, _)| (name, rate));
    kinds.into_iter().map(|(kind, outcomes)| (kind, rates(outcomes).collect())).collect()
}
