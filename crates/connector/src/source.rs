use std::collections::BTreeMap;
use std::future::Future;

use change::{Batch, TableId, TableName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ChunkMark, Durable, Failure, Identity, Outlet, Resume, Stored, TableCopy, TableState};

/// Names one attempt to pin a first copy, made by chance, stored before anything is created under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CopyId(pub Uuid);

impl CopyId {
    /// The first 8 hex digits: part of the names of what is created for this copy.
    pub fn short(&self) -> String {
        let mut hex = self.0.simple().to_string();
        hex.truncate(8);
        hex
    }
}

/// A database whose log can be followed and whose tables can be copied at a place in that log.
pub trait Source: Send {
    type Position: crate::Position;
    type Snapshot: Snapshot + 'static;

    /// Connects, and compares what is stored with what the server has: another server, a gap in the log, a position
    /// the server never had, a slot without a stored intent (`orphan`). Before any write, and without one.
    /// Returns the identity to store from now on.
    ///
    /// `stored` is None unless an intent or a position is stored. While a cut transaction is open in it, the source
    /// keeps to the stored options that change which rows the server sends, returns those, and ends its stream with
    /// [`Stopped::Reopen`] behind that transaction if the configured ones differ. May be called again at any time
    /// after a failure or a cancelled call: it begins anew.
    fn open(
        &mut self,
        stored: Option<&Stored<Self::Position>>,
    ) -> impl Future<Output = Result<Identity, Failure>> + Send;

    /// The captured tables as the database has them now.
    fn tables(
        &mut self,
    ) -> impl Future<Output = Result<BTreeMap<TableName, TableId>, Failure>> + Send;

    /// Finds a place in the log and a view of exactly what was committed before it.
    ///
    /// `stream`: all tables that are to be followed from here on (the publication). `copy`: those to be read, with how
    /// far each has come. The stream must be stopped at a commit when a later pin is taken.
    ///
    /// Of a table with chunks the source keeps all bounds and what is done, unless the table's object or storage is
    /// another one now: then it cuts the table anew, with nothing done. A table without chunks is to be cut. (The
    /// engine takes the chunks out of a table that has holes.) The engine checks the answer.
    fn pin(
        &mut self,
        pin: Pin,
        stream: &[TableName],
        copy: &[TableState],
    ) -> impl Future<Output = Result<Pinned<Self::Position, Self::Snapshot>, Failure>> + Send;

    /// Drops exactly what [`Pin::First`] of this id may have created.
    fn forget(&mut self, copy: CopyId) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Follows the log from `from`, emitting rows of `tables` only, until cancelled, failed, or `until` is reached.
    ///
    /// A commit mark is sent behind every transaction, and behind idle stretches of log. With `until`, everything
    /// before that position is sent, then `Mark::Commit(until)`, then it returns. Runs beside the engine: it waits for
    /// room in `out` and goes on answering its server, to which it confirms `durable` and nothing else.
    fn stream(
        &mut self,
        from: Resume<Self::Position>,
        tables: &[TableState],
        until: Option<Self::Position>,
        out: Outlet<Self::Position>,
        durable: Durable<Self::Position>,
    ) -> impl Future<Output = Result<Stopped, Failure>> + Send;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// Makes the lasting means to follow the log from here (the slot), named after the copy.
    First(CopyId),
    /// Leaves nothing behind.
    Later,
}

#[derive(Debug)]
pub struct Pinned<P, S> {
    pub at: P,
    /// The tables asked for, in their state now: chunks as the readers will use them, those done kept done unless the
    /// table had to start again.
    pub tables: Vec<TableState>,
    /// Run side by side; together they read every chunk that is not done.
    pub readers: Vec<S>,
}

/// One reader of a pinned view.
pub trait Snapshot: Send {
    /// The next rows and whose they are; None when this reader has no more to do. A chunk is told to be done only
    /// when the server has said that it ended.
    fn next(&mut self) -> impl Future<Output = Result<Option<(Batch, ChunkMark)>, Failure>> + Send;

    /// About how many bytes this reader will read, as [`ChunkMark::bytes`] counts them; readers that share their work
    /// share the sum in any way. For people only.
    fn of_bytes(&self) -> Option<u64> {
        None
    }
}

/// Why a stream ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// `until` was reached and marked.
    Reached,
    /// The set of captured tables is no longer what it was: ask again. Said only behind a commit mark.
    TablesChanged,
    /// The transaction that was open in the stored state has ended, and with it what bound the source to the stored
    /// options: begin again from the stored position. Said only behind a commit mark.
    Reopen,
}

impl TableState {
    pub fn new(name: TableName, id: TableId) -> Self {
        Self { name, schema: None, id, copy: TableCopy::default() }
    }
}
