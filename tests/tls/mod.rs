//! TLS against real servers: what each mode accepts and refuses, beside what libpq does in it.

mod authentication;
mod client;
mod matrix;
mod negotiation;
pub mod pki;
mod renewal;
pub mod switches;

use resty_session_postgres::{Config, Error, Storage};
use serde_json::json;

use crate::support::{Builder, Calls, Cluster};
use pki::Issued;

const TABLE: &str =
    "CREATE TABLE sessions (sid TEXT PRIMARY KEY, name TEXT, data TEXT, exp TIMESTAMPTZ)";

/// A server with that certificate.
fn server(certificate: &Issued) -> Builder {
    Cluster::builder()
        .setting("ssl", "on")
        .file("server.crt", &*certificate.certificate)
        .file("server.key", &*certificate.key)
}

/// The same, which takes what that line says.
fn cluster(certificate: &Issued, hba: &str) -> Cluster {
    server(certificate).hba(hba).start()
}

/// The keys of a configuration, each value as a text. Most are libpq's.
type Keys<'a> = Vec<(&'a str, String)>;

fn config(cluster: &Cluster, keys: &Keys<'_>) -> Result<Config, Error> {
    let mut all = json!({});
    for (key, value) in keys {
        all[key] = match value.as_str() {
            "true" => json!(true),
            text => json!(text),
        };
    }
    cluster.config("postgres", all)
}

/// Looks for a session that is not there.
fn miss(storage: &Storage) -> Result<(), Error> {
    let found = storage.get("no such session")?;
    assert_eq!(found, None);
    Ok(())
}

fn connect(cluster: &Cluster, keys: &Keys<'_>) -> Result<(), Error> {
    miss(&Storage::checked(config(cluster, keys)?)?)
}

/// Makes the table, and a user who may use it.
fn prepare(cluster: &Cluster) -> postgres::Client {
    let mut admin = cluster.client("postgres");
    let sql =
        format!("{TABLE}; CREATE ROLE web LOGIN PASSWORD 'secret'; GRANT ALL ON sessions TO web");
    admin.batch_execute(&sql).unwrap();
    admin
}
