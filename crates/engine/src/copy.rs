//! Writes the rows that the readers of a pinned view send, and how far they have come, in the same transactions.
//!
//! A table is `Begun` in the transaction that holds the first of its chunks, also an empty one, because from then on
//! what a row of it becomes must be told. A chunk is done in the transaction that holds its last rows. Copied rows may
//! come twice, so a transaction can end anywhere; but none comes behind a streamed change, because the stream is held
//! back until the last reader has ended.
//!
//! What is not committed yet is kept. So a sink that fails does not cost the pin: it recovers, shows that nobody else
//! wrote meanwhile, and is given the same rows again. Else one hiccup an hour would let a copy of six hours begin
//! again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use change::{Batch, Operation, Place, Table, TableName};
use connector::{ChunkMark, CopyState, Failure, Position, Sink, Snapshot, Source, TableState};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::backoff::Pauses;
use crate::cadence::{Cadence, until};
use crate::halt::{Halt, unless_stopped};
use crate::mutant::Mutant;
use crate::progress::Progress;
use crate::readers::{Copied, Readers};
use crate::run::Engine;
use crate::tables::finished;
use crate::{Copying, Doing, Limits, Phase};

/// The tables of one pin, as they will be stored.
struct Tables {
    /// Not begun in this attempt.
    waiting: BTreeMap<TableName, TableState>,
    /// Begin with a truncate.
    truncated: BTreeSet<TableName>,
    copying: Copying,
}

/// Rows handed to the sink and not committed, with the room they take; a batch of ours takes none.
type Kept = Vec<(Batch, Option<OwnedSemaphorePermit>)>;

