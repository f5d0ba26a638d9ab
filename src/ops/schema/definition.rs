//! The tables as they should be, and the statements that make them. `{sessions}` and `{metadata}` stand
//! for the tables.

/// A table as it should be.
pub(super) struct Definition {
    /// Makes it. A vacuum after each fiftieth row: sessions change all the time, and are deleted soon.
    pub(super) create: &'static str,
    /// The columns and the types that each may have; the first is the right one.
    pub(super) columns: &'static [(&'static str, &'static [&'static str])],
    /// The columns that are unique together, in any order, and the consequence where they are not.
    pub(super) unique: (&'static [&'static str], &'static str),
    /// Leaves one row of those that are alike in these columns.
    pub(super) keep_one: &'static str,
    /// Such rows may differ in other columns, so it is not for `migrate` to delete any.
    pub(super) rows_differ: bool,
    /// What to look up by, and what is slow without an index on it.
    pub(super) lookup: (&'static str, &'static str),
    pub(super) privileges: &'static [&'static str],
}

const TEXT: &[&str] = &["text", "character varying"];
const TIME: &[&str] = &["timestamp with time zone"];

pub(super) const SESSIONS: Definition = Definition {
    create: "CREATE TABLE {sessions} (sid text PRIMARY KEY, name text, data text, \
             exp timestamp with time zone, created timestamp with time zone DEFAULT now()) \
             WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05); \
             CREATE INDEX ON {sessions} (exp)",
    columns: &[("sid", TEXT), ("name", TEXT), ("data", TEXT), ("exp", TIME)],
    unique: (&["sid"], "saving fails"),
    keep_one: "DELETE FROM {sessions} AS a USING {sessions} AS b WHERE a.sid = b.sid AND \
               (coalesce(a.exp, '-infinity'), a.ctid) < (coalesce(b.exp, '-infinity'), b.ctid)",
    rows_differ: true,
    lookup: ("exp", "each clean-up reads the whole table"),
    privileges: &["SELECT", "INSERT", "UPDATE", "DELETE"],
};

pub(super) const METADATA: Definition = Definition {
    create: "CREATE TABLE {metadata} (aud text, sub text, sid text, PRIMARY KEY (aud, sub, sid)) \
             WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05); \
             CREATE INDEX ON {metadata} (sid)",
    columns: &[("aud", TEXT), ("sub", TEXT), ("sid", TEXT)],
    unique: (&["aud", "sub", "sid"], "each save adds the same rows again"),
    keep_one: "DELETE FROM {metadata} AS a USING {metadata} AS b \
               WHERE a.aud = b.aud AND a.sub = b.sub AND a.sid = b.sid AND a.ctid < b.ctid",
    rows_differ: false,
    lookup: ("sid", "each deleted session reads the whole table"),
    privileges: &["SELECT", "INSERT", "DELETE"],
};

/// Has metadata deleted with its session.
pub(super) const CASCADE: &str = "DELETE FROM {metadata} AS m WHERE NOT EXISTS ( \
     SELECT FROM {sessions} AS s WHERE s.sid = m.sid); \
     ALTER TABLE {metadata} ADD FOREIGN KEY (sid) REFERENCES {sessions} (sid) ON DELETE CASCADE";

/// The end of that, but on Citus: it takes none on the column that tables are distributed by.
pub(super) const ON_UPDATE: &str = " ON UPDATE CASCADE";
