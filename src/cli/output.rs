//! What goes to standard output: texts for people, or JSON.

use crate::Failure;
use resty_session_postgres::Epoch;
use resty_session_postgres::op::{Answer, Finding, Session, Spec};
use serde_json::{Value as Json, json};
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

/// Standard output.
pub struct Output {
    json: bool,
    out: BufWriter<Stdout>,
    read: bool,
}

impl Output {
    /// Standard output, for people or as JSON.
    pub fn new(json: bool) -> Self {
        Output {
            json,
            out: BufWriter::new(io::stdout()),
            read: true,
        }
    }

    /// Whether the output is still read. A reader that has closed it, such as `head`, is no failure,
    /// but nothing more is to be done for it.
    pub fn is_read(&self) -> bool {
        self.read
    }

    /// Prints what an operation has answered. Returns false for a finding of `check`, and where there is
    /// no such live session.
    pub fn answer(&mut self, spec: &Spec, answer: &Answer) -> Result<bool, Failure> {
        match answer {
            Answer::Done => self.print(&json!({ "ok": true }), "ok")?,
            Answer::Found(true) => self.print(&json!({ "found": true }), "ok")?,
            Answer::Value(Some(value)) => self.print(&json!({ "value": value }), value)?,
            Answer::Found(false) | Answer::Value(None) => {
                if self.json {
                    self.line(&json!({ "found": false }).to_string())?;
                } else {
                    eprintln!("resty-session-postgres: there is no such live session");
                }
                return Ok(false);
            }
            Answer::Count(count) => {
                self.print(&json!({ "count": count }), &counted(spec.name, *count))?;
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
                self.findings(findings)?;
                return Ok(findings.is_empty());
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
    fn findings(&mut self, findings: &[Finding]) -> Result<(), Failure> {
        let json = findings.iter();
        let json = json.map(|found| json!({ "problem": found.problem, "repair": found.repair }));
        let json: Vec<Json> = json.collect();
        let script = findings.iter().map(|found| {
            let problem = found.problem.replace('\n', "\n-- ");
            format!("-- {problem}\n{};", found.repair)
        });
        let text = match findings.is_empty() {
            true => "All is well.".to_owned(),
            false => script.collect::<Vec<_>>().join("\n"),
        };
        self.print(&json!(json), &text)
    }

    fn print(&mut self, json: &Json, text: &str) -> Result<(), Failure> {
        match self.json {
            true => self.line(&json.to_string()),
            false => self.line(text),
        }
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        let written = writeln!(self.out, "{line}");
        self.unless_closed(written)
    }

    /// Writes what was printed.
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
pub fn counted(operation: &str, count: u64) -> String {
    let (one, many) = match operation {
        "revoke" | "revoke_audience" => ("session ended", "sessions ended"),
        "cleanup" => ("session deleted", "sessions deleted"),
        "migrate" => ("change", "changes"),
        _ => return count.to_string(),
    };
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A text that cannot end a field or a line, nor control a terminal.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || character == '\\' {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
    }
    plain
}
