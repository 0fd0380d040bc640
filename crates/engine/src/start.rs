//! From what is stored to a running stream.
//!
//! Nothing is stored: an intent is stored first, under a name made by chance; then the source makes what it needs to
//! follow the log (a slot) under that name; then its position is stored, and only now is there anything to lose. A
//! crash in between leaves a thing with a known name, which is dropped by exactly that name: a process that woke up
//! late can drop or make only what nobody else uses.
//!
//! Tables are missing (a copy was interrupted, tables were added): *stream first, copy after.*
//!
//! ```text
//!   stored p                         p1, the new pin: a place in the log and a view of the tables there
//!   --+-------------------------------+------------------------------------------------> log
//!     |  1. stream, tables of which   |  2. copy what is missing, from p1's view
//!     |     a chunk was sent          |  3. stream all
//! ```
//! Rows that were copied before the crash have changed since, also into and out of the chunks that were sent. Step 1
//! tells every change of them, so at p1 the topic says of the sent chunks what the tables say, and the missing chunks
//! read at p1 fit to them as if all had been read at once. Copying first and dropping the stream up to p1 would leave
//! a row alive for ever that was deleted, or moved, in between. p1 is stored nowhere before it is reached: another
//! crash takes another pin.

use connector::{
    CopyId, CopyState, Failure, Pin, Pinned, Position, Resume, Sink, Source, TableState,
};
use rand::RngExt;

use crate::follow::{Drained, Goal};
use crate::halt::{Halt, unless_stopped};
use crate::mutant::Mutant;
use crate::progress::Progress;
use crate::run::{Ended, Engine};
use crate::stream::Stream;
use crate::tables::{Plan, check_pinned, finished, followed, plan};
use crate::{CopyMode, Doing, Phase};

