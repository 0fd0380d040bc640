//! The log's messages become batches and marks. Pure: no socket, no clock.
//!
//! ```text
//!            Begin                      rows, truncates, messages
//!   Idle ──────────────> Open ──┐<──────────────┐
//!    ^                    │     └───────────────┘
//!    │      Commit        │         cut by size: Mark::Within(Open)
//!    └────────────────────┘
//!   cut in Idle: Mark::Commit(position)
//! ```
//! **Position.** Transactions come in the order of their commits, each whole. So behind a Commit everything that ended
//! before its end has been sent, and that end is a position. Between transactions a keepalive's end of log is one too:
//! the server says it when all records before it have been read. Inside a transaction it says nothing, and is ignored.
//!
//! **One transaction over several batches.** A batch that ends inside a transaction holds nothing before it: its mark
//! stands on the position before the transaction, which must have been marked by an earlier batch. So what is complete
//! in a batch is split off before it is cut inside a transaction ([`split`]).
//!
//! **Resuming inside a transaction.** The transaction named in the stored state must be the first that comes, and its
//! first k raw rows must have the stored hash; they are decoded and counted, and not emitted. The hash is made of the
//! rows as they come, of every published table, before any filter: what is captured today does not change it.

mod open;

use std::collections::HashMap;
use std::sync::Arc;

use change::{Batch, Column, Kind, Operation, Place, Table, TableName};
use connector::{Mark, Open, Resume};
use postgres_replication::Lsn;
use postgres_replication::pgoutput::{Begin, LogicalMessage, Message, OldTuple, Relation};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use open::{Transaction, enter, hash_tuple, transaction_id};

use crate::PostgresPosition;
use crate::decode::{LogRow, RowError, changes_key, log_row};
use crate::schema::Captured;
use crate::split::split;
use crate::types::clock;

/// A batch of this size is cut; one row may make it larger.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;

/// Why the log cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("a {message} where the protocol has none")]
    Order { message: &'static str },
    #[error("a row of relation {0}, which was not announced")]
    UnknownRelation(u32),
    #[error("a row of table {table} cannot be read")]
    Row { table: TableName, source: RowError },
    /// The server sends what was done long ago: it is not the server that the position is of.
    #[error("a transaction that committed at {commit}, before the stored position {from}")]
    BehindPosition { commit: Lsn, from: Lsn },
    #[error("the transaction {expected} was cut, and {got} came in its place")]
    OtherTransaction { expected: String, got: String },
    #[error(
        "the first {rows} rows of the cut transaction {transaction} are not those that were sent"
    )]
    OtherRows { transaction: String, rows: u64 },
    #[error("the stored transaction {0:?} is none of this log")]
    StoredTransaction(String),
}

/// A batch ready to go.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) batch: Batch,
    pub(crate) mark: Mark<PostgresPosition>,
    /// The server waits for an answer.
    pub(crate) urgent: bool,
}

/// What the decoder needs before it can go on.
#[derive(Debug)]
pub(crate) enum Fed {
    Taken,
    /// The table's columns are to be looked up; then [`Assembler::relation`].
    Relation(Relation),
    /// The position asked for is reached; the message is not part of what came before it.
    Reached,
}

#[derive(Debug)]
struct Announced {
    name: TableName,
    /// Of the name.
    hash: u64,
    /// Columns of the replica identity; empty: all.
    identity: Vec<bool>,
    captured: Option<Captured>,
}

#[derive(Debug)]
enum State {
    Idle,
    Open(Transaction),
}

/// Makes batches and marks of the log's messages.
#[derive(Debug)]
pub(crate) struct Assembler {
    timeline: u32,
    /// Everything before it is in batches made so far.
    done: Lsn,
    /// The position that the last mark told.
    marked: Lsn,
    until: Option<Lsn>,
    resume: Option<Resumed>,
    relations: HashMap<u32, Announced>,
    state: State,
    batch: Batch,
    /// Transactions in the batch that are complete.
    complete: usize,
    urgent: bool,
    messages: Option<Arc<Table>>,
}

#[derive(Debug)]
struct Resumed {
    open: Open,
    commit: Lsn,
}

