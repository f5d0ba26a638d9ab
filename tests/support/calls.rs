//! Calls of the crate's own interface, with the arguments that most tests have.

use resty_session_postgres::ops::{Cleanup, Delete, Get, Revoke, Set};
use resty_session_postgres::{Epoch, Error, Storage};

/// A set of a session with the name "session" and the value "value".
pub fn session(key: impl AsRef<str>, seconds: i64) -> Set {
    let expires = Epoch::now().plus(seconds);
    Set::new("session", key.as_ref(), "value", expires).expect("texts that can be stored")
}

pub trait Calls {
    /// The value of a session that is alive now.
    fn get(&self, key: &str) -> Result<Option<String>, Error>;
    fn delete(&self, key: &str) -> Result<(), Error>;
    fn revoke(&self, audience: &str, subject: &str, except: Option<&str>) -> Result<u64, Error>;
    fn cleanup(&self, limit: Option<u32>) -> Result<u64, Error>;
}

impl Calls for Storage {
    fn get(&self, key: &str) -> Result<Option<String>, Error> {
        self.call(Get::new(key, Epoch::now())?)
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        self.call(Delete::new(key)?)
    }

    fn revoke(&self, audience: &str, subject: &str, except: Option<&str>) -> Result<u64, Error> {
        self.call(Revoke::new(audience, subject, except)?)
    }

    fn cleanup(&self, limit: Option<u32>) -> Result<u64, Error> {
        self.call(Cleanup::new(limit, Epoch::now()))
    }
}
