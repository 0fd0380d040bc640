//! Takes what the stream sends, in order, and closes the sink's transactions.
//!
//! One item is written at a time and its mark is looked at behind it, so `progress` never runs ahead of what was
//! handed to the sink. Nothing else is waited for while the sink commits: the source fills the queue meanwhile.

use std::collections::BTreeSet;

use change::{Batch, Cell, Change, TableName};
use connector::{CopyState, Failure, Item, Mark, Position, Sink, Source, Stopped};
use tokio::time::Instant;

use crate::Doing;
use crate::cadence::{Cadence, Due, until};
use crate::halt::Halt;
use crate::mutant::Mutant;
use crate::progress::Progress;
use crate::run::Engine;

/// How far to take the stream.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal<'a, P> {
    /// To the first place between two transactions.
    Boundary,
    /// To this position exactly.
    Until(&'a P),
    Forever,
}

/// Why the stream was left. Everything before is stored, and no transaction is open there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drained {
    Boundary,
    Reached,
    TablesChanged,
}

#[expect(clippy::large_enum_variant, reason = "moved once, never stored")]
enum Next<P> {
    Item(Item<P>),
    Ended,
    Waited,
}

impl<S, K> Engine<S, K>
where
    S: Source + 'static,
    K: Sink<Position = S::Position> + 'static,
{
    /// Takes the running stream up to `goal`, or to its end.
    pub(crate) async fn drain(
        &mut self,
        progress: &mut Progress<S::Position>,
        goal: Goal<'_, S::Position>,
    ) -> Result<Drained, Halt> {
        let mut cadence = Cadence::new(self.settings.limits.clone(), Instant::now());
        let unfinished: BTreeSet<TableName> = progress
            .tables()
            .values()
            .filter(|table| table.copy.state == CopyState::Begun && !table.copy.holes)
            .map(|table| table.name.clone())
            .collect();
        if progress.open().is_some() {
            cadence.marked_within();
        }
        loop {
            let is_empty = self.stream.as_ref().is_none_or(crate::stream::Stream::is_empty);
            let mut due = cadence.due(Instant::now(), is_empty);
            let stop = self.stop.is_asked();
            if cadence.is_whole()
                && cadence.is_pending()
                && (stop || matches!(goal, Goal::Boundary))
            {
                due = Due::Commit;
            }
            if due != Due::No {
                if due == Due::Cut {
                    tracing::warn!("a source transaction was cut: it is open for too long");
                    self.status.cut();
                }
                if let Some(age) = cadence.age(Instant::now()) {
                    metrics::histogram!("afterimage_transaction_seconds").record(age.as_secs_f64());
                }
                self.commit(progress).await?;
                cadence.committed(Instant::now());
            }
            if stop {
                // What is written of an unfinished transaction will be sent again.
                return Err(Halt::Stopped);
            }
            if matches!(goal, Goal::Boundary) && cadence.is_whole() && progress.open().is_none() {
                return Ok(Drained::Boundary);
            }
            if let Goal::Until(goal) = goal
                && self.settings.is(Mutant::PinBesideStream)
                && !cadence.is_pending()
                && progress.at().is_some_and(|at| at.from.covers(goal))
            {
                return Ok(Drained::Reached);
            }
            match self.next(&cadence).await {
                Next::Item(item) => self.take(progress, &mut cadence, &unfinished, item).await?,
                Next::Waited => {}
                Next::Ended => return self.ended(progress, &cadence, goal).await,
            }
        }
    }

    async fn next(&mut self, cadence: &Cadence) -> Next<S::Position> {
        let stream = self.stream.as_mut().expect("a stream is drained while it is there");
        if let Some(item) = stream.try_next() {
            return Next::Item(item);
        }
        self.status.doing(Doing::Listening);
        tokio::select! {
            biased;
            () = self.stop.asked() => Next::Waited,
            item = stream.next() => item.map_or(Next::Ended, Next::Item),
            () = until(cadence.deadline()) => Next::Waited,
        }
    }

    async fn take(
        &mut self,
        progress: &mut Progress<S::Position>,
        cadence: &mut Cadence,
        unfinished: &BTreeSet<TableName>,
        item: Item<S::Position>,
    ) -> Result<(), Failure> {
        let batch = &item.batch;
        if says_something(batch) {
            cadence.writing(Instant::now(), batch.size(), batch.len());
            self.sink_is_clean = false;
            self.status.doing(Doing::Writing);
            self.sink.write(batch).await?;
            self.status.streamed(batch);
            self.tally.count(batch);
            progress.see(batch.tables());
            if !unfinished.is_empty() && !self.settings.is(Mutant::NoHoles) {
                note_holes(progress, unfinished, batch);
            }
        }
        match item.mark {
            Mark::Within(open) => {
                progress.reached_within(open);
                cadence.marked_within();
            }
            Mark::Commit(position) => {
                let log = self.stored_at().and_then(|stored| position.bytes_since(stored));
                progress.reached(position);
                cadence.marked_commit(log, item.urgent);
            }
        }
        Ok(())
    }

    /// The stream ended by itself, and all that it sent was taken.
    async fn ended(
        &mut self,
        progress: &mut Progress<S::Position>,
        cadence: &Cadence,
        goal: Goal<'_, S::Position>,
    ) -> Result<Drained, Halt> {
        let stream = self.stream.take().expect("a stream is drained while it is there");
        let (source, outcome) = stream.end().await;
        self.source = Some(source);
        let stopped = outcome.expect("it was not cancelled")?;
        if !cadence.is_whole() {
            return Err(fault("the stream ended inside a transaction").into());
        }
        if cadence.is_pending() {
            self.commit(progress).await?;
        }
        match (stopped, goal) {
            (Stopped::Reached, Goal::Until(goal)) => {
                if progress.at().is_none_or(|at| at.from != *goal) {
                    return Err(fault("the stream ended before the place it was to reach").into());
                }
                Ok(Drained::Reached)
            }
            (Stopped::Reached, _) => Err(fault("the stream ended for no reason").into()),
            (Stopped::TablesChanged, _) => Ok(Drained::TablesChanged),
            (Stopped::Reopen, _) => Err(Halt::Again),
        }
    }
}

/// An empty batch moves the position only. One without rows may still hold a transaction's end.
fn says_something(batch: &Batch) -> bool {
    !batch.is_empty()
        || batch
            .transactions()
            .any(|transaction| transaction.end().is_some_and(|end| end.events() > 0))
}

/// An Absent cell was sent for a table whose copy is not finished: no copied row may ever complete it.
fn note_holes<P: Position>(
    progress: &mut Progress<P>,
    unfinished: &BTreeSet<TableName>,
    batch: &Batch,
) {
    for event in batch.events() {
        let (Change::Insert(row) | Change::Update { after: row, .. }) = event.change else {
            continue;
        };
        let name = &event.table.name;
        if unfinished.contains(name)
            && row.cells().any(|cell| matches!(cell, Cell::Absent))
            && progress.table(name).is_some_and(|table| !table.copy.holes)
        {
            progress.change_table(name, |table| table.copy.holes = true);
        }
    }
}

fn fault(what: &str) -> Failure {
    Failure::definite("source-fault", "following the log", what.to_owned())
}
