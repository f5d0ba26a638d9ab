//! Questions to PostgreSQL's catalog about a table. Its name is a parameter, so that a missing table is an
//! answer and not an error.

use crate::db::Fixed;
use crate::db::types::{TEXT, TEXTS};

/// Of the table $1, if there is one: whether it is a table, not a view, and whether it is unlogged.
pub(super) const RELATION: Fixed = Fixed::reads(
    "SELECT relkind IN ('r', 'p'), relpersistence = 'u' \
     FROM pg_catalog.pg_class WHERE oid = to_regclass($1)",
    &[TEXT],
);

/// Which of the schemas $1 are missing.
pub(super) const MISSING_SCHEMAS: Fixed = Fixed::reads(
    "SELECT DISTINCT name FROM unnest($1) AS name WHERE to_regnamespace(name) IS NULL",
    &[TEXTS],
);

/// The columns of the table $1, and their types.
pub(super) const COLUMNS: Fixed = Fixed::reads(
    "SELECT attname::text, format_type(atttypid, NULL) FROM pg_catalog.pg_attribute \
     WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
    &[TEXT],
);

/// Whether the table $1 has an index that is valid, covers all rows and begins with the column $2.
pub(super) const HAS_INDEX: Fixed = Fixed::reads(
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_index AS i \
     JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
     WHERE i.indrelid = to_regclass($1) AND i.indisvalid AND i.indpred IS NULL AND a.attname = $2)",
    &[TEXT, TEXT],
);

/// The unique indexes of the table $1 that are valid, cover all rows and are on the columns $2, in any
/// order, and on nothing else: whether each is unique after each row, not only at the end of a statement
/// or transaction, and the name of the constraint that it implements, quoted.
pub(super) const UNIQUE_INDEXES: Fixed = Fixed::reads(
    "SELECT i.indimmediate, (SELECT quote_ident(conname) FROM pg_catalog.pg_constraint \
       WHERE conindid = i.indexrelid AND conrelid = i.indrelid AND contype IN ('p', 'u')) \
     FROM pg_catalog.pg_index AS i \
     WHERE i.indrelid = to_regclass($1) AND i.indisvalid AND i.indpred IS NULL AND i.indisunique \
     AND (SELECT array_agg(a.attname::text ORDER BY a.attname) \
       FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, n) \
       LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
       WHERE k.n <= i.indnkeyatts) \
     = (SELECT array_agg(name ORDER BY name::name) FROM unnest($2) AS name)",
    &[TEXT, TEXTS],
);

/// The foreign keys to the sessions $1 of the metadata $2: whether each deletes with the session, and
/// its name, quoted.
pub(super) const FOREIGN_KEYS: Fixed = Fixed::reads(
    "SELECT confdeltype = 'c', quote_ident(conname) FROM pg_catalog.pg_constraint \
     WHERE contype = 'f' AND confrelid = to_regclass($1) AND conrelid = to_regclass($2)",
    &[TEXT, TEXT],
);

/// Which of the privileges $2 on the table $1 the user lacks, with commas between them, and the user's
/// name, quoted; no row where none is missing.
pub(super) const MISSING_PRIVILEGES: Fixed = Fixed::reads(
    "SELECT string_agg(p, ', ' ORDER BY n), quote_ident(current_user) \
     FROM unnest($2) WITH ORDINALITY AS wanted (p, n) \
     WHERE NOT has_table_privilege(to_regclass($1), p) HAVING count(*) > 0",
    &[TEXT, TEXTS],
);
