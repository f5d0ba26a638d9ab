//! r2d2's manager of our connections.

use super::connection::Connection;
use super::open::Opener;
use super::open_error::OpenError;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// r2d2's manager of our connections.
pub(crate) struct Manager {
    opener: Opener,
}

impl Manager {
    pub(super) fn new(opener: Opener) -> Self {
        Manager { opener }
    }
}

/// What r2d2 pools. After a failed attempt r2d2 would go on trying, even if no caller waits any more,
/// and would report the failure to none. So a failure is pooled like a connection, and the next
/// caller takes it out.
pub(crate) enum Attempt {
    /// A connection.
    Open(Box<Connection>),
    /// Why there is none.
    Failed(OpenError),
}

impl r2d2::ManageConnection for Manager {
    type Connection = Attempt;
    type Error = Infallible;

    /// Runs on r2d2's thread. After a panic there, r2d2 would count the connection as being opened for
    /// the rest of the process's life.
    fn connect(&self) -> Result<Attempt, Infallible> {
        let status = self.opener.status();
        if let Err(closed) = status.begin() {
            return Ok(Attempt::Failed(closed));
        }
        let opened = catch_unwind(AssertUnwindSafe(|| self.opener.open()))
            .unwrap_or_else(|_| Err(OpenError::failed("connect", "internal error")));
        status.end(&self.opener.describe(), opened.as_ref().err());
        Ok(match opened {
            Ok(connection) => Attempt::Open(Box::new(connection)),
            Err(error) => Attempt::Failed(error),
        })
    }

    /// Never called: the pool is built without a test on check-out, because a round trip for each
    /// operation would double its cost. The first statement on a dead connection fails, and is then
    /// run on a new one.
    fn is_valid(&self, _: &mut Attempt) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, attempt: &mut Attempt) -> bool {
        match attempt {
            Attempt::Open(connection) => connection.is_broken(),
            Attempt::Failed(_) => true,
        }
    }
}
