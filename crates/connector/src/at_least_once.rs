use std::future::Future;

use change::Batch;

use crate::{Checkpoint, Failure, Position, Sink, Stored};

/// Takes messages and can say when they are safe, but cannot bind a position to them.
pub trait Writer: Send {
    /// Forgets what was taken and not flushed, and makes ready to write again. After the store was loaded: a store that
    /// locks shuts out every other writer first.
    fn recover(&mut self) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }

    fn write(&mut self, batch: &Batch) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Returns when all that was written is durable.
    fn flush(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Keeps the last checkpoint somewhere else than the data.
pub trait OffsetStore: Send {
    type Position: Position;

    fn load(
        &mut self,
    ) -> impl Future<Output = Result<Option<Stored<Self::Position>>, Failure>> + Send;

    fn save(
        &mut self,
        checkpoint: &Checkpoint<Self::Position>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A sink made of a writer without transactions and a store beside it: flush first, save then. A crash between the two
/// sends some changes again and loses none.
#[derive(Debug)]
pub struct AtLeastOnce<W, O> {
    pub writer: W,
    pub offsets: O,
}

impl<W: Writer, O: OffsetStore> Sink for AtLeastOnce<W, O> {
    type Position = O::Position;

    async fn recover(&mut self) -> Result<Option<Stored<O::Position>>, Failure> {
        let stored = self.offsets.load().await?;
        self.writer.recover().await?;
        Ok(stored)
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), Failure> {
        self.writer.write(batch).await
    }

    async fn commit(&mut self, checkpoint: &Checkpoint<O::Position>) -> Result<(), Failure> {
        self.writer.flush().await?;
        self.offsets.save(checkpoint).await
    }
}
