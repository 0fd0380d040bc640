//! Knowing that everything has arrived, without asking the connector.
//!
//! A table of one row beside the test's own. Its number is raised after the test's statements; when a read_committed consumer
//! sees that number, every transaction that was committed before has been seen too, because the connector commits in the
//! order of the log. Its topic's first record is the copied row; so a second one means that the copy has ended.

use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::time::Instant;

use crate::Result;
use crate::connector::Running;
use crate::database::Database;
use crate::registry::Registry;
use crate::stack::Stack;
use crate::topics::{Isolation, Topics, is_passing, record};

pub const TABLE: &str = "sentinel.mark";

pub struct Sentinel {
    consumer: BaseConsumer,
    registry: Registry,
    topics: Topics,
    topic: String,
    is_json: bool,
    number: i64,
    /// Records of the sentinel's topic seen so far.
    seen: u64,
    last: i64,
    /// How long nothing may arrive.
    pub patience: Duration,
}

impl std::fmt::Debug for Sentinel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sentinel").field("number", &self.number).field("seen", &self.seen).finish()
    }
}

const SLOTS: &str = "SELECT slot_name, active, confirmed_flush_lsn, pg_current_wal_lsn() \
     FROM pg_replication_slots WHERE database = current_database()";

/// The topic of the sentinel of a connector.
pub fn topic(connector: &str) -> String {
    format!("{connector}.{TABLE}")
}

impl Sentinel {
    /// Makes table and topic; before the connector starts.
    pub async fn create(
        stack: &Stack,
        database: &Database,
        connector: &str,
        is_json: bool,
    ) -> Result<Self> {
        database
            .client
            .batch_execute(&format!(
                "CREATE SCHEMA sentinel; CREATE TABLE {TABLE} (id int PRIMARY KEY, n bigint NOT NULL); \
                 INSERT INTO {TABLE} VALUES (1, 0)"
            ))
            .await?;
        let topics = Topics::of(&stack.kafka);
        topics.create(&topic(connector), 1, &[]).await?;
        let consumer = topics.consumer(Isolation::ReadCommitted)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic(connector), 0, Offset::Beginning)?;
        consumer.assign(&list)?;
        let registry = Registry::of(&stack.registry);
        let patience = Duration::from_secs(30);
        let topic = topic(connector);
        Ok(Self {
            consumer,
            registry,
            topics,
            topic,
            is_json,
            number: 0,
            seen: 0,
            last: -1,
            patience,
        })
    }

    /// Waits until the copy has ended and the stream runs.
    pub async fn streaming(&mut self, database: &Database, running: &mut Running) -> Result<()> {
        let begin = self.seen;
        let needed = if begin == 0 { 2 } else { 1 };
        self.wait(database, running, |sentinel| sentinel.seen >= begin + needed, true).await
    }

    /// Waits until all that was committed before now can be read.
    pub async fn caught_up(&mut self, database: &Database, running: &mut Running) -> Result<()> {
        self.raise(database).await?;
        let number = self.number;
        self.wait(database, running, |sentinel| sentinel.last >= number, false).await
    }

    async fn raise(&mut self, database: &Database) -> Result<()> {
        self.number += 1;
        let sql = format!("UPDATE {TABLE} SET n = {}", self.number);
        Ok(database.client.batch_execute(&sql).await?)
    }

    async fn wait(
        &mut self,
        database: &Database,
        running: &mut Running,
        is_there: impl Fn(&Self) -> bool,
        raising: bool,
    ) -> Result<()> {
        let mut progress = Instant::now();
        let mut raised = Instant::now();
        if raising {
            self.raise(database).await?;
        }
        loop {
            if self.poll().await? {
                progress = Instant::now();
            }
            if is_there(self) {
                return Ok(());
            }
            if let Some(status) = running.ended()? {
                // Gives the log's last lines time to arrive.
                let _ = running.wait(Duration::from_secs(2)).await;
                return Err(format!("the connector ended with {status}\n{}", running.tail()).into());
            }
            if progress.elapsed() > self.patience {
                let slots = database.text_rows(SLOTS).await?;
                return Err(format!(
                    "nothing more arrives in Kafka for {} s, {} of {} records of the sentinel so far; slots {slots:?}\n{}",
                    self.patience.as_secs(),
                    self.seen,
                    self.there().await?,
                    running.tail()
                )
                .into());
            }
            if raising && raised.elapsed() > Duration::from_millis(300) {
                raised = Instant::now();
                self.raise(database).await?;
            }
        }
    }

    /// How many records another consumer finds.
    async fn there(&self) -> Result<usize> {
        Ok(self.topics.read(&self.topic, Isolation::ReadCommitted).await?.len())
    }

    /// Takes what has arrived; whether anything had.
    async fn poll(&mut self) -> Result<bool> {
        let mut any = false;
        loop {
            // The consumer fetches by itself; this only empties its queue.
            let message = match self.consumer.poll(Duration::from_millis(5)) {
                None => break,
                Some(Ok(message)) => record(&message),
                Some(Err(KafkaError::PartitionEOF(_))) => continue,
                Some(Err(error)) if is_passing(&error) => continue,
                Some(Err(error)) => return Err(error.into()),
            };
            any = true;
            self.seen += 1;
            if message.value.is_none() {
                continue;
            }
            let decoded = if self.is_json {
                crate::registry::decode_json(message)?
            } else {
                self.registry.decode(message).await?
            };
            let value = decoded.value.unwrap_or_default();
            let row = value.get("after").unwrap_or(&value);
            self.last = row["n"].as_i64().ok_or("the sentinel's record has no number")?;
        }
        if !any {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(any)
    }
}
