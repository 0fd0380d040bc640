//! The demo's consumer: reads the shop's topics back from Kafka, decodes them with the registry's schemas, shows some.

use std::process::ExitCode;

use clap::Parser;
use e2e::viewer::View;
use e2e::{Result, chain, database, shop};

#[derive(Debug, Parser)]
struct Cli {
    /// host:port of a broker
    #[arg(long, env = "AFTERIMAGE_STACK_KAFKA")]
    kafka: String,
    /// Confluent's API of the registry
    #[arg(long, env = "AFTERIMAGE_STACK_REGISTRY")]
    registry: String,
    /// To count the rows that there are to copy
    #[arg(long, env = "AFTERIMAGE_STACK_POSTGRES", hide_env_values = true)]
    postgres: Option<String>,
    /// The connector's name
    #[arg(long, default_value = "shop")]
    prefix: String,
    /// End after so many seconds, with success only if copied and changed rows were read back
    #[arg(long)]
    seconds: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-viewer: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<()> {
    // Without the number there is only less to show.
    let rows = match &cli.postgres {
        Some(url) => count(url).await.ok(),
        None => None,
    };
    let Cli { kafka, registry, prefix, seconds, .. } = cli;
    View { kafka, registry, prefix, seconds, rows }.run().await
}

async fn count(url: &str) -> Result<u64> {
    let client = database::connect(&url.parse()?).await?;
    let mut rows = 0;
    for table in shop::TABLES {
        let count: i64 =
            client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await?.get(0);
        rows += count.unsigned_abs();
    }
    Ok(rows)
}
