//! The command line, as people and cron run it.

use std::fs::File;
use std::process::{Command, Output};

use resty_session_postgres::Epoch;
use resty_session_postgres::ops::Set;
use serde_json::{Value as Json, json};

use super::login;
use crate::support::{self, Calls, Database, process, stage};

pub(super) fn command(db: &Database, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    db.environment(&mut command).args(arguments);
    command
}

pub(super) fn program() -> String {
    let program = stage::root().join("bin/resty-session-postgres");
    let program = process::program(program, "the command line");
    program.to_str().expect("a path in UTF-8").to_owned()
}

pub(super) fn cli(db: &Database, arguments: &[&str]) -> Output {
    let mut command = command(db, &program(), arguments);
    command.output().expect("an end")
}

/// The command is refused as wrong: what it says.
fn refused(mut command: Command) -> String {
    let output = command.output().expect("an end");
    assert_eq!(output.status.code(), Some(2), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(super) fn count(count: u32) -> Json {
    json!({ "count": count })
}

/// Sessions whose keys begin so, with that expiry.
pub(super) fn fill(db: &Database, name: &str, number: u32, expires: &str) {
    db.execute(&format!(
        "INSERT INTO sessions (sid, exp) SELECT '{name} ' || n, now() + interval '{expires}'
         FROM generate_series(1, {number}) AS n"
    ));
}

pub(super) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

pub(super) fn json_of(db: &Database, arguments: &[&str]) -> Json {
    let output = cli(db, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_str(&out(&output)).expect("JSON")
}

/// Texts in base64url begin with a dash once in 64 times.
#[test]
fn a_text_may_begin_with_a_dash() {
    let db = Database::new();
    let save = ["set", "--name", "n", "--key", "-k", "--value", "-v", "--ttl", "60"];
    assert!(cli(&db, &[&save[..], &["--metadata", "-shop", "-ada"]].concat()).status.success());
    assert_eq!(out(&cli(&db, &["get", "--key", "-k"])), "-v\n");
    let ada = ["--audience", "-shop", "--subject", "-ada"];
    assert_eq!(json_of(&db, &[&["count"][..], &ada].concat()), count(1));
    assert_eq!(json_of(&db, &[&["revoke"][..], &ada].concat()), count(1));
}

#[test]
fn the_commands_do_what_their_help_says() {
    let db = Database::new();
    let storage = db.storage();
    let found = cli(&db, &["check"]);
    assert_eq!(found.status.code(), Some(3), "{found:?}");
    assert!(out(&found).contains("CREATE INDEX"), "{found:?}");
    let dry = out(&cli(&db, &["migrate", "--dry-run"]));
    assert_eq!(dry, out(&found));
    assert_eq!(out(&cli(&db, &["migrate"])), dry);
    assert_eq!(json_of(&db, &["migrate"]), json!({ "findings": [] }));
    assert_eq!(out(&cli(&db, &["migrate"])), "Nothing was to be done.\n");
    assert_eq!(out(&cli(&db, &["check"])), "All is well.\n");

    for n in 0..5 {
        storage.call(login(format!("key {n}"))).expect("a save");
    }
    fill(&db, "expired", 30_000, "-1 hour");
    assert_eq!(json_of(&db, &["cleanup", "--limit", "10"]), count(10));
    assert_eq!(json_of(&db, &["cleanup"]), count(29_990));
    assert_eq!(json_of(&db, &["count"]), count(5));
    let ada = ["--audience", "shop", "--subject", "ada"];
    assert_eq!(json_of(&db, &[&["count"][..], &ada].concat()), count(5));

    let listed = out(&cli(&db, &[&["list", "--limit", "2"][..], &ada].concat()));
    let keys: Vec<_> = listed.lines().map(|line| line.split('\t').next()).collect();
    assert_eq!(keys, [Some("key 0"), Some("key 1")]);

    let others = [&["revoke", "--except-key", "key 3"][..], &ada].concat();
    assert_eq!(json_of(&db, &others), count(4));
    assert!(storage.get("key 3").expect("an answer").is_some());
    assert_eq!(db.sessions(), 1);
}

#[test]
fn psql_takes_what_check_prints() {
    let db = Database::new();
    db.execute(
            "DROP INDEX sessions_exp_idx; ALTER TABLE sessions DROP CONSTRAINT sessions_pkey CASCADE;
             ALTER TABLE sessions_meta ADD CONSTRAINT \"It's; \"\"old\"\"\" UNIQUE (sub, sid, aud) DEFERRABLE",
        );
    let found = out(&cli(&db, &["check"]));
    run_script(&db, &found);
    assert_eq!(out(&cli(&db, &["check"])), "All is well.\n");
}

/// What a table's owner names its constraints must not become a statement of the administrator who
/// runs the script.
#[test]
fn no_name_and_no_text_brings_control_characters_into_the_output() {
    let db = Database::new();
    for end in ["\r", "\n", "\u{2028}", "\u{85}", "\u{1b}[2J"] {
        let name = format!("a{end}CREATE TABLE planted (); --\\");
        db.execute(&format!(
            "ALTER TABLE sessions DROP CONSTRAINT IF EXISTS sessions_pkey CASCADE;
             ALTER TABLE sessions ADD CONSTRAINT \"{name}\" UNIQUE (sid) DEFERRABLE;
             DELETE FROM sessions; INSERT INTO sessions VALUES ('a{end}', 'b{end}', 'c{end}', 'infinity');
             DROP TABLE IF EXISTS \"t{end}SELECT 1/0; --\""
        ));
        let table = format!("\"t{end}SELECT 1/0; --\"");
        let printed = [
            cli(&db, &["check"]),
            cli(&db, &["check", "--json"]),
            cli(&db, &["check", "--table", &table]),
            cli(&db, &["list", "--json"]),
            cli(&db, &["get", "--key", &format!("a{end}")]),
            cli(&db, &["count", "--table", &table]),
        ];
        for output in &printed {
            for bytes in [&output.stdout, &output.stderr] {
                let text = String::from_utf8_lossy(bytes);
                let is_special = |c: char| c != '\n' && (c.is_control() || c == '\u{2028}');
                assert!(!text.contains(is_special), "{text:?}");
                let is_planted = |line: &str| line.starts_with("CREATE TABLE planted");
                assert!(!text.lines().any(is_planted), "{text}");
            }
        }
        // The names in the repairs are still those of the constraints and tables.
        for script in [&printed[0], &printed[2]] {
            run_script(&db, &out(script));
        }
        let found = out(&cli(&db, &["check", "--table", &table]));
        assert!(!found.contains("There is no table"), "{found}");
        assert_eq!(out(&cli(&db, &["check"])), "All is well.\n");
        assert_eq!(db.number("SELECT count(*) FROM pg_class WHERE relname = 'planted'"), 0);
        db.execute(&format!("DROP TABLE {table} CASCADE"));
    }
}

/// Has psql run what `check` has printed.
fn run_script(db: &Database, script: &str) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), script).expect("its text");
    let psql = process::program("/usr/bin/psql", "postgresql-client");
    let mut psql = Command::new(psql);
    psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file"]);
    let psql = db.environment(psql.arg(file.path())).output();
    let psql = psql.expect("an end");
    assert!(psql.status.success(), "{script}\n{psql:?}");
}

