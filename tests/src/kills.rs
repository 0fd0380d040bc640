//! Kills the connector again and again, then judges what it left behind.
//!
//! ```text
//!   fill tables, write on     start -> first record -> 0..5 s -> SIGKILL      (so often, in the copy and in the stream)
//!                             start -> caught up -> SIGTERM -> judge
//! ```
//! The copy is slowed by a proxy before the database, so that it outlives enough kills; the stream is not.

mod report;
mod sampling;
mod watch;

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use toml::Table;

use crate::Result;
use crate::connector::{Connector, Running};
use crate::database::Database;
use crate::ledger::{self, Judge, Kind, Ledger, read_event};
use crate::proxy::Proxy;
use crate::registry::Registry;
use crate::sentinel::Sentinel;
use crate::stack::{Stack, fresh_name};
use crate::topics::{Isolation, Record, Topics};

pub use report::Report;
use sampling::Sampling;
use watch::Watch;

#[derive(Debug, Clone)]
pub struct Plan {
    /// SIGKILLs in all.
    pub kills: usize,
    /// Of these, about so many in the copy.
    pub kills_in_copy: usize,
    /// Rows that are there to be copied.
    pub rows: i64,
    /// Bytes in a second that each of the connector's sessions gets while the copy is to last.
    pub slow: u64,
    pub writers: usize,
    pub partitions: i32,
    pub seed: u64,
    pub config: Table,
}

/// The longest time between a start's first record and its kill.
const KILL_AFTER_MAX: Duration = Duration::from_secs(5);
/// From start to the first record.
const RECOVERY_MAX: Duration = Duration::from_secs(90);

/// Does all of it once; the database and the topics stay when something is wrong, so that it can be looked at.
pub async fn campaign(stack: &Stack, plan: &Plan) -> Result<Report> {
    let name = fresh_name("kills");
    let database = Database::create(stack, &name).await?;
    let report = Campaign::prepare(stack, plan, &name, &database).await?.run().await?;
    if report.verdict.violations.is_empty() && report.samples.is_empty() {
        let topics = Topics::of(&stack.kafka);
        topics.delete(&format!("{name}.")).await?;
        topics.delete(&format!("__afterimage.{name}")).await?;
        database.drop_it().await?;
    }
    Ok(report)
}

struct Campaign<'a> {
    stack: &'a Stack,
    plan: &'a Plan,
    name: &'a str,
    database: &'a Database,
    topics: Topics,
    proxy: Proxy,
    connector: Connector,
    sentinel: Sentinel,
    rng: StdRng,
    /// For each kill the time of the last record before it, in milliseconds since 1970.
    killed: Vec<i64>,
    report: Report,
}

impl<'a> Campaign<'a> {
    async fn prepare(
        stack: &'a Stack,
        plan: &'a Plan,
        name: &'a str,
        database: &'a Database,
    ) -> Result<Self> {
        ledger::create(database).await?;
        ledger::fill(database, "copied", plan.rows).await?;
        ledger::fill(database, "fat", 300).await?;
        ledger::fill(database, "whole", 1_000).await?;
        let mut sentinel = Sentinel::create(stack, database, name, false).await?;
        sentinel.patience = Duration::from_secs(120);
        let topics = Topics::of(&stack.kafka);
        // Made here, so that a consumer can stand at their end before the first start.
        for table in ledger::TABLES {
            topics.create(&format!("{name}.public.{table}"), plan.partitions, &[]).await?;
        }
        topics.create(&format!("{name}.transaction"), 1, &[]).await?;
        let (head, rest) =
            database.url.split_once('@').ok_or("the database's address has no user")?;
        let (server, path) = rest.split_once('/').ok_or("the database's address has no name")?;
        let proxy = Proxy::to(server).await?;
        let url = format!("{head}@127.0.0.1:{}/{path}", proxy.port);
        let connector = Connector::new(stack, name, &url, &plan.config)?;
        Ok(Self {
            stack,
            plan,
            name,
            database,
            topics,
            proxy,
            connector,
            sentinel,
            rng: StdRng::seed_from_u64(plan.seed),
            killed: Vec::new(),
            report: Report::default(),
        })
    }

    async fn run(mut self) -> Result<Report> {
        let pause = Duration::from_millis(20);
        let writers =
            ledger::write(self.database, self.plan.writers, self.plan.rows, pause, self.plan.seed)
                .await?;
        let sampling = Sampling::start(self.stack, self.database, self.name).await?;
        while self.killed.len() < self.plan.kills {
            let copying = self.killed.len() < self.plan.kills_in_copy;
            self.proxy.limit(copying.then_some(self.plan.slow));
            self.start_and_kill().await?;
        }
        self.proxy.limit(None);
        writers.stop().await?;
        let mut running = self.connector.start()?;
        self.sentinel.streaming(self.database, &mut running).await?;
        self.sentinel.caught_up(self.database, &mut running).await?;
        running.stop().await?;
        (self.report.positions_sampled, self.report.samples) = sampling.stop().await?;
        self.judge().await?;
        Ok(self.report)
    }

