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
