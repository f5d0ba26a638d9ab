//! A table's name: read as PostgreSQL would read it in a statement, quoted once.

use std::fmt;

/// The name of a table, possibly in a schema, ready for use in SQL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    schema: Option<String>,
    table: String,
}

impl TableName {
    /// PostgreSQL cuts longer names silently (NAMEDATALEN - 1): two tables could become one.
    pub(super) const MAX_BYTES: usize = 63;

    /// Reads `table` or `schema.table`. As in SQL, a part is folded to lower case unless it is in
    /// double quotes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (first, rest) = part(text)?;
        if rest.is_empty() {
            let (schema, table) = (None, first);
            return Some(TableName { schema, table });
        }
        let (table, rest) = part(rest.strip_prefix('.')?)?;
        let schema = Some(first);
        rest.is_empty().then_some(TableName { schema, table })
    }

    /// The table's own name, without its schema and without quotes.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// Its schema, quoted, if it is named with one.
    pub(crate) fn schema(&self) -> Option<String> {
        self.schema.as_deref().map(quoted)
    }

    /// The name of the metadata table that belongs to this table when none is configured; `None` if
    /// it would be too long.
    pub(super) fn with_suffix(&self, suffix: &str) -> Option<Self> {
        let table = format!("{}{suffix}", self.table);
        let schema = self.schema.clone();
        (table.len() <= Self::MAX_BYTES).then_some(TableName { schema, table })
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Takes one part of a name off the front of `text`.
fn part(text: &str) -> Option<(String, &str)> {
    let (name, rest) = match text.strip_prefix('"') {
        Some(text) => quoted_part(text)?,
        None => {
            let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
            let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
            let (name, rest) = text.split_at(end);
            if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                return None;
            }
            (name.to_ascii_lowercase(), rest)
        }
    };
    let fits = (1..=TableName::MAX_BYTES).contains(&name.len()) && !name.contains('\0');
    fits.then_some((name, rest))
}

/// Reads up to the closing quote; a doubled quote stands for one.
fn quoted_part(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

/// The quoted form, as it goes into statements.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", quoted(schema))?;
        }
        f.write_str(&quoted(&self.table))
    }
}

#[cfg(test)]
mod tests {
    use super::TableName;

    fn quoted(text: &str) -> Option<String> {
        TableName::parse(text).map(|name| name.to_string())
    }

    #[test]
    fn names_fold_and_quote_as_in_sql() {
        let cases = [
            ("sessions", Some("\"sessions\"")),
            ("Web.Sessions", Some("\"web\".\"sessions\"")),
            (
                "\"Web\".\"My \"\"own\"\" table\"",
                Some("\"Web\".\"My \"\"own\"\" table\""),
            ),
            ("sitzungen_für_gäste", Some("\"sitzungen_für_gäste\"")),
            ("", None),
            ("a.b.c", None),
            ("a.", None),
            (".a", None),
            ("1a", None),
            ("a;b", None),
            ("a b", None),
            ("a'b", None),
            ("\"a", None),
            ("\"\"", None),
            ("\"a\"b", None),
        ];
        for (given, expected) in cases {
            assert_eq!(quoted(given).as_deref(), expected, "{given}");
        }
        assert_eq!(quoted(&"x".repeat(64)), None);
    }

    #[test]
    fn the_metadata_table_stands_in_the_same_schema() {
        let name = TableName::parse("web.sessions").expect("a valid name");
        let meta = name.with_suffix("_meta").expect("short enough");
        assert_eq!(meta.to_string(), "\"web\".\"sessions_meta\"");
        let long = TableName::parse(&"x".repeat(60)).expect("a valid name");
        assert!(long.with_suffix("_meta").is_none());
    }
}
