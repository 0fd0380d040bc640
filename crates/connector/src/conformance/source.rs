use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::Range;

use change::{Batch, Change, Operation, Row, TableName};
use uuid::Uuid;

use crate::{
    CopyId, Durable, Failure, Identity, Item, Mark, Outlet, OutletReceiver, Pin, Pinned, Position,
    Resume, Snapshot, Source, Stopped, Stored, TableState,
};

/// How to make a source, and how to change its database. Its tables have a first column that is the key.
pub trait SourceBench {
    type Source: Source;

    /// Two captured tables without rows, and nothing of ours left on the server.
    fn fresh(&mut self) -> impl Future<Output = [TableName; 2]>;

    /// A source over the present database, as a process that has just started makes one.
    fn source(&mut self) -> impl Future<Output = Self::Source>;

    /// Commits one transaction of these steps.
    fn commit(&mut self, steps: &[Step]) -> impl Future<Output = ()>;
}

/// A change of the rows with these keys in one of the two tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Insert(usize, Range<u64>),
    /// Changes no key.
    Update(usize, Range<u64>),
    Delete(usize, Range<u64>),
}

/// Runs every check, each in a fresh database.
pub async fn check_source<B: SourceBench>(bench: &mut B) {
    a_copy_reads_what_was_there_and_the_stream_what_comes(bench).await;
    a_stream_goes_on_from_every_mark(bench).await;
    a_stream_ends_exactly_where_it_shall(bench).await;
    tables_that_are_not_asked_for_are_left_out(bench).await;
    a_pin_that_was_not_stored_is_forgotten(bench).await;
}

type At<B> = <<B as SourceBench>::Source as Source>::Position;

/// One row change, comparable.
type Seen = (TableName, Operation, Vec<String>);

const COPY: CopyId = CopyId(Uuid::from_u128(0x00c0_ffee_0000_0000_0000_0000_0000_0001));

fn cells(row: Row<'_>) -> Vec<String> {
    row.cells().map(|cell| format!("{cell:?}")).collect()
}

fn seen(batch: &Batch) -> Vec<Seen> {
    let of = |change: Change<'_>| match change {
        Change::Read(row) | Change::Insert(row) | Change::Message(row) => cells(row),
        Change::Update { after, .. } => cells(after),
        // Only the key is sure to be there.
        Change::Delete(row) => cells(row).into_iter().take(1).collect(),
        Change::Truncate => Vec::new(),
    };
    let event = |event: change::Event<'_>| {
        (event.table.name.clone(), event.change.operation(), of(event.change))
    };
    batch.events().map(event).collect()
}

/// A source at its first pin, and what is stored then.
struct Pinned1<B: SourceBench> {
    source: B::Source,
    stored: Stored<At<B>>,
    tables: Vec<TableState>,
    copied: Vec<Seen>,
}

async fn first_pin<B: SourceBench>(bench: &mut B) -> Pinned1<B> {
    let mut source = bench.source().await;
    let identity = source.open(None).await.expect("a source opens");
    let tables = missing(&mut source).await;
    let names: Vec<_> = tables.iter().map(|table| table.name.clone()).collect();
    let pinned = source.pin(Pin::First(COPY), &names, &tables).await.expect("a source pins");
    let Pinned { at, tables, readers } = pinned;
    let copied = copy(&tables, readers).await;
    let stored = stored::<B>(identity, at, &tables);
    Pinned1 { source, stored, tables, copied }
}

async fn missing<S: Source>(source: &mut S) -> Vec<TableState> {
    let tables = source.tables().await.expect("a source knows its tables");
    tables.into_iter().map(|(name, id)| TableState::new(name, id)).collect()
}

fn stored<B: SourceBench>(identity: Identity, at: At<B>, tables: &[TableState]) -> Stored<At<B>> {
    Stored {
        identity,
        intent: Some(COPY),
        at: Some(at),
        open: None,
        tables: tables.iter().map(|table| (table.name.clone(), table.clone())).collect(),
    }
}

/// Reads all chunks and holds every mark to its word.
async fn copy<R: Snapshot>(tables: &[TableState], readers: Vec<R>) -> Vec<Seen> {
    let mut left: BTreeMap<(TableName, usize), ()> = BTreeMap::new();
    for table in tables {
        for (index, chunk) in table.copy.chunks.iter().enumerate() {
            if !chunk.done {
                left.insert((table.name.clone(), index), ());
            }
        }
    }
    let mut rows = Vec::new();
    for mut reader in readers {
        while let Some((batch, mark)) = reader.next().await.expect("a reader reads") {
            assert_eq!(mark.rows, batch.len() as u64, "a mark counts its rows");
            let chunk = (mark.table.clone(), mark.chunk);
            assert!(left.contains_key(&chunk), "{chunk:?} is to be read, and did not end yet");
            for row in seen(&batch) {
                assert_eq!(row.1, Operation::Read, "copied rows are read");
                assert_eq!(row.0, mark.table, "a batch holds rows of its mark's table");
                rows.push(row);
            }
            if mark.last {
                left.remove(&chunk);
            }
        }
    }
    assert!(left.is_empty(), "chunks without an end: {:?}", left.keys());
    rows.sort_by(|a, b| (&a.0, &a.2).cmp(&(&b.0, &b.2)));
    rows
}

