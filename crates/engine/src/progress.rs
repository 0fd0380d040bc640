//! What the next commit will make durable.
//!
//! One value holds the state as of the next commit, and names the tables in which it differs from what is stored. It
//! changes together with what is written to the sink and is thrown away together with it, so a checkpoint never says
//! of rows what is not in the same transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use change::{Table, TableName};
use connector::{Checkpoint, CopyId, Identity, Open, Position, Resume, Stored, TableState};

#[derive(Debug)]
pub(crate) struct Progress<P> {
    identity: Arc<Identity>,
    intent: Option<CopyId>,
    at: Option<Resume<P>>,
    tables: BTreeMap<TableName, TableState>,
    changed: BTreeSet<TableName>,
    /// The last schema seen of each table, by pointer, so that a run of batches of one version costs nothing.
    seen: BTreeMap<TableName, Arc<Table>>,
}

impl<P: Position> Progress<P> {
    pub(crate) fn new(stored: Stored<P>, identity: Identity) -> Self {
        let at = stored.resume();
        Self {
            identity: Arc::new(identity),
            intent: stored.intent,
            at,
            tables: stored.tables,
            changed: BTreeSet::new(),
            seen: BTreeMap::new(),
        }
    }

    pub(crate) fn intent(&self) -> Option<CopyId> {
        self.intent
    }

    pub(crate) fn intend(&mut self, copy: CopyId) {
        self.intent = Some(copy);
    }

    pub(crate) fn at(&self) -> Option<&Resume<P>> {
        self.at.as_ref()
    }

    pub(crate) fn open(&self) -> Option<&Open> {
        self.at.as_ref().and_then(|resume| resume.open.as_ref())
    }

    /// All before `position` is written, and no transaction is open there.
    pub(crate) fn reached(&mut self, position: P) {
        self.at = Some(Resume { from: position, open: None });
    }

    /// The first transaction behind the position is written as far as `open` says.
    pub(crate) fn reached_within(&mut self, open: Open) {
        if let Some(resume) = &mut self.at {
            resume.open = Some(open);
        }
    }

    pub(crate) fn tables(&self) -> &BTreeMap<TableName, TableState> {
        &self.tables
    }

    pub(crate) fn table(&self, name: &TableName) -> Option<&TableState> {
        self.tables.get(name)
    }

    pub(crate) fn set_table(&mut self, table: TableState) {
        self.changed.insert(table.name.clone());
        self.tables.insert(table.name.clone(), table);
    }

    pub(crate) fn change_table(&mut self, name: &TableName, change: impl FnOnce(&mut TableState)) {
        if let Some(table) = self.tables.get_mut(name) {
            change(table);
            self.changed.insert(name.clone());
        }
    }

    /// Takes note of the schemas that a batch was written with. Those of a transaction that is then cut are stored
    /// with the cut: what comes behind it was written in them, and a restart may not see again what brought them.
    pub(crate) fn see(&mut self, tables: &[Arc<Table>]) {
        for table in tables {
            if self.is_news(table) {
                let name = table.name.to_string();
                metrics::counter!("afterimage_schema_versions_total", "table" => name).increment(1);
                self.change_table(&table.name, |state| state.schema = Some(Arc::clone(table)));
            }
        }
    }

    /// Compares by value, so that a restart, which makes every `Arc` anew, writes nothing again.
    fn is_news(&mut self, table: &Arc<Table>) -> bool {
        if self.seen.get(&table.name).is_some_and(|seen| Arc::ptr_eq(seen, table)) {
            return false;
        }
        self.seen.insert(table.name.clone(), Arc::clone(table));
        let Some(state) = self.tables.get(&table.name) else { return false };
        state.schema.as_ref() != Some(table)
    }

    pub(crate) fn has_changed_tables(&self) -> bool {
        !self.changed.is_empty()
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint<P> {
        Checkpoint {
            identity: Arc::clone(&self.identity),
            intent: self.intent,
            at: self.at.clone(),
            changed: self.changed.iter().map(|name| self.tables[name].clone()).collect(),
        }
    }

    pub(crate) fn committed(&mut self) {
        self.changed.clear();
    }
}

#[cfg(test)]
mod tests {
    use change::{Column, Kind, TableId};
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct At(u64);

    impl Position for At {
        fn covers(&self, other: &Self) -> bool {
            self.0 >= other.0
        }
    }

    fn schema(columns: usize) -> Arc<Table> {
        Arc::new(Table {
            name: TableName::new("public", "t"),
            columns: (0..columns).map(|n| Column::new(&format!("c{n}"), Kind::Text)).collect(),
            key: vec![0],
        })
    }

    fn stored(schema: Option<Arc<Table>>) -> Progress<At> {
        let name = TableName::new("public", "t");
        let mut table = TableState::new(name.clone(), TableId::default());
        table.schema = schema;
        let stored = Stored {
            at: Some(At(1)),
            tables: BTreeMap::from([(name, table)]),
            ..Stored::default()
        };
        Progress::new(stored, Identity::default())
    }

    #[test]
    fn a_schema_is_stored_once_for_every_value() {
        let mut progress = stored(Some(schema(2)));
        progress.see(&[schema(2)]);
        progress.reached(At(2));
        assert!(progress.checkpoint().changed.is_empty(), "the same columns in another Arc");
        progress.see(&[schema(2), schema(3)]);
        progress.see(&[schema(3)]);
        progress.reached(At(3));
        let changed = progress.checkpoint().changed;
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0].schema, Some(schema(3)));
        progress.committed();
        progress.see(&[schema(3)]);
        progress.reached(At(4));
        assert!(progress.checkpoint().changed.is_empty());
    }

    #[test]
    fn a_schema_seen_in_a_cut_transaction_is_stored_with_the_cut() {
        let mut progress = stored(Some(schema(2)));
        progress.see(&[schema(3)]);
        let open = Open { transaction: "9".into(), rows_done: 1, hash: 7 };
        progress.reached_within(open.clone());
        let cut = progress.checkpoint();
        assert_eq!(cut.at, Some(Resume { from: At(1), open: Some(open) }));
        assert_eq!(cut.changed[0].schema, Some(schema(3)));
        progress.committed();
        progress.reached(At(2));
        let whole = progress.checkpoint();
        assert_eq!(whole.at, Some(Resume { from: At(2), open: None }));
        assert!(whole.changed.is_empty());
    }
}
