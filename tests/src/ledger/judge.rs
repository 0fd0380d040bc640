//! Holds what a read_committed consumer found against what was committed.
//!
//! For each table there is a first commit `F` from which the stream tells it: the earliest commit of any of its streamed
//! changes. What was committed before is told by the copy.
//!
//! ```text
//! commits of a table     .  .  .  .  F  x  x  x  x       every x: told by the stream, once
//! a key's records        r@2         3  4  (r@4)  5      copied rows: the key's version of then, never an older one
//! ```
//! - every change from `F` on is there once, whatever its key;
//! - a key's records go up by one version, begin with the copied row or with its first change from `F` on, stay in one
//!   partition, and end at its last version (a key that was deleted before `F` has none);
//! - each row, folded over what its key said before, has the hash that PostgreSQL gave it; the last fold is the table;
//! - a delete is followed by its key's tombstone, and nothing else is;
//! - in each partition the header's sequence does not descend.
//!
//! A row that was changed before its chunk was copied may be told first by the stream, with cells that the log does not
//! have: these are unknown, not wrong, until a later record tells them.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

use super::{Cell, Entry, Event, Key, Kind, Ledger, Op, Rows, Stamp, TABLES};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A committed change that no record tells.
    Lost {
        key: Key,
        version: usize,
    },
    /// A change that two records tell.
    Doubled {
        key: Key,
        version: usize,
    },
    /// A record that is older than what its key said before.
    Disordered {
        key: Key,
        said: usize,
        then: usize,
    },
    /// A copied row that is older than what its key said before.
    Stale {
        key: Key,
        said: usize,
        copied: usize,
    },
    /// A record of what was never committed.
    Phantom {
        key: Key,
        version: Option<usize>,
    },
    /// A transaction of which the topics tell another number of changes than its END.
    Torn {
        xid: i64,
        told: u64,
        found: u64,
    },
    /// A row that differs from the one that was committed under its version.
    Different {
        key: Key,
        version: usize,
    },
    NoTombstone {
        key: Key,
        version: usize,
    },
    StrayTombstone {
        key: Key,
        offset: i64,
    },
    /// A key with records in two partitions.
    Split {
        key: Key,
    },
    /// The header's sequence goes back within a partition.
    Descended {
        table: usize,
        partition: i32,
        offset: i64,
    },
    /// A row of the table that the fold of the topic lacks, has too much, or has with other values.
    Fold {
        key: Key,
    },
}

/// What was seen, and all that was wrong with it.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    pub violations: Vec<Violation>,
    pub figures: Figures,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    pub copied: u64,
    /// Copied rows above one per key.
    pub copied_again: u64,
    pub streamed: u64,
    pub tombstones: u64,
    pub hashes: u64,
    pub unknown: u64,
    pub rows: u64,
}

/// Takes every record of the workload's topics, then says what it thinks of them.
#[derive(Debug, Default)]
pub struct Judge {
    keys: HashMap<Key, Vec<Event>>,
    stamps: BTreeMap<(usize, i32), Stamp>,
    /// By transaction: its END's count, and the events found.
    ends: BTreeMap<i64, u64>,
    begun: BTreeMap<i64, u64>,
    violations: Vec<Violation>,
}

impl Judge {
    /// Records must come in the order of each partition.
    pub fn add(&mut self, event: Event) {
        if let Some(stamp) = event.stamp {
            let place = (event.key.0, event.partition);
            let last = self.stamps.insert(place, stamp);
            if last.is_some_and(|last| last > stamp) {
                self.violations.push(Violation::Descended {
                    table: place.0,
                    partition: place.1,
                    offset: event.offset,
                });
            }
        }
        self.keys.entry(event.key).or_default().push(event);
    }

    /// The END of a transaction, with its count of changes.
    pub fn add_end(&mut self, xid: i64, count: u64) {
        *self.ends.entry(xid).or_default() += count;
    }

    pub fn add_begin(&mut self, xid: i64) {
        *self.begun.entry(xid).or_default() += 1;
    }

    /// `tables`: the rows when all was done.
    pub fn verdict(self, ledger: &Ledger, tables: &[Rows]) -> Verdict {
        let first = self.first_streamed(ledger);
        let mut verdict = Verdict { violations: self.violations, figures: Figures::default() };
        check_transactions(&self.keys, &self.begun, &self.ends, &mut verdict);
        for (key, entries) in &ledger.keys {
            let events = self.keys.get(key).map_or(&[][..], Vec::as_slice);
            let table = tables.get(key.0);
            KeyWalk {
                key: *key,
                entries,
                first: first[key.0],
                at: None,
                begun: false,
                tombstone_due: None,
                row: None,
                verdict: &mut verdict,
            }
            .walk(events, table.and_then(|rows| rows.get(&key.1)));
        }
        for (key, events) in &self.keys {
            if !ledger.keys.contains_key(key) {
                let version = events.first().and_then(Event::version);
                verdict.violations.push(Violation::Phantom { key: *key, version });
            }
        }
        verdict.figures.rows = tables.iter().map(|rows| rows.len() as u64).sum();
        verdict
    }

