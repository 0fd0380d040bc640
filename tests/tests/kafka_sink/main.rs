//! The Kafka sink on a real broker: what a careful reader sees after each thing that can happen to a writer.

mod login;
mod rig;
mod stops;
mod topics;

use std::time::Duration;

use connector::{Checkpoint, CopyId, Sink};
use e2e::topics::Isolation;
use kafka_sink::Delivery;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rig::{Rig, at, broker, keys, sequence, stored};
use uuid::Uuid;

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
