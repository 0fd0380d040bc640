//! The binary format of `COPY .. TO STDOUT (FORMAT binary)`.
//!
//! ```text
//!   "PGCOPY\n\xff\r\n\0"  flags:i32  extension:i32+bytes    once, in front
//!   count:i16  ( length:i32  bytes | -1 )*                   a row each
//!   -1:i16                                                   once, at the end
//! ```
//!
//! The server puts a row into a CopyData message each, the head together with the first row and the end into a message
//! of its own. The format does not promise that, so a row may also be spread over messages: what is left over is carried
//! to the next one, up to a limit. A row that is whole in its message is borrowed from it, not copied.
//!
//! A copy is complete only when the end was read *and* the server has said CommandComplete: a connection that is cut
//! between two rows looks like the end otherwise, and the rest of the table would be missing without an error.

use crate::cursor::{Cursor, Malformed};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// The largest extension of the head that is passed over; no server writes one.
const EXTENSION_BYTES_MAX: usize = 1 << 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    #[error("the data do not begin as a binary copy does")]
    Signature,
    #[error("the copy has the unknown critical flags {0:#x}")]
    Flags(u32),
    #[error("a malformed copy")]
    Malformed(#[from] Malformed),
    #[error("a row of more than {max} bytes")]
    RowTooLarge { max: usize },
    #[error("data after the end of the copy")]
    AfterEnd,
    #[error("the copy has no end: rows are missing")]
    NoEnd,
}

/// One row. Its count and every length were checked when it was decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CopyRow<'a> {
    count: u16,
    cells: &'a [u8],
}

impl std::fmt::Debug for CopyRow<'_> {
    /// The sizes, never the values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.cells().map(|cell| cell.map(<[u8]>::len))).finish()
    }
}

impl<'a> CopyRow<'a> {
    pub fn len(&self) -> usize {
        self.count.into()
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of all cells with their lengths.
    pub fn bytes(&self) -> usize {
        self.cells.len()
    }

    /// The columns in the statement's order; `None` is NULL.
    #[inline]
    pub fn cells(&self) -> CopyCells<'a> {
        CopyCells { rest: self.cells }
    }
}

/// Iterates over the columns of a [`CopyRow`].
#[derive(Clone)]
pub struct CopyCells<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for CopyCells<'a> {
    type Item = Option<&'a [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        // the decoder has walked exactly these bytes
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            return Some(None);
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Some(value))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Rows,
    Ended,
}

/// Makes rows of the payloads of CopyData messages.
pub struct CopyDecoder {
    state: State,
    /// The beginning of a row whose rest has not come yet; empty when a message ends with its row.
    carried: Vec<u8>,
    row_bytes_max: usize,
}

impl std::fmt::Debug for CopyDecoder {
    /// How far it is, never what it holds.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CopyDecoder({:?}, {} bytes carried)", self.state, self.carried.len())
    }
}

/// What stands at the front of the bytes at hand.
enum Item<'a> {
    Head,
    Row(CopyRow<'a>),
    End,
    /// More bytes are needed.
    Partial,
}

impl CopyDecoder {
    /// `row_bytes_max` bounds what is carried of a row that is spread over messages.
    pub fn new(row_bytes_max: usize) -> CopyDecoder {
        CopyDecoder { state: State::Head, carried: Vec::new(), row_bytes_max }
    }

    /// Calls `each` with every row that `payload` completes, in order. After an error the decoder is of no use.
    pub fn feed<E: From<CopyError>>(
        &mut self,
        payload: &[u8],
        mut each: impl FnMut(CopyRow<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.carried.is_empty() {
            let left = walk(&mut self.state, payload, &mut each)?;
            self.check_room(left.len())?;
            self.carried.extend_from_slice(left);
            return Ok(());
        }
        self.check_room(self.carried.len() + payload.len())?;
        self.carried.extend_from_slice(payload);
        let left = walk(&mut self.state, &self.carried, &mut each)?.len();
        self.carried.drain(..self.carried.len() - left);
        Ok(())
    }

    /// To be called when the server has said CommandComplete: the format's own end must have been read too.
    pub fn finish(self) -> Result<(), CopyError> {
        if self.state == State::Ended { Ok(()) } else { Err(CopyError::NoEnd) }
    }

    fn check_room(&self, bytes: usize) -> Result<(), CopyError> {
        if bytes > self.row_bytes_max {
            Err(CopyError::RowTooLarge { max: self.row_bytes_max })
        } else {
            Ok(())
        }
    }
}

/// Takes whole items off `bytes` and returns what is left of them.
fn walk<'a, E: From<CopyError>>(
    state: &mut State,
    mut bytes: &'a [u8],
    each: &mut impl FnMut(CopyRow<'_>) -> Result<(), E>,
) -> Result<&'a [u8], E> {
    while !bytes.is_empty() {
        let mut cursor = Cursor::new(bytes);
        let item = match state {
            State::Head => read_head(&mut cursor),
            State::Rows => read_row(&mut cursor),
            State::Ended => Err(CopyError::AfterEnd),
        };
        match item? {
            Item::Partial => break,
            Item::Head => *state = State::Rows,
            Item::End => *state = State::Ended,
            Item::Row(row) => each(row)?,
        }
        bytes = cursor.rest();
    }
    Ok(bytes)
}

