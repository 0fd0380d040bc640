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
        let mut rest = start;
        for _ in 0..count {
            // the shortest way for what is right; what is wrong is looked at again, to be named
            rest = match rest {
                [b'n' | b'u', tail @ ..] => tail,
                [b't' | b'b', l0, l1, l2, l3, tail @ ..] => {
                    let length = u32::from_be_bytes([*l0, *l1, *l2, *l3]) as usize;
                    match tail.get(length..) {
                        Some(tail) if length <= LENGTH_MAX => tail,
                        _ => return Err(wrong(rest)),
                    }
                }
                _ => return Err(wrong(rest)),
            };
        }
        let cells = cursor.bytes(start.len() - rest.len(), "a column")?;
        Ok(Tuple { count, cells })
    }
}

/// Lengths are signed on the wire.
const LENGTH_MAX: usize = i32::MAX as usize;

/// What is wrong with the column that `rest` begins with.
#[cold]
fn wrong(rest: &[u8]) -> Malformed {
    let mut cursor = Cursor::new(rest);
    let mut walk = || -> Result<Malformed, Malformed> {
        match cursor.u8("a column's kind")? {
            b't' | b'b' => {}
            kind => return Err(Malformed::Value { what: "a column's kind", value: kind.into() }),
        }
        let length = cursor.i32("a column's length")?;
        match usize::try_from(length) {
            Ok(_) => Ok(Malformed::Short("a column's value")),
            Err(_) => Ok(Malformed::Value { what: "a column's length", value: length.into() }),
        }
    };
    match walk() {
        Ok(wrong) | Err(wrong) => wrong,
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
        // `Tuple::decode` has walked exactly these bytes: nothing here comes up short before the last column
        let (cell, rest) = match self.rest {
            [b'n', rest @ ..] => (TupleCell::Null, rest),
            [b'u', rest @ ..] => (TupleCell::Unchanged, rest),
            [kind, l0, l1, l2, l3, rest @ ..] => {
                let length = u32::from_be_bytes([*l0, *l1, *l2, *l3]) as usize;
                let (value, rest) = rest.split_at_checked(length)?;
                (
                    if *kind == b't' { TupleCell::Text(value) } else { TupleCell::Binary(value) },
                    rest,
                )
            }
            _ => return None,
        };
        self.left = self.left.saturating_sub(1);
        self.rest = rest;
        Some(cell)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.into(), Some(self.left.into()))
    }
}

impl ExactSizeIterator for TupleCells<'_> {}
