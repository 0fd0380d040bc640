use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use change::{
    Batch, Column, Default as ColumnDefault, Kind, Operation, Place, Table, TableId, TableName,
};
use uuid::Uuid;

use crate::{
    Checkpoint, Chunk, CopyId, CopyState, Identity, Open, Resume, Sink, Stored, TableCopy,
    TableState,
};

/// How to make a sink, and how to look behind it.
pub trait SinkBench {
    type Sink: Sink;

    /// A place where nothing was ever stored; what the last call's sinks wrote is out of sight.
    fn fresh(&mut self) -> impl Future<Output = ()>;

    /// A sink over the present place, as a process that has just started makes one.
    fn sink(&mut self) -> impl Future<Output = Self::Sink>;

    /// The `n`th of some positions, all different.
    fn position(&self, n: u64) -> <Self::Sink as Sink>::Position;

    /// The keys (column `id` of [`sample_batch`]) that a careful reader finds, in order; None: nobody can look.
    fn visible(&mut self) -> impl Future<Output = Option<Vec<u64>>>;

    /// Data and position become visible together, or neither does.
    fn is_atomic(&self) -> bool {
        true
    }

    /// A new sink shuts out an older one that is still there.
    fn fences(&self) -> bool {
        true
    }
}

/// Runs every check, each in a fresh place.
pub async fn check_sink<B: SinkBench>(bench: &mut B) {
    a_new_place_holds_nothing(bench).await;
    an_intent_is_stored_without_a_position(bench).await;
    what_is_committed_is_recovered(bench).await;
    tables_that_did_not_change_are_kept(bench).await;
    rows_and_position_come_together(bench).await;
    rows_without_a_commit_are_not_there(bench).await;
    a_position_alone_changes_no_rows(bench).await;
    many_transactions_keep_their_order(bench).await;
    a_sink_recovers_again_and_again(bench).await;
    an_older_sink_is_shut_out(bench).await;
}

type At<B> = <<B as SinkBench>::Sink as Sink>::Position;

/// Rows with these keys, of one table, in one transaction that ends with them.
pub fn sample_batch(keys: impl IntoIterator<Item = u64>) -> Batch {
    let table = sample_table("items", 0);
    let mut batch = Batch::new();
    batch.begin("transaction", 1_000_000).finish();
    let mut count = 0;
    for key in keys {
        let place = Place { at: key + 1, order: count + 1, table_order: count + 1 };
        let mut row = batch.row(&table, Operation::Insert, place);
        row.int(key.cast_signed());
        row.text("text");
        row.null();
        row.finish();
        count += 1;
    }
    batch.end(count, [(&table, count)]);
    batch
}

fn sample_table(name: &str, more: usize) -> Arc<Table> {
    let mut columns = vec![
        Column::new("id", Kind::Int { bits: 64, signed: true }).required(),
        Column {
            default: Some(ColumnDefault::Literal("none".into())),
            ..Column::new("text", Kind::Text)
        },
        Column::new("labels", Kind::Array(Arc::new(Kind::Enum(["a", "b"].map(Box::from).into())))),
    ];
    columns.extend((0..more).map(|n| Column::new(&format!("more{n}"), Kind::Number)));
    Arc::new(Table { name: TableName::new("conformance", name), columns, key: vec![0] })
}

fn sample_state(name: &str, state: CopyState) -> TableState {
    let table = sample_table(name, 2);
    let chunk = |from: Option<&str>, to: Option<&str>, done| Chunk {
        from: from.map(Into::into),
        to: to.map(Into::into),
        done,
    };
    let chunks = match state {
        CopyState::Begun => vec![
            chunk(None, Some("(0,\"ü\u{0}\")"), true),
            chunk(Some("(0,\"ü\u{0}\")"), None, false),
        ],
        _ => Vec::new(),
    };
    TableState {
        name: table.name.clone(),
        schema: Some(table),
        id: TableId { object: 7, storage: u64::MAX },
        copy: TableCopy { state, chunks, holes: state == CopyState::Begun },
    }
}

fn identity() -> Arc<Identity> {
    let facts = [("system", "7211"), ("slot", "a \"quoted\" name")];
    Arc::new(Identity(facts.map(|(name, fact)| (name.into(), fact.into())).into()))
}

fn checkpoint<P>(at: Option<Resume<P>>, changed: Vec<TableState>) -> Checkpoint<P> {
    let intent = Some(CopyId(Uuid::from_u128(0x1234_5678_9abc)));
    Checkpoint { identity: identity(), intent, at, changed }
}

fn between<P>(from: P) -> Option<Resume<P>> {
    Some(Resume { from, open: None })
}

