//! How TLS begins: its version, the server name indication, and direct negotiation.

use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use resty_session_postgres::Storage;

use super::matrix::{Outcome, ours, psql, start};
use super::pki::{Authority, Folder};
use super::{Keys, config, miss, server};
use crate::support::process;

#[test]
fn an_old_version_of_tls_is_refused() {
    let authority = Authority::new("ours");
    let old = server(&authority.server(&["127.0.0.1"]));
    let cluster = start(old.setting("ssl_max_protocol_version", "TLSv1.2"));
    for (least, expected) in [("TLSv1.2", Outcome::Tls), ("TLSv1.3", Outcome::Refused)] {
        let keys =
            vec![("sslmode", "require".to_owned()), ("ssl_min_protocol_version", least.to_owned())];
        let (outcome, error) = ours(&cluster, &keys);
        assert_eq!(outcome, expected, "{least}: {error}");
        assert_eq!(outcome, psql(&cluster, &keys), "{least}: {error}");
    }
}

/// PostgreSQL 17 is the first that can.
#[test]
fn tls_without_asking_first_works_where_the_server_can() {
    let authority = Authority::new("ours");
    let cluster = start(server(&authority.server(&["127.0.0.1"])));
    let mut admin = cluster.client("postgres");
    let version = admin.query_one("SHOW server_version_num", &[]).unwrap();
    let version: i32 = version.get::<_, &str>(0).parse().unwrap();
    let keys = vec![
        ("sslmode", "require".to_owned()),
        ("sslnegotiation", "direct".to_owned()),
        ("connect_timeout", "1000".to_owned()),
    ];
    let storage = Storage::new(config(&cluster, &keys).unwrap());
    assert_eq!(miss(&storage).is_ok(), version >= 170_000);
}

/// A server with a certificate for each of its names, which is none of PostgreSQL's: it takes the
/// TLS session, and then says nothing.
#[test]
fn the_server_gets_the_name_that_it_is_asked_for() {
    let authority = Authority::new("ours");
    let (other, named) = (authority.server(&["other.example"]), authority.server(&["localhost"]));
    let folder = Folder::new();
    let port = process::free_port();
    let mut command = Command::new(process::program("/usr/bin/openssl", "openssl"));
    command
        .args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")])
        .args(["-cert", &folder.write("crt", &other.certificate)])
        .args(["-key", &folder.write("key", &other.key)])
        .args(["-cert2", &folder.write("crt2", &named.certificate)])
        .args(["-key2", &folder.write("key2", &named.key)])
        .args(["-servername", "localhost"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = process::spawn(command, Signal::SIGKILL).unwrap();
    let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    let listening = process::eventually(Duration::from_secs(10), listens);

    let reason = |host: &str| {
        let keys: Keys<'_> = vec![
            ("host", host.to_owned()),
            ("sslmode", "verify-full".to_owned()),
            ("sslnegotiation", "direct".to_owned()),
            ("sslrootcert", folder.write("root", authority.pem())),
            ("connect_timeout", "1500".to_owned()),
        ];
        let mut config = config(crate::support::shared(), &keys).unwrap();
        config.connection.servers[0].port = port;
        miss(&Storage::new(config)).unwrap_err().to_string()
    };
    // It serves one after the other, and the second one for long.
    let reasons = listening.then(|| (reason("127.0.0.1"), reason("localhost")));
    child.kill().unwrap();
    child.wait().unwrap();
    let (unnamed, named) = reasons.expect("it listens");
    // The certificate was the right one, and then no answer came.
    assert!(named.contains("within 1500 ms"), "{named}");
    assert!(!named.contains("TLS: "), "{named}");
    // An address is no name to ask for.
    assert!(unnamed.contains("TLS: "), "{unnamed}");
    assert!(unnamed.contains("mismatch"), "{unnamed}");
}
