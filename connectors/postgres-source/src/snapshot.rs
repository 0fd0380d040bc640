//! Copying tables through a pinned view, a range of pages at a time.
//!
//! A chunk is `oid:page`, up to another page of the same table or to its end: of a partitioned table each leaf has its
//! chunks. The last chunk of a table is open, so that its bound need not be known. A range of pages is read by a range
//! scan over `ctid`, which touches no other page.
//!
//! Readers share one queue of chunks. A chunk is told to be done only when the server has said CommandComplete: a
//! connection that is cut at any byte is an error, never the end of a table.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use change::{Batch, Place};
use connector::{Chunk, ChunkMark, CopyState, Failure, Snapshot, TableCopy, TableState};
use postgres_replication::copy::{CopyDecoder, CopyError};
use postgres_replication::quote::{ZeroByte, quote_identifier};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::config::Settings;
use crate::decode::{RowError, copied_row};
use crate::failure::{Doing, Stop};
use crate::schema::{Captured, CatalogTable, build};
use crate::transaction::LogError;
use crate::types::TypeCatalog;
use crate::{PostgresPosition, pin};

const DOING: &str = "copying a table";
/// Fewer pages are not worth a chunk of their own.
const CHUNK_PAGES_MIN: u64 = 4096;
const CHUNKS_MAX: u64 = 1024;
const BATCH_BYTES: usize = 256 * 1024;
/// Batches that a reader may be ahead.
const AHEAD: usize = 2;
/// The largest row that is put together of several messages: beyond the database's own limit of a value.
const ROW_BYTES_MAX: usize = 1 << 30;

/// What all readers of a pin have in common.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) position: PostgresPosition,
    pub(crate) settings: Arc<Settings>,
    pub(crate) types: TypeCatalog,
}

/// A chunk to be read.
#[derive(Debug, Clone)]
struct Job {
    table: Arc<Planned>,
    chunk: usize,
    sql: String,
}

#[derive(Debug)]
struct Planned {
    captured: Captured,
    name: change::TableName,
}

type Queue = Arc<Mutex<VecDeque<Job>>>;

/// One reader of a pinned view; it reads ahead by a little.
#[derive(Debug)]
pub struct PostgresSnapshot {
    batches: mpsc::Receiver<Result<(Batch, ChunkMark), Failure>>,
    reader: JoinHandle<()>,
    of_bytes: u64,
}

impl Drop for PostgresSnapshot {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Snapshot for PostgresSnapshot {
    async fn next(&mut self) -> Result<Option<(Batch, ChunkMark)>, Failure> {
        self.batches.recv().await.transpose()
    }

