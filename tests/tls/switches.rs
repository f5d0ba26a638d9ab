//! TLS: what each of the three switches accepts and refuses, against real servers.

use resty_session_postgres::config::{Draft, Value};
use resty_session_postgres::{Error, Storage};

use super::pki::Authority;
use super::{cluster, miss, prepare};
use crate::support::Cluster;

pub fn tls_cluster(hba: &str) -> Cluster {
    let server = Authority::new("our own").server(&["127.0.0.1"]);
    cluster(&server, hba)
}

/// A storage on the cluster, with the given switches on.
fn storage(cluster: &Cluster, user: &str, switches: &[&str]) -> Storage {
    let mut draft = Draft::default();
    let text = |text: &str| Value::Text(text.into());
    draft
        .set("port", &Value::Number(f64::from(cluster.port())))
        .unwrap();
    draft.set("username", &text(user)).unwrap();
    draft.set("password", &text("secret")).unwrap();
    draft.set("database", &text("postgres")).unwrap();
    for switch in switches {
        draft.set(switch, &Value::Flag(true)).unwrap();
    }
    Storage::new(draft.build().unwrap())
}

#[test]
fn tls_is_used_where_it_is_asked_for() {
    let cluster = tls_cluster("hostssl all all 127.0.0.1/32 scram-sha-256");
    let mut admin = prepare(&cluster);

    // The password goes by SCRAM.
    for switches in [&["ssl"][..], &["ssl", "ssl_required"]] {
        miss(&storage(&cluster, "web", switches)).unwrap();
    }
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE usename = 'web'";
    assert!(admin.query_one(encrypted, &[]).unwrap().get::<_, bool>(0));

    let plain = miss(&storage(&cluster, "web", &[])).unwrap_err();
    assert!(matches!(plain, Error::Refused { .. }), "{plain}");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_at_once() {
    let cluster = tls_cluster("host all all 127.0.0.1/32 trust");
    let verifying = storage(&cluster, "postgres", &["ssl", "ssl_verify"]);
    let start = std::time::Instant::now();
    let error = miss(&verifying).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("TLS: "), "{message}");
    assert!(
        message.contains("unable to get local issuer certificate"),
        "{message}"
    );
    assert!(!message.contains("secret"), "{message}");
    assert!(
        start.elapsed().as_secs() < 3,
        "long before the connect timeout"
    );
}

#[test]
fn a_server_without_tls_is_refused_only_where_tls_is_required() {
    let cluster = crate::support::shared();
    let database = cluster.create_database();
    let with = |switches: &[&str]| {
        let mut draft = Draft::default();
        let port = Value::Number(f64::from(cluster.port()));
        draft.set("port", &port).unwrap();
        draft
            .set("database", &Value::Text(database.clone()))
            .unwrap();
        for switch in switches {
            draft.set(switch, &Value::Flag(true)).unwrap();
        }
        miss(&Storage::new(draft.build().unwrap()))
    };
    with(&["ssl"]).unwrap();
    with(&["ssl", "ssl_verify"]).unwrap();
    let message = with(&["ssl", "ssl_required"]).unwrap_err().to_string();
    assert!(message.contains("the server offers no TLS"), "{message}");
}
