//! A password that changes while the site is in use, at a moment when the server accepts the old one
//! and the new one.

use std::fs;
use std::thread;
use std::time::Duration;

use super::outage::under_load;
use super::site::{self, Site, assert_answer};
use crate::support::{Cluster, disconnect};
use crate::tls::pki::Folder;

const SCRAM: &str = "host all all 127.0.0.1/32 scram-sha-256";
/// For a moment, any password is accepted.
const EITHER: &str = "host all all 127.0.0.1/32 trust";

fn set_password(cluster: &Cluster, password: &str) {
    let sql = format!("ALTER ROLE postgres PASSWORD '{password}'");
    cluster.client("postgres").batch_execute(&sql).unwrap();
}

/// Has every connection of the site opened anew, again and again.
fn reconnect(site: &Site) {
    let mut ended = 0;
    for _ in 0..5 {
        ended += disconnect(&mut site.sql());
        thread::sleep(Duration::from_millis(60));
    }
    assert!(ended > 0, "there was no connection to end");
}

/// Changes the password three times under load. `tell` gives it to the site.
fn rotate(cluster: &Cluster, site: &Site, tell: impl Fn(&str)) {
    under_load(site, || {
        for number in 1..=3 {
            reconnect(site);
            cluster.change_hba(EITHER);
            let password = format!("password {number}");
            set_password(cluster, &password);
            tell(&password);
            cluster.change_hba(SCRAM);
            reconnect(site);
        }
    });
    // The last one is what lets it in.
    set_password(cluster, "unknown");
    let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
               WHERE application_name = 'pgmoon'";
    // Also one that was being opened when the password changed.
    while !site.sql().query(sql, &[]).unwrap().is_empty() {
        thread::sleep(Duration::from_millis(200));
    }
    let response = site.get("key");
    assert_eq!(response.status, 503, "{}", response.body);
    let reason = "password authentication failed";
    assert!(response.body.contains(reason), "{}", response.body);
}

fn cluster() -> Cluster {
    let cluster = Cluster::builder().hba(SCRAM).start();
    set_password(&cluster, "password 0");
    cluster
}

fn plan(cluster: &Cluster) -> site::Plan<'_> {
    site::on(cluster).conf("connect_timeout", 10_000).conf("read_timeout", 10_000)
}

#[test]
fn a_password_that_is_replaced_under_load_fails_no_request() {
    let cluster = cluster();
    let lua = "ngx.print(require('site').storage():set_password(ngx.unescape_uri(ngx.var.arg_to)))";
    let site = plan(&cluster).conf("password", "password 0").content("/tell", lua).start();
    rotate(&cluster, &site, |password| {
        let path = format!("/tell?to={}", password.replace(" ", "%20"));
        assert_answer(&site.nginx.get(&path), 200, "true");
    });
}

#[test]
fn a_password_file_that_changes_under_load_fails_no_request() {
    let cluster = cluster();
    let folder = Folder::new();
    let write = |password: &str| {
        folder.write("new", format!("*:*:*:postgres:{password}\n"));
        fs::rename(folder.path("new"), folder.path("passfile")).unwrap();
    };
    write("password 0");
    let file = folder.path("passfile");
    let site = plan(&cluster).conf("passfile", file.to_str()).start();
    rotate(&cluster, &site, write);
}