async fn recovered<B: SinkBench>(bench: &mut B) -> (B::Sink, Stored<At<B>>) {
    let mut sink = bench.sink().await;
    let stored = sink.recover().await.expect("a sink recovers").unwrap_or_default();
    (sink, stored)
}

async fn commit<B: SinkBench>(sink: &mut B::Sink, checkpoint: &Checkpoint<At<B>>) {
    sink.commit(checkpoint).await.expect("a sink commits");
}

async fn write<B: SinkBench>(sink: &mut B::Sink, keys: impl IntoIterator<Item = u64>) {
    sink.write(&sample_batch(keys)).await.expect("a sink takes rows");
}

async fn assert_visible<B: SinkBench>(bench: &mut B, expected: &[u64], why: &str) {
    if let Some(keys) = bench.visible().await {
        assert_eq!(keys, expected, "{why}");
    }
}

async fn a_new_place_holds_nothing<B: SinkBench>(bench: &mut B) {
    bench.fresh().await;
    let (_, stored) = recovered(bench).await;
    assert_eq!(stored, Stored::default(), "nothing was stored");
}

async fn an_intent_is_stored_without_a_position<B: SinkBench>(bench: &mut B) {
    bench.fresh().await;
    let (mut sink, _) = recovered(bench).await;
    let intent = checkpoint(None, Vec::new());
    commit::<B>(&mut sink, &intent).await;
    drop(sink);
    let (_, stored) = recovered(bench).await;
    let mut expected = Stored::default();
    expected.apply(&intent);
    assert_eq!(stored, expected, "an intent was stored");
}

async fn what_is_committed_is_recovered<B: SinkBench>(bench: &mut B) {
    bench.fresh().await;
    let (mut sink, _) = recovered(bench).await;
    let mut expected = Stored::default();
    let open = Open { transaction: "9:0/1A2B".into(), rows_done: u64::MAX, hash: u64::MAX - 1 };
    let states = [CopyState::Waiting, CopyState::Begun, CopyState::Finished, CopyState::Removed];
    let tables: Vec<_> = states
        .iter()
        .enumerate()
        .map(|(n, state)| sample_state(&format!("t{n}"), *state))
        .collect();
    let steps = [
        checkpoint(between(bench.position(1)), tables),
        checkpoint(Some(Resume { from: bench.position(1), open: Some(open) }), Vec::new()),
        checkpoint(between(bench.position(2)), vec![sample_state("t1", CopyState::Finished)]),
    ];
    for (n, step) in steps.iter().enumerate() {
        write::<B>(&mut sink, [n as u64]).await;
        commit::<B>(&mut sink, step).await;
        expected.apply(step);
        drop(sink);
        let (next, stored) = recovered(bench).await;
        assert_eq!(stored, expected, "what commit {n} stored");
        sink = next;
    }
    drop(sink);
    assert_visible(bench, &[0, 1, 2], "every row was committed once").await;
}

async fn tables_that_did_not_change_are_kept<B: SinkBench>(bench: &mut B) {
    bench.fresh().await;
    let (mut sink, _) = recovered(bench).await;
    for n in 0..30 {
        let table = sample_state(&format!("t{}", n % 10), CopyState::Begun);
        commit::<B>(&mut sink, &checkpoint(between(bench.position(n)), vec![table])).await;
    }
    drop(sink);
    let (_, stored) = recovered(bench).await;
    let names: BTreeMap<_, _> = (0..10)
        .map(|n| sample_state(&format!("t{n}"), CopyState::Begun))
        .map(|table| (table.name.clone(), table))
        .collect();
    assert_eq!(stored.tables, names, "every table, once");
    assert_eq!(stored.at, Some(bench.position(29)), "the last position");
}

async fn rows_and_position_come_together<B: SinkBench>(bench: &mut B) {
    bench.fresh().await;
    let (mut sink, _) = recovered(bench).await;
    write::<B>(&mut sink, 0..3).await;
    write::<B>(&mut sink, []).await;
    write::<B>(&mut sink, 3..5).await;
    if bench.is_atomic() {
        assert_visible(bench, &[], "nothing is committed yet").await;
    }
    commit::<B>(&mut sink, &checkpoint(between(bench.position(1)), Vec::new())).await;
    assert_visible(bench, &[0, 1, 2, 3, 4], "all rows, in order").await;
    drop(sink);
    let (_, stored) = recovered(bench).await;
    assert_eq!(stored.at, Some(bench.position(1)), "the position behind the rows");
}

