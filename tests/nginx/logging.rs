//! What the library writes to nginx's error log, and how often.

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::site::{self, Site};
use crate::support::{self, Cluster, Stop, disconnect, process};

/// The library's own lines that contain `words`.
fn lines(site: &Site, words: &str) -> Vec<String> {
    let log = site.nginx.error_log();
    // As long as it reads its configuration, nginx writes each line to stderr, too.
    let ours = |line: &&str| {
        line.contains("resty.session.postgres: ")
            && line.contains(words)
            && !line.starts_with("nginx: ")
    };
    log.lines().filter(ours).map(str::to_owned).collect()
}

/// The key is reported where an instance is made: in a request again and again, or in the master for all
/// workers.
#[test]
fn a_misspelt_key_is_reported_once_with_the_nearest_known_one() {
    let in_master = "init_by_lua_block { require('site').storage() }";
    for (workers, init) in [(1, ""), (2, in_master)] {
        let site = site::on(support::shared())
            .conf("pasword", "secret")
            .nginx(|nginx| nginx.workers(workers).http(init))
            .content(
                "/new",
                "require('resty.session.postgres').new(require('site').configuration())",
            )
            .start();
        for _ in 0..10 {
            assert_eq!(site.nginx.get("/new").status, 200);
        }
        site.assert_works();
        if workers > 1 {
            site.nginx.reload();
        }
        assert_logged_once(&site, "pasword", "warn");
        assert!(lines(&site, "pasword")[0].contains("is password meant?"));
        assert!(!site.nginx.error_log().contains("secret"));
    }
}

/// The key is set by mistake where TLS is off, unless the configuration says that it is.
#[test]
fn tls_keys_without_tls_are_reported_once() {
    for (said, expected) in [(None, 1), (Some(("ssl", false)), 0)] {
        let site = site::on(support::shared()).conf("ssl_verify", true);
        let site = said.into_iter().fold(site, |site, (key, value)| site.conf(key, value));
        let site = site
            .content(
                "/new",
                "require('resty.session.postgres').new(require('site').configuration())",
            )
            .start();
        for _ in 0..3 {
            assert_eq!(site.nginx.get("/new").status, 200);
        }
        site.assert_works();
        let logged = lines(&site, "TLS is off, although ssl_verify is set");
        assert_eq!(logged.len(), expected, "{logged:#?}");
        assert!(logged.iter().all(|line| line.contains("[warn]")), "{logged:?}");
        site.nginx.assert_clean_log();
    }
}

/// There may be thousands of requests in an outage.
#[test]
fn an_outage_is_logged_when_it_comes_and_when_it_goes() {
    let cluster = Cluster::builder().start();
    let site = site::on(&cluster).conf("connect_timeout", 100).start();
    site.assert_works();
    cluster.stop(Stop::Fast);
    site::together(4, |_| {
        for _ in 0..10 {
            assert_eq!(site.get("works").status, 503);
        }
    });
    cluster.start_again();
    // Until the pool, which pauses between its attempts, has noticed.
    thread::sleep(Duration::from_millis(700));
    site.assert_works();
    let lost = lines(&site, &format!("no connection to {}", site.server()));
    assert!(!lost.is_empty(), "{}", site.nginx.error_log());
    assert!(lost.iter().all(|line| line.contains("[error]")), "{lost:?}");
    let found = lines(&site, "again");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("[notice]"), "{found:?}");
    let all = lines(&site, "");
    assert!(all.len() < 20, "{} lines: {all:#?}", all.len());
}

/// Each kind once, however often it happens.
fn assert_logged_once(site: &Site, words: &str, level: &str) {
    let logged = lines(site, words);
    assert_eq!(logged.len(), 1, "{words}: {logged:#?}");
    assert!(logged[0].contains(&format!("[{level}]")), "{logged:?}");
}

#[test]
fn a_clean_up_that_fails_is_reported_once() {
    let site = site::on(support::shared()).conf("cleanup_interval", 50).start();
    site.sql().batch_execute("ALTER TABLE sessions RENAME exp TO expiry").expect("a column");
    // Lines are taken to nginx's log with the calls.
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(50));
        let _ = site.get("works");
    }
    assert_logged_once(&site, "no clean-up: ", "warn");
}

#[test]
fn an_engines_start_and_what_happens_to_its_connections_are_logged() {
    let cluster = Cluster::builder().start();
    let site = site::on(&cluster).nginx(|nginx| nginx.log_level("info")).start();
    site.assert_works();
    assert_logged_once(&site, "started, with 4 connections at most", "info");
    let mut sql = site.sql();
    for _ in 0..5 {
        disconnect(&mut sql);
        site.assert_works();
    }
    let lost = format!("connection to {} lost: ", site.server());
    assert_logged_once(&site, &lost, "warn");
    cluster.pause();
    assert_eq!(site.get("works").status, 503);
    assert_eq!(site.get("works").status, 503);
    cluster.resume();
    site.assert_works();
    assert_logged_once(&site, &format!("no answer from {}", site.server()), "warn");
}

