//! The password for new connections. It may be replaced while the pool runs.

use super::open_error::OpenError;
use super::passfile;
use crate::config::{ConnectionConfig, Secret, Server};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

/// What new connections authenticate with.
pub(crate) struct Credentials {
    password: Mutex<Option<Secret>>,
    passfile: Option<PathBuf>,
    /// The content of that file when the storage was made, if it could be read.
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

    /// The content of the password file, read while the process may still be root.
    pub(crate) fn read_ahead(config: &ConnectionConfig) -> Option<Secret> {
        passfile::read(config.passfile.as_deref()?).ok()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Secret>> {
        self.password
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Replaces the password. Open connections stay open.
    pub(crate) fn set_password(&self, password: Secret) {
        *self.lock() = Some(password);
    }

    /// The password for a new connection to a server.
    pub(super) fn password(&self, server: &Server) -> Result<Option<Secret>, OpenError> {
        let given = self.lock().clone();
        match (&self.passfile, given) {
            (Some(path), None) => {
                // Read each time, so that a changed file needs no reload.
                let content = match (passfile::read(path), &self.passwords) {
                    (Ok(content), _) => content,
                    // nginx's workers may read less than its master.
                    (Err(error), Some(before)) if error.raw_os_error().is_some() => before.clone(),
                    (Err(error), _) => {
                        let reason = format!("cannot read {}: {error}", path.display());
                        return Err(OpenError::refused("passfile", reason));
                    }
                };
                let (database, user) = (&self.database, &self.username);
                Ok(passfile::password(&content, server, database, user))
            }
            (_, given) => Ok(given),
        }
    }
}
