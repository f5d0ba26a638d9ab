//! Settings of a running server.

use std::thread;
use std::time::Duration;

use super::Cluster;
use super::cluster::rules;

impl Cluster {
    /// Replaces the lines of `pg_hba.conf`.
    pub fn change_hba(&self, lines: &str) {
        self.write("pg_hba.conf", rules(lines).as_bytes());
        self.reload();
        // The server reads it when it handles its signals.
        thread::sleep(Duration::from_millis(100));
    }

    /// Has the server read its configuration again.
    pub fn reload(&self) {
        let reload = "SELECT pg_reload_conf()";
        let reloaded = self.client("postgres").execute(reload, &[]);
        reloaded.expect("a superuser may");
    }

    /// Sets a parameter of the running server.
    pub fn set(&self, parameter: &str, value: &str) {
        let sql = format!("ALTER SYSTEM SET {parameter} = {value}");
        let mut client = self.client("postgres");
        // Also where it is this parameter that makes transactions read-only.
        let writable = "SET default_transaction_read_only = off";
        client.batch_execute(writable).expect("a superuser may");
        client.batch_execute(&sql).expect("a superuser may");
        self.reload();
    }
}
