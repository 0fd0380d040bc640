//! ErrorResponse and NoticeResponse: what the server has to say.

use std::fmt;

use crate::cursor::Cursor;
pub use crate::cursor::Malformed;

/// An error or notice of the server.
///
/// `Display` prints severity, code, message and hint. `detail` and `context` may hold values of rows (a violated key,
/// a line of COPY), so they are kept for a person who asks, and neither `Display` nor `Debug` shows them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ServerError {
    /// `ERROR`, `FATAL`, `PANIC` or a notice's level; not translated.
    pub severity: String,
    /// SQLSTATE, five characters.
    pub code: String,
    pub message: String,
    pub hint: Option<String>,
    /// May hold values of rows: never to be logged.
    pub detail: Option<String>,
    /// May hold values of rows: never to be logged.
    pub context: Option<String>,
    /// Character of the statement, from 1.
    pub position: Option<u32>,
    pub schema: Option<String>,
    pub table: Option<String>,
    pub column: Option<String>,
    pub constraint: Option<String>,
}

impl ServerError {
    /// Decodes the body of an ErrorResponse or NoticeResponse. Unknown fields are passed over, as the protocol asks.
    pub fn decode(body: &[u8]) -> Result<ServerError, Malformed> {
        let mut error = ServerError::default();
        let mut cursor = Cursor::new(body);
        loop {
            let field = cursor.u8("a field's type")?;
            if field == 0 {
                break;
            }
            // a server that has no encoding yet (before authentication) may send any bytes here
            let text = String::from_utf8_lossy(cursor.cstr("a field")?);
            match field {
                b'S' if error.severity.is_empty() => error.severity = text.into_owned(),
                b'V' => error.severity = text.into_owned(),
                b'C' => error.code = text.into_owned(),
                b'M' => error.message = text.into_owned(),
                b'H' => error.hint = Some(text.into_owned()),
                b'D' => error.detail = Some(text.into_owned()),
                b'W' => error.context = Some(text.into_owned()),
                b'P' => error.position = text.parse().ok(),
                b's' => error.schema = Some(text.into_owned()),
                b't' => error.table = Some(text.into_owned()),
                b'c' => error.column = Some(text.into_owned()),
                b'n' => error.constraint = Some(text.into_owned()),
                _ => {}
            }
        }
        cursor.end()?;
        Ok(error)
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity, self.code, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerError({self})")
    }
}

impl std::error::Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_row_values_are_not_printed() {
        let body = b"SFEHLER\0VERROR\0C23505\0Mduplicate key value violates unique constraint \"a_pkey\"\0\
            DKey (name)=(Ada) already exists.\0Hask someone\0P17\0spublic\0ta\0cname\0na_pkey\0WCOPY a, line 1: \"Ada\"\0\
            Fnbtinsert.c\0L666\0R_bt\0Znew\0\0";
        let error = ServerError::decode(body).unwrap();
        assert_eq!(
            error.to_string(),
            "ERROR 23505: duplicate key value violates unique constraint \"a_pkey\" (hint: ask someone)"
        );
        assert!(!format!("{error:?}").contains("Ada"));
        assert_eq!(error.detail.as_deref(), Some("Key (name)=(Ada) already exists."));
        assert_eq!(error.position, Some(17));
        assert_eq!(error.table.as_deref(), Some("a"));
    }

    #[test]
    fn damage_is_refused() {
        let cases: &[(&[u8], Malformed)] = &[
            (b"", Malformed::Short("a field's type")),
            (b"Mabc", Malformed::Short("a field")),
            (b"Mabc\0", Malformed::Short("a field's type")),
            (b"Mabc\0\0x", Malformed::Trailing(1)),
        ];
        for (body, expected) in cases {
            assert_eq!(ServerError::decode(body), Err(*expected));
        }
    }
}