/// What a stream sent, with the mark behind each batch.
type Sent<P> = Vec<(Vec<Seen>, Mark<P>)>;

async fn collect<P: Position>(
    items: &mut OutletReceiver<P>,
    mut enough: impl FnMut(&Sent<P>) -> bool,
) -> Sent<P> {
    let mut sent = Sent::new();
    let mut last: Option<P> = None;
    while !enough(&sent) {
        let Some(Item { batch, mark, .. }) = items.recv().await else { return sent };
        if let Mark::Commit(at) = &mark {
            assert!(last.as_ref().is_none_or(|last| at.covers(last)), "positions go forward");
            last = Some(at.clone());
        }
        sent.push((seen(&batch), mark));
    }
    sent
}

/// Streams until enough was sent, and cancels.
async fn follow<S: Source>(
    source: &mut S,
    from: Resume<S::Position>,
    tables: &[TableState],
    enough: impl FnMut(&Sent<S::Position>) -> bool,
) -> Sent<S::Position> {
    let (out, mut items) = crate::outlet(1 << 20);
    let (_durable, confirm): (_, Durable<S::Position>) = crate::durable(from.from.clone());
    let running = stream(source, from, tables, None, out, confirm);
    tokio::select! {
        biased;
        sent = collect(&mut items, enough) => sent,
        ended = running => panic!("a stream without an end ended: {ended:?}"),
    }
}

async fn stream<S: Source>(
    source: &mut S,
    from: Resume<S::Position>,
    tables: &[TableState],
    until: Option<S::Position>,
    out: Outlet<S::Position>,
    confirm: Durable<S::Position>,
) -> Result<Stopped, Failure> {
    source.stream(from, tables, until, out, confirm).await
}

fn rows<P>(sent: &Sent<P>) -> Vec<Seen> {
    sent.iter().flat_map(|(rows, _)| rows.clone()).collect()
}

fn has_rows<P>(count: usize) -> impl FnMut(&Sent<P>) -> bool {
    move |sent| {
        let behind = matches!(sent.last(), Some((_, Mark::Commit(_))));
        behind && sent.iter().map(|(rows, _)| rows.len()).sum::<usize>() >= count
    }
}

async fn a_copy_reads_what_was_there_and_the_stream_what_comes<B: SourceBench>(bench: &mut B) {
    let [first, second] = bench.fresh().await;
    bench.commit(&[Step::Insert(0, 0..40), Step::Insert(1, 0..3)]).await;
    bench.commit(&[Step::Delete(0, 5..10)]).await;
    let Pinned1 { mut source, stored, tables, copied } = first_pin(bench).await;
    let count = |name: &TableName| copied.iter().filter(|row| row.0 == *name).count();
    assert_eq!((count(&first), count(&second)), (35, 3), "rows as of the pin");
    let keys: BTreeSet<_> = copied.iter().map(|row| (&row.0, &row.2[0])).collect();
    assert_eq!(keys.len(), copied.len(), "each row once");

    bench.commit(&[Step::Insert(0, 100..103), Step::Update(1, 0..1), Step::Delete(0, 0..2)]).await;
    bench.commit(&[Step::Insert(1, 50..51)]).await;
    let from = stored.resume().expect("a pin is stored");
    let sent = follow(&mut source, from, &tables, has_rows(7)).await;
    let operations: Vec<_> = rows(&sent).into_iter().map(|row| (row.0, row.1)).collect();
    let expected = [
        (&first, Operation::Insert),
        (&first, Operation::Insert),
        (&first, Operation::Insert),
        (&second, Operation::Update),
        (&first, Operation::Delete),
        (&first, Operation::Delete),
        (&second, Operation::Insert),
    ];
    let expected: Vec<_> = expected.map(|(name, operation)| (name.clone(), operation)).into();
    assert_eq!(operations, expected, "what was committed behind the pin, in order");

    // The same row copied and streamed has the same cells.
    let Pinned { tables: again, readers, .. } = {
        let names: Vec<_> = tables.iter().map(|table| table.name.clone()).collect();
        let asked = missing(&mut source).await;
        source.pin(Pin::Later, &names, &asked).await.expect("a source pins")
    };
    let copied = copy(&again, readers).await;
    for (table, operation, cells) in rows(&sent) {
        if operation == Operation::Insert {
            let same = copied.iter().find(|row| row.0 == table && row.2[0] == cells[0]);
            assert_eq!(same.map(|row| &row.2), Some(&cells), "equal cells, copied and streamed");
        }
    }
}

