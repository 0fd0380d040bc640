//! The one place that knows every kind: what is configured becomes a source, a sink, and what lies between them.
//!
//! Positions stay typed: each arm meets a source with a sink of its position, and hands both to the engine's generic
//! function. A new kind is one more arm.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use avro::AvroEncoder;
use change::Origin;
use connector::Failure;
use engine::{Ended, Settings, StatusSender, Stop};
use file_sink::{LineSink, LineWriter, Offsets, Output, SqliteOffsets};
use kafka_sink::KafkaSink;
use message::{Encoder, JsonEncoder, JsonNumbers, Pipeline};
use postgres_source::{PostgresPosition, PostgresSource};
use rand::rngs::StdRng;
use schema_registry::RegistryClient;
use uuid::Uuid;

use crate::clock;
use crate::config::{Config, CopyMode, Encoding, Readd, Sink, Source};

/// Runs what the configuration describes, until it is asked to stop or has to.
pub(crate) async fn run(
    config: &Config,
    status: StatusSender,
    stop: Stop,
) -> Result<Ended, Failure> {
    let settings = settings(config);
    match &config.source {
        Source::Postgres(postgres) => {
            let source = source(config, postgres)?;
            let pipeline = pipeline(config, postgres_source::origin(source.database()))?;
            match &config.sink {
                Sink::Kafka(kafka) => {
                    let sink = KafkaSink::<PostgresPosition>::new(
                        kafka.clone(),
                        config.name.as_str(),
                        pipeline,
                        Uuid::new_v4(),
                        clock::now,
                    )?;
                    engine::run(source, sink, settings, status, stop).await
                }
                Sink::File(file) => {
                    let sink = lines(pipeline, Output::file(&file.path), file.position());
                    engine::run(source, sink, settings, status, stop).await
                }
                Sink::Stdout(stdout) => {
                    let position = stdout.position(config.name.as_str());
                    let sink = lines(pipeline, Output::stdout(), position);
                    while_read(engine::run(source, sink, settings, status, stop)).await
                }
            }
        }
    }
}

/// Ends when nobody reads standard output any more; a quiet database would never find out by writing.
pub(crate) async fn while_read(
    run: impl Future<Output = Result<Ended, Failure>>,
) -> Result<Ended, Failure> {
    tokio::select! {
        ended = Box::pin(run) => ended,
        failure = Output::reader_gone() => Err(failure),
    }
}

pub(crate) fn source(
    config: &Config,
    postgres: &postgres_source::Config,
) -> Result<PostgresSource, Failure> {
    PostgresSource::new(config.name.as_str(), postgres)
        .map_err(|errors| refused("configuration", "reading the configuration", errors))
}

/// A configuration that was sound by its form and is not by its meaning.
pub(crate) fn refused<E: Error>(
    code: &'static str,
    doing: &'static str,
    errors: Vec<E>,
) -> Failure {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Failure::definite(code, doing, texts.join("; "))
}

fn lines(pipeline: Pipeline, output: Output, position: PathBuf) -> LineSink<PostgresPosition> {
    LineSink {
        writer: LineWriter::new(pipeline, output, clock::now),
        offsets: Offsets::Sqlite(SqliteOffsets::new(position)),
    }
}

fn pipeline(config: &Config, origin: Origin) -> Result<Pipeline, Failure> {
    let encoder: Box<dyn Encoder> = match (&config.format.encoding, &config.sink) {
        (Encoding::Avro(registry), _) => {
            let client = RegistryClient::new(registry, rand::make_rng()).map_err(|error| {
                Failure::definite("registry-config", "making a client of the registry", error)
            })?;
            Box::new(AvroEncoder::new(Arc::new(client)))
        }
        // What consumers of Debezium's JSON parse.
        (Encoding::Json, Sink::Kafka(_)) => Box::new(JsonEncoder::new(JsonNumbers::Connect)),
        // What people and their tools read.
        (Encoding::Json, Sink::File(_) | Sink::Stdout(_)) => {
            Box::new(JsonEncoder::new(JsonNumbers::Plain))
        }
    };
    let messages = config.format.messages.settings();
    Ok(Pipeline::new(config.name.as_str(), origin, messages, encoder))
}

fn settings(config: &Config) -> Settings {
    let mut settings = Settings::new(rand::make_rng::<StdRng>());
    settings.copy = match config.copying.copy {
        CopyMode::Initial => engine::CopyMode::Initial,
        CopyMode::Never => engine::CopyMode::Never,
        CopyMode::Only => engine::CopyMode::Only,
    };
    settings.readd = match config.copying.readd {
        Readd::Stop => engine::Readd::Stop,
        Readd::Truncate => engine::Readd::Truncate,
    };
    config.limits.apply(&mut settings.limits);
    if let Sink::Kafka(kafka) = &config.sink {
        // Half of what the broker waits for: the rest is for the commit itself.
        settings.limits.cut_after = Duration::from_millis(kafka.transaction_timeout_ms.into()) / 2;
    }
    settings
}
