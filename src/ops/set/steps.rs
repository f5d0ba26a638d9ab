//! Saves on distributed tables, by several statements of one transaction. Citus locks rows of one server
//! in a statement, and takes no clock in the condition of an upsert; statements of `VALUES` and of keys
//! are faster there than one with common table expressions.

use super::Set;
use super::save::{Parts, rows};
use super::upsert::Upsert;
use crate::db::types::{TEXT, TEXTS, TIMES};
use crate::db::{Db, Effect, End, Fault, Fixed, column};
use crate::op::Epoch;
use postgres::types::ToSql;
use std::collections::HashSet;

/// Waits until no revocation of the audiences $1 is under way, and answers the time.
const FENCE: Fixed = Fixed::reads(
    "SELECT pg_catalog.statement_timestamp(), pg_catalog.count( \
       pg_catalog.pg_advisory_xact_lock_shared({locks}, pg_catalog.hashtext(aud) & 15) IS NOT NULL) \
     FROM pg_catalog.unnest($1) AS aud",
    &[TEXTS],
);

const LOCK: Fixed =
    Fixed::answers("SELECT exp FROM {sessions} WHERE sid = $1 FOR NO KEY UPDATE", &[TEXT]);

/// The servers find the rows by the keys: a join alone would be asked of all of them.
const EXPIRE: Fixed = Fixed {
    effect: Effect::Writes,
    ..Fixed::reads(
        "UPDATE {sessions} AS s SET exp = old.exp FROM unnest($1, $2) AS old (sid, exp) \
         WHERE s.sid::text = old.sid AND s.exp > old.exp AND s.sid = ANY ($1)",
        &[TEXTS, TIMES],
    )
};

const DELETE: Fixed = Fixed {
    effect: Effect::Writes,
    ..Fixed::reads("DELETE FROM {sessions} WHERE sid = ANY ($1)", &[TEXTS])
};

const DELETE_METADATA: Fixed =
    Fixed { body: "DELETE FROM {metadata} WHERE sid = ANY ($1)", ..DELETE };

const DESCRIBE: Fixed = Fixed {
    effect: Effect::Writes,
    ..Fixed::reads(
        "INSERT INTO {metadata} (aud, sub, sid) \
         SELECT m.* FROM unnest($1, $2, $3) AS m (aud, sub, sid) ON CONFLICT DO NOTHING",
        &[TEXTS, TEXTS, TEXTS],
    )
};

/// Saves those that may be saved, in the order given. Returns their keys.
pub(super) fn save_in_steps<'a>(
    sets: &[&'a Set],
    db: &mut Db<'_>,
) -> Result<HashSet<&'a str>, Fault> {
    let parts = Parts::of(sets);
    let (now, _): (Epoch, i64) = db.row(&FENCE, &[&parts.audiences])?;
    let marks = [End::Deleted, End::Revoked].map(|end| {
        let [least, most] = db.tables().mark_age(end);
        now.plus(-most)..=now.plus(-least)
    });
    let mut replaced: Vec<(&str, &str)> = parts.old.into_iter().zip(parts.new).collect();
    replaced.sort_unstable();
    let mut refused = HashSet::new();
    for (old, new) in replaced {
        let row = db.query(&LOCK, &[&old])?.pop();
        let exp: Option<Epoch> = row.map_or(Ok(None), |row| column(&row, 0))?;
        if db.tables().remember_ended()
            && exp.is_some_and(|exp| marks.iter().any(|range| range.contains(&exp)))
        {
            refused.insert(new);
        }
    }
    let mut sets: Vec<&Set> =
        sets.iter().copied().filter(|set| !refused.contains(&*set.key)).collect();
    if sets.is_empty() {
        return Ok(HashSet::new());
    }
    let upsert = Upsert { rows: sets.len(), distributed: true, ..Upsert::default() };
    let mut params = rows(&sets);
    let [_, revoked] = &marks;
    if db.tables().remember_ended() {
        params.extend([revoked.start() as &(dyn ToSql + Sync), revoked.end()]);
    }
    let saved = db.query(&upsert, &params)?;
    let saved: HashSet<String> =
        saved.iter().map(|row| column(row, 0)).collect::<Result<_, _>>()?;
    sets.retain(|set| saved.contains(&*set.key));

    let parts = Parts::of(&sets);
    if parts.at.iter().any(Option::is_some) {
        db.execute(&EXPIRE, &[&parts.old, &parts.at])?;
    }
    if !parts.delete.is_empty() {
        if db.table_info()?.leaves_metadata {
            db.execute(&DELETE_METADATA, &[&parts.delete])?;
        }
        db.execute(&DELETE, &[&parts.delete])?;
    }
    if !parts.keys.is_empty() {
        db.execute(&DESCRIBE, &[&parts.audiences, &parts.subjects, &parts.keys])?;
    }
    Ok(sets.iter().map(|set| &*set.key).collect())
}
