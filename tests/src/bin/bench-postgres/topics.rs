//! Where topics end for a read_committed reader, asked in short intervals: less work for the broker than reading them.

use std::time::{Duration, Instant};

use e2e::Result;
use e2e::topics::{Isolation, Topics};
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::machine::LOOK_EVERY;

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Ends {
    consumer: BaseConsumer,
    rows: String,
    done: String,
}

/// When something was first seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) first: Instant,
    pub(crate) last: Instant,
}

impl Ends {
    /// Makes both topics of a connector, with one partition each.
    pub(crate) async fn create(kafka: &str, prefix: &str) -> Result<Self> {
        let topics = Topics::of(kafka);
        let [rows, done] = ["rows", "done"].map(|table| format!("{prefix}.public.{table}"));
        for topic in [&rows, &done] {
            topics.create(topic, 1, &[]).await?;
        }
        let consumer = topics.consumer(Isolation::ReadCommitted)?;
        let ends = Self { consumer, rows, done };
        // Made is not yet known everywhere.
        let begun = Instant::now();
        while ends.now().is_err() && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(ends)
    }

    /// The ends of both topics.
    pub(crate) fn now(&self) -> Result<(i64, i64)> {
        let end =
            |topic: &str| self.consumer.fetch_watermarks(topic, 0, PATIENCE).map(|(_, end)| end);
        Ok((end(&self.rows)?, end(&self.done)?))
    }

    /// Waits until a row, and then until a mark, stands behind `from`. `look` is called in between.
    pub(crate) async fn pass(
        &self,
        from: (i64, i64),
        at_most: Duration,
        mut look: impl FnMut() -> Result<()>,
    ) -> Result<Seen> {
        let begun = Instant::now();
        let mut first = None;
        loop {
            let (rows, done) = self.now()?;
            let now = Instant::now();
            if rows > from.0 || done > from.1 {
                first.get_or_insert(now);
            }
            if done > from.1 {
                return Ok(Seen { first: first.unwrap_or(now), last: now });
            }
            look()?;
            if begun.elapsed() > at_most {
                return Err(format!("no mark in {} after {at_most:?}", self.done).into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
