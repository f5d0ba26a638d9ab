//! A statement: its text, the types of its parameters, and what it does. Operations make
//! statements; nothing here reads SQL.

use postgres::types::Oid;

/// The types of parameters, by the numbers that they have in every PostgreSQL (its `pg_type.dat`).
pub(crate) mod types {
    use postgres::types::Oid;

    pub(crate) const TEXT: Oid = 25;
    pub(crate) const TEXTS: Oid = 1009;
    /// `timestamptz`, and an array of them.
    pub(crate) const TIME: Oid = 1184;
    pub(crate) const TIMES: Oid = 1185;
    /// `bigint`
    pub(crate) const INT: Oid = 20;
    pub(crate) const BOOL: Oid = 16;
}

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It writes nothing.
    Reads,
    /// It writes, and answers no rows.
    Writes,
    /// It writes, and answers rows.
    WritesAndAnswers,
}

/// A statement for given tables.
#[derive(Debug)]
pub struct Sql {
    /// Its common table expressions, `a AS (…), b AS (…)`; may be empty.
    pub with: String,
    /// The statement proper.
    pub body: String,
    /// The types of its parameters, in their order.
    pub types: Vec<Oid>,
    /// What it does.
    pub effect: Effect,
}

impl Sql {
    /// The whole text. With `settings`, a query that makes settings, they last as long as the
    /// statement, in one round trip: a query around it makes them, which PostgreSQL evaluates
    /// before the statement takes its first lock. A statement that does not write is left as it is.
    ///
    /// A statement without rows becomes a common table expression that the query does not read;
    /// such expressions run when the query proper has ended. A statement with rows is read by a
    /// query whose condition names no row; PostgreSQL checks such a condition before it asks for
    /// the first row.
    pub(super) fn text(&self, settings: Option<&str>) -> String {
        let written = format!("written AS ({})", self.body);
        let (written, query) = match (settings, self.effect) {
            (None, _) | (_, Effect::Reads) => (String::new(), self.body.clone()),
            (Some(set), Effect::Writes) => (written, set.to_owned()),
            (Some(set), Effect::WritesAndAnswers) => {
                let query = format!("SELECT * FROM written WHERE ({set}) IS NOT NULL");
                (written, query)
            }
        };
        let with = match (self.with.as_str(), written.as_str()) {
            ("", "") => return query,
            ("", with) | (with, "") => with.to_owned(),
            (own, written) => format!("{own}, {written}"),
        };
        format!("WITH {with} {query}")
    }
}

/// Tells a statement from others on the same connection: the number of its tables, the address of a constant of the statement, and which of its variants it
/// is.
pub type StatementId = (usize, (usize, usize));

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &str = "SELECT concat(set_config('lock_timeout', '20', true), \
                       set_config('synchronous_commit', 'off', true))";

    fn with_settings(with: &str, body: &str, effect: Effect) -> String {
        let (with, body, types) = (with.into(), body.into(), vec![]);
        let sql = Sql { with, body, types, effect };
        sql.text(Some(SET))
    }

    #[test]
    fn a_write_carries_its_settings() {
        assert_eq!(with_settings("", "SELECT sid FROM s", Effect::Reads), "SELECT sid FROM s");
        assert_eq!(
            with_settings("", "INSERT INTO s SELECT 1", Effect::Writes),
            format!("WITH written AS (INSERT INTO s SELECT 1) {SET}")
        );
        assert_eq!(
            with_settings("a AS (DELETE FROM m)", "UPDATE s SET x = 1", Effect::Writes),
            format!("WITH a AS (DELETE FROM m), written AS (UPDATE s SET x = 1) {SET}")
        );
        assert_eq!(
            with_settings(
                "a AS (DELETE FROM s RETURNING sid)",
                "SELECT count(*) FROM a",
                Effect::WritesAndAnswers
            ),
            format!(
                "WITH a AS (DELETE FROM s RETURNING sid), written AS (SELECT count(*) FROM a) \
                 SELECT * FROM written WHERE ({SET}) IS NOT NULL"
            )
        );
    }
}
