//! `afterimage run`: the connector process.

use std::future::Future;
use std::io;

use connector::Failure;
use engine::Ended;
use tokio::runtime::Builder;

use crate::cli::{File, Logs};
use crate::config::{self, Config};
use crate::report::Trouble;
use crate::{http, metrics, progress, signals, wire};

pub(crate) fn run(file: &File, logs: &Logs) -> Result<(), Trouble> {
    let config = config::load(&file.config)?;
    logs.start(false)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    block_on(connect(&config, logs))
}

async fn connect(config: &Config, logs: &Logs) -> Result<(), Trouble> {
    let (status_sender, status) = engine::status();
    let (stop_sender, stop) = engine::stop();
    signals::listen(stop_sender)
        .map_err(|error| failed("signals", "listening for signals", error))?;
    if let Some(http) = &config.http {
        let metrics = metrics::install()
            .map_err(|error| Failure::definite("http", "preparing the metrics", error))?;
        let doing = "opening the address of http.listen";
        let address = http::serve(http, metrics, status.clone())
            .await
            .map_err(|error| failed("http", doing, error))?;
        tracing::info!(%address, "serving /metrics, /healthz and /readyz");
    }
    progress::show(status.clone(), logs.format());
    tracing::info!(name = config.name.as_str(), version = env!("CARGO_PKG_VERSION"), "starting");
    let ended = wire::run(config, status_sender, stop).await?;
    let counters = status.borrow().counters;
    tracing::info!(
        rows_copied = counters.rows_copied,
        changes = counters.changes,
        commits = counters.commits,
        "{}",
        match ended {
            Ended::Stopped => "stopped",
            Ended::Copied => "the copy is done",
        }
    );
    Ok(())
}

fn failed(code: &'static str, doing: &'static str, error: io::Error) -> Failure {
    Failure::definite(code, doing, error)
}

/// Runs on a runtime of its own, and leaves it behind: a thread that is stuck in a call to the outside must not keep
/// the process.
pub(crate) fn block_on(future: impl Future<Output = Result<(), Trouble>>) -> Result<(), Trouble> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| failed("no-thread", "starting threads", error))?;
    let result = runtime.block_on(Box::pin(future));
    runtime.shutdown_background();
    result
}
