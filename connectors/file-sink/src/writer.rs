use std::mem;

use change::Batch;
use connector::{Failure, Writer};
use message::{Cursor, Encoded, Pipeline, PipelineError};

use crate::line;
use crate::output::Output;

/// Lines held back until this many bytes are there or a commit is due.
const BUFFER_BYTES: usize = 256 * 1024;

/// Writes messages as lines. The pipeline's encoder must make JSON.
#[derive(Debug)]
pub struct LineWriter {
    pipeline: Pipeline,
    output: Output,
    /// Microseconds since 1970, for the messages' own time of processing.
    clock: fn() -> i64,
    encoded: Encoded,
    lines: Vec<u8>,
}

impl LineWriter {
    pub fn new(pipeline: Pipeline, output: Output, clock: fn() -> i64) -> Self {
        Self { pipeline, output, clock, encoded: Encoded::default(), lines: Vec::new() }
    }

    async fn drain(&mut self) -> Result<(), Failure> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let lines = mem::take(&mut self.lines);
        self.lines =
            self.output.write(lines).await.map_err(|error| error.into_failure("writing lines"))?;
        // One giant row must not pin its memory for ever.
        if self.lines.capacity() > 4 * BUFFER_BYTES {
            self.lines = Vec::new();
        }
        Ok(())
    }
}

impl Writer for LineWriter {
    async fn recover(&mut self) -> Result<(), Failure> {
        self.lines.clear();
        self.output.recover().await.map_err(|error| error.into_failure("opening the output"))
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), Failure> {
        self.pipeline.prepare(batch).await.map_err(failure)?;
        let now = (self.clock)();
        let mut cursor = Cursor::default();
        loop {
            let more = self
                .pipeline
                .encode(batch, &mut cursor, now, BUFFER_BYTES, &mut self.encoded)
                .map_err(failure)?;
            let topics = self.pipeline.topics();
            for message in self.encoded.messages() {
                line::push(&mut self.lines, &topics[message.topic].name, &message);
            }
            if self.lines.len() >= BUFFER_BYTES {
                self.drain().await?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        self.drain().await?;
        self.output.sync().await.map_err(|error| error.into_failure("syncing the output"))
    }
}

fn failure(error: PipelineError) -> Failure {
    let PipelineError { code, transient, doing, source } = error;
    if transient {
        Failure::transient(code, doing, source)
    } else {
        Failure::definite(code, doing, source)
    }
}
