//! The command line on a terminal, and what it says while it runs.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::cli::{cli, command, fill, out, program};
use super::login;
use crate::support::{self, Database, process};

/// What a command shows on a terminal of its own, with these variables.
fn shown(db: &Database, arguments: &str, variables: &[(&str, &str)]) -> String {
    let line = format!("{} {arguments}", program());
    let mut terminal = command(db, "script", &["-qec", &line, "/dev/null"]);
    terminal.env_remove("NO_COLOR").env("TERM", "xterm").envs(variables.iter().copied());
    out(&terminal.output().expect("an end"))
}

fn errors(output: &std::process::Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_list_has_a_header_and_readable_times() {
    let db = Database::new();
    db.execute(
        "INSERT INTO sessions (sid, name, exp) VALUES ('a', 'cookie', '2100-01-02 03:04:05Z'),
         ('a longer key', 'c', '2100-01-02 03:04:05Z'), ('never', 'c', 'infinity')",
    );
    let listed = shown(&db, "list", &[("TZ", "XYZ-2")]);
    let lines: Vec<&str> = listed.lines().map(str::trim_end).collect();
    assert_eq!(
        lines,
        [
            "KEY           NAME    EXPIRES                  CREATED",
            "a             cookie  2100-01-02 05:04:05 XYZ  -",
            "a longer key  c       2100-01-02 05:04:05 XYZ  -",
            "never         c       9224318015999            -",
        ]
    );
    assert_eq!(out(&cli(&db, &["list", "--limit", "1"])), "a\tcookie\t4102542245\t-\n");
    assert!(shown(&db, "list --json", &[]).starts_with("{\"sessions\":["));
    // The columns of a later page are wide enough for what it has.
    fill(&db, "key", 1_000, "1 hour");
    db.execute("UPDATE sessions SET name = repeat('x', 30) WHERE sid = 'never'");
    let listed = shown(&db, "list", &[("TZ", "UTC")]);
    let last = listed.lines().last().expect("a line").trim_end();
    assert_eq!(last, format!("never         {}  9224318015999            -", "x".repeat(30)));
    assert_eq!(listed.matches("KEY").count(), 1);
}

#[test]
fn check_has_colours_where_they_are_wanted() {
    let db = Database::new();
    let red = "\x1b[31m-- ";
    assert!(shown(&db, "check", &[]).contains(red));
    for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let text = shown(&db, "check", &[plain]);
        assert!(text.contains("CREATE INDEX") && !text.contains("\x1b["), "{plain:?}: {text}");
    }
    assert!(shown(&db, "check", &[("NO_COLOR", "")]).contains(red));
    assert!(!shown(&db, "check --json", &[]).contains("\x1b["));
    assert!(!out(&cli(&db, &["check"])).contains('\x1b'));
    cli(&db, &["migrate"]);
    assert!(shown(&db, "check", &[]).contains("\x1b[32mAll is well.\x1b[0m"));
}

/// The tables have never been analysed: PostgreSQL's statistics know no number.
#[test]
fn a_clean_up_shows_how_far_it_is() {
    let db = Database::new();
    db.execute("ALTER TABLE sessions SET (autovacuum_enabled = false)");
    fill(&db, "expired", 45_000, "-1 hour");
    let text = shown(&db, "cleanup", &[]);
    let steps = ["20000 of 45000 sessions deleted", "40000 of 45000 sessions deleted"];
    for step in steps {
        assert!(text.contains(step), "{text}");
    }
    assert!(text.ends_with("\r\x1b[K45000 sessions deleted\r\n"), "{text}");
    fill(&db, "expired", 500, "-1 hour");
    let text = shown(&db, "cleanup --limit 100", &[]);
    assert!(text.contains("100 of 100 sessions deleted"), "{text}");

    fill(&db, "more", 50, "-1 hour");
    assert_eq!(shown(&db, "cleanup --quiet", &[]), "450 sessions deleted\r\n");
    fill(&db, "expired", 50, "-1 hour");
    let cleaned = cli(&db, &["cleanup"]);
    assert_eq!((&*out(&cleaned), errors(&cleaned)), ("50 sessions deleted\n", vec![]));
}

