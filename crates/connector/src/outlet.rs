//! The queue between a source and the engine, bounded in bytes by ownership: every queued batch holds a permit of
//! its size, and whoever takes it out gives the room back by dropping the [`Item`].
//!
//! [`Outlet::reserve`] can be cancelled at any time without loss, because nothing is in it yet; [`Room::send`] cannot
//! be cancelled half way, because it does not wait. So a source may wait for room and answer its server in one
//! `select!`. A reservation above the whole budget takes the whole budget: one giant at a time passes, nothing stalls.

use std::sync::Arc;
use std::time::Duration;

use change::Batch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::{Failure, Mark};

/// A batch on its way, with the room it takes.
#[derive(Debug)]
pub struct Item<P> {
    pub batch: Batch,
    pub mark: Mark<P>,
    /// The server asked for an answer and nothing but a stored position gives one: commit as soon as possible.
    pub urgent: bool,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub struct Outlet<P> {
    room: Arc<Semaphore>,
    budget: u32,
    queue: mpsc::UnboundedSender<Item<P>>,
}

impl<P> Clone for Outlet<P> {
    fn clone(&self) -> Self {
        Self { room: Arc::clone(&self.room), budget: self.budget, queue: self.queue.clone() }
    }
}

#[derive(Debug)]
pub struct OutletReceiver<P> {
    queue: mpsc::UnboundedReceiver<Item<P>>,
}

/// Room for one batch in the queue.
#[derive(Debug)]
pub struct Room<P> {
    permit: OwnedSemaphorePermit,
    queue: mpsc::UnboundedSender<Item<P>>,
}

/// A queue that holds at most `bytes` of batches (at least 1, at most 4 GiB).
pub fn outlet<P>(bytes: usize) -> (Outlet<P>, OutletReceiver<P>) {
    let budget = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
    let (sender, receiver) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(budget as usize));
    (Outlet { room, budget, queue: sender }, OutletReceiver { queue: receiver })
}

impl<P> Outlet<P> {
    /// Waits until `bytes` fit. Fails when the engine no longer listens.
    ///
    /// A batch always takes at least a fixed cost, so that the number of queued empty batches is bounded too.
    pub async fn reserve(&self, bytes: usize) -> Result<Room<P>, Failure> {
        const BATCH: usize = 256;
        let wanted = u32::try_from(bytes.saturating_add(BATCH)).unwrap_or(u32::MAX);
        let permit = tokio::select! {
            biased;
            permit = Arc::clone(&self.room).acquire_many_owned(wanted.min(self.budget)) => {
                permit.map_err(|closed| Failure::transient("stopped", "queueing a batch", closed))?
            }
            () = self.queue.closed() => {
                return Err(Failure::transient("stopped", "queueing a batch", "the engine no longer listens"));
            }
        };
        Ok(Room { permit, queue: self.queue.clone() })
    }
}

impl<P> Room<P> {
    pub fn send(self, batch: Batch, mark: Mark<P>) {
        self.send_as(batch, mark, false);
    }

    /// As [`send`](Self::send), for a mark that the server waits for.
    pub fn send_urgent(self, batch: Batch, mark: Mark<P>) {
        self.send_as(batch, mark, true);
    }

    fn send_as(self, batch: Batch, mark: Mark<P>, urgent: bool) {
        // An engine that stopped listening has thrown the stream away: the stored position decides what is sent again.
        let _ = self.queue.send(Item { batch, mark, urgent, _room: self.permit });
    }
}

impl<P> OutletReceiver<P> {
    /// None when the source has ended. Cancel safe.
    pub async fn recv(&mut self) -> Option<Item<P>> {
        self.queue.recv().await
    }

    /// What is already there.
    pub fn try_recv(&mut self) -> Option<Item<P>> {
        self.queue.try_recv().ok()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// The last position that the sink has made durable: the only thing that a source may confirm to its server.
#[derive(Debug, Clone)]
pub struct Durable<P>(watch::Receiver<P>);

#[derive(Debug)]
pub struct DurableSender<P>(watch::Sender<P>);

pub fn durable<P>(stored: P) -> (DurableSender<P>, Durable<P>) {
    let (sender, receiver) = watch::channel(stored);
    (DurableSender(sender), Durable(receiver))
}

impl<P: Clone> Durable<P> {
    pub fn latest(&self) -> P {
        self.0.borrow().clone()
    }

    /// Waits for a position newer than the last seen one; never returns once the engine has gone. Cancel safe.
    pub async fn changed(&mut self) -> P {
        if self.0.changed().await.is_err() {
            loop {
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
        }
        self.0.borrow_and_update().clone()
    }
}

impl<P> DurableSender<P> {
    pub fn set(&self, stored: P) {
        self.0.send_replace(stored);
    }
}
