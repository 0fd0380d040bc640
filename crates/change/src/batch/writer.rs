use super::{Batch, Head, Slot, Tag, TransactionHead, to_u32};
use crate::{Decimal, Interval, Operation};

/// Where an event stands: in the log, in its transaction, among its table's events of the transaction.
/// An update that changes the key takes two places, this and the next: it is told as a delete and a create.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    pub at: u64,
    pub order: u64,
    pub table_order: u64,
}

#[derive(Debug)]
pub(super) enum Entry {
    Transaction { id: (usize, u32), committed_at: i64 },
    Event(Head),
}

/// Takes the cells of one row, left to right; inside [`begin_array`](RowWriter::begin_array) those of an array.
#[derive(Debug)]
#[must_use = "a row counts only when finished"]
pub struct RowWriter<'b> {
    batch: &'b mut Batch,
    entry: Entry,
    first: usize,
    /// Where in `scratch` each open array's elements begin.
    arrays: Vec<usize>,
}

impl<'b> RowWriter<'b> {
    pub(super) fn new(batch: &'b mut Batch, entry: Entry) -> Self {
        batch.scratch.clear();
        let first = batch.slots.len();
        Self { batch, entry, first, arrays: Vec::new() }
    }

    fn push(&mut self, tag: Tag, small: i16, length: u32, word: u64) {
        let slot = Slot { tag, small, length, word };
        if self.arrays.is_empty() {
            self.batch.slots.push(slot);
        } else {
            self.batch.scratch.push(slot);
        }
    }

    fn push_bytes(&mut self, tag: Tag, small: i16, bytes: &[u8]) {
        let (start, length) = self.batch.keep_bytes(bytes);
        self.push(tag, small, length, start as u64);
    }

    pub fn absent(&mut self) {
        self.push(Tag::Absent, 0, 0, 0);
    }

    pub fn null(&mut self) {
        self.push(Tag::Null, 0, 0, 0);
    }

    pub fn bool(&mut self, value: bool) {
        self.push(Tag::Bool, 0, 0, u64::from(value));
    }

    pub fn int(&mut self, value: i64) {
        self.push(Tag::Int, 0, 0, value.cast_unsigned());
    }

    pub fn uint(&mut self, value: u64) {
        self.push(Tag::UInt, 0, 0, value);
    }

    pub fn float32(&mut self, value: f32) {
        self.push(Tag::Float32, 0, 0, u64::from(value.to_bits()));
    }

    pub fn float64(&mut self, value: f64) {
        self.push(Tag::Float64, 0, 0, value.to_bits());
    }

    pub fn decimal(&mut self, value: Decimal<'_>) {
        match value {
            Decimal::Finite { unscaled, scale } => self.push_bytes(Tag::Decimal, scale, unscaled),
            Decimal::NotANumber => self.push(Tag::NotANumber, 0, 0, 0),
            Decimal::Infinity => self.push(Tag::Infinity, 0, 0, 0),
            Decimal::MinusInfinity => self.push(Tag::MinusInfinity, 0, 0, 0),
        }
    }

    pub fn date(&mut self, days: i32) {
        self.push(Tag::Date, 0, 0, i64::from(days).cast_unsigned());
    }

    pub fn time(&mut self, micros: i64) {
        self.push(Tag::Time, 0, 0, micros.cast_unsigned());
    }

    pub fn time_tz(&mut self, micros: i64, offset: i32) {
        self.push(Tag::TimeTz, 0, offset.cast_unsigned(), micros.cast_unsigned());
    }

    pub fn date_time(&mut self, micros: i64) {
        self.push(Tag::DateTime, 0, 0, micros.cast_unsigned());
    }

    pub fn instant(&mut self, micros: i64) {
        self.push(Tag::Instant, 0, 0, micros.cast_unsigned());
    }

    pub fn interval(&mut self, value: Interval) {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&value.months.to_le_bytes());
        bytes[4..8].copy_from_slice(&value.days.to_le_bytes());
        bytes[8..].copy_from_slice(&value.micros.to_le_bytes());
        self.push_bytes(Tag::Interval, 0, &bytes);
    }

    pub fn uuid(&mut self, value: [u8; 16]) {
        self.push_bytes(Tag::Uuid, 0, &value);
    }

    pub fn text(&mut self, value: &str) {
        let (start, length) = self.batch.keep_text(value);
        self.push(Tag::Text, 0, length, start as u64);
    }

    pub fn bytes(&mut self, value: &[u8]) {
        self.push_bytes(Tag::Bytes, 0, value);
    }

    /// # Panics
    /// When `bytes` is not `length` bits long, rounded up to whole bytes.
    pub fn bits(&mut self, length: u32, bytes: &[u8]) {
        assert_eq!(bytes.len(), length.div_ceil(8) as usize, "bits fill their bytes");
        let (start, _) = self.batch.keep_bytes(bytes);
        self.push(Tag::Bits, 0, length, start as u64);
    }

    pub fn point(&mut self, x: f64, y: f64) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&x.to_le_bytes());
        bytes[8..].copy_from_slice(&y.to_le_bytes());
        self.push_bytes(Tag::Point, 0, &bytes);
    }

    /// The cells that follow are elements of an array, until [`end_array`](Self::end_array).
    pub fn begin_array(&mut self) {
        self.arrays.push(self.batch.scratch.len());
    }

    /// # Panics
    /// When no array is open.
    pub fn end_array(&mut self) {
        let base = self.arrays.pop().expect("an array is open");
        let start = self.batch.elements.len();
        self.batch.elements.extend(self.batch.scratch.drain(base..));
        let length = to_u32(self.batch.elements.len() - start);
        self.push(Tag::Array, 0, length, start as u64);
    }

    /// The row is complete and becomes part of the batch.
    ///
    /// # Panics
    /// When the number of cells is not that of the table's columns (twice that for [`Batch::update`], none for
    /// a truncate), or an array is still open: a decoder's mistake, never an input's.
    pub fn finish(self) {
        assert!(self.arrays.is_empty(), "every array is closed");
        let written = self.batch.slots.len() - self.first;
        match self.entry {
            Entry::Transaction { id, committed_at } => {
                let facts = (self.first, to_u32(written));
                self.batch.transactions.push(TransactionHead {
                    id,
                    committed_at,
                    facts,
                    end: None,
                });
            }
            Entry::Event(head) => {
                let columns = self.batch.tables[head.table as usize].columns.len();
                let expected = match head.operation {
                    Operation::Truncate => 0,
                    _ if head.has_before => 2 * columns,
                    _ => columns,
                };
                assert_eq!(written, expected, "one cell a column");
                self.batch.heads.push(head);
            }
        }
    }
}
