//! The command line, as cron and people run it.

use std::process::{Command, Output};

use resty_session_postgres::Epoch;
use serde_json::{Value as Json, json};

use super::{Site, login, number};
use crate::support::{self, process, stage};

fn cli(site: &Site, arguments: &[&str]) -> Output {
    let program = stage::root().join("bin/resty-session-postgres");
    Command::new(process::program(program, "the command line"))
        .args(arguments)
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", support::shared().port().to_string())
        .env("PGDATABASE", &site.database)
        .env("PGUSER", "postgres")
        .output()
        .expect("an end")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn told(site: &Site, arguments: &[&str]) -> Json {
    let output = cli(site, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_str(&out(&output)).expect("JSON")
}

#[test]
fn every_command_does_what_it_says() {
    let site = Site::new();
    let storage = site.storage();
    let found = cli(&site, &["check"]);
    assert_eq!(found.status.code(), Some(3), "{found:?}");
    assert!(out(&found).contains("CREATE INDEX"), "{found:?}");
    assert!(cli(&site, &["migrate"]).status.success());
    assert_eq!(told(&site, &["migrate"]), json!({ "changes": 0 }));
    assert_eq!(out(&cli(&site, &["check"])), "All is well.\n");

    for n in 0..5 {
        storage.set(login(format!("key {n}"))).expect("a save");
    }
    site.sql()
        .batch_execute(
            "INSERT INTO sessions (sid, exp)
             SELECT 'over ' || n, now() - interval '1 hour' FROM generate_series(1, 30000) AS n",
        )
        .expect("rows");
    assert_eq!(
        told(&site, &["cleanup", "--limit", "10"]),
        json!({ "removed": 10 })
    );
    assert_eq!(told(&site, &["cleanup"]), json!({ "removed": 29_990 }));
    assert_eq!(told(&site, &["count"]), json!({ "count": 5 }));
    let ada = ["--audience", "shop", "--subject", "ada"];
    assert_eq!(
        told(&site, &[&["count"][..], &ada].concat()),
        json!({ "count": 5 })
    );
    assert_eq!(told(&site, &["stats"])["live"], 5);

    let listed = out(&cli(&site, &[&["list", "--limit", "2"][..], &ada].concat()));
    let keys: Vec<_> = listed.lines().map(|line| line.split('\t').next()).collect();
    assert_eq!(keys, [Some("key 0"), Some("key 1")]);

    let others = [&["revoke", "--except", "key 3"][..], &ada].concat();
    assert_eq!(told(&site, &others), json!({ "ended": 4 }));
    assert!(
        storage
            .get("key 3", Epoch::now())
            .expect("an answer")
            .is_some()
    );
    assert_eq!(number(&mut site.sql(), "SELECT count(*) FROM sessions"), 1);
}

#[test]
fn a_connection_string_says_where_and_failures_have_their_codes() {
    let site = Site::new();
    let port = support::shared().port();
    let dsn = format!("postgres://postgres@127.0.0.1:{port}/{}", site.database);
    assert_eq!(
        told(&site, &["--dsn", &dsn, "count"]),
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