#[test]
fn a_wrong_command_line_is_told_what_is_meant_and_what_is_expected() {
    let db = Database::new();
    let save = ["set", "--name", "n", "--key", "k", "--value", "v", "--ttl", "long"];
    for (wrong, said) in [
        (&["lst"][..], "similar subcommand exists: 'list'"),
        (&["list", "--limt", "3"], "similar argument exists: '--limit'"),
        (
            &["list", "--limit", "-1"],
            "'-1' for '--limit <NUMBER>': expected a whole number from 1 on",
        ),
        (
            &["list", "--limit", "ten"],
            "'ten' for '--limit <NUMBER>': expected a whole number from 1",
        ),
        (&["cleanup", "--limit", "1.5"], "expected a whole number from 1 on"),
        (&["count", "--timeout", "-1"], "expected a whole number from 1 to 86400"),
        (&["count", "--timeout", "86401"], "expected a whole number from 1 to 86400"),
        (&["count", "--current-time", "now"], "expected a time in seconds since 1970"),
        (&["count", "--current-time", "nan"], "expected a time in seconds since 1970"),
        (&save, "'long' for '--ttl <NUMBER>': expected a number of seconds"),
        (&["count", "--dsn", "usr=ada"], "the keyword usr is not supported (is user meant?)"),
        (&[], "Usage: "),
    ] {
        let text = refused(command(&db, &program(), wrong));
        assert!(text.contains(said), "{wrong:?}: {text}");
    }
    fill(&db, "key", 3, "1 hour");
    assert_eq!(out(&cli(&db, &["list", "--limit", "2"])).lines().count(), 2);
}

