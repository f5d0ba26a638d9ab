//! What the library writes to nginx's error log, and how often.

use std::thread;
use std::time::Duration;

use super::site::{self, Site};
use crate::support::{self, Cluster, Stop};

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

#[test]
fn a_misspelt_key_is_reported_once_with_the_nearest_known_one() {
    let site = site::on(support::shared())
        .conf("conect_timeout", 300)
        .content(
            "/new",
            "require('resty.session.postgres').new(require('site').configuration())",
        )
        .start();
    for _ in 0..10 {
        assert_eq!(site.nginx.get("/new").status, 200);
    }
    site.assert_works();
    let reports = lines(&site, "conect_timeout");
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("[warn]"), "{reports:?}");
    assert!(reports[0].contains("\"connect_timeout\""), "{reports:?}");
    site.nginx.assert_clean_log();
}

/// The master, which makes the instance, reports it for all workers.
#[test]
fn a_misspelt_key_in_init_by_lua_is_reported_once() {
    let site = site::on(support::shared())
        .conf("pasword", "secret")
        .nginx(|nginx| {
            nginx
                .workers(2)
                .http("init_by_lua_block { require('site').storage() }")
        })
        .start();
    for _ in 0..3 {
        site.assert_works();
        site.nginx.reload();
    }
    let reports = lines(&site, "pasword");
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("\"password\""), "{reports:?}");
    assert!(!site.nginx.error_log().contains("secret"));
}

/// An outage is no flood: there may be thousands of requests in it.
#[test]
fn an_outage_is_logged_when_it_comes_and_when_it_goes() {
    let cluster = Cluster::builder().start();
    let site = site::on(&cluster).conf("connect_timeout", 100).start();
    site.assert_works();
    cluster.stop(Stop::Fast);
    for (response, _) in site::together(4, |_| {
        (0..10)
            .map(|_| site.get("works"))
            .find(|response| response.status != 503)
    }) {
        assert!(response.is_none(), "{response:?}");
    }
    cluster.start_again();
    // Until the pool, which pauses between its attempts, has noticed.
    thread::sleep(Duration::from_millis(700));
    site.assert_works();
    let lost = lines(&site, &format!("no connection to {}", site.server()));
    assert!(!lost.is_empty(), "{}", site.nginx.error_log());
    assert!(lost.iter().all(|line| line.contains("[warn]")), "{lost:?}");
    let found = lines(&site, "again");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("[notice]"), "{found:?}");
    let all = lines(&site, "");
    assert!(all.len() < 20, "{} lines: {all:#?}", all.len());
    site.nginx.assert_clean_log();
}

/// Each kind once, however often it happens.
fn assert_told_once(site: &Site, words: &str, level: &str) {
    let told = lines(site, words);
    assert_eq!(
        told.len(),
        1,
        "{words}: {told:#?}\n{}",
        site.nginx.error_log()
    );
    assert!(told[0].contains(&format!("[{level}]")), "{told:?}");
}

#[test]
fn an_engines_start_and_what_happens_to_its_connections_are_told() {
    let cluster = Cluster::builder().start();
    let site = site::on(&cluster)
        .nginx(|nginx| nginx.log_level("info"))
        .start();
    site.assert_works();
    assert_told_once(&site, "started, with 4 connections at most", "info");
    let mut sql = site.sql();
    for _ in 0..5 {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name = 'pgmoon'";
        sql.query(end, &[]).expect("an answer");
        site.assert_works();
    }
    let lost = format!("connection to {} lost: ", site.server());
    assert_told_once(&site, &lost, "warn");
    cluster.pause();
    assert_eq!(site.get("works").status, 503);
    assert_eq!(site.get("works").status, 503);
    cluster.resume();
    site.assert_works();
    assert_told_once(&site, &format!("no answer from {}", site.server()), "warn");
    let exit = site.nginx.quit();
    assert!(exit.status.success(), "{exit:?}");
    assert_told_once(&site, "this worker, which exits", "info");
    site.nginx.assert_clean_log();
}

#[test]
fn a_pool_and_a_backlog_that_are_used_up_are_told() {
    let cluster = Cluster::builder().start();
    let site = site::on(&cluster)
        .conf("connect_timeout", 300)
        .conf("pool_size", 1)
        .conf("backlog", 5)
        .start();
    site.assert_works();
    cluster.pause();
    for (response, _) in site::together(20, |n| {
        // The first has the only connection when the others come.
        thread::sleep(Duration::from_millis(if n == 0 { 0 } else { 100 }));
        site.get("works")
    }) {
        assert_eq!(response.status, 503, "{response:?}");
    }
    cluster.resume();
    site.assert_works();
    assert_told_once(&site, "all connections to", "warn");
    assert_told_once(&site, "the backlog of 5 operations", "warn");
    site.nginx.assert_clean_log();
}

/// Nothing of what the operations hold may be in it.
#[test]
fn a_batch_that_is_taken_apart_is_told_without_its_values() {
    let site = site::on(support::shared())
        .nginx(|nginx| nginx.log_level("info"))
        .start();
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
    assert_told_once(&site, "operations is taken apart: ", "info");
    let log = lines(&site, "");
    assert!(!log.iter().any(|line| line.contains("secret")), "{log:#?}");
}
