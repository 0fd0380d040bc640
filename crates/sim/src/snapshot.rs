//! Readers of a view of the model database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use change::{Batch, Operation, Place};
use connector::{Chunk, ChunkMark, Failure, Snapshot, TableState};
use rand::RngExt;

use crate::database::{Relation, Row, table_name};
use crate::mutant::Mutant;
use crate::world::{ProcessId, World};

/// The tables as they were at one place in the log.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) at: u64,
    pub(crate) tables: BTreeMap<String, Relation>,
    /// Held as long as anybody may read.
    #[expect(dead_code, reason = "its end counts")]
    pub(crate) locks: Arc<Locks>,
}

/// Keeps tables from being rewritten.
#[derive(Debug)]
pub(crate) struct Locks {
    world: World,
    tables: Vec<String>,
}

impl Locks {
    pub(crate) fn take(world: &World, tables: Vec<String>, really: bool) -> Self {
        let tables = if really { tables } else { Vec::new() };
        let mut state = world.lock();
        for table in &tables {
            if let Some(relation) = state.database.tables.get_mut(table) {
                relation.locks += 1;
            }
        }
        drop(state);
        Self { world: world.clone(), tables }
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        let mut state = self.world.lock();
        for table in &self.tables {
            if let Some(relation) = state.database.tables.get_mut(table) {
                relation.locks -= 1;
            }
        }
    }
}

#[derive(Debug)]
pub struct ModelSnapshot {
    world: World,
    process: ProcessId,
    view: Arc<View>,
    /// Table, chunk, bounds; the last one first.
    work: Vec<(String, usize, Chunk)>,
    /// The rows of the running chunk that are still to be sent, the last one first.
    rows: Option<Vec<(u64, Row)>>,
}

impl ModelSnapshot {
    pub(crate) fn readers(
        world: &World,
        process: ProcessId,
        view: &Arc<View>,
        tables: &[TableState],
    ) -> Vec<Self> {
        let mut state = world.lock();
        let mut work = vec![Vec::new(); state.rng.random_range(1..=3)];
        for table in tables {
            for (index, chunk) in table.copy.chunks.iter().enumerate().rev() {
                if !chunk.done {
                    let reader = state.rng.random_range(0..work.len());
                    work[reader].push((table.name.table.to_string(), index, chunk.clone()));
                }
            }
        }
        let reader =
            |work| Self { world: world.clone(), process, view: Arc::clone(view), work, rows: None };
        work.into_iter().map(reader).collect()
    }

    fn rows_of(&self, table: &str, chunk: &Chunk) -> Vec<(u64, Row)> {
        let relation = &self.view.tables[table];
        if self.world.lock().database.tables[table].id.storage != relation.id.storage {
            // Rewritten since: this view sees none of its rows.
            return Vec::new();
        }
        let page = |bound: &Option<String>, open| {
            bound.as_ref().map_or(open, |page| page.parse().expect("bounds are our own words"))
        };
        let pages = page(&chunk.from, 0)..page(&chunk.to, u64::MAX);
        let rows = relation.rows.iter().filter(|(_, row)| pages.contains(&row.page));
        rows.map(|(key, row)| (*key, row.clone())).rev().collect()
    }
}

impl Snapshot for ModelSnapshot {
    async fn next(&mut self) -> Result<Option<(Batch, ChunkMark)>, Failure> {
        self.world.step(self.process).await;
        let Some((table, index, chunk)) = self.work.last().cloned() else { return Ok(None) };
        if self.world.lock().character.long_copy {
            let millis = self.world.lock().rng.random_range(10..300);
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        let tripped = self.world.trip(0.01, "reading a chunk");
        let lies = tripped.is_err() && self.world.is(Mutant::ChunkEndOnError);
        if !lies {
            tripped?;
        }
        let rows = match self.rows.take() {
            Some(rows) => rows,
            None => self.rows_of(&table, &chunk),
        };
        let mut rows = rows;
        let size = self.world.lock().rng.random_range(1..4).min(rows.len());
        let now = rows.split_off(rows.len() - size);
        let last = rows.is_empty() || lies;
        let schema = &self.view.tables[&table].schema;
        let mut batch = Batch::new();
        batch.begin("copy", 0).finish();
        for (key, row) in now.iter().rev() {
            let place = Place { at: self.view.at, order: 0, table_order: 0 };
            let mut cells = batch.row(schema, Operation::Read, place);
            cells.uint(*key);
            cells.uint(row.version);
            cells.uint(row.large);
            for _ in 3..schema.columns.len() {
                cells.null();
            }
            cells.finish();
        }
        if last {
            self.work.pop();
        } else {
            self.rows = Some(rows);
        }
        let mark = ChunkMark {
            table: table_name(&table),
            chunk: index,
            last,
            rows: now.len() as u64,
            bytes: now.len() as u64,
        };
        Ok(Some((batch, mark)))
    }

    fn of_bytes(&self) -> Option<u64> {
        None
    }
}
