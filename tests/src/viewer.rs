//! What the demo shows: the shop's topics as a consumer reads them.
//!
//! ```text
//! copy    41,000 of 85,800 rows  48 %
//! shop.public.orders       u  {"id":20017}  {"id":20017,"status":"paid",..}
//! 85,800 copied, 1,204 changes, 51 rows/s, behind by 0.2 s
//! ```
//! Every record is decoded with the schema that the registry has for it; only some are printed.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::Result;
use crate::registry::{Decoded, Registry};
use crate::topics::{Isolation, Record, Topics, is_passing, record};

#[derive(Debug, Clone)]
pub struct View {
    pub kafka: String,
    pub registry: String,
    /// The connector's name, with which its topics begin.
    pub prefix: String,
    /// None: until interrupted.
    pub seconds: Option<u64>,
    /// Rows that there are to copy, when known.
    pub rows: Option<u64>,
}

#[derive(Debug, Default)]
struct Seen {
    copied: u64,
    changes: u64,
    by_op: BTreeMap<String, u64>,
    /// Of the second that runs now.
    rows: u64,
    rate: f64,
    /// Between commit in the database and arrival here; of the last change.
    behind: Option<Duration>,
}

/// How often at most a record is printed.
const SAMPLE: Duration = Duration::from_millis(400);

impl View {
    /// Shows until time is up or the person interrupts. With a time: an error unless copied and changed rows were read.
    pub async fn run(&self) -> Result<()> {
        let (sender, mut records) = mpsc::channel(10_000);
        let topics = Topics::of(&self.kafka);
        let prefix = format!("{}.", self.prefix);
        // Ends when the receiver is dropped.
        let reading = tokio::task::spawn_blocking(move || read(&topics, &prefix, &sender));
        let mut registry = Registry::of(&self.registry);
        let mut seen = Seen::default();
        let mut screen = Screen::new();
        let begun = Instant::now();
        let mut printed: BTreeMap<String, Instant> = BTreeMap::new();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let time_is_up = async {
            match self.seconds {
                Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(time_is_up);
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        loop {
            tokio::select! {
                biased;
                _ = &mut interrupted => break,
                () = &mut time_is_up => break,
                _ = second.tick() => {
                    seen.rate = seen.rows as f64;
                    seen.rows = 0;
                    screen.status(&self.status(&seen));
                }
                record = records.recv() => {
                    let Some(record) = record else {
                        reading.await??;
                        return Err("Kafka cannot be read any more".into());
                    };
                    let decoded = registry.decode(record).await?;
                    let Some(op) = seen.add(&decoded) else { continue };
                    let kind = format!("{}{op}", decoded.record.topic);
                    let now = Instant::now();
                    if printed.get(&kind).is_none_or(|last| now - *last > SAMPLE * 4) {
                        printed.insert(kind, now);
                        screen.line(&line(&decoded, &op));
                    }
                }
            }
        }
        screen.end(&self.status(&seen));
        self.judge(&seen, begun.elapsed())
    }

    fn judge(&self, seen: &Seen, after: Duration) -> Result<()> {
        if self.seconds.is_none() {
            return Ok(());
        }
        let missing = match (seen.copied, seen.changes) {
            (0, 0) => "no record at all",
            (0, _) => "no copied row",
            (_, 0) => "no change behind the copy",
            _ => {
                println!(
                    "read back from Kafka and decoded with the registry's schemas: {} copied rows, {} changes",
                    grouped(seen.copied),
                    grouped(seen.changes)
                );
                return Ok(());
            }
        };
        Err(format!("{missing} was read back from Kafka within {:.0} s", after.as_secs_f64())
            .into())
    }

    fn status(&self, seen: &Seen) -> String {
        let copied = match self.rows {
            Some(rows) if seen.copied < rows && seen.changes == 0 => format!(
                "copy: {} of {} rows, {} %",
                grouped(seen.copied),
                grouped(rows),
                seen.copied * 100 / rows.max(1)
            ),
            _ => format!("{} copied", grouped(seen.copied)),
        };
        let behind = seen
            .behind
            .map_or(String::new(), |behind| format!(", behind by {:.1} s", behind.as_secs_f64()));
        let ops = ["c", "u", "d"]
            .iter()
            .filter_map(|op| Some(format!("{op} {}", grouped(*seen.by_op.get(*op)?))));
        let ops = ops.collect::<Vec<_>>().join(", ");
        let ops = if ops.is_empty() { ops } else { format!(" ({ops})") };
        format!(
            "{copied}, {} changes{ops}, {} rows/s{behind}",
            grouped(seen.changes),
            grouped(seen.rate as u64)
        )
    }
}

impl Seen {
    /// The operation; None for a tombstone and for what is no table's.
    fn add(&mut self, decoded: &Decoded) -> Option<String> {
        let value = decoded.value.as_ref()?;
        let op = value["op"].as_str()?.to_owned();
        self.rows += 1;
        *self.by_op.entry(op.clone()).or_default() += 1;
        if op == "r" {
            self.copied += 1;
        } else {
            self.changes += 1;
            let at = value["source"]["ts_ms"].as_u64().map(Duration::from_millis);
            self.behind = at.map(|at| now().saturating_sub(at));
        }
        Some(op)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is shown is how late it is for the person who looks"
)]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Hands over every record of the topics with this prefix, also of those that come into being meanwhile.
fn read(topics: &Topics, prefix: &str, sender: &mpsc::Sender<Record>) -> Result<()> {
    const LOOK: Duration = Duration::from_secs(1);
    let consumer = topics.consumer(Isolation::ReadCommitted)?;
    let mut known = TopicPartitionList::new();
    let mut looked: Option<Instant> = None;
    while !sender.is_closed() {
        if looked.is_none_or(|looked| looked.elapsed() > LOOK) {
            looked = Some(Instant::now());
            add_new(&consumer, prefix, &mut known)?;
        }
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                if sender.blocking_send(record(&message)).is_err() {
                    break;
                }
            }
            None | Some(Err(KafkaError::PartitionEOF(_))) => {}
            Some(Err(error)) if is_passing(&error) => {}
            Some(Err(error)) => return Err(error.into()),
        }
    }
    Ok(())
}

