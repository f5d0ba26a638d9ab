//! A save under a limit of sessions.

use super::Set;
use super::save::save_in_transaction;
use crate::Error;
use crate::config::SessionLimit;
use crate::db::types::{INT, TEXT, TEXTS};
use crate::db::{Db, Effect, End, Fault, Fixed, texts};
use crate::op::Epoch;
use crate::ops::end::{Metadata, end};
use postgres::types::{Oid, ToSql};

/// Waits until no other save with a limit is under way for a pair of $1 and $2, in the order of the
/// locks' numbers.
const LOCK: Fixed = Fixed::reads(
    "SELECT pg_catalog.pg_advisory_xact_lock(lock) FROM ( \
       SELECT DISTINCT pg_catalog.hashtextextended(aud, pg_catalog.hashtextextended(sub, {locks})) AS lock \
       FROM unnest($1, $2) AS pair (aud, sub) ORDER BY lock) AS sorted",
    &[TEXTS, TEXTS],
);

const TYPES: &[Oid] = &[TEXTS, TEXTS, TEXTS, INT, TEXT, INT];

/// The sessions under the name $5 of each of the pairs of $1 and $2 but for those of the keys $3, with
/// each its place, that which expires last first. Those that expire within $6 seconds do not count: a
/// session that was replaced is one of them.
macro_rules! ranked {
    () => {
        "ranked AS MATERIALIZED ( \
           SELECT s.sid, m.aud, m.sub, pg_catalog.row_number() OVER ( \
             PARTITION BY m.aud, m.sub ORDER BY s.exp DESC, s.sid) AS place \
           FROM (SELECT DISTINCT aud, sub FROM unnest($1, $2) AS p (aud, sub)) AS pair \
           JOIN {metadata} AS m ON m.aud::text = pair.aud AND m.sub::text = pair.sub \
           JOIN {sessions} AS s ON s.sid::text = m.sid::text \
           WHERE s.exp > pg_catalog.now() + $6::float8 * interval '1 second' \
             AND s.sid::text <> ALL ($3) AND s.name::text = $5)"
    };
}

/// For each of the pairs of $1 and $2: how many of its live sessions count, under the name $4 and not of the
/// keys $3; whether one of these keys is alive; and whether it counts. One that expires within $5 seconds
/// does not.
const TAKEN: Fixed = Fixed::reads(
    "SELECT pg_catalog.count(*) FILTER (WHERE s.sid::text <> ALL ($3) AND s.name::text = $4 \
         AND s.exp > pg_catalog.now() + $5::float8 * interval '1 second'), \
       coalesce(pg_catalog.bool_or(s.sid::text = ANY ($3)), false), \
       coalesce(pg_catalog.bool_or(s.sid::text = ANY ($3) \
         AND s.exp > pg_catalog.now() + $5::float8 * interval '1 second'), false) \
     FROM (SELECT DISTINCT aud, sub FROM unnest($1, $2) AS p (aud, sub)) AS pair \
     JOIN {metadata} AS m ON m.aud::text = pair.aud AND m.sub::text = pair.sub \
     JOIN {sessions} AS s ON s.sid::text = m.sid::text \
     WHERE s.exp >= pg_catalog.date_trunc('second', pg_catalog.now()) GROUP BY m.aud, m.sub",
    &[TEXTS, TEXTS, TEXTS, TEXT, INT],
);

/// Whether a save is beyond the limit: `taken` sessions count beside those that the save names, of which
/// one may be alive, and may be replaced already.
///
/// Parallel requests of a browser name the same session. The first one replaces it, so the number stays
/// as it is. For those after it one place more is enough: a cookie that many people use has no more.
fn is_beyond(limit: u32, taken: i64, is_alive: bool, counts: bool) -> bool {
    let limit = i64::from(limit);
    match (counts, is_alive) {
        (true, _) => false,
        (false, true) => taken > limit,
        (false, false) => taken >= limit,
    }
}

/// The sessions from the place $4 on.
const BEYOND: Fixed = Fixed {
    with: ranked!(),
    body: "SELECT sid FROM ranked WHERE place >= $4",
    types: TYPES,
    effect: Effect::Reads,
};

/// Saves a session with metadata under a limit: one transaction, during which no other such save of the
/// same subject takes place.
pub(super) fn save_limited(set: &Set, limit: SessionLimit, db: &mut Db<'_>) -> Result<(), Fault> {
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
        if limit.refuses {
            let params: [&(dyn ToSql + Sync); 5] =
                [&audiences, &subjects, &own, &set.name, &replaced];
            let taken: Vec<(i64, bool, bool)> = db.rows(&TAKEN, &params)?;
            let limit = limit.sessions;
            if taken
                .into_iter()
                .any(|(taken, alive, counts)| is_beyond(limit, taken, alive, counts))
            {
                return Err(Fault::answer(Error::TooManySessions { limit }));
            }
        }
        save_in_transaction(set, db)?;
        if !limit.refuses {
            let beyond = db.query(&BEYOND, &params)?;
            end(texts(&beyond)?, End::Revoked, Metadata::Deleted, db)?;
        }
        Ok(())
    })
}

/// For how many seconds from now a session that was replaced may be alive: as long as that which this
/// save replaces, and at least lua-resty-session's default `stale_ttl`.
fn replaced_within(set: &Set) -> i64 {
    const STALE_TTL: i64 = 10;
    // The caller that replaced it may have a clock that is ahead.
    const CLOCKS: i64 = 2;
    let now = Epoch::now().seconds();
    let own = match &set.old {
        Some((_, Some(at))) => at.seconds() - now,
        _ => 0,
    };
    // Sessions that live no longer than this one are counted all the same.
    let life = set.expires.seconds() - now;
    (own.max(STALE_TTL) + CLOCKS).min((life - 1).max(0))
}
