//! The password that new connections are opened with, which may be replaced while the pool runs.

use super::passfile::{self, Unusable};
use super::status::Failure;
use crate::config::{ConnectionConfig, Secret, Server};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

/// What new connections say who they are with.
pub(crate) struct Credentials {
    password: Mutex<Option<Secret>>,
    passfile: Option<PathBuf>,
    /// What that file held when the storage was made, if it could be read.
    passwords: Option<Secret>,
    database: String,
    username: String,
}

impl Credentials {
    pub(super) fn new(config: &ConnectionConfig, passwords: Option<Secret>) -> Self {
        Credentials {
            password: Mutex::new(config.password.clone()),
            passfile: config.passfile.clone(),
            passwords,
            database: config.database.clone(),
            username: config.username.clone(),
        }
    }

    /// What the password file holds, to be kept from where it can be read.
    pub(crate) fn read_ahead(config: &ConnectionConfig) -> Option<Secret> {
        passfile::read(config.passfile.as_deref()?).ok()
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
                // Anew each time, so that a changed file needs no reload.
                let content = match (passfile::read(path), &self.passwords) {
                    (Ok(content), _) => content,
                    // nginx's workers may read less than its master.
                    (Err(Unusable::Away(_)), Some(before)) => before.clone(),
                    (Err(Unusable::Away(reason) | Unusable::Wrong(reason)), _) => {
                        return Err(Failure::new("passfile", reason, true));
                    }
                };
                let (database, user) = (&self.database, &self.username);
                Ok(passfile::password(&content, server, database, user))
            }
            (_, given) => Ok(given),
        }
    }
}
