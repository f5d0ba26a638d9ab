//! What the tables should be like: the statements that create them, those that say how they are, and
//! those that repair them.

use super::Tables;

/// The columns of a table named $1, and their types.
pub(crate) const COLUMNS: &str = "SELECT attname::text, format_type(atttypid, NULL) \
     FROM pg_catalog.pg_attribute \
     WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped";

/// The indexes of a table named $1: whether each is unique, and its columns.
pub(crate) const INDEXES: &str = "SELECT i.indisunique, ARRAY ( \
       SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, n) \
       JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
       WHERE k.n <= i.indnkeyatts ORDER BY k.n) \
     FROM pg_catalog.pg_index AS i \
     WHERE i.indrelid = to_regclass($1::text) AND i.indisvalid AND i.indpred IS NULL";

/// Which of the privileges $2 on the table named $1 the user lacks, and the user's name, quoted.
pub(crate) const PRIVILEGES: &str = "SELECT ARRAY ( \
       SELECT p FROM unnest($2::text[]) AS p \
       WHERE NOT has_table_privilege(to_regclass($1::text), p)), quote_ident(current_user)";

/// The server's time zone for this user: its name, quoted, and its distance from UTC in seconds; and
/// whether a comment says that the expiries of the table named $1 are true.
pub(crate) const TIME_ZONE: &str = "SELECT quote_literal(current_setting('TimeZone')), \
       extract(timezone FROM now())::int, coalesce(( \
         SELECT col_description(attrelid, attnum) = 'true instants' \
         FROM pg_catalog.pg_attribute \
         WHERE attrelid = to_regclass($1::text) AND attname = 'exp'), false)";

/// How many sessions end between so many seconds from now, $1 and $2.
pub(crate) const ENDING: &str = "SELECT count(*) FROM {sessions} \
     WHERE exp > now() + $1::bigint * interval '1 second' \
     AND exp < now() + $2::bigint * interval '1 second'";

/// Others that migrate wait.
pub(crate) const LOCK: &str = "SELECT pg_advisory_xact_lock({locks}, 17)";

/// The table's own settings, if it has any.
pub(crate) const SETTINGS: &str = "SELECT coalesce(reloptions::text[], ARRAY[]::text[]), relkind::text \
     FROM pg_catalog.pg_class WHERE oid = to_regclass($1::text)";

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
             created timestamp with time zone DEFAULT now()) WITH ({STORAGE}); {}",
            self.expiries_are_true()
        )
    }

    pub(crate) fn create_metadata(&self, unlogged: bool) -> String {
        let (kind, metadata) = (kind(unlogged), &self.metadata);
        format!(
            "CREATE {kind}TABLE {metadata} (aud text, sub text, sid text, \
             PRIMARY KEY (aud, sub, sid)) WITH ({STORAGE})"
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

    /// Moves the expiries between so many seconds from now by what upstream had moved them.
    pub(crate) fn move_expiries(&self, zone: &str, from: i64, to: i64) -> String {
        format!(
            "UPDATE {} SET exp = (exp AT TIME ZONE {zone}) AT TIME ZONE 'UTC' \
             WHERE exp > now() + {from} * interval '1 second' \
             AND exp < now() + {to} * interval '1 second'; {}",
            self.sessions,
            self.expiries_are_true()
        )
    }
}

fn kind(unlogged: bool) -> &'static str {
    match unlogged {
        true => "UNLOGGED ",
        false => "",
    }
}
