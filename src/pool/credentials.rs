//! The password that new connections are opened with, which may be replaced while the pool runs.

use super::passfile;
use super::status::Failure;
use crate::config::{ConnectionConfig, Secret, Server};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

/// What new connections say who they are with.
pub(crate) struct Credentials {
    password: Mutex<Option<Secret>>,
    passfile: Option<PathBuf>,
    database: String,
    username: String,
}

impl Credentials {
    pub(super) fn new(config: &ConnectionConfig) -> Self {
        Credentials {
            password: Mutex::new(config.password.clone()),
            passfile: config.passfile.clone(),
            database: config.database.clone(),
            username: config.username.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Secret>> {
        self.password
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Replaces the password; connections that are open stay.
    pub(crate) fn set_password(&self, password: Secret) {
        *self.lock() = Some(password);
    }

    /// The password for a new connection to a server.
    pub(super) fn password(&self, server: &Server) -> Result<Option<Secret>, Failure> {
        let given = self.lock().clone();
        match (&self.passfile, given) {
            (Some(path), None) => {
                let found = passfile::password(path, server, &self.database, &self.username);
                found.map_err(|reason| Failure::new("passfile", reason, true))
            }
            (_, given) => Ok(given),
        }
    }
}
