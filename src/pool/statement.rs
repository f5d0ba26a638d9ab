//! A statement: its text, the types of its parameters, and what it does. Operations make
//! statements; nothing here reads SQL.

use postgres::types::Type;

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamType {
    /// `text`
    Text,
    /// `text[]`
    Texts,
    /// `timestamptz`
    Time,
    /// `timestamptz[]`
    Times,
    /// `bigint`
    Int,
}

impl ParamType {
    pub(super) fn as_type(self) -> Type {
        match self {
            ParamType::Text => Type::TEXT,
            ParamType::Texts => Type::TEXT_ARRAY,
            ParamType::Time => Type::TIMESTAMPTZ,
            ParamType::Times => Type::TIMESTAMPTZ_ARRAY,
            ParamType::Int => Type::INT8,
        }
    }
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
    pub types: Vec<ParamType>,
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

/// Tells a statement from others on the same connection: the address of its tables, which live as
/// long as the process, the address of a constant of the statement, and which of its variants it
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