async fn rows_without_a_commit_are_not_there<B: SinkBench>(bench: &mut B) {
    bench.fresh().await;
    let (mut sink, _) = recovered(bench).await;
    write::<B>(&mut sink, 0..2).await;
    commit::<B>(&mut sink, &checkpoint(between(bench.position(1)), Vec::new())).await;
    write::<B>(&mut sink, 2..1_000).await;
    drop(sink);
    let (mut sink, stored) = recovered(bench).await;
    assert_eq!(stored.at, Some(bench.position(1)), "the last commit's position");
    write::<B>(&mut sink, 2..4).await;
    commit::<B>(&mut sink, &checkpoint(between(bench.position(2)), Vec::new())).await;
    drop(sink);
    if bench.is_atomic() {
        assert_visible(bench, &[0, 1, 2, 3], "rows without a commit left nothing").await;
    }
}

async fn a_position_alone_changes_no_rows<B: SinkBench>(bench: &mut B) {
    bench.fresh().await;
    let (mut sink, _) = recovered(bench).await;
    write::<B>(&mut sink, 0..2).await;
    let first = checkpoint(between(bench.position(1)), Vec::new());
    commit::<B>(&mut sink, &first).await;
    for _ in 0..3 {
        commit::<B>(&mut sink, &first).await;
    }
    commit::<B>(&mut sink, &checkpoint(between(bench.position(2)), Vec::new())).await;
    drop(sink);
    let (_, stored) = recovered(bench).await;
    assert_eq!(stored.at, Some(bench.position(2)), "a position without rows");
    assert_visible(bench, &[0, 1], "rows as they were").await;
}

async fn many_transactions_keep_their_order<B: SinkBench>(bench: &mut B) {
    bench.fresh().await;
    let (mut sink, _) = recovered(bench).await;
    for n in 0..50 {
        write::<B>(&mut sink, n * 10..(n + 1) * 10).await;
        commit::<B>(&mut sink, &checkpoint(between(bench.position(n)), Vec::new())).await;
    }
    drop(sink);
    let (_, stored) = recovered(bench).await;
    assert_eq!(stored.at, Some(bench.position(49)), "the last position");
    let all: Vec<u64> = (0..500).collect();
    assert_visible(bench, &all, "all rows once, in order").await;
}

/// As the engine does after a failure: the same sink, not a new one.
async fn a_sink_recovers_again_and_again<B: SinkBench>(bench: &mut B) {
    bench.fresh().await;
    let (mut sink, _) = recovered(bench).await;
    for n in 0..3 {
        write::<B>(&mut sink, [n]).await;
        commit::<B>(&mut sink, &checkpoint(between(bench.position(n)), Vec::new())).await;
        write::<B>(&mut sink, [100 + n]).await;
        let stored = sink.recover().await.expect("a sink recovers").expect("something is stored");
        assert_eq!(stored.at, Some(bench.position(n)), "the last commit's position");
    }
    drop(sink);
    if bench.is_atomic() {
        assert_visible(bench, &[0, 1, 2], "only what was committed").await;
    }
}

async fn an_older_sink_is_shut_out<B: SinkBench>(bench: &mut B) {
    if !bench.fences() {
        return;
    }
    bench.fresh().await;
    let (mut older, _) = recovered(bench).await;
    write::<B>(&mut older, [0]).await;
    commit::<B>(&mut older, &checkpoint(between(bench.position(1)), Vec::new())).await;
    write::<B>(&mut older, [100]).await;
    let (mut newer, stored) = recovered(bench).await;
    assert_eq!(stored.at, Some(bench.position(1)), "what the older one committed");
    let late = checkpoint(between(bench.position(9)), Vec::new());
    let written = older.write(&sample_batch([101])).await;
    let failed = match written {
        Ok(()) => older.commit(&late).await.expect_err("a sink that was shut out commits nothing"),
        Err(failure) => failure,
    };
    assert!(!failed.is_definite(), "whether it was replaced is found out by the next recovery");
    write::<B>(&mut newer, [1]).await;
    commit::<B>(&mut newer, &checkpoint(between(bench.position(2)), Vec::new())).await;
    let fenced = older.recover().await.expect_err("another one is the owner now");
    assert_eq!((fenced.code, fenced.is_definite()), ("fenced", true));
    write::<B>(&mut newer, [2]).await;
    commit::<B>(&mut newer, &checkpoint(between(bench.position(3)), Vec::new())).await;
    drop((older, newer));
    assert_visible(bench, &[0, 1, 2], "only what the owner of the time committed").await;
    let (_, stored) = recovered(bench).await;
    assert_eq!(stored.at, Some(bench.position(3)), "the newer one's position");
}
