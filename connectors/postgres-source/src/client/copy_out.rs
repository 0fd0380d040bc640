//! `COPY .. TO STDOUT`.

use postgres_replication::error::ServerError;
use postgres_replication::frame::{CopyFrames, tag};

use super::Client;
use super::error::SessionError;

/// A running copy; its client is borrowed until the end was read.
///
/// The end is `Ok(None)`, and that comes only after the server's CopyDone *and* CommandComplete: a connection that is cut
/// is an error at whatever byte, never a table that is shorter.
#[derive(Debug)]
pub struct CopyOut<'a> {
    client: &'a mut Client,
    progress: Progress,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    Data,
    /// CopyDone.
    Done,
    /// CommandComplete.
    Complete,
    Failed(Box<ServerError>),
    /// ReadyForQuery.
    Ended,
}

const DURING: &str = "during a copy";

impl Client {
    /// Runs a `COPY .. TO STDOUT`. Not cancel-safe: see the module's page.
    pub async fn copy_out(&mut self, sql: &str) -> Result<CopyOut<'_>, SessionError> {
        self.begin_simple(sql)?;
        let (tag, body) = self.message(DURING).await?;
        match tag {
            tag::COPY_OUT_RESPONSE => Ok(CopyOut { client: self, progress: Progress::Data }),
            tag::ERROR_RESPONSE => Err(self.failed(&body).await),
            _ => Err(SessionError::Unexpected { tag, during: DURING }),
        }
    }
}

impl CopyOut<'_> {
    /// The data that have arrived, at least one message of them; `None` when the copy is complete. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<CopyFrames>, SessionError> {
        loop {
            if self.progress == Progress::Ended {
                return Ok(None);
            }
            let frames = self.client.wire.take_copy_data()?;
            if !frames.is_empty() {
                return match self.progress {
                    Progress::Data => Ok(Some(frames)),
                    _ => Err(SessionError::Unexpected {
                        tag: tag::COPY_DATA,
                        during: "after the end of a copy",
                    }),
                };
            }
            match self.client.wire.take()? {
                Some((tag, body)) => self.advance(tag, &body)?,
                None => {
                    if let Err(error) = self.client.wire.fill(DURING).await {
                        return Err(self.failure().unwrap_or(error));
                    }
                }
            }
        }
    }

    fn advance(&mut self, tag: u8, body: &[u8]) -> Result<(), SessionError> {
        if self.client.passing(tag, body)? {
            return Ok(());
        }
        self.progress = match (&self.progress, tag) {
            (Progress::Data, tag::COPY_DONE) => Progress::Done,
            (Progress::Done, tag::COMMAND_COMPLETE) => Progress::Complete,
            (Progress::Data | Progress::Done, tag::ERROR_RESPONSE) => {
                let error = ServerError::decode(body)
                    .map_err(|source| SessionError::Malformed { tag, source })?;
                Progress::Failed(Box::new(error))
            }
            (Progress::Complete, tag::READY_FOR_QUERY) => {
                self.client.answering = false;
                Progress::Ended
            }
            (Progress::Failed(_), tag::READY_FOR_QUERY) => {
                self.client.answering = false;
                return Err(self.failure().expect("it is in this state"));
            }
            _ => return Err(SessionError::Unexpected { tag, during: DURING }),
        };
        Ok(())
    }

    fn failure(&self) -> Option<SessionError> {
        match &self.progress {
            Progress::Failed(error) => Some(SessionError::Server(error.clone())),
            _ => None,
        }
    }
}
