//! Certificates that are renewed while the storage is in use.

use super::pki::{Authority, Folder};
use super::{config, miss, prepare, server};
use crate::support::{Cluster, process};
use resty_session_postgres::Storage;

fn disconnect(cluster: &Cluster) {
    let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'web'";
    cluster.client("postgres").query(sql, &[]).unwrap();
}

#[test]
fn renewed_certificates_need_no_reload() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let cluster = server(&old.server(&["127.0.0.1"]))
        .setting("ssl_ca_file", "clients.crt")
        .file("clients.crt", old.pem())
        .hba("hostssl all all 127.0.0.1/32 cert")
        .start();
    prepare(&cluster);
    let folder = Folder::new();
    let issued = old.issue("web", &[], 10);
    let keys = vec![
        ("sslmode", "verify-full".to_owned()),
        ("username", "web".to_owned()),
        ("sslrootcert", folder.write("root", old.pem())),
        ("sslcert", folder.write("crt", &issued.certificate)),
        ("sslkey", folder.write("key", &issued.key)),
    ];
    let storage = Storage::checked(config(&cluster, &keys).unwrap()).unwrap();
    miss(&storage).unwrap();

    // The server has moved to another authority; ours are of the old one still.
    let own = new.server(&["127.0.0.1"]);
    cluster.write("server.key", &own.key);
    cluster.write("server.crt", &own.certificate);
    cluster.write("clients.crt", &new.pem());
    cluster.reload();
    let renewed = || {
        disconnect(&cluster);
        miss(&storage).is_err()
    };
    process::wait_until(5, "the server has the new certificate", renewed);
    let message = miss(&storage).unwrap_err().to_string();
    assert!(message.contains("TLS: "), "{message}");

    let issued = new.issue("web", &[], 10);
    folder.write("root", new.pem());
    folder.write("key", &issued.key);
    folder.write("crt", &issued.certificate);
    miss(&storage).unwrap();
    disconnect(&cluster);
    miss(&storage).unwrap();
}
