//! Each code sample of the README and the documents is run: what a reader copies has to work.
//!
//! A sample is a fenced block with a language. What its text leaves open (where the database is, what
//! `key` stands for) is filled in here; what cannot be run is in `NOT_RUN`, with the reason.

mod c;
mod lua;
mod nginx;
mod shell;
mod sql;

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{self, stage};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The beginning of a sample (of a line, for the shell), and why it is only read.
const NOT_RUN: &[(&str, &str)] = &[
    ("apt-get install ", "installs into the machine"),
    ("sudo apt-get install ", "the same"),
    ("echo /opt/sessions/lib ", "the same"),
    ("sudo ldconfig", "the same"),
    ("export PATH=", "is of no use to the next line, which another shell runs"),
    ("export PKG_CONFIG_PATH=", "the tests have an installation of their own"),
    ("sudo -u postgres ", "asks for a password, of the system's PostgreSQL"),
    ("read -rsp ", "asks for a password"),
    ("dpkg -i ", "the packages' own test installs them elsewhere"),
    ("sudo dpkg -i ", "the same"),
    ("luarocks build ", "the rock's own test runs luarocks make"),
    ("sudo install -d ", "makes a folder for the next line"),
    ("luarocks make", "the rock's own test runs it in another tree"),
    ("sudo nginx -t ", "the system's nginx does not run"),
    ("nginx -s reload", "the system's nginx does not run"),
    ("systemctl ", "there is no systemd where tests run"),
    ("cargo fuzz ", "make fuzz runs it, with a compiler flag"),
    ("docker build ", "downloads images"),
    ("resty-session-postgres ", "the command's own tests run it"),
    ("CREATE TABLE sessions (", "needs Citus, which Debian lacks"),
    ("[pgbouncer]", "tests/pgbouncer.rs runs one with such settings"),
];

const LANGUAGES: &[&str] = &["c", "lua", "nginx", "sh", "sql"];

#[derive(Debug)]
struct Sample {
    /// File and line, for the reader of a failure.
    place: String,
    language: String,
    text: String,
}

/// Every document, in the order of their names.
fn documents() -> Vec<PathBuf> {
    let markdown = |folder: &str| {
        fs::read_dir(Path::new(ROOT).join(folder))
            .expect("a folder of documents")
            .map(|file| file.expect("a file").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
    };
    let mut documents: Vec<_> = ["", "docs", "bench"].into_iter().flat_map(markdown).collect();
    documents.sort();
    documents
}

fn samples_of(document: &Path) -> Vec<Sample> {
    let text = fs::read_to_string(document).expect("a document");
    let name = document.strip_prefix(ROOT).expect("a document of ours");
    let mut samples: Vec<Sample> = Vec::new();
    let mut inside = false;
    // A block of a list is indented.
    let mut indent = 0;
    for (number, line) in text.lines().enumerate() {
        match line.trim_start().strip_prefix("```") {
            Some(language) if !inside => {
                inside = true;
                indent = line.len() - line.trim_start().len();
                samples.push(Sample {
                    place: format!("{}:{}", name.display(), number + 2),
                    language: language.to_owned(),
                    text: String::new(),
                });
            }
            Some(_) => inside = false,
            None if inside => {
                let sample = samples.last_mut().expect("it has begun");
                sample.text += line.get(indent..).unwrap_or_default();
                sample.text += "\n";
            }
            None => (),
        }
    }
    assert!(!inside, "{}: a block without an end", name.display());
    let fences = text.matches("```").count();
    assert_eq!(fences, 2 * samples.len(), "{}: a block that is not read", name.display());
    samples
}

fn samples() -> Vec<Sample> {
    documents().iter().flat_map(|path| samples_of(path)).collect()
}

fn is_not_run(text: &str) -> bool {
    NOT_RUN.iter().any(|(begin, _)| text.starts_with(begin))
}

/// The samples of a language that are to be run; there is one at least.
fn of(language: &str) -> Vec<Sample> {
    let ours = |sample: &Sample| sample.language == language && !is_not_run(&sample.text);
    let found: Vec<_> = samples().into_iter().filter(ours).collect();
    assert!(!found.is_empty(), "no sample in {language}");
    found
}

/// A sample with the paths and the database that are there in place of those that it names.
fn filled_in(text: &str, database: &str) -> String {
    let port = support::shared().port();
    let server = format!("host = \"127.0.0.1\",\nport = {port}");
    let password = format!("password = \"{}\"", support::password());
    text.replace("/opt/sessions", &stage::root().display().to_string())
        .replace("-h localhost -U web -d sessions", &format!("-d {database}"))
        .replace("host = \"db.example\"", &server)
        .replace("host = \"localhost\"", &server)
        .replace("database = \"sessions\"", &format!("database = \"{database}\",\n{password}"))
        .replace("username = \"web\"", "username = \"postgres\"")
        .replace("password = \"…\"", &password)
}

/// A block without a language is a drawing, one in an unknown language would go unnoticed.
#[test]
fn every_sample_is_in_a_language_that_is_run() {
    for sample in samples() {
        let known = sample.language.is_empty()
            || LANGUAGES.contains(&&*sample.language)
            || is_not_run(&sample.text);
        assert!(known, "{}: in {}?", sample.place, sample.language);
    }
}
