//! The command line, as people and cron run it.

use std::fs::File;
use std::process::{Command, Output};

use resty_session_postgres::Epoch;
use resty_session_postgres::ops::Set;
use serde_json::{Value as Json, json};

use super::{Site, login, number};
use crate::support::{self, Calls, process, stage};

fn command(site: &Site, program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", support::shared().port().to_string())
        .env("PGDATABASE", &site.database)
        .env("PGUSER", "postgres");
    command
}

fn program() -> String {
    let program = stage::root().join("bin/resty-session-postgres");
    let program = process::program(program, "the command line");
    program.to_str().expect("a path in UTF-8").to_owned()
}

fn cli(site: &Site, arguments: &[&str]) -> Output {
    let mut command = command(site, &program());
    command.args(arguments).output().expect("an end")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn json_of(site: &Site, arguments: &[&str]) -> Json {
    let output = cli(site, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_str(&out(&output)).expect("JSON")
}

#[test]
fn the_commands_do_what_their_help_says() {
    let site = Site::new();
    let storage = site.storage();
    let found = cli(&site, &["check"]);
    assert_eq!(found.status.code(), Some(3), "{found:?}");
    assert!(out(&found).contains("CREATE INDEX"), "{found:?}");
    assert!(cli(&site, &["migrate"]).status.success());
    assert_eq!(json_of(&site, &["migrate"]), json!({ "count": 0 }));
    assert_eq!(out(&cli(&site, &["check"])), "All is well.\n");

    for n in 0..5 {
        storage.call(login(format!("key {n}"))).expect("a save");
    }
    site.sql()
        .batch_execute(
            "INSERT INTO sessions (sid, exp)
             SELECT 'expired ' || n, now() - interval '1 hour' FROM generate_series(1, 30000) AS n",
        )
        .expect("rows");
    assert_eq!(
        json_of(&site, &["cleanup", "--limit", "10"]),
        json!({ "count": 10 })
    );
    assert_eq!(json_of(&site, &["cleanup"]), json!({ "count": 29_990 }));
    assert_eq!(json_of(&site, &["count"]), json!({ "count": 5 }));
    let ada = ["--audience", "shop", "--subject", "ada"];
    assert_eq!(
        json_of(&site, &[&["count"][..], &ada].concat()),
        json!({ "count": 5 })
    );

    let listed = out(&cli(&site, &[&["list", "--limit", "2"][..], &ada].concat()));
    let keys: Vec<_> = listed.lines().map(|line| line.split('\t').next()).collect();
    assert_eq!(keys, [Some("key 0"), Some("key 1")]);

    let others = [&["revoke", "--except-key", "key 3"][..], &ada].concat();
    assert_eq!(json_of(&site, &others), json!({ "count": 4 }));
    assert!(storage.get("key 3").expect("an answer").is_some());
    assert_eq!(number(&mut site.sql(), "SELECT count(*) FROM sessions"), 1);
}

#[test]
fn psql_takes_what_check_prints() {
    let site = Site::new();
    site.sql()
        .batch_execute(
            "DROP INDEX sessions_exp_idx; ALTER TABLE sessions DROP CONSTRAINT sessions_pkey CASCADE;
             ALTER TABLE sessions_meta ADD CONSTRAINT \"It's; \"\"old\"\"\" UNIQUE (sub, sid, aud) DEFERRABLE",
        )
        .expect("defects");
    let found = out(&cli(&site, &["check"]));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &found).expect("its text");
    let psql = Command::new(process::program("/usr/bin/psql", "postgresql-client"))
        .args([
            "--no-psqlrc",
            "--quiet",
            "--set",
            "ON_ERROR_STOP=1",
            "--file",
        ])
        .arg(file.path())
        .args(["--host", "127.0.0.1", "--username", "postgres"])
        .args(["--port", &support::shared().port().to_string()])
        .args(["--dbname", &site.database])
        .output()
        .expect("an end");
    assert!(psql.status.success(), "{found}\n{psql:?}");
    assert_eq!(out(&cli(&site, &["check"])), "All is well.\n");
}

#[test]
fn a_connection_string_says_where_and_failures_have_their_codes() {
    let site = Site::new();
    let port = support::shared().port();
    let dsn = format!("postgres://postgres@127.0.0.1:{port}/{}", site.database);
    assert_eq!(
        json_of(&site, &["--dsn", &dsn, "count"]),
        json!({ "count": 0 })
    );
    let dsn = format!("host=127.0.0.1 port={port} user=postgres dbname=no_such_database");
    let refused = cli(&site, &["--dsn", &dsn, "count"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no_such_database"));
    for wrong in [
        &["count", "--subject", "ada"][..],
        &["no-such-command"],
        &["--dsn", "?", "count"],
    ] {
        assert_eq!(cli(&site, wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_connection_string_comes_in_every_spelling_and_variables_fill_its_gaps() {
    let site = Site::new();
    let port = support::shared().port();
    let database = &site.database;
    for dsn in [
        format!("postgresql://postgres@127.0.0.1:{port}/{database}?sslmode=disable"),
        format!("postgres://postgres:un%2Fused@127.0.0.1:{port}/{database}?connect_timeout=9"),
        format!("postgres:///{database}"),
        "postgres://postgres@".to_owned(),
        format!("host = '127.0.0.1' port={port} application_name='it\\'s us'"),
        String::new(),
    ] {
        let counted = json_of(&site, &["count", "--dsn", &dsn]);
        assert_eq!(counted, json!({ "count": 0 }), "{dsn}");
    }
}

#[test]
fn no_message_shows_a_password() {
    let site = Site::new();
    for dsn in [
        "postgres://ada:secret/secret@127.0.0.1/x",
        "postgres://ada:secret?secret@127.0.0.1/x",
        "postgres://ada:secret%@127.0.0.1/x",
        "postgres://ada:secret@127.0.0.1:secret/x",
        "password='secret",
        "password=secret fallback_application_name=secret",
        "password=secret connect_timeout=secret",
    ] {
        let refused = cli(&site, &["--dsn", dsn, "count"]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{dsn}: {said}");
        assert!(said.contains("--dsn") && !said.contains("secret"), "{said}");
    }
    for variable in ["PGPORT", "PGCONNECT_TIMEOUT", "PGSSLMODE"] {
        let mut count = command(&site, &program());
        let refused = count.arg("count").env(variable, "secret").output();
        let refused = refused.expect("an end");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{variable}: {said}");
        assert!(
            said.contains(variable) && !said.contains("secret"),
            "{said}"
        );
    }
}

#[test]
fn a_list_is_one_line_a_session_whatever_is_in_it() {
    let site = Site::new();
    let key = "a key\twith\n\u{1b}[31m\\\"é";
    let expires = Epoch::now().plus(3600);
    let set = Set::new("a\r\nname", key, "value", expires).expect("texts");
    site.storage().call(set).expect("a save");
    let listed = out(&cli(&site, &["list"]));
    let fields: Vec<&str> = listed.trim_end().split('\t').collect();
    assert_eq!(
        fields[..2],
        [r#"a key\twith\n\u{1b}[31m\\"é"#, r"a\r\nname"]
    );
    assert_eq!((fields.len(), listed.lines().count()), (4, 1), "{listed}");
    assert_eq!(json_of(&site, &["list"])["key"], key);
}

#[test]
fn what_cannot_be_written_is_a_failure_but_for_a_reader_that_has_gone() {
    let site = Site::new();
    site.sql()
        .batch_execute(
            "INSERT INTO sessions (sid, exp)
             SELECT 'key ' || n, now() + interval '1 hour' FROM generate_series(1, 20000) AS n",
        )
        .expect("rows");
    let mut full = command(&site, &program());
    let full = full
        .arg("list")
        .stdout(File::create("/dev/full").expect("a device"));
    let full = full.output().expect("an end");
    assert_eq!(full.status.code(), Some(1), "{full:?}");
    assert!(String::from_utf8_lossy(&full.stderr).contains("cannot write"));

    let pipe = format!("set -o pipefail; {} list | head -n 1", program());
    let head = command(&site, "bash").args(["-c", &pipe]).output();
    let head = head.expect("an end");
    assert_eq!(
        (head.status.code(), out(&head).lines().count()),
        (Some(0), 1)
    );
    assert!(head.stderr.is_empty(), "{head:?}");
}

#[test]
fn progress_is_for_terminals() {
    let site = Site::new();
    let expired = "INSERT INTO sessions (sid, exp)
                SELECT 'expired ' || n, now() - interval '1 hour' FROM generate_series(1, 50) AS n";
    site.sql().batch_execute(expired).expect("rows");
    let cleaned = cli(&site, &["cleanup"]);
    assert_eq!(out(&cleaned), "50 sessions deleted\n");
    assert!(cleaned.stderr.is_empty(), "{cleaned:?}");

    site.sql().batch_execute(expired).expect("rows");
    let cleanup = format!("{} cleanup", program());
    let mut terminal = command(&site, "script");
    terminal.args(["-qec", &cleanup, "/dev/null"]);
    let shown = out(&terminal.output().expect("an end"));
    assert!(shown.contains("] 50 of about 50"), "{shown}");
}

#[test]
fn an_estimate_is_of_all_sessions() {
    let site = Site::new();
    let wrong = cli(&site, &["count", "--estimate", "--audience", "shop"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}