impl Assembler {
    /// `messages`: whether what applications write into the log is emitted.
    pub(crate) fn new(
        from: &Resume<PostgresPosition>,
        until: Option<Lsn>,
        messages: bool,
    ) -> Result<Assembler, LogError> {
        let resume = from.open.clone().map(|open| {
            let commit = open.transaction.split_once(':').and_then(|(_, lsn)| lsn.parse().ok());
            match commit {
                Some(commit) => Ok(Resumed { commit: Lsn(commit), open }),
                None => Err(LogError::StoredTransaction(open.transaction)),
            }
        });
        Ok(Assembler {
            timeline: from.from.timeline,
            done: from.from.lsn,
            marked: from.from.lsn,
            until,
            resume: resume.transpose()?,
            relations: HashMap::new(),
            state: State::Idle,
            batch: Batch::new(),
            complete: 0,
            urgent: false,
            messages: messages.then(message_table),
        })
    }

    pub(crate) fn on_timeline(mut self, timeline: u32) -> Self {
        self.timeline = timeline;
        self
    }

    /// Takes one message that stands at `at` in the log, sent at `clock_micros` of the server.
    pub(crate) fn feed(
        &mut self,
        message: Message<'_>,
        at: Lsn,
        clock_micros: i64,
    ) -> Result<Fed, LogError> {
        match message {
            Message::Begin(begin) => return self.begin(begin),
            Message::Commit(commit) => {
                self.commit(commit.end)?;
                if self.until.is_some_and(|until| self.done >= until) {
                    return Ok(Fed::Reached);
                }
            }
            Message::Origin(origin) => {
                self.open("Origin")?.origin = Some((origin.name.to_owned(), origin.commit));
            }
            Message::Relation(relation) => return Ok(Fed::Relation(relation)),
            Message::Insert(insert) => {
                self.row(insert.relation, b'I', at, LogRow::Insert(insert.new))?
            }
            Message::Update(update) => {
                self.row(
                    update.relation,
                    b'U',
                    at,
                    LogRow::Update { old: update.old, new: update.new },
                )?;
            }
            Message::Delete(delete) => {
                self.row(delete.relation, b'D', at, LogRow::Delete(delete.old))?
            }
            Message::Truncate(truncate) => {
                let relations: Vec<u32> = truncate.relations.iter().collect();
                self.truncate(&relations, at)?;
            }
            Message::Message(message) if message.transactional => self.message(message, at)?,
            Message::Message(message) => {
                if self.until.is_some_and(|until| message.at >= until) {
                    return Ok(Fed::Reached);
                }
                self.lone_message(message, clock_micros)?;
            }
            Message::Type(_) | Message::StreamAbort(_) => {}
        }
        Ok(Fed::Taken)
    }

    /// The rows of this relation that follow belong to `captured`, or to nobody.
    pub(crate) fn relation(&mut self, relation: &Relation, captured: Option<Captured>) {
        let name = TableName::new(&relation.schema, &relation.name);
        let mut identity: Vec<bool> = relation.columns.iter().map(|column| column.key).collect();
        if !identity.contains(&true) {
            identity.clear();
        }
        let hash =
            xxh3_64_with_seed(name.table.as_bytes(), xxh3_64_with_seed(name.schema.as_bytes(), 0));
        self.relations.insert(relation.id, Announced { name, hash, identity, captured });
    }

    /// The table's version that rows are read with now.
    pub(crate) fn known(&self, relation: u32) -> Option<&Arc<Table>> {
        Some(&self.relations.get(&relation)?.captured.as_ref()?.table)
    }

    /// The server has read its log up to `end`, and may wait for an answer.
    pub(crate) fn keepalive(&mut self, end: Lsn, reply: bool) -> Result<Fed, LogError> {
        if !self.is_idle() {
            return Ok(Fed::Taken);
        }
        if let Some(resume) = &self.resume {
            if end > resume.commit {
                let expected = resume.open.transaction.clone();
                return Err(LogError::OtherTransaction { expected, got: "none".into() });
            }
            return Ok(Fed::Taken);
        }
        if end > self.done {
            self.done = end;
        }
        self.urgent |= reply && self.done > self.marked;
        let reached = self.until.is_some_and(|until| self.done >= until);
        Ok(if reached { Fed::Reached } else { Fed::Taken })
    }

    /// Between transactions.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// The transaction that was cut in an earlier life has not ended yet.
    pub(crate) fn is_resuming(&self) -> bool {
        self.resume.is_some() || matches!(&self.state, State::Open(open) if open.skip.is_some())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.batch.size() >= BATCH_BYTES
    }

