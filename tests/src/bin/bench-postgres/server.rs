//! The server's limit: PostgreSQL's own reader, on a copy of our slot and with the options that we give, to nowhere.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use e2e::{Result, stack::Stack};

use crate::backlog::Backlog;
use crate::drain::{Drain, Others, Sender};
use crate::machine::Process;
use crate::{Reader, ours};

const PATIENCE: Duration = Duration::from_secs(600);

/// A copy of our slot, where that stands now.
pub(crate) async fn copy_slot(backlog: &Backlog, round: u32) -> Result<String> {
    let database = &backlog.database;
    let own = ours::slot(database, &database.name).await?;
    let copy = format!("copy_{}_{round}", database.name);
    let query = format!("SELECT pg_copy_logical_replication_slot('{own}', '{copy}')");
    database.rows(&query).await?;
    Ok(copy)
}

pub(crate) async fn drain(
    stack: &Stack,
    backlog: &Backlog,
    slot: &str,
    end: &str,
    round: u32,
    rows: u64,
) -> Result<Drain> {
    let database = &backlog.database;
    let others = Others::begin();
    let begun = Instant::now();
    let mut child = Ended(command(stack, &database.name, slot, end)?.spawn()?);
    let process = Process(child.0.id());
    let mut sender = loop {
        if let Some(sender) = Sender::of(database, slot).await? {
            break sender;
        }
        if process.has_ended() {
            return Err("pg_recvlogical has ended before it read".into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    while !process.has_ended() {
        sender.look();
        if begun.elapsed() > PATIENCE {
            return Err("pg_recvlogical does not come to the end".into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let last = Instant::now();
    // It is not waited for yet, so the kernel still knows its time.
    let cpu = process.cpu().unwrap_or(0.0);
    let (sender_cpu, share) = sender.end(last);
    let drain = Drain {
        reader: Reader::Server,
        round,
        rows,
        seconds: (last - begun).as_secs_f64(),
        streaming_seconds: (last - sender.active).as_secs_f64(),
        first_seconds: None,
        cpu_seconds: cpu,
        start_cpu_seconds: 0.0,
        sender_cpu_seconds: sender_cpu,
        sender_share: share,
        broker_cpu_seconds: None,
        peak_mib: None,
        other_cores: others.end(cpu + sender_cpu.unwrap_or(0.0)),
        load: crate::machine::load(),
    };
    let status = child.0.wait()?;
    if !status.success() {
        return Err(format!("pg_recvlogical ended with {status}").into());
    }
    database.rows(&format!("SELECT pg_drop_replication_slot('{slot}')")).await?;
    Ok(drain)
}

/// Killed with us, whatever happens.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(stack: &Stack, database: &str, slot: &str, end: &str) -> Result<Command> {
    let config: tokio_postgres::Config = stack.postgres.parse()?;
    let host = match config.get_hosts() {
        [tokio_postgres::config::Host::Tcp(host), ..] => host.clone(),
        _ => return Err("the address of PostgreSQL has no host".into()),
    };
    let program = match std::env::var_os("AFTERIMAGE_STACK_POSTGRES_PROGRAMS") {
        Some(directory) => std::path::PathBuf::from(directory).join("pg_recvlogical"),
        None => "pg_recvlogical".into(),
    };
    let mut command = Command::new(program);
    let password = String::from_utf8_lossy(config.get_password().unwrap_or_default()).into_owned();
    command
        .env("PGPASSWORD", password)
        .env("PGHOST", host)
        .env("PGPORT", config.get_ports().first().unwrap_or(&5432).to_string())
        .env("PGUSER", config.get_user().unwrap_or_default())
        .args(["--start", "--no-loop", "--file=/dev/null", "--fsync-interval=0"])
        .args([format!("--dbname={database}"), format!("--slot={slot}"), format!("--endpos={end}")])
        .args(["--option=proto_version=1", "--option=messages=true"])
        .arg(format!("--option=publication_names=\"afterimage_{database}\""))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(command)
}