    fn of_bytes(&self) -> Option<u64> {
        Some(self.of_bytes)
    }
}

/// When the snapshot was taken, for people; what its rows carry as their transaction.
#[derive(Debug, Clone, Copy)]
struct Moment {
    position: PostgresPosition,
    micros: i64,
    /// The number that the next transaction would have had.
    xid: i64,
}

/// Finds the chunks of every table, and lets the sessions read those that are not done.
pub(crate) async fn plan(
    mut view: View,
    mut sessions: Vec<Client>,
    copy: &[TableState],
) -> Result<(Vec<TableState>, Vec<PostgresSnapshot>), Failure> {
    let Some(first) = sessions.first_mut() else { return Ok((Vec::new(), Vec::new())) };
    let settings = Arc::clone(&view.settings);
    let found = pin::describe(first, &mut view.types, &settings, copy).await?;
    let moment = moment(first, view.position).await?;
    let mut states = Vec::with_capacity(copy.len());
    let mut jobs = VecDeque::new();
    let mut of_bytes = 0;
    for (state, table) in copy.iter().zip(&found) {
        let relation = table.relation();
        let captured = build(&relation, Some(table), state.schema.as_ref(), &view.types, &settings);
        let leaves = leaves(first, table).await?;
        of_bytes += leaves.iter().map(|leaf| leaf.bytes).sum::<u64>();
        let next = next_state(state, table, &captured, &leaves);
        let planned = Arc::new(Planned { captured, name: state.name.clone() });
        for (index, chunk) in next.copy.chunks.iter().enumerate().filter(|(_, chunk)| !chunk.done) {
            let sql = statement(&planned.captured, &leaves, chunk, state).await?;
            jobs.push_back(Job { table: Arc::clone(&planned), chunk: index, sql });
        }
        states.push(next);
    }
    let queue: Queue = Arc::new(Mutex::new(jobs));
    let share = of_bytes / sessions.len().max(1) as u64;
    let readers = sessions
        .into_iter()
        .map(|client| start(client, Arc::clone(&queue), moment, share))
        .collect();
    Ok((states, readers))
}

async fn moment(client: &mut Client, position: PostgresPosition) -> Result<Moment, Failure> {
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros, \
                 pg_snapshot_xmax(pg_current_snapshot())::text::numeric % 4294967296 AS xid";
    let rows = client.query(sql, &[]).await.doing(DOING)?;
    let number = |column| rows.get(0, column).and_then(|text| text.parse().ok());
    match (number("micros"), number("xid")) {
        (Some(micros), Some(xid)) => Ok(Moment { position, micros, xid }),
        _ => Err(Stop::Catalog("the server's clock").failure(DOING)),
    }
}

/// Something with pages: a table, or a leaf of a partitioned one.
#[derive(Debug)]
struct Leaf {
    oid: u64,
    /// Quoted.
    name: String,
    pages: u64,
    bytes: u64,
}

async fn leaves(client: &mut Client, table: &CatalogTable) -> Result<Vec<Leaf>, Failure> {
    let members = if table.partitioned {
        "SELECT relid FROM pg_partition_tree($1::oid) WHERE isleaf"
    } else {
        "SELECT $1::oid"
    };
    let sql = format!(
        "SELECT c.oid, n.nspname, c.relname, pg_relation_size(c.oid) AS bytes, \
           pg_relation_size(c.oid) / current_setting('block_size')::bigint AS pages \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid IN ({members}) AND c.relkind = 'r' ORDER BY c.oid"
    );
    let rows = client.query(&sql, &[Some(&table.id.object.to_string())]).await.doing(DOING)?;
    rows.iter()
        .map(|row| {
            let number = |column| row.get(column).and_then(|text| text.parse::<u64>().ok());
            let missing = || Stop::Catalog("a table's pages").failure(DOING);
            let name = |column| quote_identifier(row.get(column).unwrap_or_default()).doing(DOING);
            Ok(Leaf {
                oid: number("oid").ok_or_else(missing)?,
                name: format!("{}.{}", name("nspname")?, name("relname")?),
                pages: number("pages").ok_or_else(missing)?,
                bytes: number("bytes").ok_or_else(missing)?,
            })
        })
        .collect()
}

/// The state that the copy goes on from: the stored chunks, or new ones when there are none, or when the table is not
/// the one that was begun, or has holes.
fn next_state(
    state: &TableState,
    table: &CatalogTable,
    captured: &Captured,
    leaves: &[Leaf],
) -> TableState {
    let known = state.id.object != 0;
    let begun = state.copy.state == CopyState::Begun;
    let again = !begun
        || state.copy.chunks.is_empty()
        || (known && state.id != table.id)
        || state.copy.holes;
    let copy = if again {
        TableCopy { state: state.copy.state, chunks: chunks(leaves), holes: false }
    } else {
        state.copy.clone()
    };
    TableState {
        name: state.name.clone(),
        schema: Some(Arc::clone(&captured.table)),
        id: table.id,
        copy,
    }
}

fn chunks(leaves: &[Leaf]) -> Vec<Chunk> {
    let all: u64 = leaves.iter().map(|leaf| leaf.pages).sum();
    // every leaf has one chunk at least, the others share what is left of the bound
    let share = CHUNKS_MAX.saturating_sub(leaves.len() as u64).max(1);
    let size = all.div_ceil(share).max(CHUNK_PAGES_MIN);
    let mut chunks = Vec::new();
    for leaf in leaves {
        let mut page = 0;
        while page + size < leaf.pages {
            chunks.push(chunk(leaf.oid, page, Some(page + size)));
            page += size;
        }
        chunks.push(chunk(leaf.oid, page, None));
    }
    if chunks.is_empty() {
        // a partitioned table without partitions: empty, and begun by its one chunk
        chunks.push(chunk(0, 0, None));
    }
    chunks
}

fn chunk(oid: u64, from: u64, to: Option<u64>) -> Chunk {
    Chunk {
        from: Some(format!("{oid}:{from}")),
        to: to.map(|to| format!("{oid}:{to}")),
        done: false,
    }
}

fn parse_bound(bound: &str) -> Option<(u64, u64)> {
    let (oid, page) = bound.split_once(':')?;
    Some((oid.parse().ok()?, page.parse().ok()?))
}

async fn statement(
    captured: &Captured,
    leaves: &[Leaf],
    chunk: &Chunk,
    state: &TableState,
) -> Result<String, Failure> {
    let from = chunk.from.as_deref().and_then(parse_bound);
    let (oid, from) = from.ok_or_else(|| Stop::Catalog("a stored chunk").failure(DOING))?;
    let to = match chunk.to.as_deref() {
        Some(to) => {
            Some(parse_bound(to).ok_or_else(|| Stop::Catalog("a stored chunk").failure(DOING))?.1)
        }
        None => None,
    };
    let leaf = leaves.iter().find(|leaf| leaf.oid == oid);
    let source = match leaf {
        Some(leaf) => format!("ONLY {}", leaf.name),
        None if oid == 0 => crate::publication::qualified(&state.name).doing(DOING)?,
        None => return Err(Stop::TableMissing(state.name.clone()).failure(DOING)),
    };
    let columns = select_list(captured).doing(DOING)?;
    let mut filter = String::new();
    if oid != 0 && from > 0 {
        filter = format!(" WHERE ctid >= '({from},0)'::tid");
    }
    if let Some(to) = to {
        filter.push_str(if filter.is_empty() { " WHERE " } else { " AND " });
        filter.push_str(&format!("ctid < '({to},0)'::tid"));
    }
    Ok(format!("COPY (SELECT {columns} FROM {source}{filter}) TO STDOUT (FORMAT binary)"))
}

/// Columns whose binary form is known as they are, the others by their type's output function, which is what the log
/// sends. A cast to text is another function for some types, as for addresses and padded characters.
fn select_list(captured: &Captured) -> Result<String, ZeroByte> {
    let mut list = Vec::new();
    for column in &captured.columns {
        let Some(decoder) = &column.decoder else { continue };
        let name = quote_identifier(&column.name)?;
        list.push(if decoder.has_binary() {
            name
        } else {
            format!("CASE WHEN num_nonnulls({name}) = 1 THEN format('%s', {name}) END")
        });
    }
    Ok(list.join(", "))
}

fn start(client: Client, queue: Queue, moment: Moment, of_bytes: u64) -> PostgresSnapshot {
    let (sender, batches) = mpsc::channel(AHEAD);
    let reader = tokio::spawn(async move {
        if let Err(failure) = read_all(client, &queue, moment, &sender).await {
            // whoever asked for it may have gone
            let _ = sender.send(Err(failure)).await;
        }
    });
    PostgresSnapshot { batches, reader, of_bytes }
}

type Sender = mpsc::Sender<Result<(Batch, ChunkMark), Failure>>;

async fn read_all(
    mut client: Client,
    queue: &Queue,
    moment: Moment,
    out: &Sender,
) -> Result<(), Failure> {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(job) = job else { break };
        if !read_chunk(&mut client, &job, moment, out).await? {
            return Ok(());
        }
    }
    client.simple("COMMIT").await.doing(DOING)?;
    client.close().await.doing(DOING)
}

