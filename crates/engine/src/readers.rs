//! The readers of a pinned view, a task each, into one queue bounded in bytes.

use change::Batch;
use connector::{ChunkMark, Failure, Snapshot};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

/// Rows on their way to the sink, with the room they take.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) batch: Batch,
    pub(crate) mark: ChunkMark,
    pub(crate) room: OwnedSemaphorePermit,
}

pub(crate) struct Readers {
    tasks: JoinSet<()>,
    queue: mpsc::UnboundedReceiver<Result<Copied, Failure>>,
    pub(crate) of_bytes: Option<u64>,
}

impl Readers {
    pub(crate) fn start<R: Snapshot + 'static>(readers: Vec<R>, queue_bytes: usize) -> Self {
        let budget = u32::try_from(queue_bytes).unwrap_or(u32::MAX).max(1);
        let room = Arc::new(Semaphore::new(budget as usize));
        let (sender, queue) = mpsc::unbounded_channel();
        let of_bytes = readers.iter().map(Snapshot::of_bytes).sum::<Option<u64>>();
        let mut tasks = JoinSet::new();
        for reader in readers {
            tasks.spawn(read(reader, Arc::clone(&room), budget, sender.clone()));
        }
        Self { tasks, queue, of_bytes }
    }

    /// None when all readers have ended. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Result<Copied, Failure>> {
        if let Some(next) = self.queue.recv().await {
            return Some(next);
        }
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(failed) = ended {
                std::panic::resume_unwind(failed.into_panic());
            }
        }
        None
    }
}

async fn read<R: Snapshot>(
    mut reader: R,
    room: Arc<Semaphore>,
    budget: u32,
    queue: mpsc::UnboundedSender<Result<Copied, Failure>>,
) {
    loop {
        let (batch, mark) = match reader.next().await {
            Ok(Some(next)) => next,
            Ok(None) => return,
            Err(failure) => {
                let _ = queue.send(Err(failure));
                return;
            }
        };
        let wanted = u32::try_from(batch.size().max(1)).unwrap_or(u32::MAX).min(budget);
        let Ok(room) = Arc::clone(&room).acquire_many_owned(wanted).await else { return };
        if queue.send(Ok(Copied { batch, mark, room })).is_err() {
            return;
        }
    }
}
