//! `Database`: a database of the shared cluster with the documented tables.

use std::process::Command;
use std::sync::Mutex;
use std::thread;

use postgres::Client;
use postgres::types::FromSqlOwned;
use resty_session_postgres::{Config, Storage};
use serde_json::{Value as Json, json};

use super::process::lock;
use super::shared;

/// The first column of the only row.
pub fn one<T: FromSqlOwned>(client: &mut Client, sql: &str) -> T {
    let row = client.query_one(sql, &[]);
    row.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

pub struct Database {
    pub name: String,
    client: Mutex<Client>,
}

/// A row of the sessions table is not the mark of an ended session.
pub const NO_MARK: &str = "(data = '' AND exp < now() - interval '80 years') IS NOT TRUE";

impl Database {
    pub fn new() -> Self {
        let name = shared().create_database();
        Database { client: Mutex::new(shared().client(&name)), name }
    }

    /// A new connection of a superuser.
    pub fn sql(&self) -> Client {
        shared().client(&self.name)
    }

    /// The same database with a new connection, which has the settings that were made for new ones.
    pub fn reconnect(&self) {
        *lock(&self.client) = self.sql();
    }

    pub fn execute(&self, sql: &str) {
        lock(&self.client).batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// A new role that may connect; its name begins as given.
    pub fn create_role(&self, prefix: &str) -> String {
        let role = format!("{prefix}_{}", self.name);
        self.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD '{}'", super::password()));
        role
    }

    pub fn one<T: FromSqlOwned>(&self, sql: &str) -> T {
        one(&mut lock(&self.client), sql)
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.one(sql)
    }

    /// How many sessions there are, expired or not. The marks of ended ones are not counted.
    pub fn sessions(&self) -> i64 {
        self.number(&format!("SELECT count(*) FROM sessions WHERE {NO_MARK}"))
    }

    pub fn query(&self, sql: &str, key: &str) -> Vec<postgres::Row> {
        lock(&self.client).query(sql, &[&key]).expect("rows")
    }

    /// A configuration for this database, with more keys.
    pub fn config(&self, keys: Json) -> Config {
        let config = shared().config(&self.name, keys);
        config.expect("a valid configuration")
    }

    pub fn storage(&self) -> Storage {
        self.storage_with(json!({}))
    }

    pub fn storage_with(&self, keys: Json) -> Storage {
        Storage::new(self.config(keys))
    }

    /// Host, port and name.
    pub fn address(&self) -> [String; 3] {
        let port = shared().port().to_string();
        ["127.0.0.1".into(), port, self.name.clone()]
    }

    pub fn dsn(&self) -> String {
        let [host, port, database] = self.address();
        let password = super::password();
        format!("host={host} port={port} dbname={database} user=postgres password={password}")
    }

    /// Adds libpq's environment variables for this database.
    pub fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let variables = ["PGHOST", "PGPORT", "PGDATABASE"];
        command
            .envs(variables.into_iter().zip(self.address()))
            .env("PGUSER", "postgres")
            .env("PGPASSWORD", super::password())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A failed test leaves its database for a look at it.
        if !thread::panicking() {
            shared().drop_database(&self.name);
        }
    }
}

/// Ends the library's connections to the client's database; returns how many there were.
pub fn disconnect(client: &mut Client) -> i64 {
    one(
        client,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'pgmoon'",
    )
}
