//! `afterimage tail`: the changes of a database as lines, from now on, leaving nothing behind.
//!
//! Nothing is stored, so nothing can be gone on with: whatever would make a connector try again ends a look.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use connector::Failure;
use engine::{CopyMode, Phase, Settings, StatusReceiver};
use file_sink::{LineSink, LineWriter, Offsets, Output};
use message::{JsonEncoder, JsonNumbers, Pipeline, Shape};
use postgres_source::{Config, PostgresPosition, PostgresSource};
use rand::rngs::StdRng;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::cli::{Form, Logs, Tail};
use crate::lent::Lent;
use crate::report::Trouble;
use crate::run::block_on;
use crate::{clock, progress, signals, wire};

/// For the source to be given back and to clear up, when the server still answers.
const END_MAX: Duration = Duration::from_secs(10);

pub(crate) fn tail(tail: &Tail, logs: &Logs) -> Result<(), Trouble> {
    logs.start(true)?;
    block_on(follow(tail, logs))
}

async fn follow(tail: &Tail, logs: &Logs) -> Result<(), Trouble> {
    let source = PostgresSource::tail(&config(tail)?, tail.publication.as_deref())
        .map_err(|errors| wire::refused("usage", "reading the command line", errors))?;
    let sink = sink(tail, &source);
    let (source, lent) = Lent::new(source);
    let mut settings = Settings::new(rand::make_rng::<StdRng>());
    settings.copy = if tail.copy { CopyMode::Initial } else { CopyMode::Never };

    let (status_sender, status) = engine::status();
    let (stop_sender, stop) = engine::stop();
    signals::listen(stop_sender)
        .map_err(|error| Failure::definite("signals", "listening for signals", error))?;
    progress::show(status.clone(), logs.format());
    let ended = tokio::select! {
        ended = wire::while_read(engine::run(lent, sink, settings, status_sender, stop)) => ended.map(drop),
        failure = stumbled(status) => Err(failure),
    };
    let cleared = clear_up(&source).await;
    ended?;
    Ok(cleared?)
}

/// The first failure after which the engine would try again.
async fn stumbled(mut status: StatusReceiver) -> Failure {
    let waiting = |status: &engine::Status| matches!(status.phase, Phase::Waiting { .. });
    if let Ok(status) = status.wait_for(waiting).await
        && let Phase::Waiting { code, reason, .. } = &status.phase
    {
        return Failure::definite(code, "following the changes", reason.to_string());
    }
    // The engine has gone, and with it the need to look.
    std::future::pending().await
}

async fn clear_up(source: &Arc<Mutex<PostgresSource>>) -> Result<(), Failure> {
    let clear = async { source.lock().await.end_tail().await };
    timeout(END_MAX, clear).await.unwrap_or_else(|late| {
        Err(Failure::transient("connection", "dropping the publication of this look", late))
    })
}

fn config(tail: &Tail) -> Result<Config, Failure> {
    let tables = if tail.tables.is_empty() { vec!["*.*".to_owned()] } else { tail.tables.clone() };
    let mut config = serde_json::json!({ "url": tail.url, "tables": tables });
    if let Ok(password) = env::var("PGPASSWORD") {
        config["password"] = password.into();
    }
    serde_json::from_value(config)
        .map_err(|error| Failure::definite("usage", "reading the command line", error))
}

fn sink(tail: &Tail, source: &PostgresSource) -> LineSink<PostgresPosition> {
    let settings = message::Settings {
        shape: match tail.format {
            Form::Debezium => Shape::Debezium,
            Form::Row => Shape::Row,
        },
        // A look shows what there is, and stops at nothing that a line can tell.
        absent: Some(message::Absent::Placeholder),
        ..message::Settings::default()
    };
    let origin = postgres_source::origin(source.database());
    let encoder = Box::new(JsonEncoder::new(JsonNumbers::Plain));
    let pipeline = Pipeline::new(source.database(), origin, settings, encoder);
    LineSink {
        writer: LineWriter::new(pipeline, Output::stdout(), clock::now),
        offsets: Offsets::Memory(None),
    }
}
