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
    ///
    /// The first recovery of a sink's life fences freely. A later one succeeds only if nobody else has written since
    /// the last: else it fails for good, with `fenced`. The engine relies on it to go on with what it holds in memory.
    /// A recovery that fails for good because of what it read (`position-corrupt`) has proved by a commit of its own
    /// that it is the owner, or could not.
    fn recover(
        &mut self,
    ) -> impl Future<Output = Result<Option<Stored<Self::Position>>, Failure>> + Send;

    /// Takes the batch's messages on their way. Not durable, and not visible to a careful reader, before `commit`.
    /// Nothing of the batch is on its way before all that it needs (schemas, topics) is known.
    fn write(&mut self, batch: &Batch) -> impl Future<Output = Result<(), Failure>> + Send;

    /// All that was written since the last commit and the checkpoint become durable, both or neither.
    ///
    /// Without anything written it makes the checkpoint durable alone, also one without a position (an intent). An
    /// unknown outcome is a failure: the next recovery finds out. Being shut out by another writer is transient here;
    /// the recovery that follows decides whether it is `fenced`.
    fn commit(
        &mut self,
        checkpoint: &Checkpoint<Self::Position>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}
