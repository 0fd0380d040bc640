//! The Kafka sink on a real broker: what a careful reader sees after each thing that can happen to a writer.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use change::{Batch, Column, Kind, Operation, Origin, Place, Table, TableName};
use connector::{Checkpoint, CopyId, Finding, Identity, Resume, Severity, Sink, Stored};
use e2e::stack::fresh_name;
use e2e::topics::{Isolation, Record, Topics};
use kafka_sink::{Config, Delivery, KafkaSink, Target};
use message::{JsonEncoder, JsonNumbers, Pipeline, Settings, Shape};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
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

fn target(topic: &str) -> Target {
    Target { topic: topic.to_owned(), keyed: true }
}

fn keyless() -> Table {
    Table {
        name: TableName::new("public", "logs"),
        columns: vec![
            Column::new("id", Kind::Int { bits: 32, signed: true }),
            Column::new("note", Kind::Text),
        ],
        key: vec![],
    }
}

/// One setting of a topic.
async fn setting(topic: &str, key: &str) -> String {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker()).create().expect("a client");
    let asked = [ResourceSpecifier::Topic(topic)];
    let answer = admin.describe_configs(&asked, &AdminOptions::new()).await.expect("answered");
    let resource = answer[0].as_ref().expect("a topic");
    resource.get(key).and_then(|entry| entry.value.clone()).unwrap_or_default()
}

