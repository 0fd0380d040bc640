//! The one thing that moves: rows of many tables, in log order, in one arena.
//!
//! ```text
//! tables        [Arc<Table>]                          schema versions used by this batch
//! transactions  [id, commit time, facts, end?]        in log order
//! heads         [table, transaction, operation, ..] --+
//! slots         [16 bytes][16 bytes].. one per cell <-+   before image first, then after image
//! elements      slots of arrays' elements, children before parents
//! text, bytes   what does not fit into a slot
//! ```
//! Writing a row pushes slots and copies bytes; reading one is an index and a tag. After [`Batch::clear`] all
//! capacity is kept, so a batch that is used again allocates nothing per row. A row becomes part of the batch
//! only in [`RowWriter::finish`]: one that fails half way leaves slots that nothing points at.

use std::sync::Arc;

use crate::{Cell, Decimal, Interval, Table, Value};

mod view;
mod writer;

pub use view::{Change, Elements, Event, Operation, Row, Transaction, TransactionEnd};
use writer::Entry;
pub use writer::{Place, RowWriter};

/// Rows in log order with all that is needed to read them.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    tables: Vec<Arc<Table>>,
    transactions: Vec<TransactionHead>,
    ends: Vec<EndHead>,
    counts: Vec<(u32, u64)>,
    heads: Vec<Head>,
    slots: Vec<Slot>,
    elements: Vec<Slot>,
    scratch: Vec<Slot>,
    text: String,
    bytes: Vec<u8>,
}

/// 16 bytes a cell. `word` is the value itself, or an offset into one of the arenas with `length` beside it.
#[derive(Debug, Clone, Copy)]
struct Slot {
    tag: Tag,
    small: i16,
    length: u32,
    word: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Tag {
    Absent,
    Null,
    Bool,
    Int,
    UInt,
    Float32,
    Float64,
    Decimal,
    NotANumber,
    Infinity,
    MinusInfinity,
    Date,
    Time,
    TimeTz,
    DateTime,
    Instant,
    Interval,
    Uuid,
    Text,
    Bytes,
    Bits,
    Point,
    Array,
}

#[derive(Debug, Clone, Copy)]
struct TransactionHead {
    id: (usize, u32),
    committed_at: i64,
    facts: (usize, u32),
    end: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct EndHead {
    events: u64,
    counts: (usize, u32),
}

#[derive(Debug, Clone, Copy)]
struct Head {
    table: u32,
    transaction: u32,
    operation: Operation,
    has_before: bool,
    first: usize,
    at: u64,
    order: u64,
    table_order: u64,
}

impl Batch {
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.tables.clear();
        self.transactions.clear();
        self.ends.clear();
        self.counts.clear();
        self.heads.clear();
        self.slots.clear();
        self.elements.clear();
        self.scratch.clear();
        self.text.clear();
        self.bytes.clear();
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Memory taken by the content, in bytes: what a queue's budget counts.
    pub fn size(&self) -> usize {
        size_of::<Slot>() * (self.slots.len() + self.elements.len())
            + size_of::<Head>() * self.heads.len()
            + size_of::<TransactionHead>() * self.transactions.len()
            + self.text.len()
            + self.bytes.len()
    }

    /// Schema versions that this batch's events use; pointers tell versions apart.
    pub fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// Transactions in log order, also those without events.
    pub fn transactions(&self) -> impl ExactSizeIterator<Item = Transaction<'_>> {
        (0..self.transactions.len()).map(|index| self.transaction(index))
    }

    /// The transaction of this [`Transaction::index`].
    ///
    /// # Panics
    /// When there is none, as a slice would.
    pub fn transaction(&self, index: usize) -> Transaction<'_> {
        Transaction { batch: self, head: &self.transactions[index], index }
    }

