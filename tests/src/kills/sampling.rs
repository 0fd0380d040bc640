//! Whether the server is told more than is stored: looked at all the time.
//!
//! The slot is asked first and the position topic read after it, so what is stored can only be ahead of what the server was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::Result;
use crate::database::{Database, text_rows};
use crate::stack::Stack;
use crate::topics::{Isolation, Record, Topics, is_passing, record};

pub(super) struct Sampling {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<(u64, Vec<String>)>>,
}

const EVERY: Duration = Duration::from_millis(100);
/// How long what is stored may take to be read here.
const READING_MAX: u32 = 50;

const SLOTS: &str = "SELECT slot_name, confirmed_flush_lsn FROM pg_replication_slots \
     WHERE database = current_database() AND NOT temporary AND confirmed_flush_lsn IS NOT NULL";

impl Sampling {
    pub(super) async fn start(stack: &Stack, database: &Database, name: &str) -> Result<Self> {
        let client = database.session().await?;
        let consumer = Topics::of(&stack.kafka).consumer(Isolation::ReadCommitted)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&format!("__afterimage.{name}"), 0, Offset::Beginning)?;
        consumer.assign(&list)?;
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let (mut sampled, mut wrong) = (0, Vec::new());
            let mut stored = None;
            while !ended.load(Ordering::Relaxed) {
                sleep(EVERY).await;
                for slot in text_rows(&client, SLOTS).await? {
                    let confirmed = lsn(slot[1].as_deref().unwrap_or_default())?;
                    for _ in 0..READING_MAX {
                        stored = drain(&consumer)?.or(stored);
                        if stored.is_some_and(|stored| stored >= confirmed) {
                            break;
                        }
                        sleep(EVERY).await;
                    }
                    // Before the first pin is stored there is nothing to compare.
                    let Some(stored) = stored else { continue };
                    sampled += 1;
                    if confirmed > stored {
                        let slot = slot[0].as_deref().unwrap_or_default();
                        wrong.push(format!("{slot} confirms {confirmed:X}, stored is {stored:X}"));
                    }
                }
            }
            Ok((sampled, wrong))
        });
        Ok(Self { stop, task })
    }

    pub(super) async fn stop(self) -> Result<(u64, Vec<String>)> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

/// The last position that has arrived, if any has.
fn drain(consumer: &BaseConsumer) -> Result<Option<u64>> {
    let mut last = None;
    loop {
        match consumer.poll(Duration::from_millis(5)) {
            None => return Ok(last),
            Some(Ok(message)) => last = position(&record(&message)).or(last),
            Some(Err(KafkaError::PartitionEOF(_))) => {}
            Some(Err(error)) if is_passing(&error) => {}
            Some(Err(error)) => return Err(error.into()),
        }
    }
}

/// `16/B374D848` as a number.
fn lsn(text: &str) -> Result<u64> {
    let (high, low) = text.split_once('/').ok_or("no log position")?;
    Ok(u64::from_str_radix(high, 16)? << 32 | u64::from_str_radix(low, 16)?)
}

/// Of a record of the position topic: `1 <crc> {.. "done": {"lsn": "16/B374D848", ..}}`.
fn position(record: &Record) -> Option<u64> {
    if record.key.as_deref() != Some(b"position") {
        return None;
    }
    let text = std::str::from_utf8(record.value.as_deref()?).ok()?;
    let json: Value = serde_json::from_str(&text[text.find('{')?..]).ok()?;
    lsn(json["done"]["lsn"].as_str()?).ok()
}