    /// For each table the first commit that the stream tells of.
    fn first_streamed(&self, ledger: &Ledger) -> Vec<i64> {
        let mut first = vec![i64::MAX; TABLES.len()];
        for (key, events) in &self.keys {
            let Some(entries) = ledger.keys.get(key) else { continue };
            for event in events {
                if !matches!(event.kind, Kind::Create | Kind::Update) {
                    continue;
                }
                if let Some(entry) =
                    event.version().and_then(|version| entries.get(version.wrapping_sub(1)))
                {
                    first[key.0] = first[key.0].min(entry.commit);
                }
            }
            // A delete says no version; its transaction does, where it is told.
            for event in events.iter().filter(|event| event.kind == Kind::Delete) {
                let deleted = entries.iter().find(|entry| Some(entry.xid) == event.xid);
                if let Some(entry) = deleted.filter(|entry| entry.op == Op::Delete) {
                    first[key.0] = first[key.0].min(entry.commit);
                }
            }
        }
        first
    }
}

/// Counts of the ENDs against the events found: a transaction that is told in part, or twice.
fn check_transactions(
    keys: &HashMap<Key, Vec<Event>>,
    begun: &BTreeMap<i64, u64>,
    ends: &BTreeMap<i64, u64>,
    verdict: &mut Verdict,
) {
    if begun.is_empty() && ends.is_empty() {
        return;
    }
    let mut found: BTreeMap<i64, u64> = BTreeMap::new();
    let streamed =
        |event: &&Event| matches!(event.kind, Kind::Create | Kind::Update | Kind::Delete);
    for event in keys.values().flatten().filter(streamed) {
        if let Some(xid) = event.xid {
            *found.entry(xid).or_default() += 1;
        }
    }
    let none = 0;
    for (xid, found) in &found {
        let told = *ends.get(xid).unwrap_or(&none);
        if told != *found || begun.get(xid) != Some(&1) {
            verdict.violations.push(Violation::Torn { xid: *xid, told, found: *found });
        }
    }
    for (xid, told) in ends {
        if *told > 0 && !found.contains_key(xid) {
            verdict.violations.push(Violation::Torn { xid: *xid, told: *told, found: 0 });
        }
    }
}

/// Goes through the records of one key.
struct KeyWalk<'a> {
    key: Key,
    entries: &'a [Entry],
    first: i64,
    /// Index of the entry that the key says now.
    at: Option<usize>,
    /// The stream has told a change.
    begun: bool,
    /// Version of the delete whose tombstone comes next.
    tombstone_due: Option<usize>,
    row: Option<Vec<Cell>>,
    verdict: &'a mut Verdict,
}

