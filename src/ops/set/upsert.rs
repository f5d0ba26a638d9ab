//! The statement that saves sessions: a multi-row upsert and, in common table expressions, what else
//! belongs to the saves.

use crate::db::types::{TEXT, TEXTS, TIME, TIMES};
use crate::db::{Effect, Sql, Statement, Tables};
use postgres::types::Oid;
use std::fmt::Write as _;

/// A statement that saves sessions. Parameters: for each row key, name, data and expiry; then, where
/// they are asked for, the arrays of the other parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Upsert {
    /// How many sessions.
    pub(super) rows: usize,
    /// Lowers the expiry of replaced sessions: an array of keys and one of expiries.
    pub(super) expire: bool,
    /// Deletes replaced sessions: an array of keys.
    pub(super) delete: bool,
    /// Also deletes the metadata of those, which the tables do not do by themselves.
    pub(super) delete_metadata: bool,
    /// Stores metadata: arrays of audiences, subjects and keys.
    pub(super) metadata: bool,
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
    fn rows(&self, tables: &Tables) -> String {
        let sessions = tables.sessions();
        let mut text = format!("INSERT INTO {sessions} (sid, name, data, exp) VALUES ");
        for row in 0..self.rows {
            let comma = if row == 0 { "" } else { ", " };
            let [key, name, data, expires] = [1, 2, 3, 4].map(|column| row * 4 + column);
            let written = write!(text, "{comma}(${key}, ${name}, ${data}, ${expires})");
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        text + " ON CONFLICT (sid) DO UPDATE \
                SET name = EXCLUDED.name, data = EXCLUDED.data, exp = EXCLUDED.exp"
    }

    /// The other statements that belong to the saves, and the types of their parameters.
    fn parts(&self, tables: &Tables) -> (Vec<String>, Vec<Oid>) {
        let (sessions, metadata) = (tables.sessions(), tables.metadata());
        let mut types = Vec::new();
        let mut next = |kind| {
            types.push(kind);
            self.rows * ROW.len() + types.len()
        };
        let mut parts = Vec::new();
        if self.expire {
            let (keys, expiries) = (next(TEXTS), next(TIMES));
            parts.push(format!(
                "UPDATE {sessions} AS s SET exp = old.exp \
                 FROM unnest(${keys}, ${expiries}) AS old (sid, exp) \
                 WHERE s.sid::text = old.sid AND s.exp > old.exp"
            ));
        }
        if self.delete {
            let keys = next(TEXTS);
            if self.delete_metadata {
                parts.push(format!("DELETE FROM {metadata} WHERE sid::text = ANY (${keys})"));
            }
            parts.push(format!("DELETE FROM {sessions} WHERE sid::text = ANY (${keys})"));
        }
        if self.metadata {
            let [audiences, subjects, keys] = [(); 3].map(|()| next(TEXTS));
            // The lock lets a revocation of the audience (see `revoke`) take place before or after this,
            // not beside it.
            parts.push(format!(
                "INSERT INTO {metadata} (aud, sub, sid) \
                 SELECT m.* FROM unnest(${audiences}, ${subjects}, ${keys}) AS m (aud, sub, sid) \
                 WHERE pg_catalog.pg_advisory_xact_lock_shared({}, pg_catalog.hashtext(m.aud) & 15) IS NOT NULL \
                 ON CONFLICT DO NOTHING",
                tables.locks()
            ));
        }
        (parts, types)
    }
}

impl Statement for Upsert {
    fn id(&self) -> (usize, usize) {
        let parts = [self.expire, self.delete, self.delete_metadata, self.metadata];
        let parts = parts.iter().fold(0, |all, &part| all << 1 | usize::from(part));
        (ROW.as_ptr() as usize, self.rows << 4 | parts)
    }

    fn sql(&self, tables: &Tables) -> Sql {
        let upsert = self.rows(tables);
        let (mut parts, more_types) = self.parts(tables);
        let mut types = ROW.repeat(self.rows);
        types.extend(more_types);
        // The last part is the statement proper, the others are its common table expressions: all see
        // the tables as they were before, and foreign keys are checked when all have run.
        let last = parts.pop();
        let mut with = String::new();
        let body = match last {
            None => upsert,
            Some(last) => {
                with = format!("stored AS ({upsert})");
                for (n, part) in parts.iter().enumerate() {
                    with += &format!(", part_{n} AS ({part})");
                }
                last
            }
        };
        Sql { with, body, types, effect: Effect::Writes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    const PLAIN: Upsert =
        Upsert { rows: 2, expire: false, delete: false, delete_metadata: false, metadata: false };

    fn sql(upsert: Upsert) -> Sql {
        let config = Config::default();
        upsert.sql(&Tables::new(config.sessions, config.metadata, None))
    }

    #[test]
    fn a_plain_save_is_a_bare_upsert() {
        let sql = sql(PLAIN);
        assert_eq!(sql.with, "");
        assert_eq!(
            sql.body,
            "INSERT INTO \"sessions\" (sid, name, data, exp) VALUES \
             ($1, $2, $3, $4), ($5, $6, $7, $8) ON CONFLICT (sid) DO UPDATE \
             SET name = EXCLUDED.name, data = EXCLUDED.data, exp = EXCLUDED.exp"
        );
        assert_eq!(sql.types.len(), 8);
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
        let sql = sql(Upsert {
            expire: true,
            delete: true,
            delete_metadata: true,
            metadata: true,
            ..PLAIN
        });
        assert!(sql.with.starts_with("stored AS (INSERT INTO \"sessions\""));
        assert!(sql.with.contains("unnest($9, $10)"));
        assert_eq!(sql.with.matches("($11)").count(), 2);
        assert!(sql.body.starts_with("INSERT INTO \"sessions_meta\" (aud, sub, sid)"));
        assert!(sql.body.contains("unnest($12, $13, $14)"));
        assert_eq!(sql.types.len(), 14);
        assert_eq!(sql.types[9], TIMES);
    }

    #[test]
    fn every_variant_has_an_id_of_its_own() {
        let mut ids = std::collections::BTreeSet::new();
        for (rows, parts) in [1, 2, 128].iter().flat_map(|rows| (0..16).map(move |n| (*rows, n))) {
            let part = |n: usize| parts >> n & 1 == 1;
            let (expire, delete) = (part(0), part(1));
            let (delete_metadata, metadata) = (part(2), part(3));
            ids.insert(Upsert { rows, expire, delete, delete_metadata, metadata }.id());
        }
        assert_eq!(ids.len(), 48);
    }
}
