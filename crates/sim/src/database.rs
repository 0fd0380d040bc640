//! A database with a log: tables whose rows stand in pages, transactions, slots that hold the log back.
//!
//! It behaves as PostgreSQL where the protocol rests on it. A view taken at a place in the log holds exactly what was
//! committed before. Rewriting a table is not part of a view: an older view of a rewritten table is empty; a lock
//! prevents it. An update may move its row to another page, and may leave out a large value that it did not change.

use std::collections::BTreeMap;
use std::sync::Arc;

use change::{Column, Kind, Table, TableId, TableName};
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lsn(pub u64);

impl connector::Position for Lsn {
    fn covers(&self, other: &Self) -> bool {
        self.0 >= other.0
    }

    fn text(&self) -> String {
        self.0.to_string()
    }

    fn bytes_since(&self, earlier: &Self) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Counts the changes of the key, deletes included, for ever.
    pub version: u64,
    /// Stands for a large value.
    pub large: u64,
    pub page: u64,
}

#[derive(Debug, Clone)]
pub struct Relation {
    pub id: TableId,
    pub schema: Arc<Table>,
    pub rows: BTreeMap<u64, Row>,
    versions: BTreeMap<u64, u64>,
    /// Its updates leave out unchanged large values.
    leaves_out: bool,
    pub pages: u64,
    pub locks: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    Insert {
        key: u64,
        version: u64,
        large: u64,
    },
    /// `large`: None when left out.
    Update {
        key: u64,
        version: u64,
        large: Option<u64>,
    },
    Delete {
        key: u64,
        version: u64,
    },
    Truncate,
    /// Sent only when asked for; never emitted.
    Message,
}

#[derive(Debug, Clone)]
pub struct LogRow {
    pub table: String,
    pub schema: Arc<Table>,
    pub operation: Operation,
    pub at: u64,
}

#[derive(Debug, Clone)]
pub struct LogTransaction {
    pub id: String,
    pub rows: Vec<LogRow>,
    /// Behind its commit.
    pub end: u64,
}

#[derive(Debug, Clone)]
pub struct Slot {
    pub confirmed: u64,
    /// Counts who took it; an older one has lost its connection.
    pub taken: u64,
}

#[derive(Debug)]
pub struct Database {
    pub tables: BTreeMap<String, Relation>,
    log: Vec<Arc<LogTransaction>>,
    pub end: u64,
    /// The log before this is gone.
    removed: u64,
    pub slots: BTreeMap<String, Slot>,
    objects: u64,
    values: u64,
    pub transactions: u64,
    /// Number of different keys in a table.
    keys: u64,
}

impl Database {
    pub fn new(rng: &mut StdRng, large: bool) -> Self {
        let mut database = Self {
            tables: BTreeMap::new(),
            log: Vec::new(),
            end: 100,
            removed: 100,
            slots: BTreeMap::new(),
            objects: 1000,
            values: 0,
            transactions: 0,
            keys: if large { 30 } else { 12 },
        };
        for _ in 0..rng.random_range(1..=4) {
            database.create_table(rng);
            for _ in 0..rng.random_range(0..if large { 25 } else { 6 }) {
                database.transact(rng, 4);
            }
        }
        database
    }

    pub fn create_table(&mut self, rng: &mut StdRng) {
        let name = format!("t{}", self.tables.len());
        self.objects += 1;
        let relation = Relation {
            id: TableId { object: self.objects, storage: self.objects },
            schema: schema(&name, 0),
            rows: BTreeMap::new(),
            versions: BTreeMap::new(),
            leaves_out: rng.random_bool(0.5),
            pages: self.keys / 4,
            locks: 0,
        };
        self.tables.insert(name, relation);
        self.end += 10;
    }

    /// Commits a transaction of up to `most` changes.
    pub fn transact(&mut self, rng: &mut StdRng, most: usize) {
        self.transactions += 1;
        let names: Vec<String> = self.tables.keys().cloned().collect();
        let mut rows = Vec::new();
        for _ in 0..rng.random_range(1..=most) {
            let name = &names[rng.random_range(0..names.len())];
            self.end += rng.random_range(1..5);
            self.values += 1;
            let (at, value) = (self.end, self.values);
            let relation = self.tables.get_mut(name).expect("a name of a table");
            let operation = relation.change(rng, self.keys, value);
            let schema = Arc::clone(&relation.schema);
            rows.push(LogRow { table: name.clone(), schema, operation, at });
        }
        self.commit(rows);
    }

    fn commit(&mut self, rows: Vec<LogRow>) {
        self.end += 5;
        let id = format!("x{}", self.end);
        self.log.push(Arc::new(LogTransaction { id, rows, end: self.end }));
    }