#[test]
fn migrate_and_revoke_show_how_far_they_are() {
    let db = Database::new();
    let text = shown(&db, "migrate", &[]);
    assert!(text.contains("\r\x1b[K\x1b[?7lCREATE INDEX CONCURRENTLY"), "{text}");
    let storage = db.storage();
    for n in 0..120 {
        storage.call(login(format!("key {n}"))).expect("a save");
    }
    let text = shown(&db, "revoke-audience --audience shop", &[]);
    assert!(text.contains("\r\x1b[K\x1b[?7l50 sessions ended"), "{text}");
    assert!(text.contains("\r\x1b[K120 sessions ended\r\n"), "{text}");
    storage.call(login("key")).expect("a save");
    let text = shown(&db, "revoke --audience shop --subject ada", &[]);
    assert!(text.contains("\x1b[?7l1 session ended"), "{text}");
}

#[test]
fn a_step_that_takes_long_says_for_how_long() {
    let db = Database::new();
    let mut other = db.sql();
    let mut reading = other.transaction().expect("a transaction");
    reading.execute("LOCK TABLE sessions IN SHARE MODE", &[]).expect("a lock");
    let line = format!("{} migrate --timeout 60", program());
    let mut terminal = command(&db, "script", &["-qec", &line, "/dev/null"]);
    let mut migrate = terminal.stdout(Stdio::piped()).spawn().expect("the command");
    let mut shown = BufReader::new(migrate.stdout.take().expect("piped"));
    let mut said = Vec::new();
    while !said.ends_with(b" (3 s)") {
        let mut byte = [0];
        shown.read_exact(&mut byte).expect("more output");
        said.push(byte[0]);
    }
    reading.commit().expect("the end of the lock");
    shown.read_to_end(&mut said).expect("the rest");
    assert!(migrate.wait().expect("its end").success());
}

#[test]
fn quiet_leaves_out_the_remarks() {
    let db = Database::new();
    let nobody = ["revoke", "--audience", "shop", "--subject", "nobody"];
    assert_eq!(errors(&cli(&db, &nobody)).len(), 1);
    let quiet = cli(&db, &[&nobody[..], &["--quiet"]].concat());
    assert_eq!((&*out(&quiet), errors(&quiet)), ("0 sessions ended\n", vec![]));
    let failed = cli(&db, &["count", "-q", "--table", "missing"]);
    assert_eq!(errors(&failed).len(), 1, "{failed:?}");
}

/// A count on a server of another port.
fn elsewhere(port: u16, seconds: &str) -> Command {
    let mut count = Command::new(program());
    let dsn = format!("postgres://ada@127.0.0.1:{port}/x");
    count.args(["count", "--dsn", &dsn]).env("PGCONNECT_TIMEOUT", seconds);
    count
}

#[test]
fn a_refused_connection_says_at_once_that_it_is_tried_again() {
    let mut count = elsewhere(process::free_port(), "20");
    let start = Instant::now();
    let mut count = count.stderr(Stdio::piped()).spawn().expect("the command");
    let said = BufReader::new(count.stderr.take().expect("piped")).lines();
    let said: Vec<String> = said.take(2).map(|line| line.expect("text")).collect();
    assert!(said[0].contains("Connection refused"), "{said:?}");
    assert!(said[1].contains("trying again until connect_timeout is over"), "{said:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(count.try_wait().expect("our own child"), None);
    count.kill().expect("our own child");
    count.wait().expect("its end");

    let quiet = elsewhere(process::free_port(), "1").arg("--quiet").output().expect("an end");
    let said = errors(&quiet);
    assert!(said.len() == 1 && said[0].contains("within 1000 ms"), "{said:?}");
}

/// What the server refuses for good is an error, once; and what the log says of it is not lost.
#[test]
fn an_error_is_said_once() {
    let db = Database::new();
    let mut wrong = elsewhere(support::shared().port(), "20");
    let wrong = wrong.env("PGPASSWORD", "wrong").output().expect("an end");
    assert_eq!((errors(&wrong).len(), wrong.status.code()), (1, Some(1)), "{wrong:?}");
    let missing = cli(&db, &["count", "--table", "missing"]);
    let said = errors(&missing);
    assert!(said.len() == 1 && said[0].contains("migrate makes the tables"), "{said:?}");
}