impl<S, K> Engine<S, K>
where
    S: Source + 'static,
    K: Sink<Position = S::Position> + 'static,
{
    /// From the recovered state to the end of the run.
    pub(crate) async fn advance(
        &mut self,
        progress: &mut Progress<S::Position>,
    ) -> Result<Ended, Halt> {
        loop {
            self.end_stream().await;
            let source = self.source.as_mut().expect(SOURCE_IS_HERE);
            let captured = unless_stopped(&mut self.stop, source.tables()).await?;
            let plan = plan(progress, &captured, &self.settings)?;
            forget_removed(progress, &plan);
            let pinned = if progress.at().is_none() {
                Some(self.pin_first(progress, &plan).await?)
            } else if !plan.needs_pin() {
                None
            } else if progress.open().is_some() {
                // The stream must stand between two transactions when a pin is taken.
                self.start_stream(progress, followed(progress), None);
                self.drain(progress, Goal::Boundary).await?;
                continue;
            } else {
                match self.pin_later(progress, &plan).await? {
                    Some(pinned) => Some(pinned),
                    None => continue,
                }
            };
            if let Some(pinned) = pinned {
                self.start_stream(progress, to_follow(progress, &plan, &pinned.tables), None);
                Box::pin(self.copy(progress, pinned.tables, plan.truncated, pinned.readers))
                    .await?;
            }
            if self.settings.copy == CopyMode::Only {
                if progress.has_changed_tables() {
                    self.commit(progress).await?;
                }
                return Ok(Ended::Copied);
            }
            if self.stream.is_none() {
                self.start_stream(progress, followed(progress), None);
            }
            self.status.phase(Phase::Streaming);
            self.drain(progress, Goal::Forever).await?;
            tracing::info!("the captured tables have changed");
        }
    }

    async fn pin_first(
        &mut self,
        progress: &mut Progress<S::Position>,
        plan: &Plan,
    ) -> Result<Pinned<S::Position, S::Snapshot>, Halt> {
        if let Some(left) = progress.intent() {
            let source = self.source.as_mut().expect(SOURCE_IS_HERE);
            unless_stopped(&mut self.stop, source.forget(left)).await?;
        }
        let random = self.settings.rng.random();
        let copy = CopyId(uuid::Builder::from_random_bytes(random).into_uuid());
        progress.intend(copy);
        self.commit(progress).await?;
        self.status.doing(Doing::Pinning);
        let source = self.source.as_mut().expect(SOURCE_IS_HERE);
        let pin = source.pin(Pin::First(copy), &plan.captured, &plan.missing);
        let pinned = unless_stopped(&mut self.stop, pin).await?;
        let tables = check_pinned(&plan.missing, pinned.tables)?;
        for table in &plan.uncopied {
            progress.set_table(table.clone());
        }
        progress.reached(pinned.at.clone());
        self.commit(progress).await?;
        Ok(Pinned { tables, ..pinned })
    }

    /// None: what was streamed up to the pin makes another pin necessary.
    async fn pin_later(
        &mut self,
        progress: &mut Progress<S::Position>,
        plan: &Plan,
    ) -> Result<Option<Pinned<S::Position, S::Snapshot>>, Halt> {
        self.status.phase(Phase::CatchingUp);
        self.status.doing(Doing::Pinning);
        let source = self.source.as_mut().expect(SOURCE_IS_HERE);
        let pin = source.pin(Pin::Later, &plan.captured, &plan.missing);
        let pinned = unless_stopped(&mut self.stop, pin).await?;
        let tables = self.check_pinned(progress, plan, pinned.tables)?;
        let stored = progress.at().expect("a later pin comes behind a first one");
        if !pinned.at.covers(&stored.from) {
            let why = "the server's log ends before the stored position";
            return Err(Failure::transient("pin-behind", "pinning tables", why).into());
        } else if self.settings.is(Mutant::CopyWithoutCatchingUp) {
            progress.reached(pinned.at.clone());
            self.commit(progress).await?;
        } else {
            let until = (!self.settings.is(Mutant::PinBesideStream)).then(|| pinned.at.clone());
            self.start_stream(progress, followed(progress), until);
            if self.drain(progress, Goal::Until(&pinned.at)).await? != Drained::Reached {
                return Ok(None);
            }
            self.end_stream().await;
        }
        // The plan was made before the stream showed its rows. An Absent cell streamed meanwhile may belong to a row
        // that moved from a missing chunk into one that is done, and that no chunk will complete.
        let is_torn = |table: &TableState| {
            table.copy.chunks.iter().any(|chunk| chunk.done)
                && progress.table(&table.name).is_some_and(|known| known.copy.holes)
        };
        if tables.iter().any(is_torn) {
            tracing::info!("a table to be copied was changed in part: its copy starts again");
            return Ok(None);
        }
        for table in &plan.uncopied {
            progress.set_table(table.clone());
        }
        Ok(Some(Pinned { tables, ..pinned }))
    }

    fn check_pinned(
        &self,
        progress: &mut Progress<S::Position>,
        plan: &Plan,
        pinned: Vec<TableState>,
    ) -> Result<Vec<TableState>, Failure> {
        if self.settings.is(Mutant::PlanUnchecked) {
            return Ok(pinned);
        }
        let checked = check_pinned(&plan.missing, pinned)?;
        if self.settings.is(Mutant::BegunLost) {
            for table in &checked {
                if !table.copy.chunks.iter().any(|chunk| chunk.done) {
                    progress.change_table(&table.name, |known| {
                        known.copy.state = CopyState::Waiting;
                    });
                }
            }
        }
        Ok(checked)
    }

    /// Begins to follow from where `progress` is. Nothing of it is taken before [`drain`](Self::drain), and the server
    /// hears of what is stored only.
    pub(crate) fn start_stream(
        &mut self,
        progress: &Progress<S::Position>,
        tables: Vec<TableState>,
        until: Option<S::Position>,
    ) {
        let source = self.source.take().expect(SOURCE_IS_HERE);
        let mut from = progress.at().expect("a stream starts behind a pin").clone();
        let mut confirmed = from.from.clone();
        if let Some(until) = &until
            && self.settings.is(Mutant::FlushAtPin)
        {
            confirmed = until.clone();
        }
        if self.settings.is(Mutant::ForgetOpen) {
            from = Resume { from: from.from, open: None };
        }
        let queue = self.settings.limits.queue_bytes;
        self.stream = Some(Stream::start(source, from, confirmed, tables, until, queue));
    }

    /// Takes the source back. What the stream queued is dropped: it will be sent again.
    pub(crate) async fn end_stream(&mut self) {
        if let Some(stream) = self.stream.take() {
            let (source, _) = stream.end().await;
            self.source = Some(source);
        }
    }
}

const SOURCE_IS_HERE: &str = "the source is back from every stream before it is asked again";

fn forget_removed<P: Position>(progress: &mut Progress<P>, plan: &Plan) {
    for name in plan.removed.iter().chain(&plan.truncated) {
        if progress.table(name).is_some_and(|table| table.copy.state != CopyState::Removed) {
            tracing::warn!(table = %name, "no longer captured: its topic will not change any more");
            progress.change_table(name, |table| {
                table.copy.state = CopyState::Removed;
                table.copy.chunks.clear();
                table.copy.holes = false;
            });
        }
    }
}

/// All captured tables, as they will be when their copies are done.
fn to_follow<P: Position>(
    progress: &Progress<P>,
    plan: &Plan,
    copied: &[TableState],
) -> Vec<TableState> {
    let mut tables = followed(progress);
    tables.retain(|table| copied.iter().all(|other| other.name != table.name));
    tables.extend(copied.iter().cloned().map(finished));
    debug_assert_eq!(tables.len(), plan.captured.len());
    tables
}
