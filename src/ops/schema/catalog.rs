//! The tables as they should be, and questions to PostgreSQL's catalog that show how they are. In statements
//! `{sessions}` and `{metadata}` stand for the tables; in questions a name is a parameter, so that a missing
//! table is an answer and not an error.

use crate::db::Fixed;
use crate::db::types::{TEXT, TEXTS};

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

const ANY_TEXT: &[&str] = &["text", "character varying"];
const ANY_TIME: &[&str] = &["timestamp with time zone"];

pub(super) const SESSIONS: Definition = Definition {
    create: "CREATE TABLE {sessions} (sid text COLLATE pg_catalog.\"C\" PRIMARY KEY, name text, data text, \
             exp timestamp with time zone, created timestamp with time zone DEFAULT pg_catalog.now()) \
             WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05); \
             CREATE INDEX ON {sessions} (exp)",
    columns: &[("sid", ANY_TEXT), ("name", ANY_TEXT), ("data", ANY_TEXT), ("exp", ANY_TIME)],
    unique: (&["sid"], "saving fails"),
    keep_one: "DELETE FROM {sessions} AS a USING {sessions} AS b WHERE a.sid::text = b.sid::text AND \
               (coalesce(a.exp, '-infinity'), a.ctid) < (coalesce(b.exp, '-infinity'), b.ctid)",
    rows_differ: true,
    lookup: ("exp", "each clean-up reads the whole table"),
    privileges: &["SELECT", "INSERT", "UPDATE", "DELETE"],
};

pub(super) const METADATA: Definition = Definition {
    create: "CREATE TABLE {metadata} (aud text COLLATE pg_catalog.\"C\", sub text COLLATE pg_catalog.\"C\", \
             sid text COLLATE pg_catalog.\"C\", PRIMARY KEY (aud, sub, sid)) \
             WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05); \
             CREATE INDEX ON {metadata} (sid)",
    columns: &[("aud", ANY_TEXT), ("sub", ANY_TEXT), ("sid", ANY_TEXT)],
    unique: (&["aud", "sub", "sid"], "each save adds the same rows again"),
    keep_one: "DELETE FROM {metadata} AS a USING {metadata} AS b \
               WHERE a.aud::text = b.aud::text AND a.sub::text = b.sub::text \
               AND a.sid::text = b.sid::text AND a.ctid < b.ctid",
    rows_differ: false,
    lookup: ("sid", "each deleted session reads the whole table"),
    privileges: &["SELECT", "INSERT", "DELETE"],
};

/// Metadata of sessions that are gone: a foreign key refuses it.
pub(super) const DELETE_ORPHANS: &str = "DELETE FROM {metadata} AS m WHERE NOT EXISTS ( \
     SELECT FROM {sessions} AS s WHERE s.sid::text = m.sid::text)";

/// Has metadata deleted with its session.
pub(super) const FOREIGN_KEY: &str =
    "ALTER TABLE {metadata} ADD FOREIGN KEY (sid) REFERENCES {sessions} (sid) ON DELETE CASCADE";

/// The end of that, but on Citus: it takes none on the column that tables are distributed by.
pub(super) const ON_UPDATE: &str = " ON UPDATE CASCADE";

/// Adds the time of creation.
pub(super) const ADD_CREATED: &str = "ALTER TABLE {sessions} ADD created timestamp with time zone; \
     ALTER TABLE {sessions} ALTER created SET DEFAULT pg_catalog.now()";

/// A row where the user may add the time of creation to the table $1, and it is not there.
pub(super) const LACKS_CREATED: Fixed = Fixed::reads(
    "SELECT 1 FROM pg_catalog.pg_class AS c WHERE c.oid = pg_catalog.to_regclass($1)::oid \
     AND relkind IN ('r', 'p') AND pg_catalog.pg_has_role(relowner, 'USAGE') AND NOT EXISTS ( \
       SELECT FROM pg_catalog.pg_attribute \
       WHERE attrelid = c.oid AND attname = 'created' AND NOT attisdropped)",
    &[TEXT],
);

/// Of the table $1, if there is one: whether it is a table, not a view; whether it is unlogged, and
/// partitioned.
pub(super) const RELATION: Fixed = Fixed::reads(
    "SELECT relkind IN ('r', 'p'), relpersistence = 'u', relkind = 'p' \
     FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass($1)::oid",
    &[TEXT],
);

/// Which of the schemas $1 are missing.
pub(super) const MISSING_SCHEMAS: Fixed = Fixed::reads(
    "SELECT DISTINCT name FROM pg_catalog.unnest($1) AS name WHERE pg_catalog.to_regnamespace(name) IS NULL",
    &[TEXTS],
);