    /// Rows or complete transactions wait to be cut.
    pub(crate) fn has_rows(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Bytes of log without rows that no mark has told yet; None: nothing to tell.
    pub(crate) fn idle_bytes(&self) -> Option<u64> {
        (self.is_idle() && self.resume.is_none() && self.done > self.marked)
            .then(|| self.done.0 - self.marked.0)
    }

    fn position(&self, lsn: Lsn) -> PostgresPosition {
        PostgresPosition { lsn, timeline: self.timeline }
    }

    /// Takes what there is. When it ends inside a transaction and holds complete ones, those come first, alone.
    pub(crate) fn cut(&mut self) -> Option<Parcel> {
        match &mut self.state {
            State::Idle if self.batch.is_empty() && self.done == self.marked => None,
            State::Idle => Some(self.cut_idle(self.done)),
            State::Open(open) if self.complete > 0 => {
                let (before, rest) = split(&self.batch, self.complete);
                // an open transaction without rows yet is not in the batch
                open.in_batch = rest.transactions().len() > 0;
                self.batch = rest;
                self.complete = 0;
                self.marked = self.done;
                let urgent = std::mem::take(&mut self.urgent);
                Some(Parcel { batch: before, mark: Mark::Commit(self.position(self.done)), urgent })
            }
            State::Open(_) if self.batch.is_empty() => None,
            State::Open(open) => {
                open.in_batch = false;
                let mark = Open { transaction: open.id(), rows_done: open.rows, hash: open.hash };
                Some(Parcel {
                    batch: std::mem::take(&mut self.batch),
                    mark: Mark::Within(mark),
                    urgent: false,
                })
            }
        }
    }

    /// The complete transactions, if there are any: what an open one behind them must not hold back.
    pub(crate) fn cut_complete(&mut self) -> Option<Parcel> {
        match self.state {
            State::Open(_) if self.complete == 0 => None,
            _ => self.cut(),
        }
    }

    /// Everything before `until`, marked as exactly `until`.
    pub(crate) fn cut_reached(&mut self, until: Lsn) -> Parcel {
        self.cut_idle(until)
    }

    fn cut_idle(&mut self, at: Lsn) -> Parcel {
        self.complete = 0;
        self.marked = at;
        let urgent = std::mem::take(&mut self.urgent);
        Parcel {
            batch: std::mem::take(&mut self.batch),
            mark: Mark::Commit(self.position(at)),
            urgent,
        }
    }

    fn begin(&mut self, begin: Begin) -> Result<Fed, LogError> {
        if !self.is_idle() {
            return Err(LogError::Order { message: "Begin" });
        }
        if begin.commit < self.done {
            return Err(LogError::BehindPosition { commit: begin.commit, from: self.done });
        }
        if self.until.is_some_and(|until| begin.commit >= until) {
            return Ok(Fed::Reached);
        }
        let id = transaction_id(begin.xid, begin.commit);
        let skip = match self.resume.take() {
            Some(resume) if resume.open.transaction != id => {
                return Err(LogError::OtherTransaction {
                    expected: resume.open.transaction,
                    got: id,
                });
            }
            resume => resume.map(|resume| resume.open).filter(|open| open.rows_done > 0),
        };
        self.state = State::Open(Transaction {
            xid: begin.xid,
            commit: begin.commit,
            time_micros: begin.time_micros,
            origin: None,
            rows: 0,
            hash: 0,
            events: 0,
            by_table: Vec::new(),
            in_batch: false,
            skip,
        });
        Ok(Fed::Taken)
    }

    fn commit(&mut self, end: Lsn) -> Result<(), LogError> {
        let State::Open(mut open) = std::mem::replace(&mut self.state, State::Idle) else {
            return Err(LogError::Order { message: "Commit" });
        };
        if let Some(skip) = open.skip {
            return Err(LogError::OtherRows {
                transaction: skip.transaction,
                rows: skip.rows_done,
            });
        }
        if open.events > 0 {
            let (batch, last) = (&mut self.batch, self.done);
            enter(batch, &mut open, last);
            batch.end(open.events, open.by_table.iter().map(|(table, count)| (table, *count)));
            self.complete += 1;
        }
        self.done = end;
        Ok(())
    }

    fn open(&mut self, message: &'static str) -> Result<&mut Transaction, LogError> {
        match &mut self.state {
            State::Open(open) => Ok(open),
            State::Idle => Err(LogError::Order { message }),
        }
    }

    fn row(
        &mut self,
        relation: u32,
        operation: u8,
        at: Lsn,
        row: LogRow<'_>,
    ) -> Result<(), LogError> {
        let State::Open(open) = &mut self.state else {
            return Err(LogError::Order { message: "row" });
        };
        let announced =
            self.relations.get_mut(&relation).ok_or(LogError::UnknownRelation(relation))?;
        let seed = xxh3_64_with_seed(&[operation], open.hash ^ announced.hash);
        let identity = &announced.identity;
        let hash = match row {
            LogRow::Insert(new) => hash_tuple(new, identity, seed),
            LogRow::Update { old, new } => hash_tuple(
                new,
                identity,
                old.map_or(seed, |old| hash_tuple(old.tuple(), identity, seed)),
            ),
            LogRow::Delete(OldTuple::Key(old) | OldTuple::Full(old)) => {
                hash_tuple(old, identity, seed)
            }
        };
        let emit = open.count(hash)?;
        let Some(captured) = &mut announced.captured else { return Ok(()) };
        // A row under another key is told as a delete and a create.
        let count = if changes_key(captured, row) { 2 } else { 1 };
        let place = open.places(&captured.table, at, count);
        if !emit {
            return Ok(());
        }
        enter(&mut self.batch, open, self.done);
        let before = Arc::clone(&captured.table);
        log_row(captured, row, place, &mut self.batch)
            .map_err(|source| LogError::Row { table: announced.name.clone(), source })?;
        if !Arc::ptr_eq(&before, &captured.table) {
            open.rename(&captured.table);
        }
        Ok(())
    }

    fn truncate(&mut self, relations: &[u32], at: Lsn) -> Result<(), LogError> {
        let State::Open(open) = &mut self.state else {
            return Err(LogError::Order { message: "Truncate" });
        };
        let mut hash = xxh3_64_with_seed(b"T", open.hash);
        for relation in relations {
            let announced =
                self.relations.get(relation).ok_or(LogError::UnknownRelation(*relation))?;
            hash = xxh3_64_with_seed(&announced.hash.to_be_bytes(), hash);
        }
        let emit = open.count(hash)?;
        for relation in relations {
            let Some(captured) =
                self.relations.get(relation).and_then(|known| known.captured.as_ref())
            else {
                continue;
            };
            let place = open.places(&captured.table, at, 1);
            if emit {
                enter(&mut self.batch, open, self.done);
                self.batch.row(&captured.table, Operation::Truncate, place).finish();
            }
        }
        Ok(())
    }

    fn message(&mut self, message: LogicalMessage<'_>, at: Lsn) -> Result<(), LogError> {
        let State::Open(open) = &mut self.state else {
            return Err(LogError::Order { message: "Message" });
        };
        let seed = xxh3_64_with_seed(message.prefix.as_bytes(), xxh3_64_with_seed(b"M", open.hash));
        let emit = open.count(xxh3_64_with_seed(message.content, seed))?;
        let Some(table) = &self.messages else { return Ok(()) };
        let place = open.places(table, at, 1);
        if emit {
            enter(&mut self.batch, open, self.done);
            write_message(&mut self.batch, table, message, place);
        }
        Ok(())
    }

    /// Written outside of any transaction: it is one of its own. All commits before it have been sent, so the place
    /// behind its first byte is a position, from which it does not come again.
    fn lone_message(
        &mut self,
        message: LogicalMessage<'_>,
        clock_micros: i64,
    ) -> Result<(), LogError> {
        if !self.is_idle() {
            return Err(LogError::Order { message: "Message" });
        }
        if self.resume.is_some() || message.at < self.done {
            // it stood before the cut transaction, or before the position: it was sent
            return Ok(());
        }
        if let Some(table) = &self.messages {
            let mut head = self.batch.begin(&format!(":{}", message.at.0), clock(clock_micros));
            head.null();
            head.int(self.done.0.cast_signed());
            head.null();
            head.null();
            head.finish();
            write_message(
                &mut self.batch,
                table,
                message,
                Place { at: message.at.0, order: 1, table_order: 1 },
            );
            self.batch.end(1, [(table, 1)]);
            self.complete += 1;
        }
        self.done = Lsn(message.at.0.saturating_add(1));
        Ok(())
    }
}

/// The table that messages of applications stand in.
fn message_table() -> Arc<Table> {
    Arc::new(Table {
        name: TableName::new("", "message"),
        columns: vec![
            Column::new("prefix", Kind::Text).required(),
            Column::new("content", Kind::Bytes).required(),
        ],
        key: vec![0],
    })
}

fn write_message(batch: &mut Batch, table: &Arc<Table>, message: LogicalMessage<'_>, place: Place) {
    let mut row = batch.row(table, Operation::Message, place);
    row.text(message.prefix);
    row.bytes(message.content);
    row.finish();
}

#[cfg(test)]
mod tests;