/// Fewer bytes than needed is no error while more may come.
fn partial<'a>(result: Result<Item<'a>, CopyError>) -> Result<Item<'a>, CopyError> {
    match result {
        Err(CopyError::Malformed(Malformed::Short(_))) => Ok(Item::Partial),
        other => other,
    }
}

fn read_head<'a>(cursor: &mut Cursor<'a>) -> Result<Item<'a>, CopyError> {
    let here = cursor.rest().len().min(SIGNATURE.len());
    if cursor.rest()[..here] != SIGNATURE[..here] {
        return Err(CopyError::Signature);
    }
    partial((|| {
        cursor.bytes(SIGNATURE.len(), "the signature")?;
        let flags = cursor.u32("the flags")?;
        // the upper half are flags that a reader must know; bit 16 announced row ids, which no supported server has
        if flags >> 16 != 0 {
            return Err(CopyError::Flags(flags));
        }
        let extension = cursor.u32("the extension's length")? as usize;
        if extension > EXTENSION_BYTES_MAX {
            let value = i64::try_from(extension).unwrap_or(i64::MAX);
            return Err(Malformed::Value { what: "the extension's length", value }.into());
        }
        cursor.bytes(extension, "the extension")?;
        Ok(Item::Head)
    })())
}

fn read_row<'a>(cursor: &mut Cursor<'a>) -> Result<Item<'a>, CopyError> {
    partial((|| {
        let count = cursor.i16("the number of columns")?;
        if count == -1 {
            return Ok(Item::End);
        }
        let count = u16::try_from(count)
            .map_err(|_| Malformed::Value { what: "the number of columns", value: count.into() })?;
        let start = cursor.rest();
        for _ in 0..count {
            match cursor.i32("a column's length")? {
                -1 => {}
                length => {
                    let length = usize::try_from(length).map_err(|_| Malformed::Value {
                        what: "a column's length",
                        value: length.into(),
                    })?;
                    cursor.bytes(length, "a column's value")?;
                }
            }
        }
        Ok(Item::Row(CopyRow { count, cells: &start[..start.len() - cursor.remaining()] }))
    })())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Vec<u8> {
        [&SIGNATURE[..], &[0; 8]].concat()
    }

    fn row(cells: &[Option<&[u8]>]) -> Vec<u8> {
        let mut out = (cells.len() as i16).to_be_bytes().to_vec();
        for cell in cells {
            match cell {
                None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(value) => {
                    out.extend_from_slice(&(value.len() as i32).to_be_bytes());
                    out.extend_from_slice(value);
                }
            }
        }
        out
    }

    type Owned = Vec<Vec<Option<Vec<u8>>>>;

    fn decode(payloads: &[&[u8]], max: usize) -> Result<Owned, CopyError> {
        let mut decoder = CopyDecoder::new(max);
        let mut rows = Owned::new();
        for payload in payloads {
            decoder.feed(payload, |row| {
                assert_eq!(row.cells().count(), row.len());
                rows.push(row.cells().map(|cell| cell.map(<[u8]>::to_vec)).collect());
                Ok::<_, CopyError>(())
            })?;
        }
        decoder.finish().map(|()| rows)
    }

    #[test]
    fn rows_come_out_however_the_messages_are_cut() {
        let rows = [
            row(&[Some(b"1"), None, Some(b"")]),
            row(&[]),
            row(&[Some(&[9; 300]), Some(b"x"), None]),
        ];
        let whole = [&head()[..], &rows.concat(), &[0xFF, 0xFF]].concat();
        let expected = decode(&[&whole], 1000).unwrap();
        assert_eq!(expected.len(), 3);
        assert_eq!(expected[0], [Some(b"1".to_vec()), None, Some(vec![])]);
        for size in 1..whole.len() {
            let payloads: Vec<&[u8]> = whole.chunks(size).collect();
            assert_eq!(decode(&payloads, 1000).as_ref(), Ok(&expected), "messages of {size} bytes");
        }
        for cut in 0..whole.len() {
            assert_eq!(decode(&[&whole[..cut]], 1000), Err(CopyError::NoEnd), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_copy_is_refused() {
        let value = |what, value| CopyError::Malformed(Malformed::Value { what, value });
        let with_flags = [&SIGNATURE[..], &[0, 1, 0, 0, 0, 0, 0, 0]].concat();
        let with_extension = [&SIGNATURE[..], &[0, 0, 0, 0, 0x7F, 0, 0, 0]].concat();
        let after = |tail: &[u8]| [&head()[..], tail].concat();
        let cases: Vec<(Vec<u8>, CopyError)> = vec![
            (b"1\tone\n".to_vec(), CopyError::Signature),
            (with_flags, CopyError::Flags(0x1_0000)),
            (with_extension, value("the extension's length", 0x7F00_0000)),
            (after(&[0x80, 0]), value("the number of columns", -32768)),
            (after(&[0, 1, 0xFF, 0xFF, 0xFF, 0xFE]), value("a column's length", -2)),
            (after(&[0xFF, 0xFF, 0]), CopyError::AfterEnd),
            (
                after(&[&[0, 1, 0x7F, 0, 0, 0][..], &[0; 100]].concat()),
                CopyError::RowTooLarge { max: 50 },
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(decode(&[&bytes], 50), Err(expected));
        }
    }
}
