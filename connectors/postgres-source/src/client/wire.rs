//! A socket and its two buffers.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use postgres_protocol::message::frontend;
use postgres_replication::frame::{self, CopyFrames, FrameError, Head};
use postgres_replication::replication::StandbyStatusUpdate;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::error::SessionError;

/// A connection of whatever kind.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// What one read takes at most, and what an idle session holds.
const READ_BYTES: usize = 256 << 10;

/// A buffer that has had to grow beyond this is let go when its message has been handed out.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// A server that does not read gets no more status updates queued than this: about a hundred.
const QUEUED_BYTES_MAX: usize = 4096;

pub(super) struct Wire {
    socket: Box<dyn Socket>,
    input: BytesMut,
    /// What is still to be sent.
    pub(super) output: BytesMut,
    /// The latest status update that is not in `output` yet, because too much is: an older one that waits is overtaken.
    pub(super) update: Option<StandbyStatusUpdate>,
    /// Sent to the socket, which may hold it back until it is flushed.
    unflushed: bool,
    message_bytes_max: usize,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("input_bytes", &self.input.len())
            .field("output_bytes", &self.output.len())
            .finish_non_exhaustive()
    }
}

impl Wire {
    pub(super) fn new(socket: Box<dyn Socket>, message_bytes_max: usize) -> Wire {
        let input = BytesMut::with_capacity(READ_BYTES);
        Wire {
            socket,
            input,
            output: BytesMut::new(),
            update: None,
            unflushed: false,
            message_bytes_max,
        }
    }

    /// The next message, if it is here whole.
    pub(super) fn take(&mut self) -> Result<Option<(u8, Bytes)>, FrameError> {
        let message = frame::take(&mut self.input, self.message_bytes_max)?;
        if let Some((_, body)) = &message {
            self.shrink(body.len());
        }
        Ok(message)
    }

    /// The CopyData messages that are here whole, up to the first other message.
    pub(super) fn take_copy_data(&mut self) -> Result<CopyFrames, FrameError> {
        let frames = CopyFrames::take(&mut self.input, self.message_bytes_max)?;
        self.shrink(frames.len());
        Ok(frames)
    }

    /// Sends what is queued and waits until something has been read. Dropping it loses nothing.
    pub(super) async fn fill(&mut self, during: &'static str) -> Result<(), SessionError> {
        self.make_room();
        poll_fn(|cx| {
            // a server that has hung up may have said why, so what it sent is read to its end all the same; a socket
            // that cannot be written to any more does not keep a reader waiting
            if let Poll::Ready(Err(_)) = self.poll_send(cx) {
                self.output.clear();
                self.update = None;
                self.unflushed = false;
            }
            match ready!(pin!(self.socket.read_buf(&mut self.input)).poll(cx)) {
                Ok(0) => Poll::Ready(Err(SessionError::Closed { during })),
                read => Poll::Ready(read.map(drop).map_err(SessionError::Io)),
            }
        })
        .await
    }

    /// Sends what is queued. Dropping it loses nothing: the rest goes with the next call, or with [`Wire::fill`].
    pub(super) async fn send(&mut self) -> Result<(), SessionError> {
        poll_fn(|cx| self.poll_send(cx)).await.map_err(SessionError::Io)
    }

    /// Sends Terminate and closes.
    pub(super) async fn terminate(&mut self) -> Result<(), SessionError> {
        frontend::terminate(&mut self.output);
        self.send().await?;
        Ok(self.socket.shutdown().await?)
    }

    /// Reads exactly one byte: the answer to an SSLRequest, behind which nothing may be taken in.
    pub(super) async fn byte(&mut self) -> Result<u8, SessionError> {
        self.send().await?;
        Ok(self.socket.read_u8().await?)
    }

    /// The socket, for TLS to be laid over it; only while no byte behind [`Wire::byte`] was read.
    pub(super) fn into_socket(self) -> Box<dyn Socket> {
        self.socket
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        loop {
            if self.output.len() < QUEUED_BYTES_MAX
                && let Some(update) = self.update.take()
            {
                update.encode(&mut self.output);
            }
            if self.output.is_empty() {
                break;
            }
            if ready!(pin!(self.socket.write_buf(&mut self.output)).poll(cx))? == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Room for the next read. Of a message larger than the buffer only so much is reserved as has come of it already:
    /// a length that is only announced costs nothing.
    fn make_room(&mut self) {
        let here = self.input.len();
        if here < READ_BYTES / 2 {
            self.input.reserve(READ_BYTES - here);
            return;
        }
        let whole = match frame::head(&self.input, self.message_bytes_max) {
            Ok(Some(Head { bytes, .. })) => bytes,
            _ => 0,
        };
        self.input.reserve(whole.saturating_sub(here).clamp(READ_BYTES / 2, here));
    }

    /// Lets a buffer go that a message of `taken` bytes has blown up; the message keeps it as long as it lives.
    fn shrink(&mut self, taken: usize) {
        if taken > KEPT_BYTES_MAX {
            let rest = std::mem::replace(&mut self.input, BytesMut::with_capacity(READ_BYTES));
            self.input.extend_from_slice(&rest);
        }
    }

    #[cfg(test)]
    pub(super) fn input_capacity(&self) -> usize {
        self.input.capacity()
    }
}
