//! Data and position in one Kafka transaction.
//!
//! ```text
//!            recover                    write                         commit
//! Lost ----------------> Ready ----------------------> Open ----------------------> Ready
//!   ^  init, read, claim   |  renew if finished, begin   |  position last, settle,     |
//!   +--------- any error --+-----------------------------+  commit --------------------+
//! ```
//! After an error nothing of the producer is kept and nothing is aborted by hand: `recover` makes a new producer, whose
//! init ends what was open, and what is stored decides what happened. A producer whose commit was repeated is not used
//! again even though the data is durable, because a delayed copy of that request would commit half of the next
//! transaction; the next `write` begins with a new one.

use change::Batch;
use connector::{Checkpoint, Failure, Position, Sink, Stored};
use message::{Cursor, Encoded, Pipeline, PipelineError};
use uuid::Uuid;

use crate::Config;
use crate::error::Error;
use crate::log::Log;
use crate::settings::Settings;

/// Messages are made in slices of about this many bytes, so that few are in memory twice.
const SLICE_BYTES: usize = 256 << 10;

const SENDING: &str = "sending messages";

/// Microseconds since 1970, UTC.
pub type Clock = fn() -> i64;

/// Writes messages to Kafka, and the position with them.
pub struct KafkaSink<P> {
    pipeline: Pipeline,
    encoded: Encoded,
    clock: Clock,
    log: Log<P>,
}

impl<P: Position> KafkaSink<P> {
    /// `instance` names this process: another one that writes under the same connector's name is shut out, or shuts
    /// this one out. Connects to nothing yet.
    pub fn new(
        config: Config,
        name: &str,
        pipeline: Pipeline,
        instance: Uuid,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let settings = Settings::new(name, config).map_err(|errors| {
            let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Error::Config(all.join("; ")).failing("reading the sink's configuration")
        })?;
        let log = Log::new(settings, instance);
        Ok(Self { pipeline, encoded: Encoded::default(), clock, log })
    }

    async fn write_prepared(&mut self, batch: &Batch) -> Result<(), Failure> {
        let Self { pipeline, encoded, clock, log } = self;
        if let Err(error) = log.know(pipeline.topics()).await {
            return Err(log.fail(error, "looking for the topics of a batch"));
        }
        if let Err(error) = log.begin().await {
            return Err(log.fail(error, "beginning a transaction"));
        }
        let mut cursor = Cursor::default();
        loop {
            let more = pipeline.encode(batch, &mut cursor, clock(), SLICE_BYTES, encoded);
            let more = more.map_err(|error| {
                log.lose();
                unmade(error)
            })?;
            // By a mutable borrow, which may wait where a shared one of a pipeline may not.
            let asked = &mut *pipeline;
            let key_schema = move |topic| asked.key_schema_id(topic);
            if let Err(error) = log.send(encoded.messages(), key_schema).await {
                return Err(log.fail(error, SENDING));
            }
            if !more {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }
}

impl<P: Position> Sink for KafkaSink<P> {
    type Position = P;

    async fn recover(&mut self) -> Result<Option<Stored<P>>, Failure> {
        let stored = self.log.recover(self.clock).await?;
        for (topic, id) in self.log.key_schemas() {
            self.pipeline.pin_key_schema(topic, id);
        }
        Ok(stored)
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), Failure> {
        self.pipeline.prepare(batch).await.map_err(unmade)?;
        self.write_prepared(batch).await
    }

    async fn commit(&mut self, checkpoint: &Checkpoint<P>) -> Result<(), Failure> {
        match self.log.commit(checkpoint).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.log.fail(error, "committing")),
        }
    }
}

fn unmade(error: PipelineError) -> Failure {
    let PipelineError { code, transient, doing, source } = error;
    match transient {
        true => Failure::transient(code, doing, source),
        false => Failure::definite(code, doing, source),
    }
}
