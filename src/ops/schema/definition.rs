//! The tables as they should be, and the statements that make them.

use crate::db::Tables;

/// A table as it should be.
pub(super) struct Definition {
    /// The columns and the types that each may have; the first is the right one.
    pub(super) columns: &'static [(&'static str, &'static [&'static str])],
    /// The columns that are unique together, in any order, and the consequence where they are not.
    pub(super) unique: (&'static [&'static str], &'static str),
    /// Of several rows that are alike in these columns, the one with the greatest value here is right;
    /// `None` where all are alike.
    pub(super) latest: Option<&'static str>,
    /// What to look up by, and what is slow without an index on it.
    pub(super) lookup: (&'static str, &'static str),
    pub(super) privileges: &'static [&'static str],
}

const TEXT: &[&str] = &["text", "character varying"];
const TIME: &[&str] = &["timestamp with time zone"];

pub(super) const SESSIONS: Definition = Definition {
    columns: &[("sid", TEXT), ("name", TEXT), ("data", TEXT), ("exp", TIME)],
    unique: (&["sid"], "saving fails"),
    latest: Some("exp"),
    lookup: ("exp", "each clean-up reads the whole table"),
    privileges: &["SELECT", "INSERT", "UPDATE", "DELETE"],
};

pub(super) const METADATA: Definition = Definition {
    columns: &[("aud", TEXT), ("sub", TEXT), ("sid", TEXT)],
    unique: (&["aud", "sub", "sid"], "each save adds the same rows again"),
    latest: None,
    lookup: ("sid", "each deleted session reads the whole table"),
    privileges: &["SELECT", "INSERT", "DELETE"],
};

/// A vacuum after each fiftieth row: sessions change all the time, and are deleted soon.
const STORAGE: &str =
    "autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05";

/// The schemas that the tables are named with.
pub(super) fn schemas(tables: &Tables) -> Vec<String> {
    let named = [tables.sessions(), tables.metadata()];
    let mut schemas: Vec<String> = named.iter().filter_map(|table| table.schema()).collect();
    schemas.dedup();
    schemas
}

pub(super) fn create_sessions(tables: &Tables, unlogged: bool) -> String {
    let (kind, sessions) = (kind(unlogged), tables.sessions());
    format!(
        "CREATE {kind}TABLE {sessions} (sid text PRIMARY KEY, name text, data text, \
         exp timestamp with time zone, \
         created timestamp with time zone DEFAULT now()) WITH ({STORAGE}); \
         CREATE INDEX ON {sessions} (exp); {}",
        expiries_are_right(tables)
    )
}

pub(super) fn create_metadata(tables: &Tables, unlogged: bool) -> String {
    let (kind, metadata) = (kind(unlogged), tables.metadata());
    format!(
        "CREATE {kind}TABLE {metadata} (aud text, sub text, sid text, \
         PRIMARY KEY (aud, sub, sid)) WITH ({STORAGE}); \
         CREATE INDEX ON {metadata} (sid)"
    )
}

fn kind(unlogged: bool) -> &'static str {
    match unlogged {
        true => "UNLOGGED ",
        false => "",
    }
}

/// On Citus: distributes tables that have no foreign key yet.
pub(super) fn distribute(tables: &Tables) -> String {
    let literal = |name: String| format!("'{}'", name.replace('\'', "''"));
    let [sessions, metadata] = tables.names().map(literal);
    format!(
        "SELECT create_distributed_table({sessions}, 'sid'); \
         SELECT create_distributed_table({metadata}, 'sid', colocate_with => {sessions})"
    )
}

/// Citus takes no ON UPDATE CASCADE on the column that tables are distributed by.
pub(super) fn cascade(tables: &Tables, distributed: bool) -> String {
    let (sessions, metadata) = (tables.sessions(), tables.metadata());
    let on_update = match distributed {
        true => "",
        false => " ON UPDATE CASCADE",
    };
    format!(
        "DELETE FROM {metadata} AS m WHERE NOT EXISTS ( \
         SELECT FROM {sessions} AS s WHERE s.sid = m.sid); \
         ALTER TABLE {metadata} ADD FOREIGN KEY (sid) REFERENCES {sessions} (sid) \
         ON DELETE CASCADE{on_update}"
    )
}

pub(super) fn note_creation(tables: &Tables) -> String {
    let sessions = tables.sessions();
    format!(
        "ALTER TABLE {sessions} ADD created timestamp with time zone; \
         ALTER TABLE {sessions} ALTER created SET DEFAULT now()"
    )
}

/// A comment says that no expiry is shifted.
pub(super) fn expiries_are_right(tables: &Tables) -> String {
    let sessions = tables.sessions();
    format!("COMMENT ON COLUMN {sessions}.exp IS 'true instants'")
}

/// Moves the expiries between so many seconds from now by what upstream had shifted them. The comment
/// comes first: a user who may not make it moves nothing, and nothing is moved twice.
pub(super) fn move_expiries(tables: &Tables, zone: &str, from: i64, to: i64) -> String {
    let (sessions, comment) = (tables.sessions(), expiries_are_right(tables));
    format!(
        "BEGIN; {comment}; UPDATE {sessions} SET exp = (exp AT TIME ZONE {zone}) AT TIME ZONE 'UTC' \
         WHERE exp > now() + {from} * interval '1 second' \
         AND exp < now() + {to} * interval '1 second'; COMMIT"
    )
}
