//! A save under a limit of sessions: one transaction, during which no other such save of the same subject
//! takes place.

use super::super::delete::delete;
use super::Set;
use crate::Error;
use crate::config::SessionLimit;
use crate::db::types::{INT, TEXT, TEXTS};
use crate::db::{Db, Effect, Fault, Fixed, ParamType, texts};
use crate::op::Epoch;
use postgres::types::ToSql;

/// Waits until no other save with a limit is under way for a pair of $1 and $2, in the order of the
/// locks' numbers.
const LOCK: Fixed = Fixed::reads(
    "SELECT pg_advisory_xact_lock(lock) FROM ( \
       SELECT DISTINCT hashtextextended(aud, hashtextextended(sub, {locks})) AS lock \
       FROM unnest($1, $2) AS pair (aud, sub) ORDER BY lock) AS sorted",
    &[TEXTS, TEXTS],
);

const TYPES: &[ParamType] = &[TEXTS, TEXTS, TEXTS, INT, TEXT, INT];

/// The sessions under the name $5 of each of the pairs of $1 and $2 but for those of the keys $3, with
/// each its place, that which expires last first. Those that expire within $6 seconds do not count: a
/// session that was replaced is one of them.
macro_rules! ranked {
    () => {
        "ranked AS MATERIALIZED ( \
           SELECT s.sid, m.aud, m.sub, row_number() OVER ( \
             PARTITION BY m.aud, m.sub ORDER BY s.exp DESC, s.sid) AS place \
           FROM (SELECT DISTINCT aud, sub FROM unnest($1, $2) AS p (aud, sub)) AS pair \
           JOIN {metadata} AS m ON m.aud = pair.aud AND m.sub = pair.sub \
           JOIN {sessions} AS s ON s.sid = m.sid \
           WHERE s.exp > now() + $6 * interval '1 second' AND s.sid <> ALL ($3) AND s.name = $5)"
    };
}

/// Whether any pair has as many sessions as $4, and none of the keys $3 is among them.
const REACHED: Fixed = Fixed {
    with: ranked!(),
    body: "SELECT EXISTS (SELECT FROM ranked AS r WHERE place >= $4 AND NOT EXISTS ( \
             SELECT FROM {metadata} AS m JOIN {sessions} AS s ON s.sid = m.sid \
             WHERE m.aud = r.aud AND m.sub = r.sub AND s.sid = ANY ($3) \
             AND s.exp >= date_trunc('second', now())))",
    types: TYPES,
    effect: Effect::Reads,
};

/// The sessions from the place $4 on.
const BEYOND: Fixed = Fixed {
    with: ranked!(),
    body: "SELECT sid FROM ranked WHERE place >= $4",
    types: TYPES,
    effect: Effect::Reads,
};

/// Saves a session with metadata.
pub(super) fn save(set: &Set, limit: SessionLimit, db: &mut Db<'_>) -> Result<(), Fault> {
    let pairs = set.metadata.iter();
    let audiences: Vec<&str> = pairs.clone().map(|(audience, _)| &**audience).collect();
    let subjects: Vec<&str> = pairs.map(|(_, subject)| &**subject).collect();
    // The session that this one replaces expires soon by itself.
    let old = set.old.as_ref().map(|(key, _)| &**key);
    let own: Vec<&str> = [Some(&*set.key), old].into_iter().flatten().collect();
    let most = i64::from(limit.sessions);
    let replaced = replaced_within(set);
    let params: [&(dyn ToSql + Sync); 6] =
        [&audiences, &subjects, &own, &most, &set.name, &replaced];
    db.transaction(|db| {
        db.query(&LOCK, &[&audiences, &subjects])?;
        if limit.refuses && matches!(db.row(&REACHED, &params)?, (true,)) {
            let limit = limit.sessions;
            return Err(Fault::answer(Error::TooManySessions { limit }));
        }
        super::save(&[set], db)?;
        if !limit.refuses {
            let beyond = db.query(&BEYOND, &params)?;
            delete(texts(&beyond)?, db)?;
        }
        Ok(())
    })
}

/// For how many seconds from now a session that was replaced may be alive: as long as that which this
/// save replaces, and at least lua-resty-session's default `stale_ttl`.
fn replaced_within(set: &Set) -> i64 {
    const STALE_TTL: i64 = 10;
    let now = Epoch::now().seconds();
    let own = match &set.old {
        Some((_, Some(at))) => at.seconds() - now,
        _ => 0,
    };
    // Sessions that live no longer than this one are counted all the same.
    let life = set.expires.seconds() - now;
    own.max(STALE_TTL).min((life - 1).max(0))
}