/// Reads one chunk to its end; false: nobody listens any more.
async fn read_chunk(
    client: &mut Client,
    job: &Job,
    moment: Moment,
    out: &Sender,
) -> Result<bool, Failure> {
    let mut captured = job.table.captured.clone();
    let mut decoder = CopyDecoder::new(ROW_BYTES_MAX);
    let mut copy = client.copy_out(&job.sql).await.doing(DOING)?;
    let mut part = Part::new(moment);
    let mark = |part: &Part, last| ChunkMark {
        table: job.table.name.clone(),
        chunk: job.chunk,
        last,
        rows: part.rows,
        bytes: part.bytes,
    };
    while let Some(frames) = copy.next().await.doing(DOING)? {
        for payload in frames.payloads() {
            part.bytes += payload.len() as u64;
            let fed = decoder.feed(payload, |row| part.push(&mut captured, row));
            fed.map_err(|error| error.failure(job))?;
            if part.batch.size() >= BATCH_BYTES {
                let full = std::mem::replace(&mut part, Part::new(moment));
                let mark = mark(&full, false);
                if out.send(Ok((full.batch, mark))).await.is_err() {
                    return Ok(false);
                }
            }
        }
    }
    // behind CommandComplete
    decoder.finish().map_err(|error| ReadError::Copy(error).failure(job))?;
    let mark = mark(&part, true);
    Ok(out.send(Ok((part.batch, mark))).await.is_ok())
}

/// The batch being filled.
struct Part {
    batch: Batch,
    at: u64,
    rows: u64,
    bytes: u64,
}

impl Part {
    fn new(moment: Moment) -> Part {
        let mut batch = Batch::new();
        let at = moment.position.lsn.0;
        let mut head = batch.begin(&format!("copy:{at}"), moment.micros);
        head.int(moment.xid);
        for _ in 0..3 {
            head.null();
        }
        head.finish();
        Part { batch, at, rows: 0, bytes: 0 }
    }

