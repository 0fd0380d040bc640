//! A backlog, drained by one reader after the other.

use std::time::{Duration, Instant};

use e2e::{Result, database::Database, stack::Stack};

use crate::backlog::{Backlog, TRANSACTION};
use crate::debezium::Debezium;
use crate::machine::{self, Process};
use crate::topics::Ends;
use crate::{Reader, ours, server};

pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// One reader's way through one backlog.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Drain {
    #[serde(serialize_with = "name")]
    pub(crate) reader: Reader,
    pub(crate) round: u32,
    pub(crate) rows: u64,
    /// From the start of the process to the last row.
    pub(crate) seconds: f64,
    /// From when the server began to send to the last row.
    pub(crate) streaming_seconds: f64,
    /// From the start of the process to the first row.
    pub(crate) first_seconds: Option<f64>,
    /// Of the reader's process, all of it.
    pub(crate) cpu_seconds: f64,
    /// Of that, before the server began to send.
    pub(crate) start_cpu_seconds: f64,
    pub(crate) sender_cpu_seconds: Option<f64>,
    /// Of one core, while it sent.
    pub(crate) sender_share: Option<f64>,
    pub(crate) broker_cpu_seconds: Option<f64>,
    pub(crate) peak_mib: Option<f64>,
    /// Cores that everything else on the machine used meanwhile: what makes a figure doubtful.
    pub(crate) other_cores: Option<f64>,
    pub(crate) load: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn name<S: serde::Serializer>(reader: &Reader, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reader.name())
}

impl Drain {
    /// Rows in a second while streaming.
    pub(crate) fn rate(&self) -> f64 {
        self.rows as f64 / self.streaming_seconds
    }

    /// Rows in a second, the start of the process included.
    pub(crate) fn rate_with_start(&self) -> f64 {
        self.rows as f64 / self.seconds
    }

    pub(crate) fn cpu_micros(&self) -> f64 {
        machine::micros(self.cpu_seconds - self.start_cpu_seconds, self.rows)
    }
}

/// The server's process that sends to a slot.
pub(crate) struct Sender {
    pub(crate) active: Instant,
    process: Process,
    begun: Option<f64>,
    latest: Option<f64>,
}

impl Sender {
    /// None as long as nobody reads from the slot.
    pub(crate) async fn of(database: &Database, slot: &str) -> Result<Option<Sender>> {
        let query = format!(
            "SELECT active_pid FROM pg_replication_slots WHERE slot_name LIKE '{slot}' AND active_pid IS NOT NULL"
        );
        let Some(pid) = database.one(&query).await? else { return Ok(None) };
        let process = Process(pid.parse()?);
        let begun = process.cpu();
        Ok(Some(Sender { active: Instant::now(), process, begun, latest: begun }))
    }

    /// Its time while it is there: it goes with its reader.
    pub(crate) fn look(&mut self) {
        self.latest = self.process.cpu().or(self.latest);
    }

    /// CPU seconds, and the share of a core up to `last`.
    pub(crate) fn end(&mut self, last: Instant) -> (Option<f64>, Option<f64>) {
        self.look();
        let cpu = self.latest.zip(self.begun).map(|(latest, begun)| latest - begun);
        (cpu, cpu.map(|cpu| cpu / (last - self.active).as_secs_f64()))
    }
}

/// What the machine does beside us.
pub(crate) struct Others {
    begun: Instant,
    cpu: Option<f64>,
    broker: Option<Process>,
    broker_cpu: Option<f64>,
}

impl Others {
    pub(crate) fn begin() -> Self {
        let logs = std::env::var("AFTERIMAGE_STACK_LOGS").unwrap_or_default();
        let broker = (!logs.is_empty()).then(|| Process::find(&[&logs, "kafka.Kafka"])).flatten();
        let broker_cpu = broker.and_then(Process::cpu);
        Self { begun: Instant::now(), cpu: machine::cpu_of_all(), broker, broker_cpu }
    }

    pub(crate) fn broker(&self) -> Option<f64> {
        Some(self.broker?.cpu()? - self.broker_cpu?)
    }

