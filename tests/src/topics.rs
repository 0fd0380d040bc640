//! What stands in Kafka, read by a plain consumer without a group.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::Offset;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::Result;

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    ReadCommitted,
    ReadUncommitted,
}

/// The topics of one broker.
#[derive(Debug, Clone)]
pub struct Topics {
    kafka: String,
}

impl Topics {
    pub fn of(kafka: &str) -> Self {
        Self { kafka: kafka.to_owned() }
    }

    pub fn consumer(&self, isolation: Isolation) -> Result<BaseConsumer> {
        let isolation = match isolation {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        };
        Ok(ClientConfig::new()
            .set("bootstrap.servers", &self.kafka)
            .set("group.id", "e2e")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", isolation)
            .set("fetch.wait.max.ms", "20")
            // A topic that was assigned before it was known is looked for again soon.
            .set("topic.metadata.refresh.interval.ms", "500")
            .set("fetch.message.max.bytes", "33554432")
            .set("queued.max.messages.kbytes", "131072")
            .create()?)
    }

    /// Topics whose name begins so, with their partitions.
    pub async fn list(&self, prefix: &str) -> Result<BTreeMap<String, Vec<i32>>> {
        let topics = self.clone();
        let prefix = prefix.to_owned();
        tokio::task::spawn_blocking(move || topics.list_now(&prefix)).await?
    }

    fn list_now(&self, prefix: &str) -> Result<BTreeMap<String, Vec<i32>>> {
        let consumer = self.consumer(Isolation::ReadUncommitted)?;
        let metadata = consumer.fetch_metadata(None, PATIENCE)?;
        Ok(metadata
            .topics()
            .iter()
            .filter(|topic| topic.name().starts_with(prefix) && topic.error().is_none())
            .map(|topic| {
                let partitions = topic.partitions().iter().map(|partition| partition.id());
                (topic.name().to_owned(), partitions.collect())
            })
            .collect())
    }

    /// Everything in the topics whose name begins so, up to their end, by topic, partition and offset.
    pub async fn read(&self, prefix: &str, isolation: Isolation) -> Result<Vec<Record>> {
        self.read_from(prefix, isolation, Offset::Beginning).await
    }

    /// The last few records of each partition of the topics whose name begins so.
    pub async fn tail(
        &self,
        prefix: &str,
        isolation: Isolation,
        count: i64,
    ) -> Result<Vec<Record>> {
        self.read_from(prefix, isolation, Offset::OffsetTail(count)).await
    }

    async fn read_from(
        &self,
        prefix: &str,
        isolation: Isolation,
        from: Offset,
    ) -> Result<Vec<Record>> {
        let topics = self.clone();
        let prefix = prefix.to_owned();
        tokio::task::spawn_blocking(move || {
            let consumer = topics.consumer(isolation)?;
            let mut records = Vec::new();
            for (topic, partitions) in topics.list_now(&prefix)? {
                let begin = records.len();
                read_topic(&consumer, &topic, &partitions, from, &mut records)?;
                records[begin..].sort_by_key(|record| (record.partition, record.offset));
            }
            Ok(records)
        })
        .await?
    }

    /// Makes a topic with these settings.
    pub async fn create(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let admin = self.admin()?;
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        for result in admin.create_topics([&topic], &options()).await? {
            result.map_err(|(name, code)| format!("topic {name}: {code}"))?;
        }
        Ok(())
    }

    /// Deletes all topics whose name begins so.
    pub async fn delete(&self, prefix: &str) -> Result<()> {
        let names = self.list(prefix).await?;
        let names: Vec<&str> = names.keys().map(String::as_str).collect();
        if !names.is_empty() {
            self.admin()?.delete_topics(&names, &options()).await?;
        }
        Ok(())
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(ClientConfig::new().set("bootstrap.servers", &self.kafka).create()?)
    }
}

/// Reads one topic from `from` to where each partition ends. (The client says of an end only the partition's number,
/// so topics are read one after the other.)
fn read_topic(
    consumer: &BaseConsumer,
    topic: &str,
    partitions: &[i32],
    from: Offset,
    records: &mut Vec<Record>,
) -> Result<()> {
    const SLICE: Duration = Duration::from_millis(500);
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(topic, *partition, from)?;
    }
    consumer.assign(&list)?;
    let mut open: BTreeSet<i32> = partitions.iter().copied().collect();
    let mut silent = Duration::ZERO;
    while !open.is_empty() {
        match consumer.poll(SLICE) {
            Some(Ok(message)) => {
                records.push(record(&message));
                silent = Duration::ZERO;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) if is_passing(&error) => {}
            Some(Err(error)) => return Err(error.into()),
            None => {
                silent += SLICE;
                if silent > PATIENCE * 3 {
                    return Err(format!("Kafka tells no end of the topic {topic}").into());
                }
            }
        }
    }
    Ok(())
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}

/// What librdkafka tells of and gets over by itself.
pub fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
        )
    )
}

pub fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
            .collect()
    });
    Record {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
        timestamp: message.timestamp().to_millis().unwrap_or_default(),
    }
}

impl Record {
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_slice())
    }
}