/// The columns of the table $1: their types, how many characters a varchar takes at most, and the collation,
/// quoted.
pub(super) const COLUMNS: Fixed = Fixed::reads(
    "SELECT a.attname::text, pg_catalog.format_type(a.atttypid, NULL), \
       CASE WHEN a.atttypid = 'varchar'::regtype::oid AND a.atttypmod > 4 THEN a.atttypmod - 4 END, \
       pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.', pg_catalog.quote_ident(c.collname)) \
     FROM pg_catalog.pg_attribute AS a \
     LEFT JOIN pg_catalog.pg_collation AS c ON c.oid = a.attcollation \
     LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.collnamespace \
     WHERE a.attrelid = pg_catalog.to_regclass($1)::oid AND a.attnum > 0 AND NOT a.attisdropped",
    &[TEXT],
);

/// The columns of the table $1, but for $2, that take no NULL and have no value of their own.
pub(super) const MUST_BE_GIVEN: Fixed = Fixed::reads(
    "SELECT pg_catalog.quote_ident(attname) FROM pg_catalog.pg_attribute \
     WHERE attrelid = pg_catalog.to_regclass($1)::oid AND attnum > 0 AND NOT attisdropped \
     AND attnotnull AND NOT atthasdef AND attidentity = '' AND attname::text <> ALL ($2) ORDER BY attnum",
    &[TEXT, TEXTS],
);

/// The constraints and unique indexes of the table $1 that may refuse a row, quoted: but for the foreign
/// keys of metadata to the sessions $3, and what is unique in the columns $2 and perhaps more.
pub(super) const CONSTRAINTS: Fixed = Fixed::reads(
    "SELECT pg_catalog.quote_ident(conname) FROM pg_catalog.pg_constraint \
       WHERE conrelid = pg_catalog.to_regclass($1)::oid AND (contype IN ('c', 'x') \
       OR contype = 'f' AND confrelid <> coalesce(pg_catalog.to_regclass($3)::oid, 0::oid)) \
     UNION ALL SELECT pg_catalog.quote_ident(c.relname) FROM pg_catalog.pg_index AS i \
       JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid \
       WHERE i.indrelid = pg_catalog.to_regclass($1)::oid AND i.indisunique AND i.indisvalid AND EXISTS ( \
         SELECT FROM pg_catalog.unnest($2) AS wanted (name) WHERE NOT EXISTS ( \
           SELECT FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k (attnum, n) \
           JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
           WHERE k.n <= i.indnkeyatts AND a.attname::text = wanted.name)) \
     ORDER BY 1",
    &[TEXT, TEXTS, TEXT],
);

/// How many sessions, 1000 at most, never expire for a clean-up and have expired for a get.
pub(super) const WITHOUT_EXPIRY: Fixed = Fixed::reads(
    "SELECT pg_catalog.count(*) FROM (SELECT FROM {sessions} WHERE exp IS NULL LIMIT 1000) AS without",
    &[],
);

/// Whether the table $1 has an index that is valid, covers all rows and begins with the column $2.
pub(super) const HAS_INDEX: Fixed = Fixed::reads(
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_index AS i \
     JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
     WHERE i.indrelid = pg_catalog.to_regclass($1)::oid AND i.indisvalid \
     AND i.indpred IS NULL AND a.attname::text = $2)",
    &[TEXT, TEXT],
);

/// The unique indexes of the table $1 that are valid, cover all rows and are on the columns $2, in any
/// order, and on nothing else: whether each is unique after each row, not only at the end of a statement
/// or transaction, and the name of the constraint that it implements, quoted.
pub(super) const UNIQUE_INDEXES: Fixed = Fixed::reads(
    "SELECT i.indimmediate, (SELECT pg_catalog.quote_ident(conname) FROM pg_catalog.pg_constraint \
       WHERE conindid = i.indexrelid AND conrelid = i.indrelid AND contype IN ('p', 'u')) \
     FROM pg_catalog.pg_index AS i \
     WHERE i.indrelid = pg_catalog.to_regclass($1)::oid AND i.indisvalid AND i.indpred IS NULL AND i.indisunique \
     AND (SELECT pg_catalog.array_agg(a.attname::text ORDER BY a.attname)::text \
       FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k (attnum, n) \
       LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
       WHERE k.n <= i.indnkeyatts) \
     = (SELECT pg_catalog.array_agg(name ORDER BY name::name)::text FROM pg_catalog.unnest($2) AS name)",
    &[TEXT, TEXTS],
);

/// The invalid indexes of the table $1 that begin with the column $2, quoted, unless an index of the table is
/// being made.
pub(super) const INVALID_INDEXES: Fixed = Fixed::reads(
    "SELECT pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.', pg_catalog.quote_ident(c.relname)) \
     FROM pg_catalog.pg_index AS i \
     JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid AND t.relkind = 'r' \
     JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid \
     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
     JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
     WHERE i.indrelid = pg_catalog.to_regclass($1)::oid AND NOT i.indisvalid AND a.attname::text = $2 \
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index AS p \
       JOIN pg_catalog.pg_locks AS l ON l.pid = p.pid WHERE l.locktype = 'relation' \
       AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
       AND l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted)",
    &[TEXT, TEXT],
);

