//! The source's stream in a task of its own, so that decoding and encoding use two cores and the server is answered
//! while the sink works. The task gives the source back when it ends or is cancelled; nothing is lost by cancelling,
//! because what was not committed is sent again.

use connector::{
    Durable, DurableSender, Failure, Item, OutletReceiver, Resume, Source, Stopped, TableState,
};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

pub(crate) struct Stream<S: Source> {
    /// One task; a set, because it ends its tasks when dropped.
    task: JoinSet<(S, Option<Result<Stopped, Failure>>)>,
    /// Dropped to cancel.
    cancel: oneshot::Sender<()>,
    ended: Option<(S, Option<Result<Stopped, Failure>>)>,
    items: OutletReceiver<S::Position>,
    durable: DurableSender<S::Position>,
}

impl<S: Source + 'static> Stream<S> {
    pub(crate) fn start(
        mut source: S,
        from: Resume<S::Position>,
        confirmed: S::Position,
        tables: Vec<TableState>,
        until: Option<S::Position>,
        queue_bytes: usize,
    ) -> Self {
        let (outlet, items) = connector::outlet(queue_bytes);
        let (durable, confirm): (_, Durable<S::Position>) = connector::durable(confirmed);
        let (cancel, cancelled) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let outcome = tokio::select! {
                biased;
                _ = cancelled => None,
                outcome = source.stream(from, &tables, until, outlet, confirm) => Some(outcome),
            };
            (source, outcome)
        });
        Self { task, cancel, ended: None, items, durable }
    }

    pub(crate) fn confirm(&self, stored: S::Position) {
        self.durable.set(stored);
    }

    /// None when the source has ended. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Item<S::Position>> {
        self.items.recv().await
    }

    pub(crate) fn try_next(&mut self) -> Option<Item<S::Position>> {
        self.items.try_recv()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Waits for the end without taking what is queued. Cancel safe.
    pub(crate) async fn ended(&mut self) -> Option<&Result<Stopped, Failure>> {
        if self.ended.is_none() {
            self.ended = Some(joined(&mut self.task).await);
        }
        self.ended.as_ref().and_then(|(_, outcome)| outcome.as_ref())
    }

    /// Cancels the stream if it still runs. None: it was cancelled.
    pub(crate) async fn end(self) -> (S, Option<Result<Stopped, Failure>>) {
        let Self { mut task, cancel, ended, items, durable } = self;
        drop((cancel, items, durable));
        match ended {
            Some(ended) => ended,
            None => joined(&mut task).await,
        }
    }
}

async fn joined<T: 'static>(task: &mut JoinSet<T>) -> T {
    match task.join_next().await.expect("one task was started and is joined once") {
        Ok(done) => done,
        // Only a panic: nobody aborts the task but the set's own end.
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}
