//! The statement that saves sessions: a multi-row upsert and, in common table expressions, what else
//! belongs to the saves.
//!
//! It decides by the versions of rows that it has locked, not by its snapshot: `UPDATE`, `FOR NO KEY UPDATE`
//! and `ON CONFLICT` wait for other transactions and look at the newest version. So another transaction
//! that ends a session has either committed before, and the save is refused, or waits until the save has
//! committed.
//!
//! Locks: those of audiences, then the rows of replaced sessions in the order of their keys (a small table
//! that PostgreSQL reads as a whole: of their places), then those of the saved sessions in the order of
//! theirs. Statements of which each saves what the other one replaces may wait for each other; the first to
//! have waited for `lock_timeout` is tried again.

use crate::db::types::{TEXT, TEXTS, TIME, TIMES};
use crate::db::{Effect, End, Sql, Statement, Tables};
use postgres::types::Oid;
use std::fmt::Write as _;

/// A statement that saves sessions. Parameters: for each row key, name, data and expiry; then, where
/// they are asked for, the arrays of the other parts. Where ended sessions are remembered, or there are
/// other parts, it answers the keys of the sessions that it has saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Upsert {
    /// How many sessions.
    pub(super) rows: usize,
    /// Some replace others. Arrays: for each that is replaced its key, the key of the session that replaces
    /// it, and its latest expiry; null leaves that as it is.
    pub(super) replaces: bool,
    /// Locks some of the replaced ones, whose update may not be there or may not tell what has become of
    /// them: an array of keys.
    pub(super) locks: bool,
    /// Deletes some of the replaced ones: an array of keys.
    pub(super) delete: bool,
    /// Also deletes the metadata of those, which the tables do not do by themselves.
    pub(super) delete_metadata: bool,
    /// Stores metadata: arrays of audiences, subjects and keys.
    pub(super) metadata: bool,
    /// Is for distributed tables, where the clock is a parameter: the range of marks of revoked sessions.
    pub(super) distributed: bool,
}

/// The largest number of rows, at most `count`, for which an upsert is prepared: each up to 32, each
/// fourth up to 64, then each eighth. A batch in between leaves the rest for the next one, which costs those
/// saves a second flush. With steps
/// of a third, saves were measured a tenth to a sixth slower than with every number prepared; these
/// steps lie between the two, with a third of the statements, and were not measured by themselves.
pub(super) fn prepared_size(count: usize) -> usize {
    match count {
        0..=32 => count,
        33..=64 => count - count % 4,
        _ => count - count % 8,
    }
}

/// The columns of a row.
const ROW: [Oid; 4] = [TEXT, TEXT, TEXT, TIME];

impl Upsert {
    /// One row for each session. Multi-row VALUES rather than unnest of arrays: measured 1,450 against
    /// 970 statements of 32 rows a second on one PostgreSQL, and 171 against 6 on a Citus cluster.
    fn values(&self) -> String {
        let mut text = "VALUES ".to_owned();
        for row in 0..self.rows {
            let comma = if row == 0 { "" } else { ", " };
            let [key, name, data, expires] = [1, 2, 3, 4].map(|column| row * 4 + column);
            let written = write!(text, "{comma}(${key}, ${name}, ${data}, ${expires})");
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        text
    }
}

impl Statement for Upsert {
    fn id(&self) -> (usize, usize) {
        let parts = [
            self.replaces,
            self.locks,
            self.delete,
            self.delete_metadata,
            self.metadata,
            self.distributed,
        ];
        let parts = parts.iter().fold(0, |all, &part| all << 1 | usize::from(part));
        (ROW.as_ptr() as usize, self.rows << 6 | parts)
    }

