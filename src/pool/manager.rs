//! r2d2's manager of our connections.

use super::connection::Connection;
use super::open::Opener;
use super::status::Failure;
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

/// What r2d2 pools. It tries a failed attempt again and again, whether anybody still waits or not,
/// and tells nobody of the failure; so a failure is handed out like a connection, once, to whoever
/// waits.
pub(crate) enum Attempt {
    /// A connection.
    Open(Box<Connection>),
    /// Why there is none.
    Failed(Failure),
}

impl r2d2::ManageConnection for Manager {
    type Connection = Attempt;
    type Error = Infallible;

    /// Runs on r2d2's thread. A panic there would lose a place in the pool for ever; the blocking
    /// client panics where it cannot make its runtime (no file descriptor left).
    fn connect(&self) -> Result<Attempt, Infallible> {
        if let Err(closed) = self.opener.status().begin() {
            return Ok(Attempt::Failed(closed));
        }
        let opened = catch_unwind(AssertUnwindSafe(|| self.opener.open())).unwrap_or_else(|_| {
            let reason = "the client could not start (is the limit of open files reached?)";
            Err(Failure::new("connect", reason, false))
        });
        self.opener
            .status()
            .end(&self.opener.describe(), opened.as_ref().err());
        Ok(match opened {
            Ok(connection) => Attempt::Open(Box::new(connection)),
            Err(failure) => Attempt::Failed(failure),
        })
    }

    /// Never called: the pool is built without a test on check-out, because a round trip for each
    /// operation would double its cost. A stale connection shows at its first statement, which is
    /// then run on a fresh one.
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
