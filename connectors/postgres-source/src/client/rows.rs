//! The answer to a small query: text cells, all in memory.

use std::ops::Range;

use postgres_replication::error::Malformed;

use super::error::SessionError;

/// The largest answer that is collected; what may be larger goes by COPY.
pub(super) const RESULT_BYTES_MAX: usize = 64 << 20;

/// The rows of one statement, every value in its text form.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Rows {
    columns: Vec<String>,
    count: usize,
    /// `columns.len()` for each row: where its value stands in `text`.
    cells: Vec<Option<Range<usize>>>,
    text: String,
    /// CommandComplete's tag, such as `SELECT 3`.
    pub(super) tag: String,
}

impl std::fmt::Debug for Rows {
    /// The shape, never the values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rows({} of {:?}, {:?})", self.count, self.columns, self.tag)
    }
}

/// One row.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    rows: &'a Rows,
    index: usize,
}

impl Rows {
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What the server says it did: `SELECT 3`, `CREATE_REPLICATION_SLOT`.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    pub fn row(&self, index: usize) -> Option<Row<'_>> {
        (index < self.count).then_some(Row { rows: self, index })
    }

    pub fn first(&self) -> Option<Row<'_>> {
        self.row(0)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        (0..self.count).map(|index| Row { rows: self, index })
    }

    /// The value of a column in a row; `None` for NULL and for what is not there.
    pub fn get(&self, row: usize, column: &str) -> Option<&str> {
        self.row(row)?.get(column)
    }

    /// Takes in the body of a RowDescription.
    pub(super) fn described(body: &[u8]) -> Result<Rows, Malformed> {
        /// Table, column, type, size, modifier and format behind each name.
        const REST_BYTES: usize = 18;
        let (count, mut rest) =
            body.split_first_chunk().ok_or(Malformed::Short("the number of columns"))?;
        let mut columns = Vec::new();
        for _ in 0..u16::from_be_bytes(*count) {
            let end = rest
                .iter()
                .position(|byte| *byte == 0)
                .ok_or(Malformed::Short("a column's name"))?;
            let name = std::str::from_utf8(&rest[..end])
                .map_err(|_| Malformed::Utf8("a column's name"))?;
            columns.push(name.to_owned());
            rest = rest.get(end + 1 + REST_BYTES..).ok_or(Malformed::Short("a column's type"))?;
        }
        if !rest.is_empty() {
            return Err(Malformed::Trailing(rest.len()));
        }
        Ok(Rows { columns, ..Rows::default() })
    }

    /// Takes in the body of a DataRow.
    pub(super) fn push(&mut self, body: &[u8]) -> Result<(), Malformed> {
        let (count, mut rest) =
            body.split_first_chunk().ok_or(Malformed::Short("the number of values"))?;
        let count = u16::from_be_bytes(*count);
        if usize::from(count) != self.columns.len() {
            return Err(Malformed::Value { what: "the number of values", value: count.into() });
        }
        for _ in 0..count {
            let (length, tail) =
                rest.split_first_chunk().ok_or(Malformed::Short("a value's length"))?;
            let length = i32::from_be_bytes(*length);
            if length == -1 {
                self.cells.push(None);
                rest = tail;
                continue;
            }
            let length = usize::try_from(length)
                .map_err(|_| Malformed::Value { what: "a value's length", value: length.into() })?;
            let (value, tail) = tail.split_at_checked(length).ok_or(Malformed::Short("a value"))?;
            let value = std::str::from_utf8(value).map_err(|_| Malformed::Utf8("a value"))?;
            let start = self.text.len();
            self.text.push_str(value);
            self.cells.push(Some(start..self.text.len()));
            rest = tail;
        }
        if !rest.is_empty() {
            return Err(Malformed::Trailing(rest.len()));
        }
        self.count += 1;
        Ok(())
    }

    /// Bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.text.len() + self.cells.len() * size_of::<Option<Range<usize>>>()
    }
}

impl<'a> Row<'a> {
    /// The value of a column by its name; `None` for NULL and for a column that is not there.
    pub fn get(&self, column: &str) -> Option<&'a str> {
        self.at(self.rows.columns.iter().position(|name| name == column)?)
    }

    /// The value of the column at `index`; `None` for NULL and for a column that is not there.
    pub fn at(&self, index: usize) -> Option<&'a str> {
        if index >= self.rows.columns.len() {
            return None;
        }
        let range = self.rows.cells.get(self.index * self.rows.columns.len() + index)?.clone()?;
        self.rows.text.get(range)
    }

    /// The value of a column that is never NULL.
    pub fn value(&self, column: &str) -> Result<&'a str, SessionError> {
        self.get(column).ok_or_else(|| SessionError::NoValue(column.to_owned()))
    }
}
