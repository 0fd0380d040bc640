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

use crate::{Cell, Decimal, Interval, Table, TableName, Value};

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

/// What happened to a row (or to a whole table).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A copied row: it exists, nothing changed.
    Read,
    Insert,
    Update,
    Delete,
    /// All rows of the table are gone. No cells.
    Truncate,
    /// An application's own message in the log; the row's cells are what the source's message table says.
    Message,
}

/// One row change inside a batch.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    pub table: &'a Arc<Table>,
    pub transaction: Transaction<'a>,
    pub change: Change<'a>,
    /// Where the log holds this change: an LSN, a log position.
    pub at: u64,
    /// Ordinal among the transaction's events, from 1.
    pub order: u64,
    /// Ordinal among the transaction's events of this table, from 1.
    pub table_order: u64,
}

#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    Read(Row<'a>),
    Insert(Row<'a>),
    Update { before: Option<Row<'a>>, after: Row<'a> },
    Delete(Row<'a>),
    Truncate,
    Message(Row<'a>),
}

impl Change<'_> {
    pub fn operation(&self) -> Operation {
        match self {
            Change::Read(_) => Operation::Read,
            Change::Insert(_) => Operation::Insert,
            Change::Update { .. } => Operation::Update,
            Change::Delete(_) => Operation::Delete,
            Change::Truncate => Operation::Truncate,
            Change::Message(_) => Operation::Message,
        }
    }
}

/// The source transaction an event belongs to; for copied rows the copy stands in for it.
#[derive(Debug, Clone, Copy)]
pub struct Transaction<'a> {
    batch: &'a Batch,
    head: &'a TransactionHead,
}

impl<'a> Transaction<'a> {
    /// The source's own name of the transaction (xid, GTID); unique together with the position.
    pub fn id(&self) -> &'a str {
        let (start, length) = self.head.id;
        &self.batch.text[start..start + length as usize]
    }

    /// Microseconds since 1970 UTC, by the source's clock.
    pub fn committed_at(&self) -> i64 {
        self.head.committed_at
    }

    /// What the source tells of the transaction for the messages' source block, in the source's own order.
    pub fn facts(&self) -> Row<'a> {
        let (start, length) = self.head.facts;
        Row { batch: self.batch, first: start, len: length as usize }
    }

    /// Set when the transaction's last event is in this batch.
    pub fn end(&self) -> Option<TransactionEnd<'a>> {
        self.head.end.map(|index| TransactionEnd {
            batch: self.batch,
            head: &self.batch.ends[index as usize],
        })
    }
}

/// What a transaction held in all, over all batches it came in.
#[derive(Debug, Clone, Copy)]
pub struct TransactionEnd<'a> {
    batch: &'a Batch,
    head: &'a EndHead,
}

impl<'a> TransactionEnd<'a> {
    /// Number of captured events.
    pub fn events(&self) -> u64 {
        self.head.events
    }

    /// Number of captured events by table.
    pub fn tables(&self) -> impl ExactSizeIterator<Item = (&'a TableName, u64)> + use<'a> {
        let batch = self.batch;
        let (start, length) = self.head.counts;
        batch.counts[start..start + length as usize]
            .iter()
            .map(move |(table, count)| (&batch.tables[*table as usize].name, *count))
    }
}

/// The cells of one row image, in the order of the table's columns.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    batch: &'a Batch,
    first: usize,
    len: usize,
}

impl<'a> Row<'a> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Panics when `index >= len`, as a slice would.
    pub fn cell(&self, index: usize) -> Cell<'a> {
        assert!(index < self.len, "cell {index} of a row of {}", self.len);
        self.batch.cell(self.batch.slots[self.first + index])
    }

    pub fn cells(&self) -> impl ExactSizeIterator<Item = Cell<'a>> + use<'a> {
        let batch = self.batch;
        batch.slots[self.first..self.first + self.len].iter().map(move |slot| batch.cell(*slot))
    }
}

/// The elements of an array value; an element of a nested array is again an array.
#[derive(Debug, Clone, Copy)]
pub struct Elements<'a> {
    batch: &'a Batch,
    first: usize,
    len: usize,
}

impl<'a> Elements<'a> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Cell<'a>> + use<'a> {
        let batch = self.batch;
        batch.elements[self.first..self.first + self.len].iter().map(move |slot| batch.cell(*slot))
    }
}

impl PartialEq for Elements<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl PartialEq for Row<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cells().eq(other.cells())
    }
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
        self.transactions.iter().map(|head| Transaction { batch: self, head })
    }

    pub fn events(&self) -> impl ExactSizeIterator<Item = Event<'_>> {
        self.heads.iter().map(|head| self.event(head))
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
        let transaction =
            Transaction { batch: self, head: &self.transactions[head.transaction as usize] };
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

/// Where an event stands: in the log, in its transaction, among its table's events of the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    pub at: u64,
    pub order: u64,
    pub table_order: u64,
}

#[derive(Debug)]
enum Entry {
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
    fn new(batch: &'b mut Batch, entry: Entry) -> Self {
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

fn to_u32(value: usize) -> u32 {
    u32::try_from(value)
        .expect("a batch's parts are counted in 32 bits: sources cut batches far below 4 GiB")
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the caller cut exactly N bytes")
}
