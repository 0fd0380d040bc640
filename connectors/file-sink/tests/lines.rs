//! The whole sink: batches in, lines and a position out, with crashes in between.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use change::{Batch, Column, Kind, Operation, Origin, Place, Table, TableName};
use connector::{Checkpoint, Identity, Position, Resume, Sink, Writer};
use file_sink::{LineSink, LineWriter, Offsets, Output, SqliteOffsets};
use message::{JsonEncoder, JsonNumbers, Pipeline, Settings, Shape};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct At(u64);

impl Position for At {
    fn covers(&self, other: &Self) -> bool {
        self.0 >= other.0
    }
}

struct Scratch {
    directory: PathBuf,
    table: Arc<Table>,
}

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("lines-{}-{next}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let table = Table {
            name: TableName::new("public", "t"),
            columns: vec![
                Column::new("id", Kind::Int { bits: 64, signed: true }).required(),
                Column::new("note", Kind::Text),
            ],
            key: vec![0],
        };
        Self { directory, table: Arc::new(table) }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("out.jsonl")
    }

    /// What a process has in its hands after its start.
    fn start(&self) -> LineSink<At> {
        let origin = Origin {
            connector: "model",
            database: Some("d".to_owned()),
            fields: Vec::new(),
            sequence: Vec::new(),
        };
        let settings = Settings { shape: Shape::Row, ..Settings::default() };
        let encoder = Box::new(JsonEncoder::new(JsonNumbers::Plain));
        let pipeline = Pipeline::new("shop", origin, settings, encoder);
        LineSink {
            writer: LineWriter::new(pipeline, Output::file(self.path()), || 0),
            offsets: Offsets::Sqlite(SqliteOffsets::new(self.directory.join("position"))),
        }
    }

    fn batch(&self, ids: std::ops::Range<i64>, note: &str) -> Batch {
        let mut batch = Batch::new();
        batch.begin("1", 0).finish();
        for id in ids {
            let mut row = batch.row(&self.table, Operation::Insert, Place::default());
            row.int(id);
            row.text(note);
            row.finish();
        }
        batch
    }

    /// The ids in the file, in order; every line must be whole.
    fn ids(&self) -> Vec<i64> {
        let text = std::fs::read_to_string(self.path()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole");
        let id = |line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
            assert_eq!(line["topic"], "shop.public.t");
            assert_eq!(line["key"]["id"], line["value"]["id"]);
            line["value"]["id"].as_i64().expect("each row has its id")
        };
        text.lines().map(id).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn at(position: u64) -> Checkpoint<At> {
    Checkpoint {
        identity: Arc::new(Identity::default()),
        intent: None,
        at: Some(Resume { from: At(position), open: None }),
        changed: Vec::new(),
    }
}

async fn stored(sink: &mut LineSink<At>) -> Option<u64> {
    sink.recover().await.unwrap().and_then(|stored| stored.at).map(|at| at.0)
}

#[tokio::test]
async fn what_was_committed_is_written_once_and_in_order() {
    let place = Scratch::new();
    let mut sink = place.start();
    assert_eq!(stored(&mut sink).await, None);
    for round in 0..3 {
        sink.write(&place.batch(10 * round..10 * round + 10, "n")).await.unwrap();
        sink.commit(&at(round as u64)).await.unwrap();
    }
    assert_eq!(place.ids(), (0..30).collect::<Vec<_>>());
    drop(sink);
    assert_eq!(stored(&mut place.start()).await, Some(2));
    assert_eq!(place.ids(), (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_crash_between_the_data_and_the_position_repeats_and_loses_nothing() {
    let place = Scratch::new();
    let mut sink = place.start();
    stored(&mut sink).await;
    sink.write(&place.batch(0..2, "n")).await.unwrap();
    sink.commit(&at(1)).await.unwrap();
    sink.write(&place.batch(2..4, "n")).await.unwrap();
    sink.writer.flush().await.unwrap();
    drop(sink);

    let mut sink = place.start();
    assert_eq!(stored(&mut sink).await, Some(1));
    assert_eq!(place.ids(), [0, 1, 2, 3]);
    sink.write(&place.batch(2..4, "n")).await.unwrap();
    sink.commit(&at(2)).await.unwrap();
    assert_eq!(place.ids(), [0, 1, 2, 3, 2, 3]);
}

#[tokio::test]
async fn what_was_taken_and_not_flushed_is_forgotten_by_a_new_start() {
    let place = Scratch::new();
    let mut sink = place.start();
    stored(&mut sink).await;
    sink.write(&place.batch(0..2, "n")).await.unwrap();
    // In the same process, as after a lost connection of the source.
    assert_eq!(stored(&mut sink).await, None);
    sink.commit(&at(1)).await.unwrap();
    assert_eq!(place.ids(), [] as [i64; 0]);
}

#[tokio::test]
async fn a_line_torn_by_a_crash_is_written_anew() {
    let place = Scratch::new();
    let mut sink = place.start();
    stored(&mut sink).await;
    sink.write(&place.batch(0..1, "n")).await.unwrap();
    sink.commit(&at(1)).await.unwrap();
    drop(sink);
    let torn = [std::fs::read(place.path()).unwrap(), b"{\"topic\":\"shop.pub".to_vec()].concat();
    std::fs::write(place.path(), torn).unwrap();

    let mut sink = place.start();
    assert_eq!(stored(&mut sink).await, Some(1));
    sink.write(&place.batch(1..2, "n")).await.unwrap();
    sink.commit(&at(2)).await.unwrap();
    assert_eq!(place.ids(), [0, 1]);
}

#[tokio::test]
async fn a_batch_larger_than_the_buffer_is_written_whole() {
    let place = Scratch::new();
    let mut sink = place.start();
    stored(&mut sink).await;
    let note = "n".repeat(10_000);
    sink.write(&place.batch(0..200, &note)).await.unwrap();
    sink.write(&place.batch(200..201, &"n".repeat(3_000_000))).await.unwrap();
    sink.commit(&at(1)).await.unwrap();
    assert_eq!(place.ids(), (0..201).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_second_process_touches_neither_the_file_nor_the_position() {
    let place = Scratch::new();
    let mut first = place.start();
    stored(&mut first).await;
    std::fs::write(place.path(), "half of a line that the first is writing").unwrap();
    let refused = place.start().recover().await.unwrap_err();
    assert_eq!((refused.code, refused.is_definite()), ("position-in-use", true));
    let text = std::fs::read_to_string(place.path()).unwrap();
    assert_eq!(text, "half of a line that the first is writing");
}