impl<S, K> Engine<S, K>
where
    S: Source + 'static,
    K: Sink<Position = S::Position> + 'static,
{
    /// Reads what is missing while the stream, already started, is held back.
    pub(crate) async fn copy<R: Snapshot + 'static>(
        &mut self,
        progress: &mut Progress<S::Position>,
        tables: Vec<TableState>,
        truncated: BTreeSet<TableName>,
        readers: Vec<R>,
    ) -> Result<(), Halt> {
        let limits = limits(&self.settings.limits);
        let mut readers = Readers::start(readers, limits.queue_bytes);
        let mut tables = Tables::new(tables, truncated, readers.of_bytes);
        self.status.phase(Phase::Copying(tables.copying.clone()));
        let mut cadence = Cadence::new(limits, Instant::now());
        let mut kept: Kept = Vec::new();
        tables.finish_empty(progress, &mut kept);
        for (batch, _) in &kept {
            cadence.writing(Instant::now(), batch.size(), batch.len());
        }
        // What the sink has not been given of `kept` yet.
        let mut written = 0;
        loop {
            if written < kept.len() || cadence.copy_is_due(Instant::now()) {
                let commit = cadence.copy_is_due(Instant::now());
                self.hand_over(progress, &mut kept, &mut written, commit).await?;
                if commit {
                    cadence.committed(Instant::now());
                    self.status.phase(Phase::Copying(tables.copying.clone()));
                }
                continue;
            }
            self.status.doing(Doing::Listening);
            let stream = self.stream.as_mut().expect("the stream was started before the copy");
            let stream_ended = stream.has_ended();
            let next = tokio::select! {
                biased;
                () = self.stop.asked() => {
                    if cadence.is_pending() {
                        self.hand_over(progress, &mut kept, &mut written, true).await?;
                    }
                    return Err(Halt::Stopped);
                }
                outcome = stream.ended(), if !stream_ended => {
                    // A stream that ended well has said why; that is heard when it is drained.
                    match outcome { Some(Err(_)) => return Err(self.take_failure().await.into()), _ => continue }
                }
                next = readers.next() => next,
                () = until(cadence.copy_deadline()) => continue,
            };
            let Some(copied) = next else { break };
            let Copied { batch, mark, room } = copied?;
            cadence.writing(Instant::now(), batch.size(), batch.len());
            let early = self.settings.is(Mutant::ChunkDoneEarly);
            let by_rows = self.settings.is(Mutant::BegunByRows);
            self.status.copied(&mark);
            tables.note(progress, &batch, &mark, early, by_rows, &mut kept)?;
            kept.push((batch, Some(room)));
        }
        tables.check_complete(progress)?;
        if cadence.is_pending() || progress.has_changed_tables() {
            self.hand_over(progress, &mut kept, &mut written, true).await?;
        }
        tracing::info!(rows = tables.copying.rows, "the copy is complete");
        Ok(())
    }

    /// Gives the sink what it has not been given of `kept`, and commits. A sink that fails for a while is given all of
    /// it again.
    async fn hand_over(
        &mut self,
        progress: &mut Progress<S::Position>,
        kept: &mut Kept,
        written: &mut usize,
        commit: bool,
    ) -> Result<(), Halt> {
        let phase = self.status.current();
        let mut pauses = Pauses::new(self.settings.backoff.clone());
        let mut failed = self.try_hand_over(progress, kept, written, commit).await.err();
        while let Some(failure) = failed {
            if failure.is_definite() {
                return Err(failure.into());
            }
            let pause = pauses.take(&mut self.settings.rng);
            self.pause(&failure, pause).await?;
            *written = 0;
            failed = self.recover_unchanged(progress).await?;
            if failed.is_none() {
                failed = self.try_hand_over(progress, kept, written, commit).await.err();
            }
            if failed.is_none() {
                self.status.phase(phase.clone());
            }
        }
        Ok(())
    }

    async fn try_hand_over(
        &mut self,
        progress: &mut Progress<S::Position>,
        kept: &mut Kept,
        written: &mut usize,
        commit: bool,
    ) -> Result<(), Failure> {
        if *written < kept.len() {
            self.status.doing(Doing::Writing);
            self.sink_is_clean = false;
        }
        while let Some((batch, _)) = kept.get(*written) {
            if !batch.is_empty() {
                self.sink.write(batch).await?;
                self.tally.count(batch);
            }
            *written += 1;
        }
        if commit {
            self.commit(progress).await?;
            kept.clear();
            *written = 0;
        }
        Ok(())
    }

    /// Readies the sink for another try, while the pin lives on.
    ///
    /// A sink whose recovery succeeds has found no other owner since its last one. The position must be where it was,
    /// or the rows kept here are not those that come behind it. Some: it did not recover.
    async fn recover_unchanged(
        &mut self,
        progress: &Progress<S::Position>,
    ) -> Result<Option<Failure>, Halt> {
        self.status.doing(Doing::Recovering);
        let stored = match unless_stopped(&mut self.stop, self.sink.recover()).await {
            Ok(stored) => stored.unwrap_or_default(),
            Err(Halt::Failed(failure)) => return Ok(Some(failure)),
            Err(halt) => return Err(halt),
        };
        if stored.resume().as_ref() != progress.at() || stored.intent != progress.intent() {
            let why = "the stored position is not the one this copy was pinned at";
            return Err(Failure::transient("moved", "recovering within a copy", why).into());
        }
        self.sink_is_clean = true;
        Ok(None)
    }

    /// Why the stream, which has failed, did so.
    async fn take_failure(&mut self) -> Failure {
        let stream = self.stream.take().expect("it has just failed");
        let (source, outcome) = stream.end().await;
        self.source = Some(source);
        match outcome {
            Some(Err(failure)) => failure,
            _ => Failure::transient("stopped", "holding the stream back", "it ended"),
        }
    }
}

/// Kept rows hold their room: they may take half of it, so that readers never wait for a commit that is not due.
fn limits(limits: &Limits) -> Limits {
    let most = limits.queue_bytes / 2;
    Limits { transaction_bytes: limits.transaction_bytes.min(most), ..limits.clone() }
}

