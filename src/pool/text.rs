//! Statements as text: run without being prepared, and with settings that last for this one
//! statement. A pooler that gives each transaction another session keeps neither a prepared
//! statement nor a setting for us.

use super::settings::Settings;
use postgres::types::Type;

/// A statement that needs no preparation.
pub(super) struct Text {
    pub(super) sql: String,
    /// The types of its parameters, in their order.
    pub(super) types: Vec<Type>,
}

impl Text {
    /// Every parameter in our SQL carries its type, as `$1::text`.
    pub(super) fn new(sql: String) -> Result<Self, String> {
        let types = parameter_types(&sql)?;
        Ok(Text { sql, types })
    }
}

fn parameter_types(sql: &str) -> Result<Vec<Type>, String> {
    let mut types: Vec<Option<Type>> = Vec::new();
    for (at, _) in sql.match_indices('$') {
        let rest = &sql[at + 1..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let Ok(number) = rest[..digits].parse::<usize>() else {
            continue;
        };
        let cast = rest[digits..].strip_prefix("::").unwrap_or_default();
        let end = cast.find(|c: char| !(c.is_ascii_alphanumeric() || "[]".contains(c)));
        let name = &cast[..end.unwrap_or(cast.len())];
        let known = type_named(name).ok_or_else(|| format!("${number} has no known type"))?;
        if types.len() < number {
            types.resize(number, None);
        }
        types[number - 1] = Some(known);
    }
    let complete: Option<Vec<Type>> = types.into_iter().collect();
    complete.ok_or_else(|| "a parameter is not used".to_owned())
}

fn type_named(name: &str) -> Option<Type> {
    Some(match name {
        "text" => Type::TEXT,
        "text[]" => Type::TEXT_ARRAY,
        "timestamptz" => Type::TIMESTAMPTZ,
        "timestamptz[]" => Type::TIMESTAMPTZ_ARRAY,
        "bigint" | "int8" => Type::INT8,
        "bigint[]" | "int8[]" => Type::INT8_ARRAY,
        "integer" | "int" | "int4" => Type::INT4,
        "integer[]" | "int[]" | "int4[]" => Type::INT4_ARRAY,
        "boolean" | "bool" => Type::BOOL,
        "boolean[]" | "bool[]" => Type::BOOL_ARRAY,
        _ => return None,
    })
}

/// The statement with settings that last as long as it does, in one round trip: they are made by a
/// query around it, which PostgreSQL evaluates before the statement takes its first lock. A
/// statement that does not write is left as it is.
///
/// A statement without rows becomes a common table expression that nobody reads; those are run when
/// the query proper is through. One with rows is read by a query whose condition mentions no row, and
/// such a condition is checked before the first row is asked for.
pub(super) fn with_settings(sql: &str, settings: &Settings) -> String {
    let outline = Outline::of(sql);
    if !outline.writes {
        return sql.to_owned();
    }
    let (tables, statement) = sql.split_at(outline.statement);
    let head = match tables.trim_end() {
        "" => "WITH".to_owned(),
        tables => format!("{tables},"),
    };
    let set = settings.as_query();
    if outline.rows {
        format!("{head} written AS ({statement}) SELECT * FROM written WHERE ({set}) IS NOT NULL")
    } else {
        format!("{head} written AS ({statement}) {set}")
    }
}

/// What must be known of a statement to put it into another one.
#[derive(Debug, PartialEq, Eq)]
struct Outline {
    /// Where the statement proper begins, behind its common table expressions.
    statement: usize,
    /// Whether any part of it writes.
    writes: bool,
    /// Whether it answers with rows.
    rows: bool,
}

impl Outline {
    fn of(sql: &str) -> Self {
        let mut outline = Outline {
            statement: 0,
            writes: false,
            rows: false,
        };
        let mut in_tables = sql.starts_with("WITH ");
        let (mut depth, mut quote) = (0_usize, None);
        let mut word_at = None;
        for (at, c) in sql.char_indices().chain([(sql.len(), ' ')]) {
            if let Some(end) = quote {
                quote = (c != end).then_some(end);
                continue;
            }
            if c.is_ascii_alphabetic() || c == '_' {
                word_at.get_or_insert(at);
                continue;
            }
            if let Some(start) = word_at.take() {
                match &sql[start..at] {
                    "INSERT" | "UPDATE" | "DELETE" => outline.writes = true,
                    "SELECT" | "RETURNING" if depth == 0 && !in_tables => outline.rows = true,
                    _ => {}
                }
            }
            match c {
                '"' | '\'' => quote = Some(c),
                '(' => depth += 1,
                ')' => {
                    depth = depth.saturating_sub(1);
                    let rest = sql[at + 1..].trim_start();
                    let ends = !rest.starts_with(',') && !rest.starts_with("AS ");
                    if in_tables && depth == 0 && ends {
                        in_tables = false;
                        outline.statement = sql.len() - rest.len();
                    }
                }
                _ => {}
            }
        }
        // The SELECT that feeds an INSERT is none that answers.
        if sql[outline.statement..].starts_with("INSERT") {
            outline.rows = sql[outline.statement..].contains(" RETURNING ");
        }
        outline
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::sql::{SetShape, Shape, Tables};
    use std::time::Duration;

    fn settings() -> Settings {
        Settings {
            lock_timeout: Duration::from_millis(20),
            statement_timeout: Duration::from_secs(1),
            synchronous_commit: Some("off"),
        }
    }

    const SET: &str = "SELECT concat(set_config('lock_timeout', '20', true), \
                       set_config('synchronous_commit', 'off', true))";

    #[test]
    fn a_write_gets_its_settings_with_it() {
        let cases = [
            ("SELECT sid FROM s WHERE sid = $1::text", "{}".to_owned()),
            (
                "INSERT INTO s SELECT * FROM t",
                format!("WITH written AS ({{}}) {SET}"),
            ),
            (
                "DELETE FROM \"a'(RETURNING\" RETURNING sid",
                format!("WITH written AS ({{}}) SELECT * FROM written WHERE ({SET}) IS NOT NULL"),
            ),
        ];
        for (sql, expected) in cases {
            let expected = expected.replace("{}", sql);
            assert_eq!(with_settings(sql, &settings()), expected);
        }
        assert_eq!(
            with_settings(
                "WITH a AS (DELETE FROM s), b (x, y) AS MATERIALIZED (SELECT 1, ')') \
                 UPDATE s SET data = 'x'",
                &settings()
            ),
            format!(
                "WITH a AS (DELETE FROM s), b (x, y) AS MATERIALIZED (SELECT 1, ')'), \
                 written AS (UPDATE s SET data = 'x') {SET}"
            )
        );
        assert_eq!(
            with_settings(
                "WITH a AS (DELETE FROM s RETURNING sid) SELECT count(*) FROM a",
                &settings()
            ),
            format!(
                "WITH a AS (DELETE FROM s RETURNING sid), \
                 written AS (SELECT count(*) FROM a) \
                 SELECT * FROM written WHERE ({SET}) IS NOT NULL"
            )
        );
    }

    #[test]
    fn the_types_of_parameters_are_read_from_the_statement() {
        let config = Config::default();
        let tables = Tables::new(config.sessions, config.metadata);
        let sql = tables.sql(Shape::Set(SetShape {
            rows: 1,
            expire: true,
            delete: true,
            delete_metadata: false,
            metadata: true,
        }));
        let (text, texts) = (Type::TEXT, Type::TEXT_ARRAY);
        let expected = [
            text.clone(),
            text.clone(),
            text,
            Type::TIMESTAMPTZ,
            texts.clone(),
            Type::TIMESTAMPTZ_ARRAY,
            texts.clone(),
            texts.clone(),
            texts.clone(),
            texts,
        ];
        assert_eq!(parameter_types(&sql), Ok(expected.to_vec()));
        assert!(parameter_types("SELECT $1").is_err());
        assert!(parameter_types("SELECT $2::text").is_err());
    }
}
