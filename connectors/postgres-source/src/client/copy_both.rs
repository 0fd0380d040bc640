//! `START_REPLICATION`: log down, status up, until one side ends it.

use postgres_protocol::message::frontend;
use postgres_replication::error::ServerError;
use postgres_replication::frame::{CopyFrames, tag};
use postgres_replication::handshake::Session;
use postgres_replication::replication::StandbyStatusUpdate;

use super::Client;
use super::error::{Address, SessionError};
use super::query::passing;
use super::wire::Wire;

/// A running replication stream.
///
/// ```text
/// loop {
///     select! {
///         room = out.reserve(..), if batch_is_ready => ..,
///         frames = stream.next(), if there_is_space => ..,       // decode all of `frames` before the next call
///         _ = tick => stream.status(update).await?,              // also while nothing is read
///     }
/// }
/// ```
///
/// The server counts any status update as a sign of life, also one it did not ask for, so a reader that is held back
/// needs only a timer well below `wal_sender_timeout` (60 s by default).
#[derive(Debug)]
pub struct CopyBoth {
    pub(super) wire: Wire,
    session: Session,
    address: Address,
    ended: bool,
}

const DURING: &str = "during replication";

impl Client {
    /// Runs a command that answers with a stream in both directions, `START_REPLICATION`, on a replication session.
    ///
    /// The client goes into the stream; when the server refuses, the session is closed.
    pub async fn copy_both(mut self, sql: &str) -> Result<CopyBoth, SessionError> {
        self.begin_simple(sql)?;
        let (tag, body) = self.message(DURING).await?;
        match tag {
            tag::COPY_BOTH_RESPONSE => {
                let Client { wire, session, address, .. } = self;
                Ok(CopyBoth { wire, session, address, ended: false })
            }
            tag::ERROR_RESPONSE => Err(self.failed(&body).await),
            _ => Err(SessionError::Unexpected { tag, during: DURING }),
        }
    }
}

impl CopyBoth {
    /// The messages that have arrived, at least one; `None` when the server has ended the stream in good order, as it
    /// does when it shuts down. Cancel-safe, and it also sends what an earlier, dropped [`CopyBoth::status`] has left.
    pub async fn next(&mut self) -> Result<Option<CopyFrames>, SessionError> {
        loop {
            if self.ended {
                return Ok(None);
            }
            let frames = self.wire.take_copy_data()?;
            if !frames.is_empty() {
                return Ok(Some(frames));
            }
            match self.wire.take()? {
                Some((tag, body)) => self.advance(tag, &body)?,
                None => self.wire.fill(DURING).await?,
            }
        }
    }

    /// Tells the server what has been received and what is durable. Cancel-safe: from its first poll on the update is
    /// queued, and goes out with the next call of this or of [`CopyBoth::next`], unless a later one overtakes it.
    pub async fn status(&mut self, update: StandbyStatusUpdate) -> Result<(), SessionError> {
        let reply = update.reply || self.wire.update.is_some_and(|overtaken| overtaken.reply);
        self.wire.update = Some(StandbyStatusUpdate { reply, ..update });
        self.wire.send().await
    }

    /// Ends the stream from our side and closes the session, without waiting for the server.
    pub async fn close(mut self) -> Result<(), SessionError> {
        if let Some(update) = self.wire.update.take() {
            update.encode(&mut self.wire.output);
        }
        frontend::copy_done(&mut self.wire.output);
        self.wire.terminate().await
    }

    pub fn server_version(&self) -> u32 {
        self.session.server_version
    }

    /// The process at the other end, as in `pg_stat_replication.pid`.
    pub fn process_id(&self) -> Option<u32> {
        self.session.key.as_ref().map(|key| key.process_id)
    }

    /// Where the stream comes from.
    pub fn address(&self) -> &Address {
        &self.address
    }

    fn advance(&mut self, tag: u8, body: &[u8]) -> Result<(), SessionError> {
        if passing(&mut self.session, tag, body)? {
            return Ok(());
        }
        match tag {
            tag::COPY_DONE => Ok(()),
            // a walsender that shuts down says it without CopyDone
            tag::COMMAND_COMPLETE => {
                self.ended = true;
                Ok(())
            }
            tag::ERROR_RESPONSE => {
                let error = ServerError::decode(body)
                    .map_err(|source| SessionError::Malformed { tag, source })?;
                Err(SessionError::Server(Box::new(error)))
            }
            _ => Err(SessionError::Unexpected { tag, during: DURING }),
        }
    }
}
