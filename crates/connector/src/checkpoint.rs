use std::collections::BTreeMap;
use std::sync::Arc;

use change::{Table, TableId, TableName};
use serde::{Deserialize, Serialize};

use crate::{CopyId, Open, Resume, TableCopy};

/// Which log a position belongs to, as facts by name: the source writes them and compares them itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identity(pub BTreeMap<String, String>);

/// What [`Sink::commit`](crate::Sink::commit) makes durable together with the data before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint<P> {
    pub identity: Arc<Identity>,
    /// The copy that is about to be, or was, pinned by the slot of this id.
    pub intent: Option<CopyId>,
    /// None before the first pin.
    pub at: Option<Resume<P>>,
    /// Tables whose state changed since the last commit, whole.
    pub changed: Vec<TableState>,
}

/// What is kept of a table for as long as it is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableState {
    pub name: TableName,
    /// The schema of the last rows before the stored place (inside the open transaction, if there is one), for what the
    /// log cannot give back.
    pub schema: Option<Arc<Table>>,
    pub id: TableId,
    pub copy: TableCopy,
}

/// All that was stored, put together again.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<P> {
    pub identity: Identity,
    pub intent: Option<CopyId>,
    pub at: Option<P>,
    pub open: Option<Open>,
    pub tables: BTreeMap<TableName, TableState>,
}

impl<P> Default for Stored<P> {
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            intent: None,
            at: None,
            open: None,
            tables: BTreeMap::new(),
        }
    }
}

impl<P: Clone> Stored<P> {
    pub fn resume(&self) -> Option<Resume<P>> {
        self.at.clone().map(|from| Resume { from, open: self.open.clone() })
    }

    /// The state after `checkpoint` has become durable.
    pub fn apply(&mut self, checkpoint: &Checkpoint<P>) {
        self.identity = Identity::clone(&checkpoint.identity);
        self.intent = checkpoint.intent;
        self.at = checkpoint.at.as_ref().map(|resume| resume.from.clone());
        self.open = checkpoint.at.as_ref().and_then(|resume| resume.open.clone());
        for table in &checkpoint.changed {
            self.tables.insert(table.name.clone(), table.clone());
        }
    }
}
