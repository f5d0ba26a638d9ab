//! Passwords: when they are sent and in which form, and where they are found.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use resty_session_postgres::{Error, Storage};

use super::pki::{Authority, Folder};
use super::{Keys, cluster, config, connect, miss, prepare};
use crate::support::Cluster;

fn keys<'a>(more: &[(&'a str, &str)]) -> Keys<'a> {
    let mut keys = vec![("username", "web".to_owned()), ("password", "secret".to_owned())];
    keys.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
    keys
}

fn assert_fails(cluster: &Cluster, keys: &Keys<'_>, words: &str) {
    let message = connect(cluster, keys).unwrap_err().to_string();
    assert!(message.contains(words), "{message}");
}

const WRONG: &str = "password authentication failed";

/// A server with TLS that authenticates by that method, with and without TLS.
fn server(method: &str, encryption: &str) -> Cluster {
    let certificate = Authority::new("ours").server(&["127.0.0.1"]);
    let cluster = cluster(&certificate, &format!("host all all 127.0.0.1/32 {method}"));
    let mut admin = prepare(&cluster);
    let sql = format!("SET password_encryption = '{encryption}'; ALTER ROLE web PASSWORD 'secret'");
    admin.batch_execute(&sql).unwrap();
    cluster
}

#[test]
fn a_password_goes_in_clear_text_only_over_tls_unless_that_is_allowed() {
    let cluster = server("password", "scram-sha-256");
    connect(&cluster, &keys(&[("sslmode", "require")])).unwrap();
    for mode in ["disable", "prefer"] {
        let plain = keys(&[("sslmode", mode)]);
        let result = connect(&cluster, &plain);
        assert_eq!(result.is_ok(), mode == "prefer", "{mode}: {result:?}");
    }
    assert_fails(&cluster, &keys(&[]), "asks for the password in clear text");
    connect(&cluster, &keys(&[("allow_cleartext", "true")])).unwrap();
    let wrong = keys(&[("allow_cleartext", "true"), ("password", "wrong")]);
    assert_fails(&cluster, &wrong, WRONG);
}

#[test]
fn md5_and_scram_work_with_and_without_tls() {
    for (method, encryption) in [("md5", "md5"), ("scram-sha-256", "scram-sha-256")] {
        let cluster = server(method, encryption);
        for mode in ["disable", "require"] {
            connect(&cluster, &keys(&[("sslmode", mode)])).unwrap();
            let wrong = keys(&[("sslmode", mode), ("password", "wrong")]);
            assert_fails(&cluster, &wrong, WRONG);
        }
        // Only SCRAM can be bound to the TLS session.
        let bound = keys(&[("sslmode", "require"), ("channel_binding", "require")]);
        if method == "md5" {
            assert_fails(&cluster, &bound, "did not use channel binding");
            let error = connect(&cluster, &bound).unwrap_err();
            assert!(matches!(error, Error::Refused { .. }), "{error}");
        } else {
            connect(&cluster, &bound).unwrap();
        }
        let without = keys(&[("sslmode", "require"), ("channel_binding", "disable")]);
        connect(&cluster, &without).unwrap();
    }
}

#[test]
fn a_server_that_asks_for_less_than_is_required_gets_no_answer() {
    let passes = |cluster: &Cluster, required: &str| {
        let keys = keys(&[("sslmode", "prefer"), ("require_auth", required)]);
        let result = connect(cluster, &keys);
        if let Err(error) = &result {
            assert!(error.to_string().contains("require_auth does not allow"), "{error}");
            assert!(matches!(error, Error::Refused { .. }), "{error}");
        }
        result.is_ok()
    };
    let methods = ["scram-sha-256", "md5", "password", "none"];
    for asked in methods {
        let encryption = if asked == "md5" { "md5" } else { "scram-sha-256" };
        let cluster = server(if asked == "none" { "trust" } else { asked }, encryption);
        for required in methods {
            assert_eq!(passes(&cluster, required), required == asked, "{required}, {asked}");
            let all_but = format!("!gss,!{required}");
            assert_eq!(passes(&cluster, &all_but), required != asked, "{all_but}, {asked}");
        }
        assert!(passes(&cluster, "none, md5, password, scram-sha-256"));
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
    assert_fails(&cluster, &keys, "passfile: ");
    assert_fails(&cluster, &keys, "may be read by others");
    // Out of reach, as for nginx's workers, it is what it was when the storage was made.
    fs::set_permissions(folder.path("passfile"), fs::Permissions::from_mode(0o600)).unwrap();
    keys[2].1 = "made before".to_owned();
    let storage = Storage::new(config(&cluster, &keys).unwrap());
    fs::remove_file(folder.path("passfile")).unwrap();
    miss(&storage).unwrap();
    keys[2].1 = "made later".to_owned();
    assert_fails(&cluster, &keys, "passfile: cannot read");
    // What is given directly counts first.
    keys.push(("password", "secret".to_owned()));
    connect(&cluster, &keys).unwrap();
}
