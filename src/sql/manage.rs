//! The statements of `crate::manage`. `{sessions}` and `{metadata}` stand for the tables,
//! `{locks}` for the first number of their advisory locks (see `Tables::locks`).

use super::schema::created;

/// Waits until no save with metadata of the audience $1 is under way, and holds new ones up until
/// the transaction ends. Audiences share 16 locks, so that a batch of saves takes no more than that.
pub(crate) const FENCE: &str = "SELECT pg_advisory_xact_lock({locks}, hashtext($1::text) & 15)";

/// Ends sessions of the audience $1, and of the subject $2 if it is not null, but for $3: at most $4 of
/// them. Answers how many were found, and how many of those that were ended were alive.
pub(crate) const REVOKE: &str = "WITH theirs AS MATERIALIZED ( \
       SELECT s.sid FROM {metadata} AS m JOIN {sessions} AS s ON s.sid = m.sid \
       WHERE m.aud = $1::text AND ($2::text IS NULL OR m.sub = $2::text) \
       AND ($3::text IS NULL OR s.sid <> $3::text) LIMIT $4::bigint), \
     ended AS ( \
       DELETE FROM {sessions} WHERE sid = ANY (ARRAY(SELECT sid FROM theirs)) RETURNING exp) \
     SELECT (SELECT count(*) FROM theirs), count(*) FROM ended \
     WHERE exp >= date_trunc('second', now())";

/// The same where the tables do not delete metadata by themselves.
pub(crate) const REVOKE_UNLINKED: &str = "WITH theirs AS MATERIALIZED ( \
       SELECT sid FROM {metadata} \
       WHERE aud = $1::text AND ($2::text IS NULL OR sub = $2::text) \
       AND ($3::text IS NULL OR sid <> $3::text) LIMIT $4::bigint), \
     unlinked AS (DELETE FROM {metadata} WHERE sid = ANY (ARRAY(SELECT sid FROM theirs))), \
     ended AS ( \
       DELETE FROM {sessions} WHERE sid = ANY (ARRAY(SELECT sid FROM theirs)) RETURNING exp) \
     SELECT (SELECT count(*) FROM theirs), count(*) FROM ended \
     WHERE exp >= date_trunc('second', now())";

/// Live sessions at $1 with keys above $2, at most $3 of them, in the order of their keys. Where the
/// table has no column `created`, that name means the outer one, which is null; one that is no
/// timestamptz is somebody else's.
macro_rules! list {
    ($from:literal, $sid:literal, $scope:literal) => {
        concat!(
            "SELECT page.sid, page.name, page.exp, ",
            created!("page"),
            " FROM (SELECT NULL::timestamptz AS created) AS unknown, LATERAL ( \
               SELECT s.sid, s.name, s.exp, created FROM ",
            $from,
            " WHERE s.exp >= $1::timestamptz AND ",
            $sid,
            " > $2::text",
            $scope,
            " ORDER BY ",
            $sid,
            " LIMIT $3::bigint) AS page ORDER BY page.sid"
        )
    };
}

/// For all sessions, for an audience's ($4), and for a subject's ($4, $5). Each page begins in an index
/// where the last one ended: on both sides of an audience, and for a subject in the metadata's, which
/// has its keys in their order.
pub(crate) const LIST: [&str; 3] = [
    list!("{sessions} AS s", "s.sid", ""),
    list!(
        "{sessions} AS s",
        "s.sid",
        " AND EXISTS (SELECT FROM {metadata} AS m \
         WHERE m.sid = s.sid AND m.sid > $2::text AND m.aud = $4::text)"
    ),
    list!(
        "(SELECT DISTINCT sid FROM {metadata} \
           WHERE aud = $4::text AND sub = $5::text AND sid > $2::text) AS m \
         JOIN {sessions} AS s ON s.sid = m.sid",
        "m.sid",
        ""
    ),
];

/// How many sessions are alive at $1: all, an audience's ($2), a subject's ($2, $3).
pub(crate) const COUNT: [&str; 3] = [
    "SELECT count(*) FROM {sessions} WHERE exp >= $1::timestamptz",
    "SELECT count(*) FROM {sessions} AS s WHERE s.exp >= $1::timestamptz AND EXISTS ( \
       SELECT FROM {metadata} AS m WHERE m.sid = s.sid AND m.aud = $2::text)",
    "SELECT count(*) FROM {metadata} AS m JOIN {sessions} AS s ON s.sid = m.sid \
     WHERE m.aud = $2::text AND m.sub = $3::text AND s.exp >= $1::timestamptz",
];

/// How many rows the table named $1 has, by PostgreSQL's statistics; less than 1 where they do not
/// say.
pub(crate) const ESTIMATE: &str =
    "SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = to_regclass($1::text)";

/// Lets the session $1, if it is alive at $2, end at $3.
pub(crate) const TOUCH: &str = "UPDATE {sessions} SET exp = $3::timestamptz \
     WHERE sid = $1::text AND exp >= $2::timestamptz RETURNING sid";