/// Partitions of three that Java's `Utils.toPositive(Utils.murmur2(key)) % 3` gives to `{"id":1}`, `{"id":2}` and
/// `{"id":21}`.
const JAVA: [i32; 3] = [0, 1, 0];

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_writers_open_transaction_does_not_hide_the_position() {
    let rig = Rig::new("sink_dangling");
    let mut sink = rig.sink();
    sink.recover().await.expect("recovered");
    sink.commit(&at(1)).await.expect("committed");
    // A writer of the same name that dies with records in the data's and in the position's topic.
    let dangling: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker())
        .set("transactional.id", format!("afterimage.{}", rig.name))
        .set("transaction.timeout.ms", "60000")
        .create()
        .expect("a producer");
    let position = format!("__afterimage.{}", rig.name);
    tokio::task::spawn_blocking(move || {
        dangling.init_transactions(Duration::from_secs(20)).expect("init");
        dangling.begin_transaction().expect("begun");
        dangling
            .send(BaseRecord::to(&position).partition(0).key("position").payload("9 never"))
            .map_err(|(error, _)| error)
            .expect("queued");
        dangling.flush(Duration::from_secs(20)).expect("taken");
        drop(dangling);
    })
    .await
    .expect("a thread");
    assert_eq!(
        rig.positions(Isolation::ReadUncommitted).await.last().map(|r| r.value.clone()),
        Some(Some(b"9 never".to_vec()))
    );
    let mut next = rig.sink();
    assert_eq!(next.recover().await.expect("recovered"), stored(1));
    next.commit(&at(2)).await.expect("committed");
    assert_eq!(rig.sink().recover().await.expect("recovered"), stored(2));
    rig.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_made_as_configured_or_not_at_all() {
    let rig = Rig::new("sink_topics");
    let mut config = rig.config();
    config.topics.partitions = 5;
    let mut sink = rig.sink_with(config.clone());
    sink.recover().await.expect("recovered");
    sink.write(&rig.rows(1..=50, "a")).await.expect("written");
    sink.commit(&at(1)).await.expect("committed");
    let orders = format!("{}.public.orders", rig.name);
    let position = format!("__afterimage.{}", rig.name);
    let listed = rig.topics.list(&orders).await.expect("listed");
    assert_eq!(listed[&orders].len(), 5);
    assert_eq!(rig.topics.list(&position).await.expect("listed")[&position].len(), 1);
    assert_eq!(setting(&orders, "cleanup.policy").await, "compact");
    assert_eq!(setting(&position, "cleanup.policy").await, "compact");
    assert_eq!(setting(&position, "max.message.bytes").await, "8388608");

    let other = Rig { orders: Arc::new(keyless()), ..Rig::new("sink_topics") };
    let mut sink = other.sink();
    sink.recover().await.expect("recovered");
    sink.write(&other.rows(1..=20, "a")).await.expect("written");
    sink.commit(&at(1)).await.expect("committed");
    assert_eq!(setting(&format!("{}.public.logs", other.name), "cleanup.policy").await, "delete");
    let records = other.records(Isolation::ReadCommitted).await;
    assert_eq!(records.len(), 20);
    assert!(records.iter().all(|record| record.partition == records[0].partition), "one partition");

    let forbidden = Rig::new("sink_topics");
    config.topics.create = false;
    let mut sink = forbidden.sink_with(config);
    let stopped = sink.recover().await.expect_err("no position topic");
    assert_eq!((stopped.code, stopped.is_definite()), ("topic-missing", true));
    rig.clean().await;
    other.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_stand_where_javas_clients_would_put_them() {
    let rig = Rig::new("sink_partitions");
    let mut sink = rig.sink();
    sink.recover().await.expect("recovered");
    sink.write(&rig.rows([1, 2, 21], "a")).await.expect("written");
    sink.commit(&at(1)).await.expect("committed");
    let mut found: Vec<(String, i32)> = rig
        .records(Isolation::ReadCommitted)
        .await
        .into_iter()
        .map(|record| {
            (String::from_utf8(record.key.unwrap_or_default()).expect("text"), record.partition)
        })
        .collect();
    found.sort();
    let expected = [("{\"id\":1}", JAVA[0]), ("{\"id\":21}", JAVA[2]), ("{\"id\":2}", JAVA[1])];
    assert_eq!(found, expected.map(|(key, partition)| (key.to_owned(), partition)));
    rig.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_too_large_stops_with_its_table_and_key() {
    let rig = Rig::new("sink_large");
    let mut config = rig.config();
    config.record_bytes_max = 4096;
    let mut sink = rig.sink_with(config);
    sink.recover().await.expect("recovered");
    sink.write(&rig.rows([1], "a")).await.expect("written");
    let stopped =
        sink.write(&rig.rows([77], &"secret ".repeat(1000))).await.expect_err("too large");
    assert_eq!((stopped.code, stopped.is_definite()), ("record-too-large", true));
    let text = stopped.source.to_string();
    assert!(text.contains("public.orders") && text.contains("{\"id\":77}"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(rig.records(Isolation::ReadCommitted).await, vec![]);
    rig.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_least_once_keeps_the_same_position() {
    let rig = Rig::new("sink_atleast");
    let mut config = rig.config();
    config.delivery = Delivery::AtLeastOnce;
    let mut sink = rig.sink_with(config.clone());
    assert_eq!(sink.recover().await.expect("recovered"), None);
    sink.write(&rig.rows(1..=3, "a")).await.expect("written");
    sink.commit(&at(1)).await.expect("committed");
    sink.write(&rig.rows([4], "sent, but not said")).await.expect("written");
    while rig.records(Isolation::ReadCommitted).await.len() < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(sink);
    let mut next = rig.sink_with(config.clone());
    assert_eq!(next.recover().await.expect("what is ahead by one is expected"), stored(1));
    next.write(&rig.rows([4], "again")).await.expect("written");
    next.commit(&at(2)).await.expect("committed");
    assert_eq!(keys(&rig.records(Isolation::ReadCommitted).await).len(), 5);
    let mut exact = rig.sink();
    assert_eq!(exact.recover().await.expect("recovered"), stored(2));
    rig.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_without_their_position_stop_the_start() {
    let rig = Rig::new("sink_orphan");
    let mut sink = rig.sink();
    sink.recover().await.expect("recovered");
    sink.write(&rig.rows(1..=5, "a")).await.expect("written");
    sink.commit(&at(1)).await.expect("committed");
    drop(sink);
    rig.topics.delete(&format!("__afterimage.{}", rig.name)).await.expect("deleted");
    for attempt in 1..=2 {
        let stopped = rig.sink().recover().await.expect_err("orphans");
        assert_eq!((stopped.code, stopped.is_definite()), ("orphan", true), "attempt {attempt}");
    }
    let reset = kafka_sink::reset(rig.config(), &rig.name, Uuid::new_v4(), clock).await;
    assert_eq!(reset.expect("reset").incarnation, 2);
    let mut sink = rig.sink();
    assert_eq!(sink.recover().await.expect("a new incarnation"), None);
    sink.write(&rig.rows([1], "b")).await.expect("written");
    sink.commit(&at(2)).await.expect("committed");
    let records = rig.records(Isolation::ReadCommitted).await;
    let stamp = records.iter().filter_map(|record| record.header("afterimage"));
    let new = format!("{};2;", rig.name);
    assert_eq!(stamp.filter(|stamp| stamp.starts_with(new.as_bytes())).count(), 1);
    rig.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_behind_its_records_stops_the_start() {
    let rig = Rig::new("sink_behind");
    let mut sink = rig.sink();
    sink.recover().await.expect("recovered");
    sink.write(&rig.rows([1], "a")).await.expect("written");
    sink.commit(&at(1)).await.expect("committed");
    drop(sink);
    // What a record looks like whose position was lost with the end of the position topic.
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", broker()).create().expect("a producer");
    let (topic, stamp) = (format!("{}.public.orders", rig.name), format!("{};1;9;1", rig.name));
    tokio::task::spawn_blocking(move || {
        let headers = OwnedHeaders::new().insert(Header { key: "afterimage", value: Some(&stamp) });
        let record = BaseRecord::to(&topic).key("{\"id\":2}").payload("{}").headers(headers);
        producer.send(record).map_err(|(error, _)| error).expect("queued");
        producer.flush(Duration::from_secs(20)).expect("taken");
    })
    .await
    .expect("a thread");
    let stopped = rig.sink().recover().await.expect_err("behind");
    assert_eq!((stopped.code, stopped.is_definite()), ("position-behind", true));
    rig.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_with_other_partitions_stops_the_start() {
    let rig = Rig::new("sink_counts");
    let mut sink = rig.sink();
    sink.recover().await.expect("recovered");
    sink.write(&rig.rows([1], "a")).await.expect("written");
    sink.commit(&at(1)).await.expect("committed");
    drop(sink);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker()).create().expect("a client");
    let topic = format!("{}.public.orders", rig.name);
    let more = NewPartitions::new(&topic, 4);
    admin.create_partitions([&more], &AdminOptions::new()).await.expect("answered")[0]
        .clone()
        .expect("one more partition");
    let listed = async || rig.topics.list(&topic).await.expect("listed")[&topic].len();
    while listed().await < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let stopped = rig.sink().recover().await.expect_err("changed");
    assert_eq!((stopped.code, stopped.is_definite()), ("partitions-changed", true));
    let found = kafka_sink::check(&rig.config(), &rig.name, &[target(&topic)]).await;
    assert!(found.iter().any(|finding| finding.code == "partitions-changed"), "{found:?}");
    rig.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_position_stops_the_start() {
    let rig = Rig::new("sink_damaged");
    let mut sink = rig.sink();
    sink.recover().await.expect("recovered");
    sink.commit(&at(1)).await.expect("committed");
    drop(sink);
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", broker()).create().expect("a producer");
    let topic = format!("__afterimage.{}", rig.name);
    tokio::task::spawn_blocking(move || {
        let record = BaseRecord::to(&topic).key("position").payload("1 00000000 {}");
        producer.send(record).map_err(|(error, _)| error).expect("queued");
        producer.flush(Duration::from_secs(20)).expect("taken");
    })
    .await
    .expect("a thread");
    let stopped = rig.sink().recover().await.expect_err("damaged");
    assert_eq!((stopped.code, stopped.is_definite()), ("position-corrupt", true));
    let reset = kafka_sink::reset(rig.config(), &rig.name, Uuid::new_v4(), clock).await;
    assert_eq!(reset.expect("reset").incarnation, 2);
    assert_eq!(rig.sink().recover().await.expect("recovered"), None);
    rig.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_changes_nothing_and_names_what_is_wrong() {
    let rig = Rig::new("sink_check");
    let topic = format!("{}.public.orders", rig.name);
    let found = kafka_sink::check(&rig.config(), &rig.name, &[target(&topic)]).await;
    let errors = |found: &[Finding]| -> Vec<&'static str> {
        let errors = found.iter().filter(|finding| finding.severity == Severity::Error);
        errors.map(|finding| finding.code).collect()
    };
    assert_eq!(errors(&found), [""; 0], "{found:?}");
    assert!(found.iter().any(|finding| finding.code == "topics-will-be-made"), "{found:?}");
    assert!(rig.topics.list(&rig.name).await.expect("listed").is_empty());
    assert!(
        rig.topics
            .list("__afterimage")
            .await
            .expect("listed")
            .keys()
            .all(|n| !n.ends_with(&rig.name))
    );

    let mut config = rig.config();
    config.topics.create = false;
    let found = kafka_sink::check(&config, &rig.name, &[target(&topic)]).await;
    assert_eq!(errors(&found), ["topic-missing"]);

    let mut config = rig.config();
    config.topics.replication_factor = 7;
    let found = kafka_sink::check(&config, &rig.name, &[target(&topic)]).await;
    assert_eq!(errors(&found), ["topic-missing", "topic-missing"], "{found:?}");

    let mut config = rig.config();
    config.brokers = vec!["127.0.0.1:1".to_owned()];
    let found = kafka_sink::check(&config, &rig.name, &[target(&topic)]).await;
    assert_eq!(errors(&found), ["brokers-unreachable"]);
    assert!(found[0].problem.contains("127.0.0.1:1"), "{found:?}");

    // A listener without encryption is asked for it.
    let mut config = rig.config();
    config.tls = Some(kafka_sink::Tls::default());
    let found = kafka_sink::check(&config, &rig.name, &[target(&topic)]).await;
    assert_eq!(errors(&found), ["tls-failed"], "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_listed_and_dropped() {
    let rig = Rig::new("sink_drop");
    let mut sink = rig.sink();
    sink.recover().await.expect("recovered");
    sink.write(&rig.rows([1], "a")).await.expect("written");
    sink.commit(&at(1)).await.expect("committed");
    let found = kafka_sink::peek::<At>(rig.config(), &rig.name).await.expect("read");
    assert_eq!(found, stored(1));
    sink.commit(&at(2)).await.expect("looking shuts out nobody");
    drop(sink);
    let listing = kafka_sink::list_topics(rig.config(), &rig.name).await.expect("listed");
    let (position, orders) =
        (format!("__afterimage.{}", rig.name), format!("{}.public.orders", rig.name));
    assert_eq!(listing.position.as_deref(), Some(position.as_str()));
    assert_eq!(listing.targets, [orders.clone()]);
    let dropped = kafka_sink::drop_topics(rig.config(), &rig.name, true).await.expect("dropped");
    assert_eq!(dropped, [position, orders]);
    let left = async || kafka_sink::list_topics(rig.config(), &rig.name).await.expect("listed");
    while left().await != kafka_sink::Listing::default() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
