//! Arrays: `{1,NULL,"a b"}`, nested for more dimensions, with bounds in front when they do not begin at 1.
//!
//! An element of an array of two dimensions is an array. The lower bounds are not kept: no consumer has them.

use change::RowWriter;

use super::{CellError, Decoder};

/// The database's own bound on dimensions.
const DIMENSIONS_MAX: usize = 6;
const MALFORMED: CellError = CellError::Malformed("array");

pub(super) fn text(
    value: &[u8],
    element: &Decoder,
    delimiter: u8,
    row: &mut RowWriter<'_>,
) -> Result<(), CellError> {
    let body = match value {
        [b'[', ..] => {
            let equals = value.iter().position(|byte| *byte == b'=').ok_or(MALFORMED)?;
            &value[equals + 1..]
        }
        _ => value,
    };
    let mut parser = Parser { rest: body, element, delimiter, unescaped: Vec::new() };
    parser.array(DIMENSIONS_MAX, row)?;
    if parser.rest.is_empty() { Ok(()) } else { Err(MALFORMED) }
}

struct Parser<'a> {
    rest: &'a [u8],
    element: &'a Decoder,
    delimiter: u8,
    unescaped: Vec<u8>,
}

impl Parser<'_> {
    fn take(&mut self) -> Result<u8, CellError> {
        let (first, rest) = self.rest.split_first().ok_or(MALFORMED)?;
        self.rest = rest;
        Ok(*first)
    }

    fn array(&mut self, depth: usize, row: &mut RowWriter<'_>) -> Result<(), CellError> {
        if depth == 0 || self.take()? != b'{' {
            return Err(MALFORMED);
        }
        row.begin_array();
        if self.rest.first() == Some(&b'}') {
            self.take()?;
            row.end_array();
            return Ok(());
        }
        loop {
            match self.rest.first().ok_or(MALFORMED)? {
                b'{' => self.array(depth - 1, row)?,
                b'"' => self.quoted(row)?,
                _ => self.plain(row)?,
            }
            match self.take()? {
                b'}' => break,
                byte if byte == self.delimiter => {}
                _ => return Err(MALFORMED),
            }
        }
        row.end_array();
        Ok(())
    }

    fn quoted(&mut self, row: &mut RowWriter<'_>) -> Result<(), CellError> {
        self.take()?;
        self.unescaped.clear();
        loop {
            match self.take()? {
                b'"' => break,
                b'\\' => {
                    let byte = self.take()?;
                    self.unescaped.push(byte);
                }
                byte => self.unescaped.push(byte),
            }
        }
        self.element.text(&self.unescaped, row)
    }

    fn plain(&mut self, row: &mut RowWriter<'_>) -> Result<(), CellError> {
        let delimiter = self.delimiter;
        let end = self.rest.iter().position(|byte| *byte == delimiter || *byte == b'}');
        let (value, rest) = self.rest.split_at(end.ok_or(MALFORMED)?);
        self.rest = rest;
        match value {
            b"" => Err(MALFORMED),
            b"NULL" => {
                row.null();
                Ok(())
            }
            value => self.element.text(value, row),
        }
    }
}

/// Dimensions, flags, element type; a size and a lower bound for each dimension; then the elements.
pub(super) fn binary(
    value: &[u8],
    element: &Decoder,
    row: &mut RowWriter<'_>,
) -> Result<(), CellError> {
    let mut rest = value;
    let dimensions = usize::try_from(int(&mut rest)?).map_err(|_| MALFORMED)?;
    int(&mut rest)?;
    int(&mut rest)?;
    if dimensions > DIMENSIONS_MAX {
        return Err(MALFORMED);
    }
    let mut sizes = [0_usize; DIMENSIONS_MAX];
    for size in &mut sizes[..dimensions] {
        // every element takes at least four bytes, so no array has more elements than bytes
        *size = usize::try_from(int(&mut rest)?).map_err(|_| MALFORMED)?;
        if *size == 0 || *size > value.len() {
            return Err(MALFORMED);
        }
        int(&mut rest)?;
    }
    if dimensions == 0 {
        row.begin_array();
        row.end_array();
    } else {
        nested(&mut rest, &sizes[..dimensions], element, row)?;
    }
    if rest.is_empty() { Ok(()) } else { Err(MALFORMED) }
}

fn nested(
    rest: &mut &[u8],
    sizes: &[usize],
    element: &Decoder,
    row: &mut RowWriter<'_>,
) -> Result<(), CellError> {
    let Some((size, inner)) = sizes.split_first() else {
        let Ok(length) = usize::try_from(int(rest)?) else {
            row.null();
            return Ok(());
        };
        let (value, tail) = rest.split_at_checked(length).ok_or(MALFORMED)?;
        *rest = tail;
        return element.binary(value, row);
    };
    row.begin_array();
    for _ in 0..*size {
        nested(rest, inner, element, row)?;
    }
    row.end_array();
    Ok(())
}

fn int(rest: &mut &[u8]) -> Result<i32, CellError> {
    let (bytes, tail) = rest.split_first_chunk::<4>().ok_or(MALFORMED)?;
    *rest = tail;
    Ok(i32::from_be_bytes(*bytes))
}
