//! A table's name: read as PostgreSQL would read it in a statement, quoted once.

use std::fmt;

/// PostgreSQL cuts longer names silently (NAMEDATALEN - 1), which would make two tables one.
const MAX_BYTES: usize = 63;

/// The name of a table, possibly in a schema, ready for use in SQL.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    schema: Option<String>,
    table: String,
}

impl TableName {
    /// Reads `table` or `schema.table`. As in SQL, a part is folded to lower case unless it stands
    /// in double quotes.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected a table name or schema.table, each of letters, digits, _ and $ or in \
                 double quotes, at most {MAX_BYTES} bytes, got {text:?}"
            )
        };
        let (first, rest) = part(text).ok_or_else(expected)?;
        if rest.is_empty() {
            return Ok(TableName {
                schema: None,
                table: first,
            });
        }
        let (second, rest) = rest.strip_prefix('.').and_then(part).ok_or_else(expected)?;
        if !rest.is_empty() {
            return Err(expected());
        }
        Ok(TableName {
            schema: Some(first),
            table: second,
        })
    }

    /// The table's own name, without its schema and without quotes.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// Its schema, quoted, if it is named with one.
    pub(crate) fn schema(&self) -> Option<String> {
        let schema = self.schema.as_ref()?;
        Some(format!("\"{}\"", schema.replace('"', "\"\"")))
    }

    /// The name of the metadata table that belongs to this table when none is configured.
    pub(super) fn with_suffix(&self, suffix: &str) -> Result<Self, String> {
        let table = format!("{}{suffix}", self.table);
        if table.len() > MAX_BYTES {
            return Err(format!(
                "{table:?} would be longer than {MAX_BYTES} bytes: set table_name_meta"
            ));
        }
        Ok(TableName {
            schema: self.schema.clone(),
            table,
        })
    }
}

/// Takes one part of a name off the front of `text`.
fn part(text: &str) -> Option<(String, &str)> {
    let (name, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted_part(quoted)?,
        None => {
            let end = text
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                .unwrap_or(text.len());
            let (name, rest) = text.split_at(end);
            let starts_well = name
                .chars()
                .next()
                .is_some_and(|c| c.is_alphabetic() || c == '_');
            if !starts_well {
                return None;
            }
            (name.to_ascii_lowercase(), rest)
        }
    };
    (!name.is_empty() && name.len() <= MAX_BYTES && !name.contains('\0')).then_some((name, rest))
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
            write!(f, "\"{}\".", schema.replace('"', "\"\""))?;
        }
        write!(f, "\"{}\"", self.table.replace('"', "\"\""))
    }
}

impl fmt::Debug for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::TableName;

    fn quoted(text: &str) -> Option<String> {
        TableName::parse(text).ok().map(|name| name.to_string())
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
        assert!(long.with_suffix("_meta").is_err());
    }
}