    /// So many tables without rows, and nothing else.
    #[cfg(test)]
    pub(crate) fn empty(&mut self, tables: usize) {
        use rand::SeedableRng;

        self.tables.clear();
        self.log.clear();
        self.removed = self.end;
        for _ in 0..tables {
            self.create_table(&mut StdRng::seed_from_u64(1));
        }
    }

    #[cfg(test)]
    pub(crate) fn commit_steps(&mut self, steps: &[connector::conformance::Step]) {
        use connector::conformance::Step;

        let mut rows = Vec::new();
        for step in steps {
            let (Step::Insert(table, keys) | Step::Update(table, keys) | Step::Delete(table, keys)) =
                step;
            let name = format!("t{table}");
            let relation = self.tables.get_mut(&name).expect("one of the two tables");
            for key in keys.clone() {
                let known = relation.rows.get(&key).map(|row| row.version);
                let version = known.unwrap_or_default() + 1;
                let row = Row { version, large: version, page: key % relation.pages };
                let large = version;
                let operation = match step {
                    Step::Insert(..) => Operation::Insert { key, version, large },
                    Step::Update(..) => Operation::Update { key, version, large: Some(large) },
                    Step::Delete(..) => Operation::Delete { key, version },
                };
                match step {
                    Step::Delete(..) => relation.rows.remove(&key),
                    _ => relation.rows.insert(key, row),
                };
                self.end += 1;
                let schema = Arc::clone(&relation.schema);
                rows.push(LogRow { table: name.clone(), schema, operation, at: self.end });
            }
        }
        self.commit(rows);
    }

    /// Log that no captured table has part in.
    pub fn idle(&mut self, rng: &mut StdRng) {
        self.end += rng.random_range(1..50);
    }

    /// A table gets new storage, and perhaps loses its rows. Waits, here: is left, while anybody reads it.
    pub fn rewrite(&mut self, rng: &mut StdRng, name: &str, truncate: bool) {
        self.objects += 1;
        let storage = self.objects;
        let Some(relation) = self.tables.get_mut(name).filter(|relation| relation.locks == 0)
        else {
            return;
        };
        relation.id.storage = storage;
        for row in relation.rows.values_mut() {
            row.page = rng.random_range(0..relation.pages);
        }
        self.end += 3;
        if truncate {
            relation.rows.clear();
            let schema = Arc::clone(&relation.schema);
            let row =
                LogRow { table: name.into(), schema, operation: Operation::Truncate, at: self.end };
            self.commit(vec![row]);
        }
    }

    /// A column is added to the schema; told with the next change.
    pub fn alter(&mut self, name: &str) {
        if let Some(relation) = self.tables.get_mut(name) {
            relation.schema = schema(name, relation.schema.columns.len() - 2);
        }
    }

    /// The first transaction that ends behind `position`. Err: that part of the log is gone.
    pub fn next(&self, position: u64) -> Result<Option<Arc<LogTransaction>>, ()> {
        if position < self.removed {
            return Err(());
        }
        let index = self.log.partition_point(|transaction| transaction.end <= position);
        Ok(self.log.get(index).cloned())
    }

    pub fn confirm(&mut self, slot: &str, position: u64) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.confirmed = slot.confirmed.max(position);
        }
        if let Some(kept) = self.slots.values().map(|slot| slot.confirmed).min() {
            self.removed = self.removed.max(kept);
        }
    }
}

impl Relation {
    fn change(&mut self, rng: &mut StdRng, keys: u64, value: u64) -> Operation {
        if rng.random_bool(0.1) {
            return Operation::Message;
        }
        if rng.random_bool(0.1) {
            self.pages += 1;
        }
        let page = rng.random_range(0..self.pages);
        let key = rng.random_range(0..keys);
        let version = self.versions.entry(key).or_default();
        *version += 1;
        let version = *version;
        let Some(row) = self.rows.get_mut(&key) else {
            self.rows.insert(key, Row { version, large: value, page });
            return Operation::Insert { key, version, large: value };
        };
        if rng.random_bool(0.3) {
            self.rows.remove(&key);
            return Operation::Delete { key, version };
        }
        row.version = version;
        if rng.random_bool(0.6) {
            row.page = page;
        }
        let is_left_out = self.leaves_out && rng.random_bool(0.6);
        if !is_left_out {
            row.large = value;
        }
        Operation::Update { key, version, large: (!is_left_out).then_some(value) }
    }
}

/// `key`, `version`, `large`, and as many columns without a meaning.
fn schema(name: &str, more: usize) -> Arc<Table> {
    let int = Kind::Int { bits: 64, signed: false };
    let mut columns = vec![
        Column::new("key", int.clone()).required(),
        Column::new("version", int.clone()),
        Column::new("large", int.clone()),
    ];
    columns.extend((0..more).map(|n| Column::new(&format!("more{n}"), int.clone())));
    Arc::new(Table { name: table_name(name), columns, key: vec![0] })
}

pub(crate) fn table_name(name: &str) -> TableName {
    TableName::new("model", name)
}
