//! Certificates of the client, which the server asks for and accepts or refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use resty_session_postgres::Storage;

use super::matrix::{Outcome, ours, psql};
use super::pki::{Authority, Folder, Issued};
use super::{Keys, config, miss, prepare, server};
use crate::support::Cluster;

/// A server that accepts clients with a certificate of that authority in their user's name.
fn wants_certificates(authority: &Authority) -> Cluster {
    let own = authority.server(&["127.0.0.1"]);
    let cluster = server(&own)
        .setting("ssl_ca_file", "clients.crt")
        .file("clients.crt", authority.pem())
        .hba("hostssl all all 127.0.0.1/32 cert")
        .start();
    prepare(&cluster);
    cluster
}

fn keys<'a>(folder: &Folder, issued: Option<&Issued>) -> Keys<'a> {
    let mut keys = vec![("sslmode", "require".to_owned()), ("username", "web".to_owned())];
    if let Some(issued) = issued {
        keys.push(("sslcert", folder.write("crt", &issued.certificate)));
        keys.push(("sslkey", folder.write("key", &issued.key)));
    }
    keys
}

#[test]
fn a_client_certificate_is_accepted_or_refused_as_libpqs_is() {
    let (authority, foreign) = (Authority::new("ours"), Authority::new("foreign"));
    let cluster = wants_certificates(&authority);
    let folder = Folder::new();
    let right = authority.issue("web", &[], 10);
    let other_user = authority.issue("other", &[], 10);
    let expired = authority.issue("web", &[], -1);
    let stranger = foreign.issue("web", &[], 10);
    let failed = "certificate authentication failed for user \"web\"";
    let cases = [
        ("right", Some(&right), Outcome::Tls, ""),
        ("none", None, Outcome::Refused, "requires a valid client certificate"),
        ("of another user", Some(&other_user), Outcome::Refused, failed),
        ("expired", Some(&expired), Outcome::Refused, "certificate expired"),
        ("of another authority", Some(&stranger), Outcome::Refused, "unknown ca"),
    ];
    for (name, issued, expected, reason) in cases {
        let keys = keys(&folder, issued);
        let (outcome, error) = ours(&cluster, &keys);
        assert_eq!(outcome, expected, "{name}: {error}");
        assert!(error.contains(reason), "{name}: {error}");
        assert_eq!(outcome, psql(&cluster, &keys), "{name}: {error}");
    }
}

#[test]
fn an_encrypted_key_needs_its_password() {
    let authority = Authority::new("ours");
    let cluster = wants_certificates(&authority);
    let folder = Folder::new();
    let issued = authority.issue("web", &[], 10);
    let mut keys = keys(&folder, Some(&issued));
    folder.write("key", issued.encrypted_key("open sesame"));
    let cases = [
        (Some("open sesame"), Outcome::Tls),
        (Some("open barley"), Outcome::Refused),
        (None, Outcome::Refused),
    ];
    for (password, expected) in cases {
        keys.retain(|(key, _)| *key != "sslpassword");
        if let Some(password) = password {
            keys.push(("sslpassword", password.to_owned()));
        }
        let (outcome, error) = ours(&cluster, &keys);
        assert_eq!(outcome, expected, "{password:?}: {error}");
        assert!(!error.contains("open "), "{error}");
        if expected == Outcome::Refused {
            assert!(error.contains("sslkey"), "{error}");
        }
        assert_eq!(outcome, psql(&cluster, &keys), "{password:?}: {error}");
    }
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let authority = Authority::new("ours");
    let cluster = wants_certificates(&authority);
    let folder = Folder::new();
    let issued = authority.issue("web", &[], 10);
    let keys = keys(&folder, Some(&issued));
    let mode = |mode| fs::set_permissions(folder.path("key"), fs::Permissions::from_mode(mode));
    for (bits, expected) in [(0o644, Outcome::Refused), (0o600, Outcome::Tls)] {
        mode(bits).unwrap();
        let (outcome, error) = ours(&cluster, &keys);
        assert_eq!(outcome, expected, "{bits:o}: {error}");
        assert_eq!(outcome, psql(&cluster, &keys), "{bits:o}: {error}");
        let by_others = error.contains("may be read by others");
        assert_eq!(by_others, bits == 0o644, "{error}");
    }
}

/// The files are read when the storage is made: later they may be out of reach, as for nginx's
/// workers, which are no longer root.
#[test]
fn files_may_be_out_of_reach_after_the_storage_was_made() {
    let authority = Authority::new("ours");
    let cluster = wants_certificates(&authority);
    let folder = Folder::new();
    let issued = authority.issue("web", &[], 10);
    let keys = keys(&folder, Some(&issued));
    let storage = Storage::checked(config(&cluster, &keys).unwrap()).unwrap();
    fs::remove_file(folder.path("key")).unwrap();
    fs::remove_file(folder.path("crt")).unwrap();
    miss(&storage).unwrap();

    let mut others = keys;
    others.push(("application", "made later".to_owned()));
    let error = Storage::checked(config(&cluster, &others).unwrap()).err().unwrap();
    let message = error.to_string();
    assert!(message.contains("sslcert: cannot read"), "{message}");
    assert!(error.is_callers_mistake());

    // Put right, they are taken without a restart of the process.
    folder.write("crt", &issued.certificate);
    folder.write("key", &issued.key);
    miss(&Storage::checked(config(&cluster, &others).unwrap()).unwrap()).unwrap();
}
