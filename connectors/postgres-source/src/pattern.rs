//! Names of tables and columns, where `*` in a part of the name stands for any characters.
//!
//! A name that has a dot, a star or a quote of its own is written in double quotes, as in SQL: `public."odd.name"`.
//! Letters are compared as they are stored, so an unquoted name is *not* folded to lower case.

use std::fmt;

/// `schema.table`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TablePattern {
    schema: Glob,
    table: Glob,
}

/// `schema.table.column`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnPattern {
    table: TablePattern,
    column: Glob,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    #[error("write schema.table")]
    Table,
    #[error("write schema.table, or schema.table.column to leave out a column")]
    Excluded,
    #[error("a part of the name is empty")]
    EmptyPart,
    #[error("a quote is not closed, or does not begin or end a part")]
    Quote,
}

impl TablePattern {
    pub(crate) fn parse(text: &str) -> Result<TablePattern, PatternError> {
        let parts: [Glob; 2] = split(text)?.try_into().map_err(|_| PatternError::Table)?;
        let [schema, table] = parts;
        Ok(TablePattern { schema, table })
    }

    pub(crate) fn matches(&self, schema: &str, table: &str) -> bool {
        self.schema.matches(schema) && self.table.matches(table)
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema.0.join("*"), self.table.0.join("*"))
    }
}

/// What an entry of `exclude` leaves out: two parts name tables, three name columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Excluded {
    Tables(TablePattern),
    Columns(ColumnPattern),
}

impl Excluded {
    pub(crate) fn parse(text: &str) -> Result<Excluded, PatternError> {
        let mut parts = split(text)?.into_iter();
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(schema), Some(table), None, None) => {
                Ok(Excluded::Tables(TablePattern { schema, table }))
            }
            (Some(schema), Some(table), Some(column), None) => {
                let table = TablePattern { schema, table };
                Ok(Excluded::Columns(ColumnPattern { table, column }))
            }
            _ => Err(PatternError::Excluded),
        }
    }
}

impl ColumnPattern {
    pub(crate) fn matches(&self, schema: &str, table: &str, column: &str) -> bool {
        self.table.matches(schema, table) && self.column.matches(column)
    }
}

/// The texts between the stars: one more than there are stars.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Glob(Vec<String>);

impl Glob {
    fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else { return false };
        let Some(mut name) = name.strip_prefix(first.as_str()) else { return false };
        let Some((last, between)) = rest.split_last() else { return name.is_empty() };
        for part in between {
            // the leftmost place leaves the most for what follows
            let Some(at) = name.find(part.as_str()) else { return false };
            name = &name[at + part.len()..];
        }
        name.ends_with(last.as_str())
    }
}

fn split(text: &str) -> Result<Vec<Glob>, PatternError> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (glob, tail) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_part(quoted)?,
            None => {
                let (part, tail) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
                if part.contains('"') {
                    return Err(PatternError::Quote);
                }
                (Glob(part.split('*').map(str::to_owned).collect()), tail)
            }
        };
        if glob.0.len() == 1 && glob.0[0].is_empty() {
            return Err(PatternError::EmptyPart);
        }
        parts.push(glob);
        match tail.strip_prefix('.') {
            Some(tail) => rest = tail,
            None if tail.is_empty() => return Ok(parts),
            None => return Err(PatternError::Quote),
        }
    }
}

/// Up to the closing quote, where two quotes are one.
fn quoted_part(text: &str) -> Result<(Glob, &str), PatternError> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (part, tail) = rest.split_once('"').ok_or(PatternError::Quote)?;
        name.push_str(part);
        match tail.strip_prefix('"') {
            Some(tail) => {
                name.push('"');
                rest = tail;
            }
            None => return Ok((Glob(vec![name]), tail)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_written() {
        let cases = [
            ("public.orders", "public", "orders", true),
            ("public.orders", "public", "Orders", false),
            ("public.*", "public", "", true),
            ("*.*", "a", "b", true),
            ("public.order*", "public", "order", true),
            ("public.*_log", "public", "a_log", true),
            ("public.*_log", "public", "a_log_1", false),
            ("public.a*b*c", "public", "a-b-b-c", true),
            ("public.a*b*c", "public", "acb", false),
            ("public.ab*ba", "public", "aba", false),
            (r#"public."a.b""#, "public", "a.b", true),
            (r#"public."a*""#, "public", "ab", false),
            (r#""say ""x""".t"#, r#"say "x""#, "t", true),
        ];
        for (pattern, schema, table, expected) in cases {
            let parsed = TablePattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(schema, table), expected, "{pattern} on {schema}.{table}");
        }
    }

    #[test]
    fn malformed_patterns_say_what_is_expected() {
        let cases = [
            ("orders", PatternError::Table),
            ("a.b.c", PatternError::Table),
            (".b", PatternError::EmptyPart),
            ("a.", PatternError::EmptyPart),
            ("", PatternError::EmptyPart),
            (r#"a."b"#, PatternError::Quote),
            (r#"a."b"c"#, PatternError::Quote),
            (r#"a.b""#, PatternError::Quote),
        ];
        for (pattern, expected) in cases {
            assert_eq!(TablePattern::parse(pattern), Err(expected), "{pattern}");
        }
        for pattern in ["a", "a.b.c.d"] {
            assert_eq!(Excluded::parse(pattern), Err(PatternError::Excluded));
        }
    }
}