/// Deletes at most $2 sessions that are over on the database's clock and were before $1, unless
/// another process does so at the moment. Answers whose turn it was, how many went, and when the
/// last of them ended. Rows that others hold are left for the next time.
///
/// $3, where it is not null, is a time before which nothing is left: until the next VACUUM the index
/// keeps what is deleted, and each statement would go through all that those before it deleted.
/// The rows are locked, so their places (`ctid`) stay. What a crash brings back is over as before, so
/// no commit waits for the disk.
macro_rules! sweep {
    ($metadata:literal) => {
        concat!(
            "WITH turn AS MATERIALIZED ( \
               SELECT pg_try_advisory_xact_lock({locks}, 16) AS ours, \
                 least($1::timestamptz, date_trunc('second', now())) AS before, \
                 set_config('synchronous_commit', 'off', true)), \
             dead AS MATERIALIZED ( \
               SELECT sid, ctid AS place FROM {sessions} \
               WHERE (SELECT ours FROM turn) AND exp < (SELECT before FROM turn) \
               AND exp >= coalesce($3::timestamptz, '-infinity') \
               ORDER BY exp LIMIT $2::bigint FOR UPDATE SKIP LOCKED), ",
            $metadata,
            "gone AS ( \
               DELETE FROM {sessions} WHERE ctid = ANY (ARRAY(SELECT place FROM dead)) \
               RETURNING exp) \
             SELECT ours, (SELECT count(*) FROM gone), \
               (SELECT max(exp) FROM gone WHERE isfinite(exp)) FROM turn"
        )
    };
}

pub(crate) const SWEEP: &str = sweep!("");

/// The same where the tables do not delete metadata by themselves.
pub(crate) const SWEEP_UNLINKED: &str =
    sweep!("unlinked AS (DELETE FROM {metadata} AS m USING dead WHERE m.sid = dead.sid), ");

/// The same in three statements of one transaction: whose turn it is, and since when a session is
/// over,
pub(crate) const SWEEP_TURN: &str = "SELECT pg_try_advisory_xact_lock({locks}, 16), \
     least($1::timestamptz, date_trunc('second', now()))";

/// which are,
pub(crate) const SWEEP_FIND: &str = "SELECT sid FROM {sessions} \
     WHERE exp < $1::timestamptz ORDER BY exp LIMIT $2::bigint";

/// and those of them that still are. Answers their keys,
pub(crate) const SWEEP_FOUND: &str =
    "DELETE FROM {sessions} WHERE sid = ANY ($1::text[]) AND exp < $2::timestamptz RETURNING sid";

/// for which this follows where the tables do not delete metadata by themselves.
pub(crate) const SWEEP_METADATA: &str = "DELETE FROM {metadata} WHERE sid = ANY ($1::text[])";

/// Waits until no other save with a limit is under way for a pair of $1 and $2, in the order of the
/// locks' numbers.
pub(crate) const LIMIT_LOCK: &str = "SELECT pg_advisory_xact_lock(lock) FROM ( \
       SELECT DISTINCT hashtextextended(aud, hashtextextended(sub, {locks})) AS lock \
       FROM unnest($1::text[], $2::text[]) AS pair (aud, sub) ORDER BY lock) AS sorted";

/// The sessions under the name $5 of each of the pairs of $1 and $2 but for those of the keys $3, with
/// each its place, that which ends last first. Those that end within $6 seconds do not count: a
/// session that was replaced is one of them.
macro_rules! ranked {
    () => {
        "WITH ranked AS MATERIALIZED ( \
           SELECT s.sid, m.aud, m.sub, row_number() OVER ( \
             PARTITION BY m.aud, m.sub ORDER BY s.exp DESC, s.sid) AS place \
           FROM (SELECT DISTINCT aud, sub FROM unnest($1::text[], $2::text[]) AS p (aud, sub)) AS pair \
           JOIN {metadata} AS m ON m.aud = pair.aud AND m.sub = pair.sub \
           JOIN {sessions} AS s ON s.sid = m.sid \
           WHERE s.exp > now() + $6::bigint * interval '1 second' AND s.sid <> ALL ($3::text[]) \
           AND s.name = $5::text)"
    };
}

/// Whether any pair has as many sessions as $4, and none of the keys $3 is among them.
pub(crate) const LIMIT_REACHED: &str = concat!(
    ranked!(),
    " SELECT EXISTS (SELECT FROM ranked AS r WHERE place >= $4::bigint AND NOT EXISTS ( \
       SELECT FROM {metadata} AS m JOIN {sessions} AS s ON s.sid = m.sid \
       WHERE m.aud = r.aud AND m.sub = r.sub AND s.sid = ANY ($3::text[]) \
       AND s.exp >= date_trunc('second', now())))"
);

/// Ends the sessions from the place $4 on.
pub(crate) const LIMIT: &str = concat!(
    ranked!(),
    ", ended AS (DELETE FROM {sessions} AS s USING ranked AS r \
       WHERE s.sid = r.sid AND r.place >= $4::bigint RETURNING s.sid) \
     SELECT count(*) FROM ended"
);

/// The same where the tables do not delete metadata by themselves.
pub(crate) const LIMIT_UNLINKED: &str = concat!(
    ranked!(),
    ", ended AS (DELETE FROM {sessions} AS s USING ranked AS r \
       WHERE s.sid = r.sid AND r.place >= $4::bigint RETURNING s.sid), \
     unlinked AS (DELETE FROM {metadata} AS m USING ranked AS r \
       WHERE m.sid = r.sid AND r.place >= $4::bigint RETURNING m.sid) \
     SELECT count(*) FROM ended"
);

/// Whether there is anything is all the same.
pub(crate) const HEALTH: &str = "SELECT 1 FROM {sessions} LIMIT 1";
