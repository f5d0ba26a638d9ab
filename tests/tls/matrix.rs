//! Every mode against every kind of server, and each beside what libpq's own client does.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use resty_session_postgres::{Error, Storage};

use super::pki::{Authority, Folder};
use super::{Keys, TABLE, config, miss, server};
use crate::support::process;
use crate::support::{Builder, Cluster};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Plain,
    Tls,
    Refused,
}

/// What libpq's client makes of the keys.
pub fn psql(cluster: &Cluster, keys: &Keys<'_>) -> Outcome {
    let mut words = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", cluster.port());
    for (key, value) in keys {
        // Those that only we have.
        let (key, value) = match *key {
            "username" => ("user", value),
            "application" => ("application_name", value),
            key => (key, value),
        };
        words += &format!(" {key}='{value}'");
    }
    let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let output = Command::new(process::program("/usr/bin/psql", "postgresql-client"))
        .args(["-X", "-A", "-t", "-w", "-c", query, &words])
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    match String::from_utf8_lossy(&output.stdout).trim() {
        "t" => Outcome::Tls,
        "f" => Outcome::Plain,
        _ => Outcome::Refused,
    }
}

/// What we make of them, and the error.
pub fn ours(cluster: &Cluster, keys: &Keys<'_>) -> (Outcome, String) {
    // A name of its own tells this connection from all others.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut keys = keys.clone();
    keys.push(("application", format!("tls{number}")));
    let result =
        config(cluster, &keys).and_then(Storage::checked).and_then(|storage| miss(&storage));
    match result {
        Ok(()) => {
            let sql = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                       WHERE application_name = $1";
            let mut admin = cluster.client("postgres");
            let row = admin.query_one(sql, &[&format!("tls{number}")]).unwrap();
            let is_tls: bool = row.get(0);
            (if is_tls { Outcome::Tls } else { Outcome::Plain }, String::new())
        }
        Err(error) => {
            let at_once = matches!(error, Error::Refused { .. } | Error::Config { .. });
            assert!(at_once, "{keys:?}: {error}");
            (Outcome::Refused, error.to_string())
        }
    }
}

pub fn start(builder: Builder) -> Cluster {
    let cluster = builder.hba("host all all 127.0.0.1/32 trust").start();
    cluster.client("postgres").batch_execute(TABLE).unwrap();
    cluster
}

/// The table in docs/production.md.
fn documented(server: &str, mode: &str, verified: bool) -> Outcome {
    let untrusted = matches!(server, "expired" | "revoked" | "unknown authority");
    match mode {
        "disable" => Outcome::Plain,
        "prefer" if server == "no TLS" || untrusted && verified => Outcome::Plain,
        "prefer" => Outcome::Tls,
        _ if server == "no TLS" || untrusted && verified => Outcome::Refused,
        "verify-full" if server == "wrong host" => Outcome::Refused,
        _ => Outcome::Tls,
    }
}

#[test]
fn every_mode_accepts_and_refuses_what_libpq_does() {
    let (ours_ca, foreign) = (Authority::new("ours"), Authority::new("foreign"));
    let good = ours_ca.server(&["127.0.0.1"]);
    let wrong_host = ours_ca.server(&["other.example", "192.0.2.1"]);
    let expired = ours_ca.issue("server", &["127.0.0.1"], -1);
    let revoked = ours_ca.server(&["127.0.0.1"]);
    let stranger = foreign.server(&["127.0.0.1"]);
    let tls = |certificate| start(server(certificate));
    let untrusted = "unable to get local issuer certificate";
    let folder = Folder::new();
    let root = folder.write("root", ours_ca.pem());
    let list = folder.write("crl", ours_ca.revoke(&[&revoked]));

    let servers = [
        ("good", tls(&good), ""),
        ("wrong host", tls(&wrong_host), "IP address mismatch"),
        ("expired", tls(&expired), "certificate has expired"),
        ("revoked", tls(&revoked), "certificate revoked"),
        ("unknown authority", tls(&stranger), untrusted),
        ("no TLS", start(Cluster::builder()), "server offers no TLS"),
    ];
    let mut seen = [0; 3];
    for (name, cluster, reason) in &servers {
        for mode in ["disable", "prefer", "require", "verify-ca", "verify-full"] {
            for verified in [false, true] {
                let mut keys: Keys<'_> = vec![("sslmode", mode.to_owned())];
                if verified {
                    keys.push(("sslrootcert", root.clone()));
                    keys.push(("sslcrl", list.clone()));
                } else if mode.starts_with("verify") {
                    // libpq looks in a file of the user, and we in the system's store.
                    continue;
                }
                let what = format!("{name}, {mode}, verified: {verified}");
                let (outcome, error) = ours(cluster, &keys);
                assert_eq!(outcome, psql(cluster, &keys), "{what}: {error}");
                assert_eq!(outcome, documented(name, mode, verified), "{what}: {error}");
                if outcome == Outcome::Refused {
                    assert!(error.contains(reason) && !reason.is_empty(), "{what}: {error}");
                    assert!(error.contains("TLS: "), "{what}: {error}");
                }
                // Whatever happens, no plain text where TLS was required.
                let required = !matches!(mode, "disable" | "prefer");
                assert!(!(required && outcome == Outcome::Plain), "{what}");
                seen[outcome as usize] += 1;
            }
        }
    }
    // 6 servers, 8 ways to connect to each.
    assert_eq!(seen.iter().sum::<i32>(), 48);
    assert!(seen.iter().all(|&number| number > 5), "{seen:?}");
}