#[test]
fn help_says_what_holds_where_nothing_is_given() {
    let db = Database::new();
    let help = |arguments: &[&str]| {
        let text = out(&cli(&db, arguments));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for command in [&["--help"][..], &["list", "--help"], &["list", "-h"]] {
        let text = help(command);
        assert!(text.contains("Without these it is postgres@127.0.0.1:5432, and"), "{text}");
        assert!(
            text.contains(" Database: --dsn <DSN> ") && text.contains(" Output: --json "),
            "{text}"
        );
    }
    assert!(help(&["list", "-h"]).contains("--limit <NUMBER> Sessions at most (defaults to all)"));
    assert!(help(&["check", "-h"]).contains("--try Also saves a session"));
    // Options as they are written here.
    let text = help(&["set", "--help"]);
    assert!(text.contains("from --current-time until") && !text.contains("current_time"), "{text}");
}

#[test]
fn json_is_one_object_whatever_the_command() {
    let db = Database::new();
    fill(&db, "key", 2_500, "1 hour");
    let save = ["set", "--name", "n", "--key", "k", "--value", "v", "--ttl", "3600"];
    let save = [&save[..], &["--metadata", "shop", "ada"]].concat();
    let ada = ["--audience", "shop", "--subject", "ada"];
    let expires = |answer: &Json| answer["sessions"][0]["expires"].as_i64().expect("a time");
    for (arguments, expected) in [
        (&save[..], json!({ "ok": true })),
        (&["get", "--key", "k"], json!({ "value": "v" })),
        (&["state", "--key", "k"], json!({ "value": "live" })),
        (&["touch", "--key", "k", "--ttl", "60"], json!({ "found": true })),
        (&["count"], count(2_501)),
        (&["health"], json!({ "ok": true })),
        (&["list", "--audience", "nobody's"], json!({ "sessions": [] })),
        (&["read-metadata", "--audience", "x", "--subject", "y"], json!({ "sessions": [] })),
    ] {
        assert_eq!(json_of(&db, arguments), expected, "{arguments:?}");
    }
    let all = json_of(&db, &["list"]);
    let all = all["sessions"].as_array().expect("sessions");
    assert_eq!(
        (all.len(), &all[0]["key"], &all[2_500]["key"]),
        (2_501, &json!("k"), &json!("key 999"))
    );
    let read = json_of(&db, &[&["read-metadata"][..], &ada].concat());
    assert_eq!(read["sessions"], json!([{ "key": "k", "expires": expires(&read) }]));
    let dry = json_of(&db, &[&["revoke", "--dry-run"][..], &ada].concat());
    assert_eq!((expires(&dry), &dry["sessions"][0]["key"]), (expires(&read), &json!("k")));
    assert_eq!(json_of(&db, &[&["revoke"][..], &ada].concat()), count(1));
    let found = cli(&db, &["check", "--json"]);
    let found: Json = serde_json::from_str(&out(&found)).expect("JSON");
    assert!(found["findings"][0]["repair"].is_string(), "{found}");
    for (arguments, expected) in [
        (&["get", "--key", "k", "--json"][..], "{\"value\":null}\n"),
        (&["touch", "--key", "k", "--ttl", "60", "--json"], "{\"found\":false}\n"),
    ] {
        let missed = cli(&db, arguments);
        assert_eq!((&*out(&missed), missed.status.code()), (expected, Some(3)));
    }
}

#[test]
fn a_connection_string_says_where_and_failures_have_their_codes() {
    let db = Database::new();
    let port = support::shared().port();
    let dsn = format!("postgres://postgres@127.0.0.1:{port}/{}", db.name);
    assert_eq!(json_of(&db, &["--dsn", &dsn, "count"]), count(0));
    let dsn = format!("host=127.0.0.1 port={port} user=postgres dbname=no_such_database");
    let failed = cli(&db, &["--dsn", &dsn, "count"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert!(String::from_utf8_lossy(&failed.stderr).contains("no_such_database"));
    for wrong in [
        &["count", "--subject", "ada"][..],
        &["count", "--estimate", "--audience", "shop"],
        &["no-such-command"],
        &["--dsn", "?", "count"],
    ] {
        refused(command(&db, &program(), wrong));
    }
}

#[test]
fn a_connection_string_comes_in_every_spelling_and_variables_fill_its_gaps() {
    let db = Database::new();
    let port = support::shared().port();
    let database = &db.name;
    let password = support::password();
    for dsn in [
        format!("postgresql://postgres@127.0.0.1:{port}/{database}?sslmode=disable"),
        format!("postgres://postgres:{password}@127.0.0.1:{port}/{database}?connect_timeout=9"),
        format!("postgres:///{database}"),
        "postgres://postgres@".to_owned(),
        format!("host = '127.0.0.1' port={port} application_name='it\\'s us'"),
        String::new(),
    ] {
        let counted = json_of(&db, &["count", "--dsn", &dsn]);
        assert_eq!(counted, count(0), "{dsn}");
    }
}

#[test]
fn no_message_shows_a_password() {
    let db = Database::new();
    for dsn in [
        "postgres://ada:secret/secret@127.0.0.1/x",
        "postgres://ada:secret?secret@127.0.0.1/x",
        "postgres://ada:secret%@127.0.0.1/x",
        "postgres://ada:secret@127.0.0.1:secret/x",
        "password='secret",
        "password=secret fallback_application_name=secret",
        "password=secret connect_timeout=secret",
    ] {
        let said = refused(command(&db, &program(), &["--dsn", dsn, "count"]));
        assert!(said.contains("--dsn") && !said.contains("secret"), "{said}");
    }
    for variable in ["PGPORT", "PGCONNECT_TIMEOUT", "PGSSLMODE"] {
        let mut count = command(&db, &program(), &["count"]);
        count.env(variable, "secret");
        let said = refused(count);
        let named = said.contains(variable) && !said.contains("secret");
        assert!(named, "{variable}: {said}");
    }
}

#[test]
fn a_list_is_one_line_a_session_whatever_is_in_it() {
    let db = Database::new();
    let key = "a key\twith\n\u{1b}[31m\\\"é";
    let expires = Epoch::now().plus(3600);
    let set = Set::new("a\r\nname", key, "value", expires).expect("texts");
    db.storage().call(set).expect("a save");
    let listed = out(&cli(&db, &["list"]));
    let fields: Vec<&str> = listed.trim_end().split('\t').collect();
    let escaped = [r#"a key\twith\n\u{1b}[31m\\"é"#, r"a\r\nname"];
    assert_eq!(fields[..2], escaped);
    assert_eq!((fields.len(), listed.lines().count()), (4, 1), "{listed}");
    assert_eq!(json_of(&db, &["list"])["sessions"][0]["key"], key);
}

#[test]
fn what_cannot_be_written_is_a_failure_but_for_a_reader_that_has_gone() {
    let db = Database::new();
    fill(&db, "key", 20_000, "1 hour");
    let mut full = command(&db, &program(), &["list"]);
    full.stdout(File::create("/dev/full").expect("a device"));
    let full = full.output().expect("an end");
    assert_eq!(full.status.code(), Some(1), "{full:?}");
    assert!(String::from_utf8_lossy(&full.stderr).contains("cannot write"));

    let pipe = format!("set -o pipefail; {} list | head -n 1", program());
    let head = command(&db, "bash", &["-c", &pipe]).output();
    let head = head.expect("an end");
    assert!(head.status.success(), "{head:?}");
    assert_eq!(out(&head).lines().count(), 1);
    assert!(head.stderr.is_empty(), "{head:?}");
}

#[test]
fn a_clean_up_says_what_it_has_passed_over_and_how_far_it_was() {
    let db = Database::new();
    let refuse = |when: &str, code: &str| {
        db.execute(&format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF {when} THEN RAISE 'not now' USING ERRCODE = '{code}'; END IF;
               RETURN OLD; END $$"
        ));
    };
    refuse("OLD.sid = 'expired 7'", "P0001");
    db.execute(
        "CREATE TRIGGER refuse BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    fill(&db, "expired", 50, "-1 hour");
    let cleaned = cli(&db, &["cleanup"]);
    assert_eq!(out(&cleaned), "49 sessions deleted\n");
    let said = String::from_utf8_lossy(&cleaned.stderr);
    assert!(said.contains("passes over a session that cannot be deleted: not now"), "{said}");

    fill(&db, "more", 50, "-1 minute -1 second");
    refuse("split_part(OLD.sid, ' ', 2)::int > 20", "53100");
    let cleaned = cli(&db, &["cleanup"]);
    assert_eq!(cleaned.status.code(), Some(1), "{cleaned:?}");
    let said = String::from_utf8_lossy(&cleaned.stderr);
    assert!(said.contains("21 sessions deleted, then: not now"), "{said}");
}