impl KeyWalk<'_> {
    fn walk(mut self, events: &[Event], row: Option<&Vec<Option<String>>>) {
        let partition = events.first().map(|event| event.partition);
        if events.iter().any(|event| Some(event.partition) != partition) {
            self.violated(Violation::Split { key: self.key });
        }
        let mut copied = 0_u64;
        for event in events {
            if event.kind != Kind::Tombstone
                && let Some(version) = self.tombstone_due.take()
            {
                self.violated(Violation::NoTombstone { key: self.key, version });
            }
            match event.kind {
                Kind::Read => {
                    copied += 1;
                    self.copied(event);
                }
                Kind::Create | Kind::Update | Kind::Delete => {
                    self.verdict.figures.streamed += 1;
                    self.streamed(event);
                }
                Kind::Tombstone => {
                    self.verdict.figures.tombstones += 1;
                    if self.tombstone_due.take().is_none() {
                        let offset = event.offset;
                        self.violated(Violation::StrayTombstone { key: self.key, offset });
                    }
                }
            }
        }
        self.verdict.figures.copied += copied;
        self.verdict.figures.copied_again += copied.saturating_sub(1);
        self.end(row);
    }

    fn copied(&mut self, event: &Event) {
        let index = event.version().map(|version| version.wrapping_sub(1));
        let Some(index) = index.filter(|index| self.has_row(*index)) else {
            return self.phantom(event);
        };
        if let Some(at) = self.at
            && index < at
        {
            return self.violated(Violation::Stale {
                key: self.key,
                said: at + 1,
                copied: index + 1,
            });
        }
        // After a streamed change the copy shows what the stream has told by then, no more.
        if self.begun
            && let Some(at) = self.at
        {
            self.lost(at + 1, index + 1);
        }
        self.at = Some(index);
        self.fold(event, index);
    }

    fn streamed(&mut self, event: &Event) {
        let next = match self.at {
            Some(at) => at + 1,
            None => self
                .entries
                .iter()
                .position(|entry| entry.commit >= self.first)
                .unwrap_or(self.entries.len()),
        };
        let wanted = match event.kind {
            Kind::Create => Op::Create,
            Kind::Update => Op::Update,
            _ => Op::Delete,
        };
        // A delete says no version: it is that of its transaction, else the next one.
        let index = if event.kind == Kind::Delete {
            let of_transaction =
                |entry: &Entry| entry.op == Op::Delete && Some(entry.xid) == event.xid;
            let same = |index: &usize| of_transaction(&self.entries[*index]);
            (next..self.entries.len())
                .find(same)
                .or_else(|| (0..next.min(self.entries.len())).rev().find(same))
                .or_else(|| (next..self.entries.len()).find(|i| self.entries[*i].op == Op::Delete))
        } else {
            event.version().map(|version| version.wrapping_sub(1))
        };
        let entry = index.and_then(|index| self.entries.get(index));
        let (Some(index), Some(entry)) = (index, entry) else { return self.phantom(event) };
        if entry.op != wanted {
            return self.phantom(event);
        }
        if index < next {
            let version = index + 1;
            return self.violated(match self.at {
                Some(at) if at == index || self.begun => {
                    Violation::Doubled { key: self.key, version }
                }
                Some(at) => Violation::Disordered { key: self.key, said: at + 1, then: version },
                None => Violation::Phantom { key: self.key, version: Some(version) },
            });
        }
        self.lost(next, index);
        self.at = Some(index);
        self.begun = true;
        if event.kind == Kind::Delete {
            self.tombstone_due = Some(index + 1);
            self.row = None;
        } else {
            self.fold(event, index);
        }
    }

    fn end(mut self, row: Option<&Vec<Option<String>>>) {
        if let Some(version) = self.tombstone_due.take() {
            self.violated(Violation::NoTombstone { key: self.key, version });
        }
        let last = self.entries.len() - 1;
        match self.at {
            Some(at) => self.lost(at + 1, last + 1),
            None => {
                let from = self.entries.iter().position(|entry| entry.commit >= self.first);
                let never = self.entries[last].op != Op::Delete;
                self.lost(from.unwrap_or(if never { last } else { last + 1 }), last + 1);
            }
        }
        let folded = self.row.take();
        let same = match (&folded, row) {
            (None, None) => true,
            (Some(folded), Some(row)) => {
                folded.len() == row.len()
                    && folded.iter().zip(row).all(|(cell, value)| match (cell, value) {
                        (Cell::Null, None) => true,
                        (Cell::Text(text), Some(value)) => text == value,
                        _ => false,
                    })
            }
            _ => false,
        };
        if !same {
            self.violated(Violation::Fold { key: self.key });
        }
    }

    /// Lays the event's row over what the key said before, and compares it with what was committed.
    fn fold(&mut self, event: &Event, index: usize) {
        let Some(row) = &event.row else { return };
        let before = self.row.take();
        let row: Vec<Cell> = row
            .iter()
            .enumerate()
            .map(|(column, cell)| match (cell, &before) {
                (Cell::Absent, Some(before)) => before[column].clone(),
                (cell, _) => cell.clone(),
            })
            .collect();
        if row.contains(&Cell::Absent) {
            self.verdict.figures.unknown += 1;
        } else {
            self.verdict.figures.hashes += 1;
            if self.entries[index].hash.as_deref() != Some(hash(&row).as_str()) {
                self.violated(Violation::Different { key: self.key, version: index + 1 });
            }
        }
        self.row = Some(row);
    }

    fn lost(&mut self, from: usize, to: usize) {
        for index in from..to {
            self.violated(Violation::Lost { key: self.key, version: index + 1 });
        }
    }

    fn has_row(&self, index: usize) -> bool {
        self.entries.get(index).is_some_and(|entry| entry.op != Op::Delete)
    }

    fn phantom(&mut self, event: &Event) {
        self.violated(Violation::Phantom { key: self.key, version: event.version() });
    }

    fn violated(&mut self, violation: Violation) {
        self.verdict.violations.push(violation);
    }
}

/// As `ledger.hash` of the schema does it.
pub(super) fn hash(row: &[Cell]) -> String {
    let mut hash = Sha256::new();
    for (index, cell) in row.iter().enumerate() {
        if index > 0 {
            hash.update([0x1f]);
        }
        match cell {
            Cell::Text(text) => hash.update(text.as_bytes()),
            Cell::Null | Cell::Absent => hash.update(b"~"),
        }
    }
    crate::avro::hex(&hash.finalize())[2..].to_owned()
}

#[cfg(test)]
mod tests;
