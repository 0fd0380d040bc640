//! What the connector writes from its start on, committed or not.

use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::Result;
use crate::topics::{Isolation, Record, Topics, is_passing, record};

/// A read_uncommitted consumer that stands where the topics ended.
pub(super) struct Watch {
    consumer: BaseConsumer,
    last: Option<Record>,
}

impl Watch {
    pub(super) async fn at_the_end(topics: &Topics, name: &str) -> Result<Self> {
        let topics = topics.clone();
        let prefix = format!("{name}.public.");
        let partitions = topics.list(&prefix).await?;
        tokio::task::spawn_blocking(move || {
            let consumer = topics.consumer(Isolation::ReadUncommitted)?;
            let mut list = TopicPartitionList::new();
            for (topic, partitions) in partitions {
                for partition in partitions {
                    let (_, end) =
                        consumer.fetch_watermarks(&topic, partition, Duration::from_secs(20))?;
                    list.add_partition_offset(&topic, partition, Offset::Offset(end))?;
                }
            }
            consumer.assign(&list)?;
            Ok(Self { consumer, last: None })
        })
        .await?
    }

    /// Takes what arrives within a moment.
    pub(super) async fn poll(mut self) -> Result<Self> {
        tokio::task::spawn_blocking(move || {
            self.take(Duration::from_millis(10))?;
            Ok(self)
        })
        .await?
    }

    pub(super) fn has_seen(&self) -> bool {
        self.last.is_some()
    }

    /// The record with the highest timestamp since the start, when nothing more arrives.
    pub(super) async fn last(mut self) -> Result<Option<Record>> {
        tokio::task::spawn_blocking(move || {
            while self.take(Duration::from_millis(300))? {}
            Ok(self.last)
        })
        .await?
    }

    fn take(&mut self, patience: Duration) -> Result<bool> {
        match self.consumer.poll(patience) {
            None => Ok(false),
            Some(Ok(message)) => {
                let record = record(&message);
                if self.last.as_ref().is_none_or(|last| last.timestamp <= record.timestamp) {
                    self.last = Some(record);
                }
                Ok(true)
            }
            Some(Err(KafkaError::PartitionEOF(_))) => Ok(true),
            Some(Err(error)) if is_passing(&error) => Ok(true),
            Some(Err(error)) => Err(error.into()),
        }
    }
}
