//! TLS: what each of the three switches accepts and refuses, against real servers.

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509Builder, X509NameBuilder};
use resty_session_postgres::config::{Draft, Value};
use resty_session_postgres::{Epoch, Error, Storage};

use crate::support::Cluster;

/// A self-signed certificate for 127.0.0.1, and its key.
fn certificate() -> (Vec<u8>, Vec<u8>) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "127.0.0.1").unwrap();
    let name = name.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    let (from, to) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(2));
    builder.set_not_before(&from.unwrap()).unwrap();
    builder.set_not_after(&to.unwrap()).unwrap();
    let context = builder.x509v3_context(None, None);
    let names = SubjectAlternativeName::new()
        .ip("127.0.0.1")
        .build(&context);
    builder.append_extension(names.unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let pem = builder.build().to_pem().unwrap();
    (pem, key.private_key_to_pem_pkcs8().unwrap())
}

fn tls_cluster(hba: &str) -> Cluster {
    let (certificate, key) = certificate();
    Cluster::builder()
        .setting("ssl", "on")
        .file("server.crt", certificate)
        .file("server.key", key)
        .hba(hba)
        .start()
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

fn miss(storage: &Storage) -> Result<(), Error> {
    let found = storage.get("no such session", Epoch::now())?;
    assert_eq!(found, None);
    Ok(())
}

#[test]
fn tls_is_used_where_it_is_asked_for() {
    let cluster = tls_cluster("hostssl all all 127.0.0.1/32 scram-sha-256");
    let mut admin = cluster.client("postgres");
    admin
        .batch_execute(
            "CREATE ROLE web LOGIN PASSWORD 'secret';
             CREATE TABLE sessions (sid TEXT PRIMARY KEY, name TEXT, data TEXT, exp TIMESTAMPTZ);
             GRANT ALL ON sessions TO web",
        )
        .unwrap();

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
    assert!(message.contains("self-signed certificate"), "{message}");
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
