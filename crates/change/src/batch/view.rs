use std::sync::Arc;

use super::{Batch, EndHead, TransactionHead};
use crate::{Cell, Table, TableName};

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
    pub(super) batch: &'a Batch,
    pub(super) head: &'a TransactionHead,
    pub(super) index: usize,
}

impl<'a> Transaction<'a> {
    /// Ordinal among the batch's transactions, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

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
    pub(super) batch: &'a Batch,
    pub(super) head: &'a EndHead,
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
    pub(super) batch: &'a Batch,
    pub(super) first: usize,
    pub(super) len: usize,
}

impl<'a> Row<'a> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Panics when `index >= len`, as a slice would.
    #[inline]
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
    pub(super) batch: &'a Batch,
    pub(super) first: usize,
    pub(super) len: usize,
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
