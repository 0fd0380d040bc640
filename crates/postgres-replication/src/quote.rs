//! Names and strings inside statements: the only place where text becomes SQL.
//!
//! A zero byte ends a string on this wire, so text that holds one is refused rather than cut short.

/// The text holds a zero byte, which no statement can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text holds a zero byte")]
pub struct ZeroByte;

/// `name` as a quoted identifier, in SQL and in replication commands alike.
pub fn quote_identifier(name: &str) -> Result<String, ZeroByte> {
    quoted(name, '"', false)
}

/// `text` as a string of SQL, whatever `standard_conforming_strings` is: with a backslash in it, it becomes `E'..'`.
///
/// Not for replication commands, whose grammar has no `E'..'`; those are built in [`command`](crate::command).
pub fn quote_literal(text: &str) -> Result<String, ZeroByte> {
    if text.contains('\\') {
        quoted(text, '\'', true).map(|quoted| format!(" E{quoted}"))
    } else {
        quoted(text, '\'', false)
    }
}

/// `text` as a string of a replication command, where a backslash is a character like any other.
pub(crate) fn quote_command_string(text: &str) -> Result<String, ZeroByte> {
    quoted(text, '\'', false)
}

fn quoted(text: &str, mark: char, escape_backslash: bool) -> Result<String, ZeroByte> {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(mark);
    for c in text.chars() {
        match c {
            '\0' => return Err(ZeroByte),
            c if c == mark || (c == '\\' && escape_backslash) => out.extend([c, c]),
            c => out.push(c),
        }
    }
    out.push(mark);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a quoted text as the server's scanner does; what follows the closing mark must be nothing.
    fn parse(quoted: &str) -> Option<String> {
        let escape = quoted.starts_with(" E");
        let body = if escape { &quoted[2..] } else { quoted };
        let mark = body.chars().next()?;
        let mut chars = body[1..].chars().peekable();
        let mut text = String::new();
        while let Some(c) = chars.next() {
            match c {
                c if c == mark => match chars.next() {
                    Some(next) if next == mark => text.push(mark),
                    Some(_) => return None,
                    None => return Some(text),
                },
                '\\' if escape => text.push(chars.next().filter(|c| *c == '\\')?),
                c => text.push(c),
            }
        }
        None
    }

    #[test]
    fn quoting_by_example() {
        assert_eq!(quote_identifier("Orders \"2\"").unwrap(), "\"Orders \"\"2\"\"\"");
        assert_eq!(quote_literal("it's").unwrap(), "'it''s'");
        assert_eq!(quote_literal(r"a\'b").unwrap(), r" E'a\\''b'");
        assert_eq!(quote_command_string(r"a\'b").unwrap(), r"'a\''b'");
        for quote in [quote_identifier, quote_literal, quote_command_string] {
            assert_eq!(quote("a\0b"), Err(ZeroByte));
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_parses_back(text in r#"([^\x00]|['"\\])*"#) {
            for quote in [quote_identifier, quote_literal, quote_command_string] {
                prop_assert_eq!(parse(&quote(&text).unwrap()), Some(text.clone()));
            }
        }
    }
}
