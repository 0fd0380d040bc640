//! What the PostgreSQL connector costs, beside what the server itself and Debezium can do, in one run on one machine.
//!
//! ```text
//!   backlog of N rows behind every slot
//!      |-- afterimage run ------> Kafka: until a read_committed reader can see the last row
//!      |-- pg_recvlogical ------> /dev/null: until it has seen the last row
//!      '-- Debezium, Connect ---> Kafka: as ours
//! ```
//! The readers of a round see the same log, one after the other and in another order each round. Rates are only ever
//! compared within a run. Nothing here fails because something was slow.

#![expect(
    clippy::disallowed_methods,
    reason = "the real clock is what a benchmark is about; nothing here is simulated"
)]

mod backlog;
mod debezium;
mod drain;
mod footprint;
mod machine;
mod ours;
mod report;
mod server;
mod topics;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use e2e::{Result, chain, stack::Stack};

#[derive(Debug, Parser)]
struct Cli {
    /// Row changes of a backlog
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// How often each reader drains one
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds for which an idle connector is watched; 0 leaves it out
    #[arg(long, default_value_t = 30)]
    idle: u64,
    /// Only the drain
    #[arg(long)]
    drain_only: bool,
    /// Where the report goes: postgres.json and README.md
    #[arg(long)]
    out: Option<PathBuf>,
}

/// One of the readers that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reader {
    Ours,
    Server,
    Debezium,
}

impl Reader {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Reader::Ours => "afterimage",
            Reader::Server => "pg_recvlogical",
            Reader::Debezium => "debezium",
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-postgres: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> Result<()> {
    let stack = Stack::from_environment()?;
    let mut report = report::Report::begin(cli.rows, cli.rounds)?;
    report.drains = drain::rounds(&stack, cli.rows, cli.rounds).await?;
    if !cli.drain_only {
        report.footprint = Some(footprint::measure(&stack, cli.rows, cli.idle).await?);
    }
    let text = report.markdown();
    println!("{text}");
    if let Some(directory) = &cli.out {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("postgres.json"), report.json()?)?;
        std::fs::write(directory.join("README.md"), text)?;
    }
    Ok(())
}
