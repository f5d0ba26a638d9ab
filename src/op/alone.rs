//! Operations that share their statement with no other, and know themselves how they are run.

use super::{Operation, Output};
use crate::pool::{Connection, Fault};
use crate::sql::Tables;
use std::fmt;
use std::sync::Arc;

/// An operation that shares its statement with no other.
pub struct Manage(pub(crate) Box<dyn Alone>);

impl fmt::Debug for Manage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What such an operation does: each of `crate::manage` says so for itself.
pub(crate) trait Alone: fmt::Debug + Send + Sync {
    /// What it is counted as.
    fn name(&self) -> &'static str;

    /// Carries it out. It may be interrupted at any point and carried out once more.
    fn run(&self, connection: &mut Connection, tables: &Arc<Tables>) -> Result<Output, Fault>;

    /// It is answered soon, or not at all.
    fn is_urgent(&self) -> bool {
        false
    }

    /// The session that it is about, if it is about one.
    fn key(&self) -> Option<&str> {
        None
    }
}

impl<T: Alone + 'static> From<T> for Operation {
    fn from(operation: T) -> Self {
        Operation::Manage(Manage(Box::new(operation)))
    }
}