#[test]
fn a_pool_and_a_backlog_that_are_used_up_are_logged() {
    let cluster = Cluster::builder().start();
    let site = site::on(&cluster)
        .conf("connect_timeout", 300)
        .conf("pool_size", 1)
        .conf("backlog", 5)
        .start();
    site.assert_works();
    cluster.pause();
    site::together(20, |n| {
        // The first has the only connection when the others come.
        thread::sleep(Duration::from_millis(if n == 0 { 0 } else { 100 }));
        assert_eq!(site.get("works").status, 503);
    });
    cluster.resume();
    site.assert_works();
    assert_logged_once(&site, "all connections to", "warn");
    assert_logged_once(&site, "the backlog of 5 operations", "warn");
}

/// Nothing of what the operations hold may be in it.
#[test]
fn a_batch_that_is_split_is_logged_without_its_values() {
    let site = site::on(support::shared()).nginx(|nginx| nginx.log_level("info")).start();
    site.assert_works();
    let mut sql = site.sql();
    let check = "ALTER TABLE sessions_meta ADD CHECK (sub NOT LIKE 'secret%')";
    sql.batch_execute(check).expect("a constraint");
    for _ in 0..5 {
        site::together(16, |n| {
            let subject = if n % 4 == 0 { "secret" } else { "known" };
            let query = format!("do=set&key=key{n}&value=value&audience=a&subject={subject}");
            site.nginx.get(&format!("/call?{query}")).status
        });
    }
    assert_logged_once(&site, "operations is split and retried: ", "info");
    let log = lines(&site, "");
    assert!(!log.iter().any(|line| line.contains("secret")), "{log:#?}");
}

/// The server's message must not look like a line of nginx's own, nor control a terminal.
#[test]
fn a_message_of_the_server_is_one_line() {
    let site = site::on(support::shared()).nginx(|nginx| nginx.log_level("info")).start();
    site.assert_works();
    let mut sql = site.sql();
    let raises = "CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN RAISE E'broken\n2026/01/01 00:00:00 [notice] 1#1: forged\\x1b[31m\r'; END$$;
        CREATE TRIGGER raise BEFORE INSERT ON sessions EXECUTE FUNCTION raise()";
    sql.batch_execute(raises).expect("a trigger");
    for _ in 0..5 {
        site::together(16, |n| site.set(&format!("key{n}"), "value").status);
    }
    let log = site.nginx.error_log();
    let forged: Vec<_> = log.lines().filter(|line| line.contains("forged")).collect();
    // That a batch is split, and that a save fails.
    assert_eq!(forged.len(), 2, "{log}");
    let is_escaped = |line: &&str| {
        line.contains(r"broken\n2026/01/01 00:00:00 [notice] 1#1: forged\u{1b}[31m\r")
    };
    assert!(forged.iter().all(is_escaped), "{forged:#?}");
    assert!(!log.contains(['\u{1b}', '\r']), "{log:?}");
}

/// At nginx's default level, with what repairs it.
#[test]
fn what_makes_all_operations_fail_is_an_error() {
    let drop_key = "ALTER TABLE sessions DROP CONSTRAINT sessions_pkey CASCADE";
    let must = "ALTER TABLE sessions ADD tenant text NOT NULL";
    let cases = [
        ("", "port", json!(process::free_port()), "no connection to "),
        ("", "password", json!("wrong"), "password authentication failed"),
        ("", "password", json!(null), "password missing: set password or passfile"),
        ("", "database", json!("elsewhere"), "database \"elsewhere\" does not exist"),
        ("", "table_name", json!("sesions"), "relation \"sesions\" does not exist"),
        ("DROP TABLE sessions CASCADE", "", json!(null), "migrate makes the tables"),
        ("REVOKE ALL ON sessions FROM web", "username", json!("web"), "check prints the GRANT"),
        (drop_key, "", json!(null), "migrate makes the unique index"),
        (must, "", json!(null), "check --try says what is wrong with the tables"),
    ];
    let cluster = Cluster::builder().start();
    let role = format!("CREATE ROLE web LOGIN PASSWORD '{}'", support::password());
    cluster.client("postgres").batch_execute(&role).expect("a role");
    for (change, key, value, words) in cases {
        let site = site::on(&cluster).nginx(|nginx| nginx.log_level("error"));
        let site = if key.is_empty() { site } else { site.conf(key, value) };
        let site = site.conf("connect_timeout", 100).start();
        site.sql().batch_execute(change).expect("a change");
        for n in 0..10 {
            assert_ne!(site.set(&format!("key{n}"), "value").status, 200, "{words}");
        }
        assert_logged_once(&site, words, "error");
    }
}