/// The collation of the column `sid` of the table $1, quoted.
pub(super) const SID_COLLATION: Fixed = Fixed::reads(
    "SELECT pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.', pg_catalog.quote_ident(c.collname)) \
     FROM pg_catalog.pg_attribute AS a \
     JOIN pg_catalog.pg_collation AS c ON c.oid = a.attcollation \
     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.collnamespace \
     WHERE a.attrelid = pg_catalog.to_regclass($1)::oid AND a.attname = 'sid' AND NOT a.attisdropped",
    &[TEXT],
);

/// The columns of the tables $1 and $2 that are looked up by: table, column, its collation, quoted, and
/// whether that is one of bytes. `C.UTF-8` compares as `C` does.
pub(super) const COLLATIONS: Fixed = Fixed::reads(
    "SELECT t.name, a.attname::text, \
       pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.', pg_catalog.quote_ident(c.collname)), \
       kind.provider = 'b' OR kind.provider = 'c' \
         AND pg_catalog.replace(pg_catalog.lower(kind.locale), '-', '') IN ('c', 'posix', 'c.utf8') \
     FROM pg_catalog.unnest(ARRAY[$1, $2]) WITH ORDINALITY AS t (name, n) \
     JOIN pg_catalog.pg_attribute AS a ON a.attrelid = pg_catalog.to_regclass(t.name)::oid \
       AND a.attname IN ('sid', 'aud', 'sub') AND NOT a.attisdropped \
     JOIN pg_catalog.pg_collation AS c ON c.oid = a.attcollation \
     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.collnamespace \
     JOIN pg_catalog.pg_database AS d ON d.datname = pg_catalog.current_database(), \
     LATERAL (SELECT CASE c.collprovider WHEN 'd' \
         THEN coalesce(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c') ELSE c.collprovider::text END, \
       CASE c.collprovider WHEN 'd' THEN d.datcollate::text ELSE c.collcollate::text END \
     ) AS kind (provider, locale) \
     ORDER BY t.n, a.attnum",
    &[TEXT, TEXT],
);

/// The foreign keys to the sessions $1 of the metadata $2: whether each deletes with the session, its name,
/// quoted, and whether it is validated.
pub(super) const FOREIGN_KEYS: Fixed = Fixed::reads(
    "SELECT confdeltype = 'c', \
       pg_catalog.concat('\"', pg_catalog.replace(conname, '\"', '\"\"'), '\"'), convalidated FROM pg_catalog.pg_constraint \
     WHERE contype = 'f' AND confrelid = pg_catalog.to_regclass($1)::oid \
     AND conrelid = pg_catalog.to_regclass($2)::oid",
    &[TEXT, TEXT],
);

/// Which of the privileges $2 on the table $1 the user lacks, with commas between them, and the user's
/// name, quoted; no row where none is missing.
pub(super) const MISSING_PRIVILEGES: Fixed = Fixed::reads(
    "SELECT pg_catalog.string_agg(p, ', ' ORDER BY n), pg_catalog.quote_ident(current_user) \
     FROM pg_catalog.unnest($2) WITH ORDINALITY AS wanted (p, n) \
     WHERE NOT pg_catalog.has_table_privilege(pg_catalog.to_regclass($1), p) HAVING pg_catalog.count(*) > 0",
    &[TEXT, TEXTS],
);

/// Whether there is no table $1, but one that lua-resty-session uses whatever `table_name` says.
pub(super) const ELSEWHERE: Fixed = Fixed::reads(
    "SELECT pg_catalog.to_regclass($1) IS NULL AND pg_catalog.to_regclass('sessions') IS NOT NULL",
    &[TEXT],
);

/// The owner of the table $1, quoted; its triggers and its rules that are not PostgreSQL's own, quoted,
/// with commas between them; and whether row security is on for the user.
pub(super) const OTHERS: Fixed = Fixed::reads(
    "SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(c.relowner)), \
     (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(tgname), ', ' ORDER BY tgname) \
       FROM pg_catalog.pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal AND tgenabled <> 'D'), \
     (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(rulename), ', ' ORDER BY rulename) \
       FROM pg_catalog.pg_rewrite WHERE ev_class = c.oid AND rulename <> '_RETURN' AND ev_enabled <> 'D'), \
     pg_catalog.row_security_active(c.oid) \
     FROM pg_catalog.pg_class AS c WHERE c.oid = pg_catalog.to_regclass($1)::oid",
    &[TEXT],
);
