//! The demo's shop: `create` makes it, `write` keeps it busy.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use e2e::{Result, chain, database, shop};

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    mode: Mode,
    /// postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(
        long,
        global = true,
        env = "AFTERIMAGE_STACK_POSTGRES",
        hide_env_values = true,
        default_value = ""
    )]
    postgres: String,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Mode {
    /// Make the tables and their first rows
    Create,
    /// Change rows until ended
    Write {
        /// Changed rows in a second
        #[arg(long, default_value_t = 50)]
        rate: u64,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-writer: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> Result<()> {
    if cli.postgres.is_empty() {
        return Err("no database: --postgres URL".into());
    }
    let client = database::connect(&cli.postgres.parse()?).await?;
    match cli.mode {
        Mode::Create => shop::create(&client).await,
        Mode::Write { rate } => shop::write(&client, rate).await,
    }
}
