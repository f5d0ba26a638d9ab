//! Roles that hold an advisory lock of these tables and have no rights to them. Any role that may connect
//! to the database can take any advisory lock; saves and clean-ups then wait for it.

use super::{Db, Fixed, types};
use crate::host::log::{Level, Limited};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Who holds one of the tables' locks, or waits for it before others, and may not delete from the table $1.
const STRANGERS: Fixed = Fixed::reads(
    "SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.usesysid)), a.pid \
     FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid \
     WHERE l.locktype = 'advisory' \
     AND l.database = a.datid AND a.datname = pg_catalog.current_database() \
     AND l.classid = ({locks})::oid AND l.objsubid = 2 AND l.objid::bigint <= 17 \
     AND NOT pg_catalog.has_table_privilege(a.usesysid, pg_catalog.to_regclass($1), 'DELETE') \
     ORDER BY l.granted DESC LIMIT 1",
    &[types::TEXT],
);

/// How often the server is asked at most.
const INTERVAL: Duration = Duration::from_secs(1);

impl Db<'_> {
    /// Logs, at a limited rate, which role holds `what` up. If the server does not say, nothing is logged.
    pub(crate) fn report_strangers(&mut self, what: &str) {
        static REPORTS: Limited = Limited::new();
        static ASKED: Mutex<Option<Instant>> = Mutex::new(None);
        // Not waited for: a child of a fork would wait for a thread that it does not have.
        let Ok(mut asked) = ASKED.try_lock() else {
            return;
        };
        if asked.is_some_and(|at| at.elapsed() < INTERVAL) {
            return;
        }
        *asked = Some(Instant::now());
        drop(asked);
        let [sessions, _] = self.tables().names();
        let strangers = self.rows::<(String, i32)>(&STRANGERS, &[&sessions]);
        if let Some((role, pid)) = strangers.unwrap_or_default().pop() {
            REPORTS.log(Level::Warn, || {
                format!(
                    "{what} of {sessions} wait for an advisory lock that the role {role} holds, which has no \
                     right to the table: SELECT pg_terminate_backend({pid})"
                )
            });
        }
    }
}
