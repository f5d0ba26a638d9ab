//! What the catalog says of the tables, as far as statements depend on it.

use crate::pool::{Fault, column};
use postgres::Row;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// For how long the catalog's answer is used. An owner may change the tables at any time; metadata
/// that is left behind meanwhile is never listed.
const USED_FOR: Duration = Duration::from_secs(5);

/// What the catalog says of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableInfo {
    /// Deleting a session leaves its metadata behind: there is a metadata table, and not all of its
    /// foreign keys to the sessions delete with them.
    pub(crate) leaves_metadata: bool,
    /// This is Citus, so the tables may be distributed over several servers.
    pub(crate) distributed: bool,
    /// The sessions are one table, neither a view nor partitioned nor distributed.
    pub(crate) is_plain: bool,
    /// The sessions have a column `created` that is a point in time.
    pub(crate) has_created: bool,
}

impl TableInfo {
    pub(super) fn read(row: &Row) -> Result<Self, Fault> {
        let distributed = column(row, 1)?;
        Ok(TableInfo {
            leaves_metadata: column(row, 0)?,
            distributed,
            is_plain: column::<bool>(row, 2)? && !distributed,
            has_created: column(row, 3)?,
        })
    }
}

/// The answer that was last read, and until when it is used. A lock that another thread holds is not
/// waited for: a child of a fork would wait for a thread that it does not have.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Option<(TableInfo, Instant)>>);

impl Known {
    pub(super) fn get(&self) -> Option<TableInfo> {
        let known = *self.0.try_lock().ok()?;
        known
            .filter(|(_, until)| Instant::now() < *until)
            .map(|(info, _)| info)
    }

    pub(super) fn set(&self, info: Option<TableInfo>) {
        if let Ok(mut known) = self.0.try_lock() {
            *known = info.map(|info| (info, Instant::now() + USED_FOR));
        }
    }
}
