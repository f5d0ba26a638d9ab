//! Marks of ended sessions. While an ended session is remembered, its row stays as a mark, so that a save
//! of a request that had read the session before is refused. A mark has no data and no metadata, and an
//! expiry so long ago that no session has it: a century before the moment of ending, or two centuries
//! where it was revoked. So every statement that reads live sessions, also another program's, sees an
//! expired session.

use std::time::Duration;

/// How a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Its key may be used again.
    Deleted,
    /// Revoked, or ended by the limit of sessions: its key may not be used again while it is remembered.
    Revoked,
}

/// In hours: how long a year is for PostgreSQL depends on the calendar.
const CENTURY: u64 = 876_600;

/// In hours. A mark may be newer than the statement that meets it: that one may have waited for it.
const SLACK: u64 = 24;

impl End {
    fn age(self) -> u64 {
        match self {
            End::Deleted => CENTURY,
            End::Revoked => 2 * CENTURY,
        }
    }

    /// The expiry of a mark that a statement makes. Citus takes no volatile function here.
    pub(super) fn mark(self) -> String {
        format!("pg_catalog.statement_timestamp() - interval '{} hours'", self.age())
    }

    /// What marks have that are `ttl` old at most: the earliest expiry, and one that is later than all.
    pub(super) fn range(self, ttl: Duration) -> (String, String) {
        let (age, seconds) = (self.age(), ttl.as_secs_f64());
        (
            format!("pg_catalog.now() - interval '{age} hours {seconds} seconds'"),
            format!("pg_catalog.now() - interval '{} hours'", age - SLACK),
        )
    }

    /// The same, in seconds before now: the least and the most.
    pub(super) fn seconds(self, ttl: Duration) -> [i64; 2] {
        let hours = |hours| (hours * 3600) as i64;
        [hours(self.age() - SLACK), hours(self.age()) + ttl.as_secs_f64().ceil() as i64]
    }
}
