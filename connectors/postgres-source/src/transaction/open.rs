//! The transaction whose rows arrive: its count, its hash, its place in the batch.

use std::sync::Arc;

use change::{Batch, Place, Table};
use connector::Open;
use postgres_replication::Lsn;
use postgres_replication::pgoutput::{Tuple, TupleCell};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::LogError;
use crate::types::clock;

#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) xid: u32,
    pub(super) commit: Lsn,
    pub(super) time_micros: i64,
    pub(super) origin: Option<(String, Lsn)>,
    pub(super) rows: u64,
    pub(super) hash: u64,
    /// Events emitted, or skipped because they were emitted before.
    pub(super) events: u64,
    pub(super) by_table: Vec<(Arc<Table>, u64)>,
    /// The batch at hand knows it.
    pub(super) in_batch: bool,
    /// Rows of it that were sent before: until so many came, with this hash.
    pub(super) skip: Option<Open>,
}

impl Transaction {
    pub(super) fn id(&self) -> String {
        transaction_id(self.xid, self.commit)
    }
}

/// `xid:lsn`, both decimal.
pub(super) fn transaction_id(xid: u32, commit: Lsn) -> String {
    format!("{xid}:{}", commit.0)
}

impl Transaction {
    /// One more raw row. False: it was sent before.
    pub(super) fn count(&mut self, hash: u64) -> Result<bool, LogError> {
        self.rows += 1;
        self.hash = hash;
        let Some(skip) = &self.skip else { return Ok(true) };
        if self.rows == skip.rows_done {
            if hash != skip.hash {
                let (transaction, rows) = (skip.transaction.clone(), skip.rows_done);
                return Err(LogError::OtherRows { transaction, rows });
            }
            self.skip = None;
        }
        Ok(false)
    }

    /// The next event's place, and the places behind it that it takes too: `count` in all.
    pub(super) fn places(&mut self, table: &Arc<Table>, at: Lsn, count: u64) -> Place {
        let order = self.events + 1;
        self.events += count;
        let known = self.by_table.iter_mut().find(|(known, _)| Arc::ptr_eq(known, table));
        let known = match known {
            Some(known) => known,
            None => match self.by_table.iter().position(|(known, _)| known.name == table.name) {
                Some(index) => {
                    self.by_table[index].0 = Arc::clone(table);
                    &mut self.by_table[index]
                }
                None => {
                    self.by_table.push((Arc::clone(table), 0));
                    self.by_table.last_mut().expect("one was pushed")
                }
            },
        };
        let table_order = known.1 + 1;
        known.1 += count;
        Place { at: at.0, order, table_order }
    }

    pub(super) fn rename(&mut self, table: &Arc<Table>) {
        for (known, _) in &mut self.by_table {
            if known.name == table.name {
                *known = Arc::clone(table);
            }
        }
    }
}

/// The batch knows of the transaction from its first event on: until then its origin may still come.
pub(super) fn enter(batch: &mut Batch, open: &mut Transaction, last_commit: Lsn) {
    if open.in_batch {
        return;
    }
    open.in_batch = true;
    let mut head = batch.begin(&open.id(), clock(open.time_micros));
    head.int(open.xid.into());
    head.int(last_commit.0.cast_signed());
    match &open.origin {
        Some((name, commit)) => {
            head.text(name);
            head.int(commit.0.cast_signed());
        }
        None => {
            head.null();
            head.null();
        }
    }
    head.finish();
}

pub(super) fn hash_tuple(tuple: Tuple<'_>, identity: &[bool], seed: u64) -> u64 {
    let mut hash = seed;
    for (index, cell) in tuple.columns().enumerate() {
        if identity.get(index).copied().unwrap_or(identity.is_empty()) {
            hash = match cell {
                TupleCell::Text(value) | TupleCell::Binary(value) => xxh3_64_with_seed(value, hash),
                TupleCell::Null => xxh3_64_with_seed(b"n", !hash),
                TupleCell::Unchanged => xxh3_64_with_seed(b"u", !hash),
            };
        }
    }
    hash
}
