//! The Kafka sink on a real broker: what a careful reader sees after each thing that can happen to a writer.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use change::{Batch, Column, Kind, Operation, Origin, Place, Table, TableName};
use connector::{Checkpoint, CopyId, Failure, Identity, Resume, Sink, Stored};
use e2e::stack::fresh_name;
use e2e::topics::{Isolation, Record, Topics};
use kafka_sink::{Config, Delivery, KafkaSink};
use message::{JsonEncoder, JsonNumbers, Pipeline, Settings, Shape};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct At(u64);

impl connector::Position for At {
    fn covers(&self, other: &Self) -> bool {
        self.0 >= other.0
    }
}

fn broker() -> String {
    std::env::var("AFTERIMAGE_STACK_KAFKA").expect(
        "AFTERIMAGE_STACK_KAFKA is not set: these tests need a broker, run `cargo xtask test`",
    )
}

fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_micros()).expect("before the year 294,246")
}

/// One connector's name and the tables it writes.
struct Rig {
    name: String,
    topics: Topics,
    orders: Arc<Table>,
}

impl Rig {
    fn new(stem: &str) -> Self {
        let key = Column::new("id", Kind::Int { bits: 32, signed: true }).required();
        let orders = Table {
            name: TableName::new("public", "orders"),
            columns: vec![key, Column::new("note", Kind::Text)],
            key: vec![0],
        };
        Self { name: fresh_name(stem), topics: Topics::of(&broker()), orders: Arc::new(orders) }
    }

    fn config(&self) -> Config {
        let mut config = Config::new(vec![broker()]);
        config.topics.partitions = 3;
        config.topics.replication_factor = 1;
        config
    }

    fn sink(&self) -> KafkaSink<At> {
        self.sink_with(self.config())
    }

    fn sink_with(&self, config: Config) -> KafkaSink<At> {
        let origin = Origin { connector: "test", database: None, fields: vec![], sequence: vec![] };
        let settings = Settings { shape: Shape::Row, ..Settings::default() };
        let encoder = Box::new(JsonEncoder::new(JsonNumbers::Plain));
        let pipeline = Pipeline::new(&self.name, origin, settings, encoder);
        KafkaSink::new(config, &self.name, pipeline, Uuid::new_v4(), clock).expect("valid")
    }

    fn rows(&self, ids: impl IntoIterator<Item = i64>, note: &str) -> Batch {
        let mut batch = Batch::new();
        batch.begin("tx", 1).finish();
        for (index, id) in ids.into_iter().enumerate() {
            let order = index as u64 + 1;
            let place = Place { order, table_order: order, ..Place::default() };
            let mut row = batch.row(&self.orders, Operation::Insert, place);
            row.int(id);
            row.text(note);
            row.finish();
        }
        batch
    }

    async fn records(&self, isolation: Isolation) -> Vec<Record> {
        self.topics.read(&format!("{}.", self.name), isolation).await.expect("readable")
    }

    async fn positions(&self, isolation: Isolation) -> Vec<Record> {
        self.topics.read(&format!("__afterimage.{}", self.name), isolation).await.expect("readable")
    }

    /// Sequences of the position records, in order.
    async fn sequences(&self) -> Vec<u64> {
        let records = self.positions(Isolation::ReadCommitted).await;
        let positions = records.iter().filter(|record| record.key.as_deref() == Some(b"position"));
        positions.map(|record| sequence(record).expect("a header")).collect()
    }

    async fn clean(&self) {
        self.topics.delete(&format!("{}.", self.name)).await.expect("deleted");
        self.topics.delete(&format!("__afterimage.{}", self.name)).await.expect("deleted");
    }
}

fn sequence(record: &Record) -> Option<u64> {
    std::str::from_utf8(record.header("afterimage")?).ok()?.split(';').nth(2)?.parse().ok()
}

fn keys(records: &[Record]) -> Vec<String> {
    let mut keys: Vec<String> = records
        .iter()
        .map(|record| String::from_utf8(record.key.clone().unwrap_or_default()).expect("JSON"))
        .collect();
    keys.sort();
    keys
}

fn identity() -> Arc<Identity> {
    Arc::new(Identity([("system".to_owned(), "7".to_owned())].into()))
}

fn at(position: u64) -> Checkpoint<At> {
    Checkpoint {
        identity: identity(),
        intent: None,
        at: Some(Resume { from: At(position), open: None }),
        changed: vec![],
    }
}