    fn push(
        &mut self,
        captured: &mut Captured,
        row: postgres_replication::copy::CopyRow<'_>,
    ) -> Result<(), ReadError> {
        self.rows += 1;
        let place = Place { at: self.at, order: self.rows, table_order: self.rows };
        copied_row(captured, row, place, &mut self.batch).map_err(ReadError::Row)
    }
}

enum ReadError {
    Copy(CopyError),
    Row(RowError),
}

impl From<CopyError> for ReadError {
    fn from(error: CopyError) -> Self {
        ReadError::Copy(error)
    }
}

impl ReadError {
    fn failure(self, job: &Job) -> Failure {
        match self {
            ReadError::Copy(error) => Failure::definite("undecodable", DOING, error),
            ReadError::Row(source) => {
                Stop::from(LogError::Row { table: job.table.name.clone(), source }).failure(DOING)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(oid: u64, pages: u64) -> Leaf {
        Leaf { oid, name: format!("\"public\".\"t{oid}\""), pages, bytes: pages * 8192 }
    }

    #[test]
    fn chunks_cover_every_page_once_and_the_last_is_open() {
        let check = |pages: &[u64]| {
            let leaves: Vec<Leaf> =
                pages.iter().zip(1..).map(|(pages, oid)| leaf(oid, *pages)).collect();
            let chunks = chunks(&leaves);
            assert!(
                chunks.len() as u64 <= CHUNKS_MAX.max(2 * leaves.len() as u64),
                "{}",
                chunks.len()
            );
            for leaf in &leaves {
                let mut next = 0;
                let mut open = false;
                for chunk in &chunks {
                    let (oid, from) = parse_bound(chunk.from.as_deref().unwrap()).unwrap();
                    if oid != leaf.oid {
                        continue;
                    }
                    assert!(!open && from == next, "{chunk:?}");
                    match chunk.to.as_deref().and_then(parse_bound) {
                        Some((to_oid, to)) => {
                            assert_eq!(to_oid, oid);
                            next = to;
                        }
                        None => open = true,
                    }
                }
                assert!(open, "leaf {} has an open end", leaf.oid);
            }
            chunks.len()
        };
        assert_eq!(check(&[0]), 1);
        assert_eq!(check(&[4096]), 1);
        assert_eq!(check(&[4097]), 2);
        assert_eq!(check(&[1 << 32]), 1023);
        assert_eq!(check(&[10, 20_000, 0]), 7);
        check(&vec![5000; 2000]);
        assert_eq!(chunks(&[]).len(), 1);
    }

    #[test]
    fn a_stored_copy_goes_on_unless_the_table_is_another_or_has_holes() {
        let table = |storage| CatalogTable {
            name: change::TableName::new("public", "t"),
            id: change::TableId { object: 1, storage },
            partitioned: false,
            replica_identity: postgres_replication::pgoutput::ReplicaIdentity::Default,
            columns: vec![],
            primary_key: vec![],
            identity_index: vec![],
            unique_index: vec![],
        };
        let settings = {
            let text = r#"{"url": "postgres://u@localhost/d", "tables": ["*.*"]}"#;
            Settings::new("t", &serde_json::from_str::<crate::Config>(text).unwrap()).unwrap()
        };
        let captured =
            build(&table(5).relation(), Some(&table(5)), None, &TypeCatalog::default(), &settings);
        let stored = |state, holes, chunks: usize| TableState {
            name: change::TableName::new("public", "t"),
            schema: None,
            id: change::TableId { object: 1, storage: 5 },
            copy: TableCopy {
                state,
                holes,
                chunks: vec![Chunk { done: true, ..chunk(1, 0, Some(9)) }; chunks],
            },
        };
        let check = |state: TableState, storage, goes_on: bool, expected: CopyState| {
            let next = next_state(&state, &table(storage), &captured, &[leaf(1, 10)]);
            assert_eq!(next.copy.chunks == state.copy.chunks, goes_on, "{state:?}");
            assert_eq!(next.copy.state, expected);
            assert!(!next.copy.holes);
            assert_eq!(next.id.storage, storage);
        };
        check(stored(CopyState::Begun, false, 2), 5, true, CopyState::Begun);
        check(stored(CopyState::Begun, false, 2), 6, false, CopyState::Begun);
        check(stored(CopyState::Begun, true, 2), 5, false, CopyState::Begun);
        check(stored(CopyState::Waiting, false, 0), 5, false, CopyState::Waiting);
    }
}
