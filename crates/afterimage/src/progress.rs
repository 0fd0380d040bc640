//! How far the copy is: a bar on a terminal, else a line in the log every ten seconds.

use std::io::{self, IsTerminal};
use std::time::Duration;

use engine::{Copying, Phase, StatusReceiver};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use tokio::time::{Instant, interval};

use crate::cli::LogFormat;
use crate::logs::bars;

const DRAW: Duration = Duration::from_millis(200);
const SAY: Duration = Duration::from_secs(10);

/// Shows the copy's progress until the engine has gone.
pub(crate) fn show(status: StatusReceiver, format: LogFormat) {
    if format == LogFormat::Text && io::stderr().is_terminal() {
        tokio::spawn(draw(status));
    } else {
        tokio::spawn(say(status));
    }
}

async fn draw(mut status: StatusReceiver) {
    let mut bar: Option<ProgressBar> = None;
    let mut tick = interval(DRAW);
    while status.has_changed().is_ok() {
        tick.tick().await;
        match &status.borrow_and_update().phase {
            Phase::Copying(copying) => update(bar.get_or_insert_with(start), copying),
            Phase::Starting
            | Phase::CatchingUp
            | Phase::Streaming
            | Phase::Waiting { .. }
            | Phase::Ended => {
                if let Some(bar) = bar.take() {
                    bar.finish_and_clear();
                }
            }
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

fn start() -> ProgressBar {
    bars().add(ProgressBar::new(0))
}

fn update(bar: &ProgressBar, copying: &Copying) {
    // With an estimate there is a length to fill; without one, chunks are.
    let (template, position, length) = match copying.of_bytes {
        Some(of_bytes) if of_bytes > 0 => (
            "copy {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}  {msg}",
            copying.bytes,
            of_bytes,
        ),
        _ => (
            "copy {wide_bar} {pos}/{len} chunks {elapsed}  {msg}",
            copying.chunks_done as u64,
            copying.chunks as u64,
        ),
    };
    let style = ProgressStyle::with_template(template).expect("the templates are constants");
    bar.set_style(style);
    bar.set_length(length.max(position));
    bar.set_position(position);
    bar.set_message(format!("{} rows, {}", HumanCount(copying.rows), tables(copying)));
}

fn tables(copying: &Copying) -> String {
    let Copying { tables, tables_done, table, .. } = copying;
    match table {
        Some(table) => format!("table {} of {tables}: {table}", (tables_done + 1).min(*tables)),
        None => format!("{tables} tables"),
    }
}

async fn say(mut status: StatusReceiver) {
    let mut told: Option<(Instant, Copying)> = None;
    let mut tick = interval(SAY);
    while status.has_changed().is_ok() {
        tick.tick().await;
        let now = Instant::now();
        let Phase::Copying(copying) = status.borrow_and_update().phase.clone() else {
            told = None;
            continue;
        };
        let rows_per_s = told.as_ref().map(|(then, last)| {
            let rows = copying.rows.saturating_sub(last.rows) as f64;
            (rows / (now - *then).as_secs_f64().max(0.001)) as u64
        });
        tracing::info!(
            tables_done = copying.tables_done,
            tables = copying.tables,
            chunks_done = copying.chunks_done,
            chunks = copying.chunks,
            rows = copying.rows,
            bytes = %HumanBytes(copying.bytes),
            of_bytes = copying.of_bytes.map(|bytes| HumanBytes(bytes).to_string()),
            rows_per_s,
            "copying"
        );
        told = Some((now, copying));
    }
}
