//! Starts that must not happen, because what stands in the topics and what is stored do not fit.

use std::time::Duration;

use connector::Sink;
use e2e::topics::Isolation;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use uuid::Uuid;

use crate::rig::{Rig, at, broker, clock, target};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_without_their_position_stop_the_start() {
    let rig = Rig::new("sink_orphan");
    // More partitions than are looked at: those written to last are.
    let mut config = rig.config();
    config.topics.partitions = 70;
    let mut sink = rig.sink_with(config);
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
