//! Debezium in Kafka Connect, tuned for throughput, Avro, on the same tables and the same publication.

use std::time::{Duration, Instant};

use e2e::debezium::Connect;
use e2e::{Result, stack::Stack};
use serde_json::Value;

use crate::Reader;
use crate::backlog::{Backlog, TRANSACTION};
use crate::drain::{Drain, Others, PATIENCE, Sender};
use crate::machine::{self, Process};
use crate::topics::Ends;

/// Converter and names as `e2e::debezium` sets them; these are for speed.
const TUNED: [(&str, &str); 9] = [
    ("snapshot.mode", "no_data"),
    ("publication.autocreate.mode", "disabled"),
    ("table.include.list", "public\\..*"),
    ("max.batch.size", "20480"),
    ("max.queue.size", "81920"),
    ("producer.override.linger.ms", "10"),
    ("producer.override.batch.size", "1048576"),
    ("producer.override.compression.type", "lz4"),
    ("producer.override.buffer.memory", "67108864"),
];

pub(crate) struct Debezium {
    name: String,
    url: String,
    connect: Connect,
    client: reqwest::Client,
    ends: Ends,
}

impl Debezium {
    /// Starts it, lets it read a few rows, and holds it.
    pub(crate) async fn begin(stack: &Stack, backlog: &mut Backlog, url: &str) -> Result<Self> {
        let name = format!("{}_d", backlog.database.name);
        let ends = Ends::create(&stack.kafka, &name).await?;
        let connect = Connect::of(url);
        let publication = format!("afterimage_{}", backlog.database.name);
        let mut settings = TUNED.to_vec();
        settings.push(("publication.name", &publication));
        connect.start(stack, &backlog.database, &name, &settings).await?;
        let debezium = Self {
            name,
            url: url.trim_end_matches('/').to_owned(),
            connect,
            client: reqwest::Client::new(),
            ends,
        };
        debezium.wait_for_sender(backlog, Instant::now()).await?;
        // A JVM's first run is half as fast as the next ones.
        let from = debezium.ends.now()?;
        backlog.write(100_000, TRANSACTION).await?;
        debezium.ends.pass(from, PATIENCE, || Ok(())).await?;
        debezium.hold(backlog).await?;
        Ok(debezium)
    }

    pub(crate) async fn drain(&self, backlog: &Backlog, round: u32, rows: u64) -> Result<Drain> {
        let logs = std::env::var("AFTERIMAGE_STACK_LOGS").unwrap_or_default();
        let process = Process::find(&[&logs, "ConnectDistributed"]);
        let cpu = || process.and_then(Process::cpu).unwrap_or(0.0);
        let from = self.ends.now()?;
        let (others, before, begun) = (Others::begin(), cpu(), Instant::now());
        self.ask("resume").await?;
        let mut sender = self.wait_for_sender(backlog, begun).await?;
        let start_cpu = cpu() - before;
        let seen = self
            .ends
            .pass(from, PATIENCE, || {
                sender.look();
                Ok(())
            })
            .await?;
        let used = cpu() - before;
        let (sender_cpu, share) = sender.end(seen.last);
        let drain = Drain {
            reader: Reader::Debezium,
            round,
            rows,
            seconds: (seen.last - begun).as_secs_f64(),
            streaming_seconds: (seen.last - sender.active).as_secs_f64(),
            first_seconds: Some((seen.first - begun).as_secs_f64()),
            cpu_seconds: used,
            start_cpu_seconds: start_cpu,
            sender_cpu_seconds: sender_cpu,
            sender_share: share,
            broker_cpu_seconds: others.broker(),
            peak_mib: process.and_then(Process::peak_mib),
            other_cores: others.end(used + sender_cpu.unwrap_or(0.0)),
            load: machine::load(),
        };
        self.hold(backlog).await?;
        Ok(drain)
    }

    pub(crate) async fn end(self) -> Result<()> {
        self.connect.delete(&self.name).await
    }

    async fn wait_for_sender(&self, backlog: &Backlog, begun: Instant) -> Result<Sender> {
        loop {
            if let Some(sender) = Sender::of(&backlog.database, &self.name).await? {
                return Ok(sender);
            }
            if begun.elapsed() > Duration::from_secs(120) {
                self.connect.check(&self.name).await?;
                return Err("Debezium does not stream".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops its task and waits until the slot is free; its position is stored then.
    async fn hold(&self, backlog: &Backlog) -> Result<()> {
        self.ask("stop").await?;
        let begun = Instant::now();
        loop {
            let url = format!("{}/connectors/{}/status", self.url, self.name);
            let status: Value = self.client.get(url).send().await?.json().await?;
            let stopped = status["connector"]["state"] == "STOPPED";
            if stopped && Sender::of(&backlog.database, &self.name).await?.is_none() {
                return Ok(());
            }
            if begun.elapsed() > Duration::from_secs(60) {
                return Err("Debezium does not stop".into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn ask(&self, what: &str) -> Result<()> {
        let url = format!("{}/connectors/{}/{what}", self.url, self.name);
        let answer = self.client.put(url).send().await?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(format!("Connect does not {what}: {}", answer.status()).into()),
        }
    }
}
