//! One connector's name on the broker, the rows it writes and what a reader sees of them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use change::{Batch, Column, Kind, Operation, Origin, Place, Table, TableName};
use connector::{Checkpoint, Identity, Resume, Stored};
use e2e::stack::fresh_name;
use e2e::topics::{Isolation, Record, Topics};
use kafka_sink::{Config, KafkaSink, Target};
use message::{JsonEncoder, JsonNumbers, Pipeline, Settings, Shape};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct At(pub(crate) u64);

impl connector::Position for At {
    fn covers(&self, other: &Self) -> bool {
        self.0 >= other.0
    }
}

pub(crate) fn broker() -> String {
    std::env::var("AFTERIMAGE_STACK_KAFKA").expect(
        "AFTERIMAGE_STACK_KAFKA is not set: these tests need a broker, run `cargo xtask test`",
    )
}

#[expect(clippy::disallowed_methods, reason = "a real clock for a real broker")]
pub(crate) fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_micros()).expect("before the year 294,246")
}

/// One connector's name and the tables it writes.
pub(crate) struct Rig {
    pub(crate) name: String,
    pub(crate) topics: Topics,
    pub(crate) orders: Arc<Table>,
}

impl Rig {
    pub(crate) fn new(stem: &str) -> Self {
        let key = Column::new("id", Kind::Int { bits: 32, signed: true }).required();
        let orders = Table {
            name: TableName::new("public", "orders"),
            columns: vec![key, Column::new("note", Kind::Text)],
            key: vec![0],
        };
        Self { name: fresh_name(stem), topics: Topics::of(&broker()), orders: Arc::new(orders) }
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new(vec![broker()]);
        config.topics.partitions = 3;
        config.topics.replication_factor = 1;
        config
    }

    pub(crate) fn sink(&self) -> KafkaSink<At> {
        self.sink_with(self.config())
    }

    pub(crate) fn sink_with(&self, config: Config) -> KafkaSink<At> {
        let origin = Origin { connector: "test", database: None, fields: vec![], sequence: vec![] };
        let settings = Settings { shape: Shape::Row, ..Settings::default() };
        let encoder = Box::new(JsonEncoder::new(JsonNumbers::Plain));
        let pipeline = Pipeline::new(&self.name, origin, settings, encoder);
        KafkaSink::new(config, &self.name, pipeline, Uuid::new_v4(), clock).expect("valid")
    }

    pub(crate) fn rows(&self, ids: impl IntoIterator<Item = i64>, note: &str) -> Batch {
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

    pub(crate) async fn records(&self, isolation: Isolation) -> Vec<Record> {
        self.topics.read(&format!("{}.", self.name), isolation).await.expect("readable")
    }

    pub(crate) async fn positions(&self, isolation: Isolation) -> Vec<Record> {
        self.topics.read(&format!("__afterimage.{}", self.name), isolation).await.expect("readable")
    }

    /// Sequences of the position records, in order.
    pub(crate) async fn sequences(&self) -> Vec<u64> {
        let records = self.positions(Isolation::ReadCommitted).await;
        let positions = records.iter().filter(|record| record.key.as_deref() == Some(b"position"));
        positions.map(|record| sequence(record).expect("a header")).collect()
    }

    pub(crate) async fn clean(&self) {
        self.topics.delete(&format!("{}.", self.name)).await.expect("deleted");
        self.topics.delete(&format!("__afterimage.{}", self.name)).await.expect("deleted");
    }
}

pub(crate) fn sequence(record: &Record) -> Option<u64> {
    std::str::from_utf8(record.header("afterimage")?).ok()?.split(';').nth(2)?.parse().ok()
}

pub(crate) fn keys(records: &[Record]) -> Vec<String> {
    let mut keys: Vec<String> = records
        .iter()
        .map(|record| String::from_utf8(record.key.clone().unwrap_or_default()).expect("JSON"))
        .collect();
    keys.sort();
    keys
}

pub(crate) fn identity() -> Arc<Identity> {
    Arc::new(Identity([("system".to_owned(), "7".to_owned())].into()))
}

pub(crate) fn at(position: u64) -> Checkpoint<At> {
    Checkpoint {
        identity: identity(),
        intent: None,
        at: Some(Resume { from: At(position), open: None }),
        changed: vec![],
    }
}

pub(crate) fn stored(position: u64) -> Option<Stored<At>> {
    let mut stored = Stored::default();
    stored.apply(&at(position));
    Some(stored)
}

pub(crate) fn target(topic: &str) -> Target {
    Target { topic: topic.to_owned(), keyed: true }
}
