use std::time::Duration;

use connector::{Identity, Stored};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde::{Deserialize, Serialize};

use super::*;
use crate::Config;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct At(u64);

impl Position for At {
    fn covers(&self, other: &Self) -> bool {
        self.0 >= other.0
    }
}

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster() -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("__afterimage.shop", 1, 1).unwrap();
    cluster
}

fn log(cluster: &Cluster) -> Log<At> {
    let mut config = Config::new(vec![cluster.bootstrap_servers()]);
    config.deadline_ms = 5000;
    config.kafka.insert("socket.timeout.ms".to_owned(), "2000".to_owned());
    Log::new(Settings::new("shop", config).unwrap(), Uuid::new_v4())
}

fn clock() -> i64 {
    0
}

fn at(position: u64) -> Checkpoint<At> {
    Checkpoint {
        identity: Arc::new(Identity::default()),
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

/// The answer to the next commit is lost with its connection; the client asks again by itself.
fn lose_an_answer(cluster: &Cluster) {
    let lost = [RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT];
    cluster.request_errors(RDKafkaApiKey::EndTxn, &lost);
}

fn is_finished(log: &Log<At>) -> bool {
    match &log.state {
        State::Lost => panic!("nothing failed"),
        State::Ready(producer) | State::Open(producer, _) => producer.is_finished(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_repeated_commit_a_new_producer_goes_on() {
    let cluster = cluster();
    let mut log = log(&cluster);
    assert_eq!(log.recover(clock).await.unwrap(), None);
    log.commit(&at(1)).await.unwrap();
    assert!(!is_finished(&log));
    lose_an_answer(&cluster);
    log.commit(&at(2)).await.unwrap();
    assert!(is_finished(&log));
    log.commit(&at(3)).await.unwrap();
    assert!(!is_finished(&log));
    let place = log.contents.place.clone().unwrap();
    assert_eq!((place.sequence, place.epoch), (4, 1));
    assert_eq!(log.recover(clock).await.unwrap(), stored(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_producer_is_not_used_when_somebody_took_over_meanwhile() {
    let cluster = cluster();
    let mut first = log(&cluster);
    first.recover(clock).await.unwrap();
    lose_an_answer(&cluster);
    first.commit(&at(1)).await.unwrap();
    let mut second = log(&cluster);
    assert_eq!(second.recover(clock).await.unwrap(), stored(1));
    let error = first.commit(&at(2)).await.unwrap_err();
    let failure = first.fail(error, "committing");
    assert_eq!((failure.code, failure.is_definite()), ("fenced", true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_shut_out_and_finds_nobody_tries_again_after_a_while() {
    let cluster = cluster();
    let mut log = log(&cluster);
    log.recover(clock).await.unwrap();
    log.commit(&at(1)).await.unwrap();
    let fenced = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED];
    cluster.request_errors(RDKafkaApiKey::EndTxn, &fenced);
    let error = log.commit(&at(2)).await.unwrap_err();
    let failure = log.fail(error, "committing");
    assert_eq!((failure.code, failure.is_definite()), ("producer-fenced", false));
    let begun = Instant::now();
    log.recover(clock).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(10), "the deadline and five seconds more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_before_a_recovery() {
    let cluster = cluster();
    let mut log = log(&cluster);
    assert_eq!(log.commit(&at(1)).await.unwrap_err().failing("").code, "not-recovered");
}