    /// Cores in use by all that is not in `known` seconds and not the broker.
    pub(crate) fn end(&self, known: f64) -> Option<f64> {
        let all = machine::cpu_of_all()? - self.cpu?;
        let rest = all - known - self.broker().unwrap_or(0.0);
        Some(rest.max(0.0) / self.begun.elapsed().as_secs_f64())
    }
}

/// All readers drain `rounds` backlogs of `rows`, in turns.
pub(crate) async fn rounds(stack: &Stack, rows: u64, rounds: u32) -> Result<Vec<Drain>> {
    let name = e2e::stack::fresh_name("bench");
    let database = Database::create(stack, &name).await?;
    let mut backlog = Backlog::create(database).await?;
    let result = measured(stack, &mut backlog, rows, rounds).await;
    let dropped = backlog.database.drop_it().await;
    let drains = result?;
    dropped?;
    Ok(drains)
}

async fn measured(
    stack: &Stack,
    backlog: &mut Backlog,
    rows: u64,
    rounds: u32,
) -> Result<Vec<Drain>> {
    let connector = ours::connector(stack, &backlog.database, "")?;
    let ends = Ends::create(&stack.kafka, &connector.name).await?;
    // The first start makes the slot, the publication and the schemas; nothing of it is measured.
    let started = ours::start(&connector, &backlog.database).await?;
    let from = ends.now()?;
    backlog.write(1000, TRANSACTION).await?;
    ends.pass(from, PATIENCE, || Ok(())).await?;
    let debezium = match &stack.connect {
        Some(url) => Some(Debezium::begin(stack, backlog, url).await?),
        None => None,
    };
    started.running.stop().await?;

    let mut readers = vec![Reader::Ours, Reader::Server];
    readers.extend(debezium.as_ref().map(|_| Reader::Debezium));
    let mut drains = Vec::new();
    for round in 0..rounds {
        let copy = server::copy_slot(backlog, round).await?;
        let end = backlog.write(rows, TRANSACTION).await?;
        backlog.settle().await?;
        for reader in &readers {
            let drain = match (reader, &debezium) {
                (Reader::Ours, _) => ours_drain(&connector, backlog, &ends, round, rows).await?,
                (Reader::Debezium, Some(debezium)) => debezium.drain(backlog, round, rows).await?,
                _ => server::drain(stack, backlog, &copy, &end, round, rows).await?,
            };
            eprintln!(
                "round {}: {:<14} {:>8.0} rows/s, {:.2} us CPU a row, sender {}",
                round + 1,
                reader.name(),
                drain.rate(),
                drain.cpu_micros(),
                drain
                    .sender_share
                    .map_or("unseen".to_owned(), |share| format!("{:.0} %", share * 100.0)),
            );
            drains.push(drain);
        }
        readers.rotate_left(1);
    }
    if let Some(debezium) = debezium {
        debezium.end().await?;
    }
    Ok(drains)
}

async fn ours_drain(
    connector: &e2e::connector::Connector,
    backlog: &Backlog,
    ends: &Ends,
    round: u32,
    rows: u64,
) -> Result<Drain> {
    let from = ends.now()?;
    let others = Others::begin();
    let mut started = ours::start(connector, &backlog.database).await?;
    let (running, sender) = (&mut started.running, &mut started.sender);
    let seen = ends
        .pass(from, PATIENCE, || {
            sender.look();
            match running.ended()? {
                Some(status) => Err(format!("ended with {status}\n{}", running.tail()).into()),
                None => Ok(()),
            }
        })
        .await?;
    let cpu = started.process.cpu().unwrap_or(0.0);
    let (sender_cpu, share) = started.sender.end(seen.last);
    let drain = Drain {
        reader: Reader::Ours,
        round,
        rows,
        seconds: (seen.last - started.begun).as_secs_f64(),
        streaming_seconds: (seen.last - started.sender.active).as_secs_f64(),
        first_seconds: Some((seen.first - started.begun).as_secs_f64()),
        cpu_seconds: cpu,
        start_cpu_seconds: started.cpu,
        sender_cpu_seconds: sender_cpu,
        sender_share: share,
        broker_cpu_seconds: others.broker(),
        peak_mib: started.process.peak_mib(),
        other_cores: others.end(cpu + sender_cpu.unwrap_or(0.0)),
        load: machine::load(),
    };
    started.running.stop().await?;
    Ok(drain)
}
