//! What goes to standard output: texts for people, or JSON.

use resty_session_postgres::Epoch;
use resty_session_postgres::manage::Session;
use serde_json::{Value as Json, json};
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

pub struct Output {
    pub json: bool,
    out: BufWriter<Stdout>,
    read: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Output {
            json,
            out: BufWriter::new(io::stdout()),
            read: true,
        }
    }

    /// Whether there is somebody to read it. A reader that has gone, such as `head`, is no failure,
    /// but nothing more is to be done for it.
    pub fn is_read(&self) -> bool {
        self.read
    }

    pub fn tell(&mut self, json: &Json, text: &str) -> io::Result<()> {
        match self.json {
            true => self.print(&json.to_string()),
            false => self.print(text),
        }
    }

    pub fn print(&mut self, line: &str) -> io::Result<()> {
        let written = writeln!(self.out, "{line}");
        self.unless_gone(written)
    }

    pub fn flush(&mut self) -> io::Result<()> {
        let written = self.out.flush();
        self.unless_gone(written)
    }

    /// What is written after this is lost.
    pub fn end(mut self) -> io::Result<()> {
        self.flush()
    }

    fn unless_gone(&mut self, written: io::Result<()>) -> io::Result<()> {
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.read = false;
                Ok(())
            }
            other => other,
        }
    }
}

/// A session in one line: of JSON an object, otherwise fields between tabs.
pub fn line(session: &Session, json: bool) -> String {
    let expires = session.expires.seconds();
    let created = session.created.map(Epoch::seconds);
    if json {
        let (key, name) = (&session.key, &session.name);
        return json!({ "key": key, "name": name, "expires": expires, "created": created })
            .to_string();
    }
    let created = created.map_or("-".to_owned(), |created| created.to_string());
    let (key, name) = (plain(&session.key), plain(&session.name));
    format!("{key}\t{name}\t{expires}\t{created}")
}

/// A text that cannot end a field or a line, nor tell a terminal what to do.
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