fn stored(position: u64) -> Option<Stored<At>> {
    let mut stored = Stored::default();
    stored.apply(&at(position));
    Some(stored)
}

/// Code of the failure.
fn code<T: std::fmt::Debug>(outcome: Result<T, Failure>) -> &'static str {
    outcome.expect_err("fails").code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_and_position_become_visible_together() {
    let rig = Rig::new("sink_together");
    let mut sink = rig.sink();
    assert_eq!(sink.recover().await.expect("recovered"), None);
    sink.write(&rig.rows(1..=5, "a")).await.expect("written");
    assert_eq!(rig.records(Isolation::ReadCommitted).await, vec![]);
    sink.commit(&at(10)).await.expect("committed");
    let records = rig.records(Isolation::ReadCommitted).await;
    assert_eq!(keys(&records), [1, 2, 3, 4, 5].map(|id| format!("{{\"id\":{id}}}")));
    assert!(records.iter().all(|record| sequence(record) == Some(2)), "{records:?}");
    sink.commit(&at(11)).await.expect("a position alone");
    sink.write(&rig.rows([6], "b")).await.expect("written");
    sink.commit(&at(12)).await.expect("committed");
    assert_eq!(rig.sequences().await, [1, 2, 3, 4]);
    assert_eq!(rig.sink().recover().await.expect("recovered"), stored(12));
    rig.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_killed_before_its_commit_leaves_nothing() {
    let rig = Rig::new("sink_killed");
    let mut sink = rig.sink();
    sink.recover().await.expect("recovered");
    sink.commit(&at(1)).await.expect("committed");
    sink.write(&rig.rows(1..=1000, "a")).await.expect("written");
    // Long enough for the records to stand in the log.
    while rig.records(Isolation::ReadUncommitted).await.len() < 1000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(sink);
    let mut next = rig.sink();
    assert_eq!(next.recover().await.expect("recovered"), stored(1));
    next.write(&rig.rows(1..=3, "b")).await.expect("written");
    next.commit(&at(2)).await.expect("committed");
    let records = rig.records(Isolation::ReadCommitted).await;
    assert_eq!(keys(&records), [1, 2, 3].map(|id| format!("{{\"id\":{id}}}")));
    rig.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_instance_shuts_out_the_first_for_good() {
    let rig = Rig::new("sink_second");
    let mut config = rig.config();
    config.deadline_ms = 10_000;
    let mut first = rig.sink_with(config.clone());
    first.recover().await.expect("recovered");
    first.commit(&at(1)).await.expect("committed");
    first.write(&rig.rows(1..=10, "first")).await.expect("written");
    let mut second = rig.sink_with(config);
    assert_eq!(second.recover().await.expect("recovered"), stored(1));
    let refused = first.commit(&at(2)).await.expect_err("shut out");
    assert_eq!((refused.code, refused.is_definite()), ("producer-fenced", false));
    let stopped = first.recover().await.expect_err("taken over");
    assert_eq!((stopped.code, stopped.is_definite()), ("fenced", true));
    second.write(&rig.rows([7], "second")).await.expect("written");
    second.commit(&at(3)).await.expect("the first one's look shuts out nobody");
    assert_eq!(keys(&rig.records(Isolation::ReadCommitted).await), ["{\"id\":7}"]);
    rig.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_recovers_as_often_as_it_likes() {
    let rig = Rig::new("sink_again");
    let mut sink = rig.sink();
    assert_eq!(sink.recover().await.expect("recovered"), None);
    assert_eq!(sink.recover().await.expect("recovered"), None);
    let copy = CopyId(Uuid::from_u128(5));
    let intent = Checkpoint { intent: Some(copy), at: None, ..at(0) };
    sink.commit(&intent).await.expect("committed");
    let found = sink.recover().await.expect("recovered").expect("stored");
    assert_eq!((found.intent, found.at), (Some(copy), None));
    sink.commit(&at(5)).await.expect("committed");
    sink.write(&rig.rows([1], "lost")).await.expect("written");
    assert_eq!(sink.recover().await.expect("recovered"), stored(5));
    sink.write(&rig.rows([2], "kept")).await.expect("written");
    sink.commit(&at(6)).await.expect("committed");
    assert_eq!(keys(&rig.records(Isolation::ReadCommitted).await), ["{\"id\":2}"]);
    let sequences = rig.sequences().await;
    let expected: Vec<u64> = (1..=sequences.len() as u64).collect();
    assert_eq!(sequences, expected);
    rig.clean().await;
}
