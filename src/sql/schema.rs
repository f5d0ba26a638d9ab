//! What the tables should be like: the statements that create them, those that say how they are, and
//! those that repair them.

use super::Tables;

/// What the table named $1 is: its kind, whether it is unlogged, whether the user owns it, and
/// whether it has settings of its own.
pub(crate) const RELATION: &str = "SELECT relkind::text, relpersistence = 'u', \
     pg_has_role(relowner, 'USAGE'), reloptions IS NOT NULL \
     FROM pg_catalog.pg_class WHERE oid = to_regclass($1::text)";

/// Whether there is a schema named $1.
pub(crate) const SCHEMA: &str = "SELECT to_regnamespace($1::text) IS NOT NULL";

/// The columns of a table named $1, and their types.
pub(crate) const COLUMNS: &str = "SELECT attname::text, format_type(atttypid, NULL) \
     FROM pg_catalog.pg_attribute \
     WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped";

/// The indexes of a table named $1: its columns, where an expression has no name; whether it is unique,
/// and at once; and the constraint that it stands for, quoted.
pub(crate) const INDEXES: &str = "SELECT ARRAY ( \
       SELECT coalesce(a.attname::text, '') \
       FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, n) \
       LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
       WHERE k.n <= i.indnkeyatts ORDER BY k.n), i.indisunique, i.indimmediate, ( \
       SELECT quote_ident(conname) FROM pg_catalog.pg_constraint \
       WHERE conindid = i.indexrelid AND conrelid = i.indrelid AND contype IN ('p', 'u')) \
     FROM pg_catalog.pg_index AS i \
     WHERE i.indrelid = to_regclass($1::text) AND i.indisvalid AND i.indpred IS NULL";

/// The foreign keys to the table named $1 of the one named $2: whether each deletes with what it
/// refers to, and its name, quoted.
pub(crate) const FOREIGN_KEYS: &str = "SELECT confdeltype = 'c', quote_ident(conname) \
     FROM pg_catalog.pg_constraint WHERE contype = 'f' \
     AND confrelid = to_regclass($1::text) AND conrelid = to_regclass($2::text)";

/// Which of the privileges $2 on the table named $1 the user lacks, and the user's name, quoted.
pub(crate) const PRIVILEGES: &str = "SELECT ARRAY ( \
       SELECT p FROM unnest($2::text[]) AS p \
       WHERE NOT has_table_privilege(to_regclass($1::text), p)), quote_ident(current_user)";

/// The server's time zone for this user: its name, quoted, and its distance from UTC in seconds. No
/// row where the ends in the table named $1 cannot be read, or a comment says that they are true.
pub(crate) const TIME_ZONE: &str = "SELECT quote_literal(current_setting('TimeZone')), \
       extract(timezone FROM now())::int \
     FROM pg_catalog.pg_attribute \
     WHERE attrelid = to_regclass($1::text) AND has_table_privilege(attrelid, 'SELECT') \
     AND attname = 'exp' AND atttypid = 'timestamptz'::regtype \
     AND col_description(attrelid, attnum) IS DISTINCT FROM 'true instants'";

/// How many sessions end between so many seconds from now, $1 and $2; no more than `ENDING_MOST` are
/// counted.
pub(crate) const ENDING: &str = "SELECT count(*) FROM (SELECT FROM {sessions} \
     WHERE exp > now() + $1::bigint * interval '1 second' \
     AND exp < now() + $2::bigint * interval '1 second' LIMIT 1000) AS ending";

/// The most that `ENDING` counts.
pub(crate) const ENDING_MOST: i64 = 1000;

/// A column `created` where it is a point in time, and null where it is anything else.
macro_rules! created {
    ($of:literal) => {
        concat!(
            "CASE WHEN pg_typeof(",
            $of,
            ".created) = 'timestamptz'::regtype THEN (jsonb_build_array(",
            $of,
            ".created) ->> 0)::timestamptz END"
        )
    };
}
pub(super) use created;