impl Tables {
    fn new(tables: Vec<TableState>, truncated: BTreeSet<TableName>, of_bytes: Option<u64>) -> Self {
        let chunks = tables.iter().flat_map(|table| &table.copy.chunks);
        let copying = Copying {
            tables: tables.len(),
            chunks: chunks.clone().count(),
            chunks_done: chunks.filter(|chunk| chunk.done).count(),
            of_bytes,
            ..Copying::default()
        };
        let waiting = tables.into_iter().map(|table| (table.name.clone(), table)).collect();
        Self { waiting, truncated, copying }
    }

    /// A table without chunks has nothing to be read.
    fn finish_empty<P: Position>(&mut self, progress: &mut Progress<P>, kept: &mut Kept) {
        let empty = |table: &TableState| table.copy.chunks.iter().all(|chunk| chunk.done);
        let names: Vec<_> =
            self.waiting.values().filter(|table| empty(table)).map(|t| t.name.clone()).collect();
        for name in names {
            self.begin(progress, &name, None, false, kept);
            progress.change_table(&name, |table| *table = finished(table.clone()));
            self.copying.tables_done += 1;
        }
    }

    /// The first part of a table's copy goes into the running transaction, and with it that the table has begun.
    fn begin<P: Position>(
        &mut self,
        progress: &mut Progress<P>,
        name: &TableName,
        schema: Option<&Arc<Table>>,
        by_rows: bool,
        kept: &mut Kept,
    ) {
        let Some(mut table) = self.waiting.remove(name) else { return };
        if let Some(known) = progress.table(name).and_then(|known| known.schema.clone()) {
            table.schema = Some(known);
        }
        if self.truncated.remove(name)
            && let Some(schema) = schema.or(table.schema.as_ref())
        {
            kept.push((truncate(schema), None));
        }
        if !by_rows {
            table.copy.state = CopyState::Begun;
        }
        progress.set_table(table);
    }

    /// Takes note of a part of a chunk that goes into the running transaction.
    fn note<P: Position>(
        &mut self,
        progress: &mut Progress<P>,
        batch: &Batch,
        mark: &ChunkMark,
        early: bool,
        by_rows: bool,
        kept: &mut Kept,
    ) -> Result<(), Failure> {
        self.begin(progress, &mark.table, batch.tables().first(), by_rows, kept);
        progress.see(batch.tables());
        self.copying.rows += batch.len() as u64;
        self.copying.bytes += mark.bytes;
        self.copying.table = Some(mark.table.clone());
        let known = progress.table(&mark.table);
        match known.and_then(|table| table.copy.chunks.get(mark.chunk)) {
            Some(chunk) if !chunk.done => {}
            _ if early => return Ok(()),
            _ => return Err(fault(&mark.table, "a part of a chunk that is not to be read")),
        }
        if by_rows && mark.rows > 0 {
            progress.change_table(&mark.table, |table| table.copy.state = CopyState::Begun);
        }
        if !mark.last && !early {
            return Ok(());
        }
        progress.change_table(&mark.table, |table| {
            table.copy.chunks[mark.chunk].done = true;
            if table.copy.chunks.iter().all(|chunk| chunk.done) {
                *table = finished(table.clone());
            }
        });
        self.copying.chunks_done += 1;
        if progress.table(&mark.table).is_some_and(|t| t.copy.state == CopyState::Finished) {
            self.copying.tables_done += 1;
        }
        Ok(())
    }

    fn check_complete<P: Position>(&self, progress: &Progress<P>) -> Result<(), Failure> {
        let unread = progress.tables().values().find(|table| table.copy.state == CopyState::Begun);
        match self.waiting.keys().next().or(unread.map(|table| &table.name)) {
            Some(name) => Err(fault(name, "readers that ended before its last chunk")),
            None => Ok(()),
        }
    }
}

/// The table's topic begins anew: what it said before may have been deleted while nobody looked.
fn truncate(table: &Arc<Table>) -> Batch {
    let mut batch = Batch::new();
    batch.begin("", 0).finish();
    batch.row(table, Operation::Truncate, Place::default()).finish();
    batch
}

fn fault(table: &TableName, what: &str) -> Failure {
    Failure::definite("source-fault", "copying", format!("{table} has {what}"))
}
