//! What goes to standard output: texts for people and for scripts, or one JSON object.

use crate::{Failure, stderr};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use resty_session_postgres::Epoch;
use resty_session_postgres::log::{is_control, printable};
use resty_session_postgres::op::{Answer, Finding, Session, Spec};
use serde_json::{Value as Json, json};
use std::env;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Stdout, Write};
use std::iter;

/// Colours of a terminal.
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

pub struct Output {
    json: bool,
    /// Lists have a header, columns and readable times.
    terminal: bool,
    colours: bool,
    out: BufWriter<Stdout>,
    read: bool,
    /// How many rows of a list have been printed, and how wide its columns are.
    listed: usize,
    widths: Vec<usize>,
}

impl Output {
    pub fn new(json: bool) -> Self {
        let terminal = io::stdout().is_terminal() && !json;
        let says = |name| env::var_os(name).unwrap_or_default();
        let colours = terminal && says("NO_COLOR").is_empty() && says("TERM") != "dumb";
        let out = BufWriter::new(io::stdout());
        let (listed, widths) = (0, Vec::new());
        Output { json, terminal, colours, out, read: true, listed, widths }
    }

    /// Whether the output is still read. A reader that has closed it, such as `head`, is no failure,
    /// but nothing more is to be done for it.
    pub fn is_read(&self) -> bool {
        self.read
    }

    /// Prints what an operation has answered, or would do if it was not `dry`. Returns false for a finding
    /// of `check` that is no advice, and where there is no such live session.
    pub fn answer(&mut self, spec: &Spec, answer: &Answer, dry: bool) -> Result<bool, Failure> {
        match answer {
            Answer::Done => self.print(&json!({ "ok": true }), "ok")?,
            Answer::Found(true) => self.print(&json!({ "found": true }), "ok")?,
            Answer::Value(Some(value)) => {
                self.print(&json!({ "value": value }), &printable(value))?;
            }
            Answer::Found(false) => return self.nothing(&json!({ "found": false })),
            Answer::Value(None) => return self.nothing(&json!({ "value": null })),
            Answer::Count(count) => {
                self.print(&json!({ "count": count }), &counted(spec.name, *count, dry))?;
            }
            Answer::Expiries(expiries) => {
                let row = |(key, expires): &(String, Epoch)| {
                    let json = json!({ "key": key, "expires": expires.seconds() });
                    (json, vec![plain(key), self.time(*expires)])
                };
                let rows = expiries.iter().map(row).collect();
                self.rows(&["KEY", "EXPIRES"], rows)?;
                self.end_list()?;
            }
            Answer::Sessions(sessions) => {
                self.sessions(sessions)?;
                self.end_list()?;
            }
            Answer::Findings(findings) => {
                let nothing = match spec.name {
                    "migrate" => "Nothing was to be done.",
                    _ => "All is well.",
                };
                self.findings(findings, nothing)?;
                return Ok(spec.name == "migrate" || findings.iter().all(|found| found.advice));
            }
        }
        Ok(true)
    }

    fn nothing(&mut self, json: &Json) -> Result<bool, Failure> {
        match self.json {
            true => self.print(json, "")?,
            false => stderr::say("there is no such live session"),
        }
        Ok(false)
    }

    /// Begins a list of sessions, or goes on with it.
    pub fn sessions(&mut self, sessions: &[Session]) -> Result<(), Failure> {
        let row = |session: &Session| {
            let (key, name) = (&session.key, &session.name);
            let created = session.created.map(Epoch::seconds);
            let expires = session.expires.seconds();
            let json = json!({ "key": key, "name": name, "expires": expires, "created": created });
            let created = session.created.map_or("-".to_owned(), |created| self.time(created));
            (json, vec![plain(key), plain(name), self.time(session.expires), created])
        };
        let rows = sessions.iter().map(row).collect();
        self.rows(&["KEY", "NAME", "EXPIRES", "CREATED"], rows)
    }

    /// Rows of a list, a line each: of JSON an object; on a terminal columns below a header; otherwise
    /// fields between tabs.
    fn rows(&mut self, header: &[&str], rows: Vec<(Json, Vec<String>)>) -> Result<(), Failure> {
        let (objects, mut rows): (Vec<Json>, Vec<Vec<String>>) = rows.into_iter().unzip();
        let first = if self.listed == 0 { "{\"sessions\":[" } else { "," };
        self.listed += rows.len();
        let lines: Vec<String> = if self.json {
            let before = iter::once(first).chain(iter::repeat(","));
            before.zip(&objects).map(|(before, json)| format!("{before}{}", safe(json))).collect()
        } else if self.terminal {
            if self.widths.is_empty() {
                rows.insert(0, header.iter().map(|title| (*title).to_owned()).collect());
            }
            in_columns(&mut self.widths, &rows)
        } else {
            rows.iter().map(|row| row.join("\t")).collect()
        };
        lines.iter().try_for_each(|line| self.line(line))
    }

