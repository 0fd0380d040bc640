//! Rows by table and operation, for the metrics: counted a batch at a time, with a handle kept for each pair, so that a
//! row costs a comparison and no look-up.

use std::collections::HashMap;
use std::sync::Arc;

use change::{Batch, Operation, Table, TableName};
use metrics::{Counter, counter};

#[derive(Debug, Default)]
pub(crate) struct Tally {
    handles: HashMap<(TableName, Operation), Counter>,
}

impl Tally {
    /// Counts what was given to the sink.
    pub(crate) fn count(&mut self, batch: &Batch) {
        let mut run: Option<(&Arc<Table>, Operation, u64)> = None;
        for event in batch.events() {
            let operation = event.change.operation();
            match &mut run {
                Some((table, same, rows))
                    if Arc::ptr_eq(table, event.table) && *same == operation =>
                {
                    *rows += 1;
                }
                _ => {
                    self.add(run.replace((event.table, operation, 1)));
                }
            }
        }
        self.add(run);
    }

    fn add(&mut self, run: Option<(&Arc<Table>, Operation, u64)>) {
        let Some((table, operation, rows)) = run else { return };
        let handle = self.handles.entry((table.name.clone(), operation)).or_insert_with(|| {
            let table = table.name.to_string();
            counter!("afterimage_rows_total", "table" => table, "operation" => word(operation))
        });
        handle.increment(rows);
    }
}

fn word(operation: Operation) -> &'static str {
    match operation {
        Operation::Read => "read",
        Operation::Insert => "insert",
        Operation::Update => "update",
        Operation::Delete => "delete",
        Operation::Truncate => "truncate",
        Operation::Message => "message",
    }
}
