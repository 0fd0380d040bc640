//! `afterimage run` on the backlog's tables.

use std::time::{Duration, Instant};

use e2e::connector::{Connector, Running};
use e2e::{Result, database::Database, stack::Stack};

use crate::drain::Sender;
use crate::machine::Process;

/// A connector without a copy: what is measured is the log.
pub(crate) fn connector(stack: &Stack, database: &Database, changes: &str) -> Result<Connector> {
    let mut settings: toml::Table =
        toml::from_str("[source]\ntables = ['public.*']\ncopy = 'never'")?;
    e2e::connector::merge(&mut settings, &toml::from_str(changes)?);
    Connector::new(stack, &database.name, &database.url, &settings)
}

/// A process that has begun to stream.
pub(crate) struct Started {
    pub(crate) running: Running,
    pub(crate) process: Process,
    pub(crate) begun: Instant,
    /// CPU time until the server began to send.
    pub(crate) cpu: f64,
    pub(crate) sender: Sender,
}

/// Starts the process and waits until the server sends to it.
pub(crate) async fn start(connector: &Connector, database: &Database) -> Result<Started> {
    let begun = Instant::now();
    let mut running = connector.start()?;
    let process = Process(running.pid().ok_or("the connector has ended at once")?);
    loop {
        if let Some(sender) = Sender::of(database, &like(&connector.name)).await? {
            let cpu = process.cpu().ok_or("the connector's time cannot be read")?;
            return Ok(Started { running, process, begun, cpu, sender });
        }
        if running.ended()?.is_some() || begun.elapsed() > Duration::from_secs(60) {
            return Err(format!("the connector does not stream\n{}", running.tail()).into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The name of the slot of a connector.
pub(crate) async fn slot(database: &Database, name: &str) -> Result<String> {
    let query =
        format!("SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE '{}'", like(name));
    Ok(database.one(&query).await?.ok_or("the connector has no slot")?)
}

fn like(name: &str) -> String {
    format!("afterimage_{name}_%")
}