async fn a_stream_goes_on_from_every_mark<B: SourceBench>(bench: &mut B) {
    bench.fresh().await;
    let Pinned1 { mut source, stored, tables, .. } = first_pin(bench).await;
    bench.commit(&[Step::Insert(0, 0..5), Step::Insert(1, 0..5)]).await;
    bench.commit(&[Step::Update(0, 0..3), Step::Delete(1, 4..5)]).await;
    bench.commit(&[Step::Insert(0, 10..11)]).await;
    let total = 15;
    let from = stored.resume().expect("a pin is stored");
    let whole = follow(&mut source, from.clone(), &tables, has_rows(total)).await;
    let all = rows(&whole);
    assert_eq!(all.len(), total, "every change once");
    let mut position = from.from;
    let mut told = 0;
    for (batch, mark) in &whole {
        told += batch.len();
        let resume = match mark {
            Mark::Commit(at) => {
                position = at.clone();
                Resume { from: at.clone(), open: None }
            }
            Mark::Within(open) => Resume { from: position.clone(), open: Some(open.clone()) },
        };
        let mut now = stored.clone();
        (now.at, now.open) = (Some(resume.from.clone()), resume.open.clone());
        let mut source = bench.source().await;
        source.open(Some(&now)).await.expect("a source opens where it was");
        missing(&mut source).await;
        if told < total {
            let rest = follow(&mut source, resume, &tables, has_rows(total - told)).await;
            assert_eq!(rows(&rest), all[told..], "the rest, behind {mark:?}");
        }
    }
}

async fn a_stream_ends_exactly_where_it_shall<B: SourceBench>(bench: &mut B) {
    bench.fresh().await;
    let Pinned1 { mut source, stored, tables, .. } = first_pin(bench).await;
    bench.commit(&[Step::Insert(0, 0..5)]).await;
    let names: Vec<_> = tables.iter().map(|table| table.name.clone()).collect();
    let asked = missing(&mut source).await;
    let pinned = source.pin(Pin::Later, &names, &asked).await.expect("a source pins");
    bench.commit(&[Step::Insert(0, 5..9)]).await;
    let from = stored.resume().expect("a pin is stored");
    assert!(pinned.at.covers(&from.from), "a later pin lies behind the first");
    let (out, mut items) = crate::outlet(1 << 20);
    let (_durable, confirm) = crate::durable(from.from.clone());
    let until = Some(pinned.at.clone());
    let running = stream(&mut source, from, &tables, until, out, confirm);
    let (sent, ended) = tokio::join!(collect(&mut items, |_| false), running);
    assert_eq!(ended.expect("a stream ends well"), Stopped::Reached);
    assert_eq!(rows(&sent).len(), 5, "what lies before the pin, and no more");
    let last = sent.last().map(|(_, mark)| mark.clone());
    assert_eq!(last, Some(Mark::Commit(pinned.at.clone())), "the last mark is the pin");
    assert_eq!(copy(&pinned.tables, pinned.readers).await.len(), 5, "the pin's view is the same");
    let from = Resume { from: pinned.at, open: None };
    let sent = follow(&mut source, from, &tables, has_rows(4)).await;
    assert_eq!(rows(&sent).len(), 4, "what lies behind the pin");
}

async fn tables_that_are_not_asked_for_are_left_out<B: SourceBench>(bench: &mut B) {
    let [first, _] = bench.fresh().await;
    let Pinned1 { mut source, stored, tables, .. } = first_pin(bench).await;
    bench.commit(&[Step::Insert(1, 0..5), Step::Insert(0, 0..2)]).await;
    bench.commit(&[Step::Insert(1, 5..6)]).await;
    bench.commit(&[Step::Insert(0, 2..3)]).await;
    let from = stored.resume().expect("a pin is stored");
    let asked: Vec<_> = tables.into_iter().filter(|table| table.name == first).collect();
    let sent = follow(&mut source, from, &asked, has_rows(3)).await;
    let names: Vec<_> = rows(&sent).into_iter().map(|row| row.0).collect();
    assert_eq!(names, vec![first; 3]);
}

async fn a_pin_that_was_not_stored_is_forgotten<B: SourceBench>(bench: &mut B) {
    bench.fresh().await;
    let mut source = bench.source().await;
    source.open(None).await.expect("a source opens");
    let tables = missing(&mut source).await;
    let names: Vec<_> = tables.iter().map(|table| table.name.clone()).collect();
    drop(source.pin(Pin::First(COPY), &names, &tables).await.expect("a source pins"));
    drop(source);
    // Nothing was stored, not even an intent: whose is it?
    let mut source = bench.source().await;
    let orphan = source.open(None).await.expect_err("something of ours is there");
    assert_eq!((orphan.code, orphan.is_definite()), ("orphan", true));
    // The intent was stored.
    let intent = Stored { intent: Some(COPY), ..Stored::default() };
    let mut source = bench.source().await;
    source.open(Some(&intent)).await.expect("an intent explains it");
    for _ in 0..2 {
        source.forget(COPY).await.expect("what is there, or not, is dropped");
    }
    let mut source = bench.source().await;
    source.open(None).await.expect("nothing of ours is left");
}
