use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::{Config, watch};

const DEADLINE: Duration = Duration::from_secs(20);
const TOPIC: &str = "orders";

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster() -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    cluster
}

fn settings(cluster: &Cluster) -> Settings {
    let mut config = Config::new(vec![cluster.bootstrap_servers()]);
    // The mock answers at once or never.
    config.kafka.insert("socket.timeout.ms".to_owned(), "2000".to_owned());
    Settings::new("shop", config).unwrap()
}

async fn started(settings: &Settings) -> Producer {
    let producer = Producer::new(settings).unwrap();
    producer.init(DEADLINE).await.unwrap();
    producer
}

async fn send(producer: &mut Producer, payload: &[u8]) -> Result<(), Error> {
    let record = Record::with_opaque_to(TOPIC, watch::DATA).partition(0).payload(payload);
    producer.send(record, DEADLINE).await
}

#[tokio::test]
async fn an_undisturbed_producer_is_used_again() {
    let cluster = cluster();
    let mut producer = started(&settings(&cluster)).await;
    for _ in 0..3 {
        producer.begin(DEADLINE).await.unwrap();
        send(&mut producer, b"row").await.unwrap();
        let committed = producer.commit(DEADLINE).await.unwrap();
        assert_eq!(committed, Committed { repeated: false });
    }
    assert_eq!((producer.is_finished(), producer.queued_bytes()), (false, 0));
}

/// The answer to a commit is lost with its connection; the client asks again and succeeds.
#[tokio::test]
async fn a_commit_that_was_repeated_finishes_its_producer() {
    let cluster = cluster();
    let mut producer = started(&settings(&cluster)).await;
    producer.begin(DEADLINE).await.unwrap();
    send(&mut producer, b"row").await.unwrap();
    cluster.request_errors(RDKafkaApiKey::EndTxn, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT]);
    let committed = producer.commit(DEADLINE).await.unwrap();
    assert_eq!(committed, Committed { repeated: true });
    assert!(producer.is_finished());
}

#[tokio::test]
async fn a_message_that_was_not_taken_fails_the_commit() {
    let cluster = cluster();
    let mut producer = started(&settings(&cluster)).await;
    producer.begin(DEADLINE).await.unwrap();
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE],
    );
    send(&mut producer, b"row").await.unwrap();
    let failure = producer.commit(DEADLINE).await.unwrap_err().failing("committing");
    assert_eq!((failure.code, failure.is_definite()), ("record-too-large", true));
}

#[tokio::test]
async fn a_newer_producer_of_the_name_shuts_out_the_older() {
    let cluster = cluster();
    let settings = settings(&cluster);
    let mut producer = started(&settings).await;
    producer.begin(DEADLINE).await.unwrap();
    send(&mut producer, b"row").await.unwrap();
    cluster.request_errors(
        RDKafkaApiKey::EndTxn,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED],
    );
    let error = producer.commit(DEADLINE).await.unwrap_err();
    assert!(error.is_fenced(), "{error}");
}

#[tokio::test]
async fn a_full_queue_is_waited_for() {
    let cluster = cluster();
    let mut config = settings(&cluster).config;
    config.kafka.insert("queue.buffering.max.messages".to_owned(), "10".to_owned());
    let mut producer = started(&Settings::new("shop", config).unwrap()).await;
    producer.begin(DEADLINE).await.unwrap();
    for _ in 0..500 {
        send(&mut producer, b"row").await.unwrap();
    }
    producer.commit(DEADLINE).await.unwrap();
    assert_eq!(producer.watch().delivered(), 500);
}

#[tokio::test]
async fn a_broker_that_does_not_answer_ends_in_a_deadline() {
    let cluster = cluster();
    let mut producer = started(&settings(&cluster)).await;
    producer.begin(DEADLINE).await.unwrap();
    cluster.broker_down(1).unwrap();
    send(&mut producer, b"row").await.unwrap();
    let failure = producer.commit(Duration::from_millis(300)).await.unwrap_err().failing("");
    assert_eq!((failure.code, failure.is_definite()), ("kafka-deadline", false));
}