    /// One life: from the start over its first record to the kill.
    async fn start_and_kill(&mut self) -> Result<()> {
        let watch = Watch::at_the_end(&self.topics, self.name).await?;
        let mut running = self.connector.start()?;
        let (watch, first) = self.first_record(watch, &mut running).await?;
        self.report.recoveries.push(first);
        let after = self.rng.random_range(Duration::ZERO..=KILL_AFTER_MAX);
        sleep(after).await;
        if let Some(status) = running.ended()? {
            return Err(format!("the connector ended with {status}\n{}", running.tail()).into());
        }
        running.kill().await?;
        let last = watch.last().await?;
        self.killed.push(last.map_or(0, |last| last.timestamp));
        println!(
            "kill {} of {}: first record after {:.2} s, killed {:.2} s later",
            self.killed.len(),
            self.plan.kills,
            first.as_secs_f64(),
            after.as_secs_f64()
        );
        Ok(())
    }

    async fn first_record(&self, watch: Watch, running: &mut Running) -> Result<(Watch, Duration)> {
        let started = running.started;
        let mut watch = watch;
        loop {
            watch = watch.poll().await?;
            if watch.has_seen() {
                return Ok((watch, started.elapsed()));
            }
            if let Some(status) = running.ended()? {
                let _ = running.wait(Duration::from_secs(2)).await;
                return Err(format!("the connector ended with {status}\n{}", running.tail()).into());
            }
            if started.elapsed() > RECOVERY_MAX {
                let seconds = RECOVERY_MAX.as_secs();
                return Err(
                    format!("no record within {seconds} s of a start\n{}", running.tail()).into()
                );
            }
        }
    }

    async fn judge(&mut self) -> Result<()> {
        let prefix = format!("{}.", self.name);
        let records = self.topics.read(&prefix, Isolation::ReadCommitted).await?;
        let all = self.topics.read(&prefix, Isolation::ReadUncommitted).await?;
        self.report.aborted = check_aborted(&records, &all)?;
        drop(all);
        self.report.records = records.len();
        let mut registry = Registry::of(&self.stack.registry);
        let mut judge = Judge::default();
        let mut last_copied = 0;
        for record in records {
            let is_transaction = record.topic.ends_with(".transaction");
            let decoded = registry.decode(record).await?;
            if is_transaction {
                add_transaction(&mut judge, decoded.value.as_ref().unwrap_or(&Value::Null))?;
            } else if let Some(event) = read_event(self.name, &decoded)? {
                if event.kind == Kind::Read {
                    last_copied = last_copied.max(decoded.record.timestamp);
                }
                judge.add(event);
            }
        }
        // As long as a row was copied later, the copy was not over.
        self.report.in_copy = self.killed.iter().filter(|killed| **killed < last_copied).count();
        self.report.in_stream = self.killed.len() - self.report.in_copy;
        let ledger = Ledger::read(self.database).await?;
        self.report.changes = ledger.len();
        let tables = ledger::rows(self.database).await?;
        self.report.verdict = judge.verdict(&ledger, &tables);
        Ok(())
    }
}

/// Every committed record must be among the uncommitted ones; how many more there are.
fn check_aborted(committed: &[Record], all: &[Record]) -> Result<usize> {
    let place = |record: &Record| (record.topic.clone(), record.partition, record.offset);
    let places: BTreeSet<_> = all.iter().map(place).collect();
    if committed.iter().any(|record| !places.contains(&place(record))) {
        return Err("a committed record that is not among the uncommitted ones".into());
    }
    Ok(all.len() - committed.len())
}

/// A message of the transaction topic; only the workload's tables are counted.
fn add_transaction(judge: &mut Judge, value: &Value) -> Result<()> {
    let id = value["id"].as_str().ok_or("a transaction without an id")?;
    let xid = id.split(':').next().unwrap_or(id).parse()?;
    if value["status"] == "BEGIN" {
        judge.add_begin(xid);
        return Ok(());
    }
    let collections = value["data_collections"].as_array().into_iter().flatten();
    let counts = collections
        .filter(|collection| {
            collection["data_collection"].as_str().is_some_and(|name| name.starts_with("public."))
        })
        .filter_map(|collection| collection["event_count"].as_u64());
    judge.add_end(xid, counts.sum());
    Ok(())
}

/// When a campaign began.
pub fn now() -> Instant {
    Instant::now()
}
