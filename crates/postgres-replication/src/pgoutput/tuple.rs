//! The columns of one row, borrowed.

use crate::cursor::{Cursor, Malformed};

/// One row as it came. Its count and every length were checked when it was decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    count: u16,
    cells: &'a [u8],
}

/// One column of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TupleCell<'a> {
    Null,
    /// A large value that the change left as it was: the server does not send it.
    Unchanged,
    Text(&'a [u8]),
    Binary(&'a [u8]),
}

impl std::fmt::Debug for TupleCell<'_> {
    /// The kind and the size, never the value.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TupleCell::Null => f.write_str("Null"),
            TupleCell::Unchanged => f.write_str("Unchanged"),
            TupleCell::Text(value) => write!(f, "Text({} bytes)", value.len()),
            TupleCell::Binary(value) => write!(f, "Binary({} bytes)", value.len()),
        }
    }
}

impl std::fmt::Debug for Tuple<'_> {
    /// The cells' kinds and sizes, never the values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.columns()).finish()
    }
}

impl<'a> Tuple<'a> {
    /// The number of columns; it need not be the relation's, so compare.
    pub fn len(&self) -> usize {
        self.count.into()
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of all cells with their heads: a bound on what the row needs.
    pub fn bytes(&self) -> usize {
        self.cells.len()
    }

    /// The columns in the relation's order.
    #[inline]
    pub fn columns(&self) -> TupleCells<'a> {
        TupleCells { left: self.count, rest: self.cells }
    }

    #[inline]
    pub(super) fn decode(cursor: &mut Cursor<'a>) -> Result<Tuple<'a>, Malformed> {
        let count = cursor.i16("the number of columns")?;
        let count = u16::try_from(count)
            .map_err(|_| Malformed::Value { what: "the number of columns", value: count.into() })?;
        let start = cursor.rest();
        for _ in 0..count {
            match cursor.u8("a column's kind")? {
                b'n' | b'u' => {}
                b't' | b'b' => {
                    let length = cursor.i32("a column's length")?;
                    let length = usize::try_from(length).map_err(|_| Malformed::Value {
                        what: "a column's length",
                        value: length.into(),
                    })?;
                    cursor.bytes(length, "a column's value")?;
                }
                kind => {
                    return Err(Malformed::Value { what: "a column's kind", value: kind.into() });
                }
            }
        }
        Ok(Tuple { count, cells: &start[..start.len() - cursor.remaining()] })
    }
}

impl<'a> IntoIterator for Tuple<'a> {
    type Item = TupleCell<'a>;
    type IntoIter = TupleCells<'a>;

    fn into_iter(self) -> TupleCells<'a> {
        self.columns()
    }
}

/// Iterates over the columns of a [`Tuple`].
#[derive(Clone)]
pub struct TupleCells<'a> {
    left: u16,
    rest: &'a [u8],
}

impl<'a> Iterator for TupleCells<'a> {
    type Item = TupleCell<'a>;

    #[inline]
    fn next(&mut self) -> Option<TupleCell<'a>> {
        // `Tuple::decode` has walked exactly these bytes: no read here comes up short before the last column
        let (kind, rest) = self.rest.split_first()?;
        self.left = self.left.saturating_sub(1);
        self.rest = rest;
        match kind {
            b'n' => return Some(TupleCell::Null),
            b'u' => return Some(TupleCell::Unchanged),
            _ => {}
        }
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        self.rest = rest;
        Some(if *kind == b't' { TupleCell::Text(value) } else { TupleCell::Binary(value) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.into(), Some(self.left.into()))
    }
}

impl ExactSizeIterator for TupleCells<'_> {}