    pub fn events(&self) -> impl ExactSizeIterator<Item = Event<'_>> {
        self.heads.iter().map(|head| self.event(head))
    }

    /// The event of this index; None behind the last.
    pub fn get(&self, index: usize) -> Option<Event<'_>> {
        self.heads.get(index).map(|head| self.event(head))
    }

    fn event<'a>(&'a self, head: &Head) -> Event<'a> {
        let table = &self.tables[head.table as usize];
        let len = table.columns.len();
        let row = |first| Row { batch: self, first, len };
        let change = match head.operation {
            Operation::Read => Change::Read(row(head.first)),
            Operation::Insert => Change::Insert(row(head.first)),
            Operation::Delete => Change::Delete(row(head.first)),
            Operation::Update if head.has_before => {
                Change::Update { before: Some(row(head.first)), after: row(head.first + len) }
            }
            Operation::Update => Change::Update { before: None, after: row(head.first) },
            Operation::Truncate => Change::Truncate,
            Operation::Message => Change::Message(row(head.first)),
        };
        let transaction = self.transaction(head.transaction as usize);
        let Head { at, order, table_order, .. } = *head;
        Event { table, transaction, change, at, order, table_order }
    }

    /// Opens a transaction: the events that follow belong to it. The writer takes its facts.
    /// A transaction that goes on in a new batch is opened there again with the same id.
    pub fn begin(&mut self, id: &str, committed_at: i64) -> RowWriter<'_> {
        let id = self.keep_text(id);
        RowWriter::new(self, Entry::Transaction { id, committed_at })
    }

    /// The open transaction has all its events. `counts`: captured events by table.
    ///
    /// # Panics
    /// When no transaction was begun in this batch.
    pub fn end<'t>(
        &mut self,
        events: u64,
        counts: impl IntoIterator<Item = (&'t Arc<Table>, u64)>,
    ) {
        let start = self.counts.len();
        for (table, count) in counts {
            let table = self.intern(table);
            self.counts.push((table, count));
        }
        let counts = (start, to_u32(self.counts.len() - start));
        let index = to_u32(self.ends.len());
        self.ends.push(EndHead { events, counts });
        self.transactions.last_mut().expect("a transaction is open").end = Some(index);
    }

    /// A row of `table`; the writer takes one cell a column.
    ///
    /// # Panics
    /// When no transaction was begun in this batch.
    pub fn row(&mut self, table: &Arc<Table>, operation: Operation, place: Place) -> RowWriter<'_> {
        self.change(table, operation, false, place)
    }

    /// An update whose old image is known, at least in part: the writer takes the cells of the old image, then
    /// those of the new one.
    pub fn update(&mut self, table: &Arc<Table>, place: Place) -> RowWriter<'_> {
        self.change(table, Operation::Update, true, place)
    }

    fn change(
        &mut self,
        table: &Arc<Table>,
        operation: Operation,
        has_before: bool,
        place: Place,
    ) -> RowWriter<'_> {
        let table = self.intern(table);
        let transaction =
            to_u32(self.transactions.len().checked_sub(1).expect("a transaction is open"));
        let first = self.slots.len();
        let Place { at, order, table_order } = place;
        let head =
            Head { table, transaction, operation, has_before, first, at, order, table_order };
        RowWriter::new(self, Entry::Event(head))
    }

    fn intern(&mut self, table: &Arc<Table>) -> u32 {
        // From the end: rows of one table come in runs, and versions are few.
        let known = self.tables.iter().rposition(|other| Arc::ptr_eq(other, table));
        to_u32(known.unwrap_or_else(|| {
            self.tables.push(Arc::clone(table));
            self.tables.len() - 1
        }))
    }

    fn keep_text(&mut self, text: &str) -> (usize, u32) {
        let start = self.text.len();
        self.text.push_str(text);
        (start, to_u32(text.len()))
    }

    fn keep_bytes(&mut self, bytes: &[u8]) -> (usize, u32) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        (start, to_u32(bytes.len()))
    }

    #[inline]
    fn cell(&self, slot: Slot) -> Cell<'_> {
        let signed = slot.word.cast_signed();
        let start = slot.word as usize;
        let bytes = |length: u32| &self.bytes[start..start + length as usize];
        Cell::Value(match slot.tag {
            Tag::Absent => return Cell::Absent,
            Tag::Null => return Cell::Null,
            Tag::Bool => Value::Bool(slot.word != 0),
            Tag::Int => Value::Int(signed),
            Tag::UInt => Value::UInt(slot.word),
            Tag::Float32 => Value::Float32(f32::from_bits(slot.word as u32)),
            Tag::Float64 => Value::Float64(f64::from_bits(slot.word)),
            Tag::Decimal => {
                Value::Decimal(Decimal::Finite { unscaled: bytes(slot.length), scale: slot.small })
            }
            Tag::NotANumber => Value::Decimal(Decimal::NotANumber),
            Tag::Infinity => Value::Decimal(Decimal::Infinity),
            Tag::MinusInfinity => Value::Decimal(Decimal::MinusInfinity),
            Tag::Date => Value::Date(signed as i32),
            Tag::Time => Value::Time(signed),
            Tag::TimeTz => Value::TimeTz { micros: signed, offset: slot.length.cast_signed() },
            Tag::DateTime => Value::DateTime(signed),
            Tag::Instant => Value::Instant(signed),
            Tag::Interval => {
                let part = bytes(16);
                Value::Interval(Interval {
                    months: i32::from_le_bytes(fixed(&part[..4])),
                    days: i32::from_le_bytes(fixed(&part[4..8])),
                    micros: i64::from_le_bytes(fixed(&part[8..])),
                })
            }
            Tag::Uuid => Value::Uuid(fixed(bytes(16))),
            Tag::Text => Value::Text(&self.text[start..start + slot.length as usize]),
            Tag::Bytes => Value::Bytes(bytes(slot.length)),
            Tag::Bits => Value::Bits { length: slot.length, bytes: bytes(slot.length.div_ceil(8)) },
            Tag::Point => {
                let part = bytes(16);
                Value::Point {
                    x: f64::from_le_bytes(fixed(&part[..8])),
                    y: f64::from_le_bytes(fixed(&part[8..])),
                }
            }
            Tag::Array => {
                Value::Array(Elements { batch: self, first: start, len: slot.length as usize })
            }
        })
    }
}

fn to_u32(value: usize) -> u32 {
    u32::try_from(value)
        .expect("a batch's parts are counted in 32 bits: sources cut batches far below 4 GiB")
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the caller cut exactly N bytes")
}