    /// The list is complete. Without this, what is printed is not valid JSON.
    pub fn end_list(&mut self) -> Result<(), Failure> {
        match (self.json, self.listed) {
            (true, 0) => self.line("{\"sessions\":[]}"),
            (true, _) => self.line("]}"),
            (false, _) => Ok(()),
        }
    }

    /// Seconds since 1970; on a terminal the time of this machine's zone.
    fn time(&self, time: Epoch) -> String {
        let seconds = time.seconds();
        match Timestamp::from_second(seconds) {
            Ok(time) if self.terminal => {
                let time = time.to_zoned_datetime(TimeZone::system());
                time.strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
            }
            _ => seconds.to_string(),
        }
    }

    /// As a script for psql: each problem in a comment, and its repair.
    fn findings(&mut self, findings: &[Finding], nothing: &str) -> Result<(), Failure> {
        let json = findings.iter().map(|found| {
            json!({ "problem": found.problem, "repair": found.repair, "advice": found.advice })
        });
        let json: Vec<Json> = json.collect();
        let script = findings.iter().map(|found| {
            let repair = found.repair.iter().map(|repair| format!("\n{};", statement(repair)));
            let (advice, colour) = if found.advice { ("Advice: ", YELLOW) } else { ("", RED) };
            let problem = format!("-- {advice}{}", printable(&found.problem));
            self.coloured(colour, &problem) + &repair.collect::<String>()
        });
        let text = match findings.is_empty() {
            true => self.coloured(GREEN, nothing),
            false => script.collect::<Vec<_>>().join("\n"),
        };
        self.print(&json!({ "findings": json }), &text)
    }

    fn coloured(&self, colour: &str, text: &str) -> String {
        match self.colours {
            true => format!("\x1b[{colour}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    fn print(&mut self, json: &Json, text: &str) -> Result<(), Failure> {
        match self.json {
            true => self.line(&safe(json)),
            false => self.line(text),
        }
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        let written = writeln!(self.out, "{line}");
        self.unless_closed(written)
    }

    pub fn flush(&mut self) -> Result<(), Failure> {
        let written = self.out.flush();
        self.unless_closed(written)
    }

    fn unless_closed(&mut self, written: io::Result<()>) -> Result<(), Failure> {
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.read = false,
            written => written.map_err(|error| format!("cannot write: {error}"))?,
        }
        Ok(())
    }
}

/// The rows with their fields below each other, as far as the columns are known to be wide.
fn in_columns(widths: &mut Vec<usize>, rows: &[Vec<String>]) -> Vec<String> {
    for row in rows {
        widths.resize(row.len(), 0);
        for (width, field) in widths.iter_mut().zip(row) {
            *width = (*width).max(field.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let fields = row.iter().zip(&*widths).map(|(field, width)| format!("{field:width$}"));
        fields.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// JSON that cannot control a terminal.
fn safe(json: &Json) -> String {
    codes(&json.to_string(), "\\u")
}

/// A number as people read it.
pub fn counted(operation: &str, count: u64, dry: bool) -> String {
    let done = match operation {
        "revoke" | "revoke_audience" => "ended",
        "cleanup" => "deleted",
        _ => return count.to_string(),
    };
    let sessions = if count == 1 { "session" } else { "sessions" };
    format!("{count} {sessions} {}{done}", if dry { "would be " } else { "" })
}

/// A text that cannot end a field or a line, nor control a terminal.
fn plain(text: &str) -> String {
    printable(&text.replace('\\', "\\\\"))
}

/// The text with a code of four digits for each control character.
fn codes(text: &str, prefix: &str) -> String {
    let code = |character| match is_control(character) {
        true => format!("{prefix}{:04x}", u32::from(character)),
        false => character.to_string(),
    };
    text.chars().map(code).collect()
}

/// The statement without control characters: a quoted name or text that has any is written with codes.
fn statement(sql: &str) -> String {
    let (mut statement, mut rest) = (String::new(), sql);
    while let Some(start) = rest.find(['"', '\'']) {
        let (quote, text) = rest[start..].split_at(1);
        // A doubled quote stands for one, and does not end the text.
        let end = text.replace(&quote.repeat(2), "__").find(quote);
        let (text, after) = text.split_at(end.unwrap_or(text.len()));
        let before = &rest[..start];
        let (before, text) = match text.contains(is_control) {
            false => (before.to_owned(), text.to_owned()),
            // It has codes already.
            true if before.ends_with('E') => (before.to_owned(), codes(text, "\\u")),
            true => {
                let (kind, code) = if quote == "\"" { ("U&", "\\") } else { ("E", "\\u") };
                let text = text.replace('\\', "\\\\");
                (format!("{before}{kind}"), codes(&text, code))
            }
        };
        statement += &format!("{before}{quote}{text}{quote}");
        rest = after.get(1..).unwrap_or_default();
    }
    statement + rest
}
