//! A save under a limit of sessions: one transaction, in which no other such save of the same subject
//! takes place.

use crate::config::{Beyond, SessionLimit};
use crate::op::{Epoch, Old, Set};
use crate::pool::{Connection, Fault, column};
use crate::sql::{Shape, Tables, manage as sql};
use postgres::types::ToSql;
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
    // The session that this one replaces ends soon by itself.
    let old = set.old.as_ref().map(|old| old.key());
    let own: Vec<&str> = [Some(&*set.key), old].into_iter().flatten().collect();
    let most = i64::from(limit.sessions);
    let replaced = replaced_within(set);
    let params: [&(dyn ToSql + Sync); 6] =
        [&audiences, &subjects, &own, &most, &set.name, &replaced];
    let unlinked = connection.leaves_metadata(tables)?;
    connection.transaction(|connection| {
        let lock = Shape::Other(sql::LIMIT_LOCK);
        connection.query(tables, lock, &[&audiences, &subjects])?;
        if limit.beyond == Beyond::Refuse {
            let rows = connection.query(tables, Shape::Other(sql::LIMIT_REACHED), &params)?;
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
            connection.query(tables, end, &params)?;
        }
        Ok(())
    })
}

/// For how many seconds from now a session that was replaced may be alive: as long as that which this
/// save replaces, and at least lua-resty-session's default `stale_ttl`.
fn replaced_within(set: &Set) -> i64 {
    const STALE_TTL: i64 = 10;
    let own = match &set.old {
        Some(Old::Expire { at, .. }) => at.seconds() - Epoch::now().seconds(),
        _ => 0,
    };
    // Those that live no longer than this one does not are counted.
    let life = set.expires.seconds() - Epoch::now().seconds();
    own.max(STALE_TTL).min((life - 1).max(0))
}
