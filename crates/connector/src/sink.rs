use std::future::Future;

use change::Batch;

use crate::{Checkpoint, Failure, Stored};

/// Makes changes and the position behind them durable together.
///
/// Calls come in this order: `recover`, then any number of (`write`*, `commit`); after any error only `recover`.
pub trait Sink: Send {
    type Position: crate::Position;

    /// Shuts out every other writer of this connector, ends what one of them (or we) left open, and only then reads
    /// what is stored. None: nothing was ever stored.
    fn recover(
        &mut self,
    ) -> impl Future<Output = Result<Option<Stored<Self::Position>>, Failure>> + Send;

    /// Takes the batch's messages on their way. Not durable, and not visible to a careful reader, before `commit`.
    /// Nothing of the batch is on its way before all that it needs (schemas, topics) is known.
    fn write(&mut self, batch: &Batch) -> impl Future<Output = Result<(), Failure>> + Send;

    /// All that was written since the last commit and the checkpoint become durable, both or neither.
    fn commit(
        &mut self,
        checkpoint: &Checkpoint<Self::Position>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}
