//! What the connector needs where nothing is compared: memory, starts, rest.

use std::fmt::Write;
use std::time::{Duration, Instant};

use e2e::topics::{Isolation, Topics};
use e2e::{Result, database::Database, stack::Stack};
use rdkafka::consumer::Consumer;

use crate::backlog::Backlog;
use crate::drain::PATIENCE;
use crate::ours;
use crate::topics::Ends;

const STARTS: usize = 7;
const TABLES: usize = 100;
/// Rows that the hundred tables get together, and how many of each table's are nearly 16 KiB.
const TABLES_ROWS: usize = 100_000;
const LARGE_ROWS: usize = 10;
const LARGE_BYTES: usize = 16_000;
/// The first seconds of a start are no rest.
const CALM: Duration = Duration::from_secs(5);

#[derive(Debug, serde::Serialize)]
pub(crate) struct Footprint {
    pub(crate) starts: Vec<Start>,
    pub(crate) transaction_rows: u64,
    /// While one transaction of that many rows passes.
    pub(crate) transaction_peak_mib: Option<f64>,
    /// With a hundred tables and records up to 16 KiB.
    pub(crate) tables_peak_mib: Option<f64>,
    pub(crate) idle_seconds: u64,
    /// Of one core.
    pub(crate) idle_share: Option<f64>,
}

#[derive(Debug, serde::Serialize)]
pub(crate) struct Start {
    /// From the start of the process until the server begins to send.
    pub(crate) streaming_seconds: f64,
    /// Of that, CPU time of the process: what is not waiting.
    pub(crate) cpu_seconds: f64,
    /// From the start of the process until a read_committed reader can see the first new row.
    pub(crate) first_seconds: f64,
}

pub(crate) async fn measure(stack: &Stack, rows: u64, idle: u64) -> Result<Footprint> {
    let database = Database::create(stack, &e2e::stack::fresh_name("bench")).await?;
    let mut backlog = Backlog::create(database).await?;
    let result = single(stack, &mut backlog, rows, idle).await;
    let dropped = backlog.database.drop_it().await;
    let mut footprint = result?;
    dropped?;
    let database = Database::create(stack, &e2e::stack::fresh_name("bench")).await?;
    let result = tables(stack, &database).await;
    let dropped = database.drop_it().await;
    footprint.tables_peak_mib = result?;
    dropped?;
    Ok(footprint)
}

async fn single(stack: &Stack, backlog: &mut Backlog, rows: u64, idle: u64) -> Result<Footprint> {
    let connector = ours::connector(stack, &backlog.database, "")?;
    let ends = Ends::create(&stack.kafka, &connector.name).await?;
    ours::start(&connector, &backlog.database).await?.running.stop().await?;

    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let from = ends.now()?;
        backlog.mark().await?;
        let started = ours::start(&connector, &backlog.database).await?;
        let seen = ends.pass(from, PATIENCE, || Ok(())).await?;
        starts.push(Start {
            streaming_seconds: (started.sender.active - started.begun).as_secs_f64(),
            cpu_seconds: started.cpu,
            first_seconds: (seen.first - started.begun).as_secs_f64(),
        });
        started.running.stop().await?;
    }

    let mut started = ours::start(&connector, &backlog.database).await?;
    let idle_share = if idle > 0 {
        tokio::time::sleep(CALM).await;
        let (begun, before) = (Instant::now(), started.process.cpu());
        tokio::time::sleep(Duration::from_secs(idle)).await;
        let used = started.process.cpu().zip(before).map(|(after, before)| after - before);
        used.map(|used| used / begun.elapsed().as_secs_f64())
    } else {
        None
    };

    let from = ends.now()?;
    backlog.write(rows, rows).await?;
    let running = &mut started.running;
    ends.pass(from, PATIENCE, || match running.ended()? {
        Some(status) => Err(format!("ended with {status}\n{}", running.tail()).into()),
        None => Ok(()),
    })
    .await?;
    let transaction_peak_mib = started.process.peak_mib();
    started.running.stop().await?;
    Ok(Footprint {
        starts,
        transaction_rows: rows,
        transaction_peak_mib,
        tables_peak_mib: None,
        idle_seconds: idle,
        idle_share,
    })
}

/// A hundred tables that all get rows, some of them large.
async fn tables(stack: &Stack, database: &Database) -> Result<Option<f64>> {
    let mut script = String::new();
    for table in 0..TABLES {
        writeln!(
            script,
            "CREATE TABLE t{table} (id int PRIMARY KEY, a text, b int, c timestamp);"
        )?;
    }
    database.run(&script).await?;
    let connector = ours::connector(stack, database, "")?;
    let started = ours::start(&connector, database).await?;
    let each = TABLES_ROWS / TABLES;
    let mut script = String::new();
    for (table, size, first, count) in (0..TABLES)
        .map(|table| (table, 10, 0, each))
        .chain((0..TABLES).map(|table| (table, LARGE_BYTES, each, LARGE_ROWS)))
    {
        writeln!(
            script,
            "INSERT INTO t{table} SELECT n, repeat('x', {size}), n, now() FROM generate_series({first}, {}) n;",
            first + count - 1
        )?;
    }
    database.run(&script).await?;
    let consumer = Topics::of(&stack.kafka).consumer(Isolation::ReadCommitted)?;
    let last = format!("{}.public.t{}", connector.name, TABLES - 1);
    let begun = Instant::now();
    // Control records of the transactions have offsets too, so the end is at least here when all has come.
    let wanted = (each + LARGE_ROWS) as i64;
    loop {
        let end =
            consumer.fetch_watermarks(&last, 0, Duration::from_secs(10)).map_or(0, |(_, end)| end);
        // The last transaction holds only large rows of the last table, and nothing comes behind it.
        if end > wanted {
            break;
        }
        if begun.elapsed() > PATIENCE {
            return Err("the rows of the hundred tables do not arrive".into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let peak = started.process.peak_mib();
    started.running.stop().await?;
    Ok(peak)
}
