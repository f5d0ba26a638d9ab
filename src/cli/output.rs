//! What goes to standard output: texts for people, or JSON.

use crate::Failure;
use resty_session_postgres::Epoch;
use resty_session_postgres::log::{is_control, printable};
use resty_session_postgres::op::{Answer, Finding, Session, Spec};
use serde_json::{Value as Json, json};
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

pub struct Output {
    json: bool,
    out: BufWriter<Stdout>,
    read: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Output { json, out: BufWriter::new(io::stdout()), read: true }
    }

    /// Whether the output is still read. A reader that has closed it, such as `head`, is no failure,
    /// but nothing more is to be done for it.
    pub fn is_read(&self) -> bool {
        self.read
    }

    /// Prints what an operation has answered, or would do if it was not `dry`. Returns false for a finding of `check` that is no advice, and
    /// where there is no such live session.
    pub fn answer(&mut self, spec: &Spec, answer: &Answer, dry: bool) -> Result<bool, Failure> {
        match answer {
            Answer::Done => self.print(&json!({ "ok": true }), "ok")?,
            Answer::Found(true) => self.print(&json!({ "found": true }), "ok")?,
            Answer::Value(Some(value)) => {
                self.print(&json!({ "value": value }), &printable(value))?;
            }
            Answer::Found(false) | Answer::Value(None) => {
                if self.json {
                    self.line(&json!({ "found": false }).to_string())?;
                } else {
                    eprintln!("resty-session-postgres: there is no such live session");
                }
                return Ok(false);
            }
            Answer::Count(count) => {
                self.print(&json!({ "count": count }), &counted(spec.name, *count, dry))?;
            }
            Answer::Expiries(expiries) => {
                for (key, expires) in expiries {
                    let expires = expires.seconds();
                    let json = json!({ "key": key, "expires": expires });
                    self.print(&json, &format!("{}\t{expires}", plain(key)))?;
                }
            }
            Answer::Sessions(sessions) => {
                for session in sessions {
                    self.session(session)?;
                }
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

    /// A session in one line: of JSON an object, otherwise fields between tabs.
    fn session(&mut self, session: &Session) -> Result<(), Failure> {
        let expires = session.expires.seconds();
        let created = session.created.map(Epoch::seconds);
        let (key, name) = (&session.key, &session.name);
        let json = json!({ "key": key, "name": name, "expires": expires, "created": created });
        let created = created.map_or("-".to_owned(), |created| created.to_string());
        let text = format!("{}\t{}\t{expires}\t{created}", plain(key), plain(name));
        self.print(&json, &text)
    }

    /// As a script for psql: each problem in a comment, and its repair.
    fn findings(&mut self, findings: &[Finding], nothing: &str) -> Result<(), Failure> {
        let json = findings.iter().map(|found| {
            json!({ "problem": found.problem, "repair": found.repair, "advice": found.advice })
        });
        let json: Vec<Json> = json.collect();
        let script = findings.iter().map(|found| {
            let repair = found.repair.iter().map(|repair| format!("\n{};", statement(repair)));
            let advice = if found.advice { "Advice: " } else { "" };
            format!("-- {advice}{}{}", printable(&found.problem), repair.collect::<String>())
        });
        let text = match findings.is_empty() {
            true => nothing.to_owned(),
            false => script.collect::<Vec<_>>().join("\n"),
        };
        self.print(&json!(json), &text)
    }

    fn print(&mut self, json: &Json, text: &str) -> Result<(), Failure> {
        match self.json {
            true => self.line(&codes(&json.to_string(), "\\u")),
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
