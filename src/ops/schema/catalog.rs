//! Questions to PostgreSQL's catalog about a table. Its name is a parameter, so that a missing table is an
//! answer and not an error.

use crate::db::types::{INT, TEXT, TEXTS};
use crate::db::{Db, Fault, Fixed, column};

/// What a table is.
pub(super) struct Relation {
    /// It is a table, not a view.
    pub(super) is_table: bool,
    pub(super) unlogged: bool,
    /// The user owns it.
    pub(super) owned: bool,
}

const RELATION: Fixed = Fixed::reads(
    "SELECT relkind IN ('r', 'p'), relpersistence = 'u', pg_has_role(relowner, 'USAGE') \
     FROM pg_catalog.pg_class WHERE oid = to_regclass($1)",
    &[TEXT],
);

/// What the table of that name is, if there is one.
pub(super) fn relation(db: &mut Db<'_>, name: &String) -> Result<Option<Relation>, Fault> {
    let rows = db.rows(&RELATION, &[name], |row| {
        Ok(Relation {
            is_table: column(row, 0)?,
            unlogged: column(row, 1)?,
            owned: column(row, 2)?,
        })
    })?;
    Ok(rows.into_iter().next())
}

const SCHEMA: Fixed = Fixed::reads("SELECT to_regnamespace($1) IS NOT NULL", &[TEXT]);

/// Whether there is a schema of that name.
pub(super) fn has_schema(db: &mut Db<'_>, name: &String) -> Result<bool, Fault> {
    db.row(&SCHEMA, &[name], |row| column(row, 0))
}

const COLUMNS: Fixed = Fixed::reads(
    "SELECT attname::text, format_type(atttypid, NULL) FROM pg_catalog.pg_attribute \
     WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
    &[TEXT],
);

/// The columns of a table, and their types.
pub(super) fn columns(db: &mut Db<'_>, table: &String) -> Result<Vec<(String, String)>, Fault> {
    db.rows(&COLUMNS, &[table], |row| {
        Ok((column(row, 0)?, column(row, 1)?))
    })
}

/// An index of a table.
pub(super) struct Index {
    /// Its columns; an expression has no name.
    pub(super) columns: Vec<String>,
    pub(super) unique: bool,
    /// It is unique after each row, not only at the end of a statement or transaction.
    pub(super) immediate: bool,
    /// The name of the constraint that it implements, quoted.
    pub(super) constraint: Option<String>,
}

const INDEXES: Fixed = Fixed::reads(
    "SELECT ARRAY ( \
       SELECT coalesce(a.attname::text, '') \
       FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, n) \
       LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
       WHERE k.n <= i.indnkeyatts ORDER BY k.n), i.indisunique, i.indimmediate, ( \
       SELECT quote_ident(conname) FROM pg_catalog.pg_constraint \
       WHERE conindid = i.indexrelid AND conrelid = i.indrelid AND contype IN ('p', 'u')) \
     FROM pg_catalog.pg_index AS i \
     WHERE i.indrelid = to_regclass($1) AND i.indisvalid AND i.indpred IS NULL",
    &[TEXT],
);

/// The indexes of a table that are valid and cover all rows.
pub(super) fn indexes(db: &mut Db<'_>, table: &String) -> Result<Vec<Index>, Fault> {
    db.rows(&INDEXES, &[table], |row| {
        Ok(Index {
            columns: column(row, 0)?,
            unique: column(row, 1)?,
            immediate: column(row, 2)?,
            constraint: column(row, 3)?,
        })
    })
}

const FOREIGN_KEYS: Fixed = Fixed::reads(
    "SELECT confdeltype = 'c', quote_ident(conname) FROM pg_catalog.pg_constraint \
     WHERE contype = 'f' AND confrelid = to_regclass($1) AND conrelid = to_regclass($2)",
    &[TEXT, TEXT],
);

/// The foreign keys to the sessions of the metadata: whether each deletes with the session, and its
/// name, quoted.
pub(super) fn foreign_keys(
    db: &mut Db<'_>,
    sessions: &String,
    metadata: &String,
) -> Result<Vec<(bool, String)>, Fault> {
    db.rows(&FOREIGN_KEYS, &[sessions, metadata], |row| {
        Ok((column(row, 0)?, column(row, 1)?))
    })
}

const PRIVILEGES: Fixed = Fixed::reads(
    "SELECT ARRAY (SELECT p FROM unnest($2) AS p \
       WHERE NOT has_table_privilege(to_regclass($1), p)), quote_ident(current_user)",
    &[TEXT, TEXTS],
);

/// Which of the privileges on a table the user lacks, and the user's name, quoted.
pub(super) fn missing_privileges(
    db: &mut Db<'_>,
    table: &String,
    privileges: &[&str],
) -> Result<(Vec<String>, String), Fault> {
    db.row(&PRIVILEGES, &[table, &privileges], |row| {
        Ok((column(row, 0)?, column(row, 1)?))
    })
}

const TIME_ZONE: Fixed = Fixed::reads(
    "SELECT quote_literal(current_setting('TimeZone')), extract(timezone FROM now())::bigint \
     FROM pg_catalog.pg_attribute \
     WHERE attrelid = to_regclass($1) AND has_table_privilege(attrelid, 'SELECT') \
     AND attname = 'exp' AND atttypid = 'timestamptz'::regtype \
     AND col_description(attrelid, attnum) IS DISTINCT FROM 'true instants'",
    &[TEXT],
);

/// The server's time zone for this user: its name, quoted, and its distance from UTC in seconds. `None`
/// where the table's expiries cannot be read, or a comment says that they are right.
pub(super) fn time_zone(db: &mut Db<'_>, table: &String) -> Result<Option<(String, i64)>, Fault> {
    let rows = db.rows(&TIME_ZONE, &[table], |row| {
        Ok((column(row, 0)?, column(row, 1)?))
    })?;
    Ok(rows.into_iter().next())
}

const EXPIRING: Fixed = Fixed::reads(
    "SELECT count(*) FROM (SELECT FROM {sessions} \
     WHERE exp > now() + $1 * interval '1 second' \
     AND exp < now() + $2 * interval '1 second' LIMIT 1000) AS expiring",
    &[INT, INT],
);

/// The most that [`expiring`] counts.
pub(super) const EXPIRING_MOST: i64 = 1000;

/// How many sessions expire between so many seconds from now.
pub(super) fn expiring(db: &mut Db<'_>, from: i64, to: i64) -> Result<i64, Fault> {
    db.row(&EXPIRING, &[&from, &to], |row| column(row, 0))
}

const LOCK: Fixed = Fixed::reads("SELECT pg_advisory_xact_lock({locks}, 17)", &[]);

/// Waits until no other `migrate` is under way, and holds others up until the transaction ends.
pub(super) fn lock(db: &mut Db<'_>) -> Result<(), Fault> {
    db.query(&LOCK, &[]).map(drop)
}
