//! How we say who we are, and when we do not.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use resty_session_postgres::{Error, Storage};

use super::pki::{Authority, Folder};
use super::{Keys, cluster, config, connect, miss, prepare};
use crate::support::Cluster;

fn keys<'a>(more: &[(&'a str, &str)]) -> Keys<'a> {
    let mut keys = vec![
        ("username", "web".to_owned()),
        ("password", "secret".to_owned()),
    ];
    keys.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
    keys
}

/// A server with TLS that authenticates in that way, over TLS and without.
fn server(method: &str, encryption: &str) -> Cluster {
    let certificate = Authority::new("ours").server(&["127.0.0.1"]);
    let cluster = cluster(&certificate, &format!("host all all 127.0.0.1/32 {method}"));
    let mut admin = prepare(&cluster);
    let sql = format!("SET password_encryption = '{encryption}'; ALTER ROLE web PASSWORD 'secret'");
    admin.batch_execute(&sql).unwrap();
    cluster
}

#[test]
fn a_password_goes_in_clear_text_over_tls_alone_unless_that_is_allowed() {
    let cluster = server("password", "scram-sha-256");
    connect(&cluster, &keys(&[("sslmode", "require")])).unwrap();
    for mode in ["disable", "prefer"] {
        let plain = keys(&[("sslmode", mode)]);
        let result = connect(&cluster, &plain);
        assert_eq!(result.is_ok(), mode == "prefer", "{mode}: {result:?}");
    }
    let message = connect(&cluster, &keys(&[])).unwrap_err().to_string();
    assert!(
        message.contains("asks for the password in clear text"),
        "{message}"
    );
    connect(&cluster, &keys(&[("allow_cleartext", "true")])).unwrap();
    let wrong = keys(&[("allow_cleartext", "true"), ("password", "wrong")]);
    let message = connect(&cluster, &wrong).unwrap_err().to_string();
    assert!(
        message.contains("password authentication failed"),
        "{message}"
    );
}

#[test]
fn md5_and_scram_work_with_and_without_tls() {
    for (method, encryption) in [("md5", "md5"), ("scram-sha-256", "scram-sha-256")] {
        let cluster = server(method, encryption);
        for mode in ["disable", "require"] {
            connect(&cluster, &keys(&[("sslmode", mode)])).unwrap();
            let wrong = keys(&[("sslmode", mode), ("password", "wrong")]);
            let message = connect(&cluster, &wrong).unwrap_err().to_string();
            assert!(
                message.contains("password authentication failed"),
                "{message}"
            );
        }
        // Only SCRAM can be bound to the TLS session.
        let bound = keys(&[("sslmode", "require"), ("channel_binding", "require")]);
        match connect(&cluster, &bound) {
            Ok(()) => assert_eq!(method, "scram-sha-256"),
            Err(error) => {
                assert_eq!(method, "md5", "{error}");
                let message = error.to_string();
                assert!(message.contains("did not use channel binding"), "{message}");
                assert!(matches!(error, Error::Refused { .. }), "{message}");
            }
        }
        let without = keys(&[("sslmode", "require"), ("channel_binding", "disable")]);
        connect(&cluster, &without).unwrap();
    }
}

#[test]
fn a_password_is_found_in_the_password_file() {
    let cluster = server("scram-sha-256", "scram-sha-256");
    let folder = Folder::new();
    let port = cluster.port();
    let path = folder.write(
        "passfile",
        format!("# the first that fits\nelsewhere:*:*:*:no\n127.0.0.1:{port}:*:web:secret\n"),
    );
    let mut keys: Keys<'_> = vec![("username", "web".to_owned()), ("passfile", path)];
    connect(&cluster, &keys).unwrap();

    keys.push(("application", "refused".to_owned()));
    let mode = fs::Permissions::from_mode(0o640);
    fs::set_permissions(folder.path("passfile"), mode).unwrap();
    let message = connect(&cluster, &keys).unwrap_err().to_string();
    assert!(message.contains("passfile: "), "{message}");
    assert!(message.contains("may be read by others"), "{message}");
    // Out of reach, as for nginx's workers, it is what it was when the storage was made.
    fs::set_permissions(folder.path("passfile"), fs::Permissions::from_mode(0o600)).unwrap();
    keys[2].1 = "made before".to_owned();
    let storage = Storage::new(config(&cluster, &keys).unwrap());
    fs::remove_file(folder.path("passfile")).unwrap();
    miss(&storage).unwrap();
    keys[2].1 = "made later".to_owned();
    let message = connect(&cluster, &keys).unwrap_err().to_string();
    assert!(message.contains("passfile: cannot read"), "{message}");
    // What is given directly counts first.
    keys.push(("password", "secret".to_owned()));
    connect(&cluster, &keys).unwrap();
}
