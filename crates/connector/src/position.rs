use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A place in a source's log between two transactions.
///
/// Not `Ord`: GTID sets are only partly ordered.
pub trait Position:
    Clone + PartialEq + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Everything before `other` is before `self` too; a position covers itself.
    fn covers(&self, other: &Self) -> bool;

    /// In the source's own words, for people: one line, no secrets.
    fn text(&self) -> String {
        format!("{self:?}")
    }

    /// Bytes of log between the two, where positions can tell; None: unknown.
    fn bytes_since(&self, _earlier: &Self) -> Option<u64> {
        None
    }
}

/// What a restart needs to know once a batch, and all before it, is durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark<P> {
    /// The batch ends inside a transaction.
    Within(Open),
    /// The batch ends behind a commit; all before the position has been sent.
    Commit(P),
}

/// A transaction that was cut by the time limit, and how far it was sent.
///
/// `hash` and `rows_done` are made of the log's rows *before any filter*, so that what they say does not depend on
/// the configuration of the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Open {
    /// The source's name of the transaction, unique in its log (xid and commit LSN, GTID).
    pub transaction: String,
    pub rows_done: u64,
    /// xxh3-64 over (table, operation, key cells) of the rows done, chained.
    pub hash: u64,
}

/// Where a stream starts: behind `from`, and inside its first transaction if `open` says so.
#[derive(Debug, Clone, PartialEq)]
pub struct Resume<P> {
    pub from: P,
    pub open: Option<Open>,
}