fn add_new(consumer: &BaseConsumer, prefix: &str, known: &mut TopicPartitionList) -> Result<()> {
    let metadata = match consumer.fetch_metadata(None, Duration::from_secs(10)) {
        Ok(metadata) => metadata,
        Err(error) if is_passing(&error) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut new = TopicPartitionList::new();
    for topic in metadata.topics().iter().filter(|topic| topic.name().starts_with(prefix)) {
        for partition in topic.partitions() {
            if known.find_partition(topic.name(), partition.id()).is_none() {
                new.add_partition_offset(topic.name(), partition.id(), Offset::Beginning)?;
                known.add_partition(topic.name(), partition.id());
            }
        }
    }
    if new.count() > 0 {
        consumer.incremental_assign(&new)?;
    }
    Ok(())
}

/// A record in one line.
fn line(decoded: &Decoded, op: &str) -> String {
    const WIDTH: usize = 110;
    let value = decoded.value.as_ref().unwrap_or(&Value::Null);
    let row = if op == "d" { &value["before"] } else { &value["after"] };
    let key = decoded.key.as_ref().map_or("-".to_owned(), Value::to_string);
    let mut row = row.to_string();
    if row.chars().count() > WIDTH {
        row = row.chars().take(WIDTH).collect::<String>() + "..";
    }
    format!("{:<24} {op}  {key:<14} {row}", decoded.record.topic)
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Lines that scroll, and on a terminal one below them that stays.
struct Screen {
    is_terminal: bool,
    /// Elsewhere the status is a line only when it says something new, every few seconds.
    last: Option<(Instant, String)>,
}

impl Screen {
    fn new() -> Self {
        Self { is_terminal: std::io::stdout().is_terminal(), last: None }
    }

    fn line(&mut self, line: &str) {
        if self.is_terminal {
            let status = self.last.as_ref().map_or("", |(_, status)| status);
            print!("\r\x1b[2K{line}\n\x1b[1m{status}\x1b[0m");
            let _ = std::io::stdout().flush();
        } else {
            println!("{line}");
        }
    }

    fn status(&mut self, status: &str) {
        let now = Instant::now();
        if self.is_terminal {
            print!("\r\x1b[2K\x1b[1m{status}\x1b[0m");
            let _ = std::io::stdout().flush();
            self.last = Some((now, status.to_owned()));
        } else {
            let due = self
                .last
                .as_ref()
                .is_none_or(|(at, last)| last != status && now - *at >= Duration::from_secs(2));
            if due {
                println!("{status}");
                self.last = Some((now, status.to_owned()));
            }
        }
    }

    fn end(&mut self, status: &str) {
        if self.is_terminal {
            println!("\r\x1b[2K{status}");
        } else {
            println!("{status}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let check = |number, text: &str| assert_eq!(grouped(number), text);
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(12_345_678, "12,345,678");
    }
}
