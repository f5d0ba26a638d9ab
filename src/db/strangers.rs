//! Roles that hold an advisory lock of these tables and have no right to them. Any role that may connect
//! to the database can take any advisory lock; saves and clean-ups then wait for it.

use super::{Db, Fault, Fixed, types};
use crate::host::log::{Level, Limited};

/// Who holds one of the tables' locks and may not delete from the table $1.
const STRANGERS: Fixed = Fixed::reads(
    "SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.usesysid)), a.pid \
     FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid \
     WHERE l.locktype = 'advisory' AND l.granted AND l.mode = 'ExclusiveLock' \
     AND l.database = a.datid AND a.datname = pg_catalog.current_database() \
     AND l.classid = ({locks})::oid AND l.objsubid = 2 AND l.objid::bigint <= 17 \
     AND NOT pg_catalog.has_table_privilege(a.usesysid, pg_catalog.to_regclass($1), 'DELETE') LIMIT 1",
    &[types::TEXT],
);

impl Db<'_> {
    /// Logs, once in a while, who it is that holds `what` up.
    pub(crate) fn report_strangers(&mut self, what: &str) -> Result<(), Fault> {
        static REPORTS: Limited = Limited::new();
        let [sessions, _] = self.tables().names();
        let strangers: Vec<(String, i32)> = self.rows(&STRANGERS, &[&sessions])?;
        if let Some((role, pid)) = strangers.first() {
            REPORTS.log(Level::Warn, || {
                format!(
                    "{what} of {sessions} wait for an advisory lock that the role {role} holds, which has no \
                     right to the table: SELECT pg_terminate_backend({pid})"
                )
            });
        }
        Ok(())
    }
}
