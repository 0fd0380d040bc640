//! A workload that keeps books of itself, and the judge of what arrived.
//!
//! Writers change rows of four tables at random: with REPLICA IDENTITY DEFAULT, FULL, with large values that updates do
//! not touch, and one that is large from the start. With every change its transaction writes a line into `ledger.entries`:
//! table, key, version, operation, and a hash of the row as PostgreSQL prints it. So exactly what was committed is expected;
//! what a rollback took back is in neither. A key's versions go up by one through updates, deletes and re-inserts.
//! `ledger.seals` has the order of the commits.
//!
//! [`judge`] then holds the topics against the ledger. It knows nothing of how the connector works.

mod event;
mod judge;
mod writer;

use std::collections::{BTreeMap, HashMap};

pub use event::{Cell, Event, Kind, Stamp, read_event};
pub use judge::{Figures, Judge, Verdict, Violation};
pub use writer::{Writers, write};

use crate::Result;
use crate::database::Database;

pub const TABLES: [&str; 4] = ["copied", "fat", "plain", "whole"];

/// Columns of every table of the workload, in order.
pub const COLUMNS: [&str; 10] =
    ["id", "ver", "op_id", "amount", "note", "at", "flag", "doc", "raw", "body"];

/// One committed change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub op: Op,
    /// None: a delete.
    pub hash: Option<String>,
    /// Place of its transaction in the order of commits.
    pub commit: i64,
    pub xid: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    Create,
    Update,
    Delete,
}

/// A table by its place in [`TABLES`], and a key of it.
pub type Key = (usize, i64);

/// All that was committed, each key's entries by version: that of index 0 has version 1.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub keys: HashMap<Key, Vec<Entry>>,
}

/// A table's rows as PostgreSQL prints them, by key.
pub type Rows = BTreeMap<i64, Vec<Option<String>>>;

pub async fn create(database: &Database) -> Result<()> {
    Ok(database.client.batch_execute(include_str!("ledger/schema.sql")).await?)
}

/// Puts rows into a table before anybody looks.
pub async fn fill(database: &Database, table: &str, rows: i64) -> Result<()> {
    Ok(database.client.batch_execute(&format!("SELECT ledger.fill('{table}', {rows})")).await?)
}

pub fn table_index(name: &str) -> Option<usize> {
    TABLES.iter().position(|table| *table == name)
}

impl Ledger {
    pub async fn read(database: &Database) -> Result<Self> {
        let mut ledger = Self::default();
        let rows = database
            .rows(
                "SELECT tab, id, ver, op, hash, number, xid FROM ledger.entries LEFT JOIN ledger.seals USING (xid) \
                 ORDER BY tab, id, ver",
            )
            .await?;
        for row in rows {
            let table: &str = row.get(0);
            let table = table_index(table).ok_or("the ledger names a table that is not there")?;
            let key: Key = (table, row.get(1));
            let op = match row.get(3) {
                "c" => Op::Create,
                "u" => Op::Update,
                "d" => Op::Delete,
                other => return Err(format!("the ledger has an operation {other}").into()),
            };
            let commit: Option<i64> = row.get(5);
            let commit = commit.ok_or("a transaction of the workload has no seal")?;
            let entry = Entry { op, hash: row.get(4), commit, xid: row.get(6) };
            let entries = ledger.keys.entry(key).or_default();
            entries.push(entry);
            let version: i64 = row.get(2);
            if version != entries.len() as i64 {
                return Err(format!(
                    "the ledger itself is broken: {key:?} has a version {version}"
                )
                .into());
            }
        }
        Ok(ledger)
    }

    pub fn len(&self) -> usize {
        self.keys.values().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// The tables as they are now.
pub async fn rows(database: &Database) -> Result<Vec<Rows>> {
    let mut all = Vec::new();
    for table in TABLES {
        // A cast's text, which of a boolean is another than the one in a result.
        let texts = COLUMNS.map(|column| format!("{column}::text")).join(", ");
        let rows = database.text_rows(&format!("SELECT {texts} FROM public.{table}")).await?;
        let mut by_key = Rows::new();
        for row in rows {
            let id = row[0].as_deref().ok_or("a row without a key")?.parse()?;
            by_key.insert(id, row);
        }
        all.push(by_key);
    }
    Ok(all)
}