/// Whether any of the sessions that ended last between so many seconds from now, $1 and $2, was
/// saved when that end was 10 minutes ago or more: it was first saved later, or its transaction is
/// younger than the server's last checkpoint, which came later.
pub(crate) const SAVED_AFTER_ITS_END: &str = concat!(
    "SELECT EXISTS ( \
       SELECT FROM (SELECT NULL::timestamptz AS created) AS unknown, LATERAL ( \
         SELECT s.xmin AS xid, s.exp, created FROM {sessions} AS s \
         WHERE s.exp > now() + $1::bigint * interval '1 second' \
         AND s.exp < now() + $2::bigint * interval '1 second' \
         ORDER BY s.exp DESC LIMIT 1000) AS ended, pg_control_checkpoint() AS checkpoint \
       WHERE ended.exp < ",
    created!("ended"),
    " - interval '10 minutes' \
       OR (ended.exp < checkpoint_time - interval '10 minutes' \
       AND age(ended.xid) <= age(split_part(next_xid, ':', 2)::xid)))"
);

/// Others that migrate wait.
pub(crate) const LOCK: &str = "SELECT pg_advisory_xact_lock({locks}, 17)";

/// Room in each page for updates that stay in it, and a vacuum after each fiftieth row: sessions are
/// changed all the time, and deleted soon.
const STORAGE: &str = "fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, \
     autovacuum_analyze_scale_factor = 0.05";

impl Tables {
    /// The schemas that do not go without saying.
    pub(crate) fn schemas(&self) -> Vec<String> {
        let mut schemas: Vec<String> = [&self.sessions, &self.metadata]
            .iter()
            .filter_map(|table| table.schema())
            .collect();
        schemas.dedup();
        schemas
    }

    pub(crate) fn create_sessions(&self, unlogged: bool) -> String {
        let (kind, sessions) = (kind(unlogged), &self.sessions);
        format!(
            "CREATE {kind}TABLE {sessions} (sid text PRIMARY KEY, name text, data text, \
             exp timestamp with time zone, \
             created timestamp with time zone DEFAULT now()) WITH ({STORAGE}); \
             CREATE INDEX ON {sessions} (exp); {}",
            self.expiries_are_true()
        )
    }

    pub(crate) fn create_metadata(&self, unlogged: bool) -> String {
        let (kind, metadata) = (kind(unlogged), &self.metadata);
        format!(
            "CREATE {kind}TABLE {metadata} (aud text, sub text, sid text, \
             PRIMARY KEY (aud, sub, sid)) WITH ({STORAGE}); \
             CREATE INDEX ON {metadata} (sid)"
        )
    }

    /// On Citus, tables that have no foreign key yet.
    pub(crate) fn distribute(&self) -> String {
        let literal = |name: String| format!("'{}'", name.replace('\'', "''"));
        let [sessions, metadata] = self.names().map(literal);
        format!(
            "SELECT create_distributed_table({sessions}, 'sid'); \
             SELECT create_distributed_table({metadata}, 'sid', colocate_with => {sessions})"
        )
    }

    /// Citus takes no ON UPDATE CASCADE on the column that tables are distributed by.
    pub(crate) fn cascade(&self, distributed: bool) -> String {
        let Tables {
            sessions, metadata, ..
        } = self;
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

    pub(crate) fn note_creation(&self) -> String {
        let sessions = &self.sessions;
        format!(
            "ALTER TABLE {sessions} ADD created timestamp with time zone; \
             ALTER TABLE {sessions} ALTER created SET DEFAULT now()"
        )
    }

    pub(crate) fn store_well(&self) -> String {
        format!("ALTER TABLE {} SET ({STORAGE})", self.sessions)
    }

    pub(crate) fn expiries_are_true(&self) -> String {
        format!("COMMENT ON COLUMN {}.exp IS 'true instants'", self.sessions)
    }

    /// Moves the expiries between so many seconds from now by what upstream had moved them. The
    /// comment comes first: who may not make it moves nothing, and nothing is moved twice.
    pub(crate) fn move_expiries(&self, zone: &str, from: i64, to: i64) -> String {
        format!(
            "BEGIN; {}; UPDATE {} SET exp = (exp AT TIME ZONE {zone}) AT TIME ZONE 'UTC' \
             WHERE exp > now() + {from} * interval '1 second' \
             AND exp < now() + {to} * interval '1 second'; COMMIT",
            self.expiries_are_true(),
            self.sessions
        )
    }
}

fn kind(unlogged: bool) -> &'static str {
    match unlogged {
        true => "UNLOGGED ",
        false => "",
    }
}
