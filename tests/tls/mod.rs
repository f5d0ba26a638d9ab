//! TLS against real servers: what each mode accepts and refuses, beside what libpq does in it.

mod authentication;
mod client;
mod matrix;
mod negotiation;
pub mod pki;
mod renewal;
pub mod switches;

use resty_session_postgres::config::{Draft, Value};
use resty_session_postgres::{Config, Error, Storage};

use crate::support::{Builder, Calls, Cluster};
use pki::Issued;

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
    let mut draft = Draft::default();
    let port = Value::Number(f64::from(cluster.port()));
    draft.set("port", &port)?;
    draft.set("database", &Value::Text("postgres".into()))?;
    for (key, value) in keys {
        let value = match value.as_str() {
            "true" => Value::Flag(true),
            text => Value::Text(text.to_owned()),
        };
        draft.set(key, &value)?;
    }
    draft.build()
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

/// The table and a user for those who come in as somebody.
fn prepare(cluster: &Cluster) -> postgres::Client {
    let mut admin = cluster.client("postgres");
    admin
        .batch_execute(
            "CREATE ROLE web LOGIN PASSWORD 'secret';
             CREATE TABLE sessions (sid TEXT PRIMARY KEY, name TEXT, data TEXT, exp TIMESTAMPTZ);
             GRANT ALL ON sessions TO web",
        )
        .unwrap();
    admin
}