    fn sql(&self, tables: &Tables) -> Sql {
        let (sessions, metadata) = (tables.sessions(), tables.metadata());
        let remember = tables.remember_ended();
        let mut types = ROW.repeat(self.rows);
        let mut next = |kind| {
            types.push(kind);
            types.len()
        };
        // What is done before the upsert, with its conditions, which have it done; and after it.
        let (mut before, mut conditions, mut after) = (Vec::new(), Vec::new(), Vec::new());

        if self.metadata {
            let [audiences, subjects, keys] = [(); 3].map(|()| next(TEXTS));
            // A revocation of the audience (see `revoke`) takes place before or after the save, not
            // beside it. It waits for rows, so this lock comes before any row's.
            before.push(format!(
                "fence AS MATERIALIZED (SELECT pg_catalog.pg_advisory_xact_lock_shared( \
                   {}, pg_catalog.hashtext(aud) & 15) IS NOT NULL AS passed \
                 FROM pg_catalog.unnest(${audiences}) AS aud)",
                tables.locks()
            ));
            conditions.push("(SELECT pg_catalog.count(passed) FROM fence) IS NOT NULL".to_owned());
            // Once this transaction holds the session's row, no other one deletes its metadata.
            after.push(format!(
                "described AS (INSERT INTO {metadata} (aud, sub, sid) SELECT m.* \
                 FROM unnest(${audiences}, ${subjects}, ${keys}) AS m (aud, sub, sid) \
                 JOIN stored ON stored.sid::text = m.sid ON CONFLICT DO NOTHING)"
            ));
        }
        if self.replaces {
            let [old, new] = [(); 2].map(|()| next(TEXTS));
            let at = next(TIMES);
            before.push(format!(
                "replaced AS MATERIALIZED (SELECT * FROM unnest(${old}, ${new}, ${at}) AS r (sid, by, exp))"
            ));
            let mut expire = conditions.clone();
            let mut seen = "SELECT by, exp FROM expired".to_owned();
            if self.locks {
                let keys = next(TEXTS);
                let mut lock = conditions.clone();
                lock.push(format!("sid::text = ANY (${keys})"));
                before.push(format!(
                    "locked AS MATERIALIZED (SELECT sid, exp FROM {sessions} WHERE {} \
                     ORDER BY sid::text COLLATE pg_catalog.\"C\" FOR NO KEY UPDATE)",
                    lock.join(" AND ")
                ));
                expire.push("(SELECT pg_catalog.count(*) FROM locked) IS NOT NULL".to_owned());
                seen += " UNION ALL SELECT replaced.by, locked.exp \
                         FROM replaced JOIN locked ON locked.sid::text = replaced.sid";
            }
            if remember {
                let ended = [End::Deleted, End::Revoked].map(|end| tables.is_mark(end, "exp"));
                conditions.push(format!(
                    "saved.sid <> ALL (ARRAY(SELECT by FROM ({seen}) AS seen WHERE {}))",
                    ended.join(" OR ")
                ));
            }
            expire.push("s.sid::text = replaced.sid AND replaced.exp IS NOT NULL".to_owned());
            // Also where nothing changes: the new version of a row is what locks it. Also where the save is
            // refused since its own session was revoked, which was this one's successor: to look at that
            // first was measured to cost a twentieth of the rate.
            before.push(format!(
                "expired AS (UPDATE {sessions} AS s \
                 SET exp = CASE WHEN s.exp > replaced.exp THEN replaced.exp ELSE s.exp END \
                 FROM replaced WHERE {} RETURNING replaced.by, s.exp)",
                expire.join(" AND ")
            ));
        }
        if self.delete {
            let keys = next(TEXTS);
            let condition = format!(
                "sid::text = ANY (${keys}) AND sid::text IN ( \
                 SELECT replaced.sid FROM replaced JOIN stored ON stored.sid::text = replaced.by)"
            );
            if self.delete_metadata {
                after.push(format!("undescribed AS (DELETE FROM {metadata} WHERE {condition})"));
            }
            after.push(format!("deleted AS (DELETE FROM {sessions} WHERE {condition})"));
        }

        let rows = match conditions.is_empty() {
            true => self.values(),
            false => format!(
                "SELECT * FROM ({}) AS saved (sid, name, data, exp) WHERE {}",
                self.values(),
                conditions.join(" AND ")
            ),
        };
        let refuse = match remember {
            true if self.distributed => {
                let [from, to] = [(); 2].map(|()| next(TIME));
                format!(" WHERE (s.exp BETWEEN ${from} AND ${to}) IS NOT TRUE")
            }
            true => format!(" WHERE ({}) IS NOT TRUE", tables.is_mark(End::Revoked, "s.exp")),
            false => String::new(),
        };
        let upsert = format!(
            "INSERT INTO {sessions} AS s (sid, name, data, exp) {rows} ON CONFLICT (sid) DO UPDATE \
             SET name = EXCLUDED.name, data = EXCLUDED.data, exp = EXCLUDED.exp{refuse}"
        );
        let answers = remember || self.distributed || !after.is_empty();
        let effect = if answers { Effect::WritesAndAnswers } else { Effect::Writes };
        let returning = if answers { " RETURNING sid" } else { "" };
        let body = match after.is_empty() {
            true => upsert + returning,
            // This reads all of what is stored; the expressions after it run when that has ended.
            false => {
                before.push(format!("stored AS ({upsert}{returning})"));
                before.append(&mut after);
                "SELECT sid FROM stored".to_owned()
            }
        };
        let with = before.join(", ");
        Sql { with, body, types, effect }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use std::time::Duration;

    fn plain() -> Upsert {
        Upsert { rows: 2, ..Upsert::default() }
    }

    fn sql(upsert: Upsert, ended_ttl: u64) -> Sql {
        let config = Config::default();
        let ttl = Duration::from_secs(ended_ttl);
        upsert.sql(&Tables::new(config.sessions, config.metadata, None, ttl))
    }

    #[test]
    fn a_plain_save_is_a_bare_upsert() {
        let forgetful = sql(plain(), 0);
        assert_eq!(forgetful.with, "");
        let upsert = "INSERT INTO \"sessions\" AS s (sid, name, data, exp) VALUES \
             ($1, $2, $3, $4), ($5, $6, $7, $8) ON CONFLICT (sid) DO UPDATE \
             SET name = EXCLUDED.name, data = EXCLUDED.data, exp = EXCLUDED.exp";
        assert_eq!(forgetful.body, upsert);
        assert_eq!(forgetful.types.len(), 8);
        let body = sql(plain(), 60).body;
        assert!(body.starts_with(&format!("{upsert} WHERE (s.exp BETWEEN ")), "{body}");
    }

    #[test]
    fn a_batch_leaves_few_of_many_saves_to_the_next_one() {
        for count in 0..=128 {
            let left = count - prepared_size(count);
            let most = match count {
                0..=32 => 0,
                33..=64 => 3,
                _ => 7,
            };
            assert!(left <= most, "{left} of {count}");
        }
        let sizes: std::collections::BTreeSet<_> = (1..=128).map(prepared_size).collect();
        assert!(sizes.len() <= 48, "{} statements", sizes.len());
    }

    #[test]
    fn every_part_numbers_its_parameters_after_the_rows() {
        let sql = sql(
            Upsert {
                replaces: true,
                locks: true,
                delete: true,
                delete_metadata: true,
                metadata: true,
                ..plain()
            },
            60,
        );
        assert!(sql.with.starts_with("fence AS MATERIALIZED (SELECT"));
        assert!(sql.with.contains("unnest($9, $10, $11)"));
        assert!(sql.with.contains("unnest($12, $13, $14)"));
        assert!(sql.with.contains("ANY ($15)"));
        assert_eq!(sql.with.matches("($16)").count(), 2);
        assert_eq!(sql.types.len(), 16);
        assert_eq!(sql.types[13], TIMES);
    }

    #[test]
    fn every_variant_has_an_id_of_its_own() {
        let mut ids = std::collections::BTreeSet::new();
        for (rows, parts) in [1, 2, 128].iter().flat_map(|rows| (0..64).map(move |n| (*rows, n))) {
            let part = |n: usize| parts >> n & 1 == 1;
            let (replaces, delete, distributed) = (part(0), part(1), part(4));
            let (delete_metadata, metadata, locks) = (part(2), part(3), part(5));
            let upsert =
                Upsert { rows, replaces, locks, delete, delete_metadata, metadata, distributed };
            ids.insert(upsert.id());
        }
        assert_eq!(ids.len(), 192);
    }
}
