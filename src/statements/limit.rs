//! A save under a limit of sessions: one transaction, in which no other such save of the same subject
//! takes place.

use crate::config::{Beyond, SessionLimit};
use crate::op::Set;
use crate::pool::{Connection, Fault, column};
use crate::sql::{Shape, Tables, manage as sql};
use std::sync::Arc;

pub(super) fn set(
    connection: &mut Connection,
    tables: &Arc<Tables>,
    set: &Set,
    limit: SessionLimit,
) -> Result<(), Fault> {
    let pairs = set.metadata.iter();
    let audiences: Vec<&str> = pairs.clone().map(|(audience, _)| &**audience).collect();
    let subjects: Vec<&str> = pairs.map(|(_, subject)| &**subject).collect();
    // The session that this one replaces ends soon by itconnection.
    let old = set.old.as_ref().map(|old| old.key());
    let own: Vec<&str> = [Some(&*set.key), old].into_iter().flatten().collect();
    let most = i64::from(limit.sessions);
    let unlinked = connection.leaves_metadata(tables)?;
    connection.transaction(|connection| {
        let lock = Shape::Other(sql::LIMIT_LOCK);
        connection.query(tables, lock, &[&audiences, &subjects])?;
        // One that replaces another is no more than there were.
        if limit.beyond == Beyond::Refuse && old.is_none() {
            let reached = Shape::Other(sql::LIMIT_REACHED);
            let rows = connection.query(tables, reached, &[&audiences, &subjects, &own, &most])?;
            if rows.first().map_or(Ok(false), |row| column(row, 0))? {
                return Err(Fault::TooMany(limit.sessions));
            }
        }
        super::set(connection, tables, &mut [set])?;
        if limit.beyond == Beyond::EndOldest {
            let end = Shape::Other(match unlinked {
                false => sql::LIMIT,
                true => sql::LIMIT_UNLINKED,
            });
            connection.query(tables, end, &[&audiences, &subjects, &own, &most])?;
        }
        Ok(())
    })
}
