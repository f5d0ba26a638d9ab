//! What the catalog says of the tables, as far as statements depend on it.

use crate::pool::{Fault, column};
use postgres::Row;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// The sessions are a view or partitioned: a row's place (`ctid`) does not tell it from all others.
    pub(crate) not_one_table: bool,
    /// The sessions have a column `created` that is a point in time.
    pub(crate) has_created: bool,
}

impl TableInfo {
    pub(super) fn read(rows: &[Row]) -> Result<Self, Fault> {
        let row = rows
            .first()
            .ok_or_else(|| Fault::undecodable("the catalog answered no row"))?;
        Ok(TableInfo {
            leaves_metadata: column(row, 0)?,
            distributed: column(row, 1)?,
            not_one_table: column(row, 2)?,
            has_created: column(row, 3)?,
        })
    }
}

/// The answer that was last read, for [`USED_FOR`]: its bits, and above them the millisecond until
/// which it is used. 0 is none. An atomic, because a lock might be held when the host forks.
#[derive(Debug, Default)]
pub(super) struct Known(AtomicU64);

const BITS: u32 = 4;

fn millis() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_millis() as u64
}

impl Known {
    pub(super) fn get(&self) -> Option<TableInfo> {
        let known = self.0.load(Ordering::Relaxed);
        let bit = |n: u32| known >> n & 1 == 1;
        (known >> BITS > millis()).then(|| TableInfo {
            leaves_metadata: bit(0),
            distributed: bit(1),
            not_one_table: bit(2),
            has_created: bit(3),
        })
    }

    pub(super) fn set(&self, info: TableInfo) {
        let TableInfo {
            leaves_metadata,
            distributed,
            not_one_table,
            has_created,
        } = info;
        let bits = [leaves_metadata, distributed, not_one_table, has_created];
        let bits = bits
            .iter()
            .rev()
            .fold(0, |all, &bit| all << 1 | u64::from(bit));
        let until = millis() + USED_FOR.as_millis() as u64;
        self.0.store(until << BITS | bits, Ordering::Relaxed);
    }

    pub(super) fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_used_until_it_is_forgotten() {
        let known = Known::default();
        assert_eq!(known.get(), None);
        for n in 0..16 {
            let info = TableInfo {
                leaves_metadata: n & 1 > 0,
                distributed: n & 2 > 0,
                not_one_table: n & 4 > 0,
                has_created: n & 8 > 0,
            };
            known.set(info);
            assert_eq!(known.get(), Some(info));
        }
        known.forget();
        assert_eq!(known.get(), None);
    }
}
