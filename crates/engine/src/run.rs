//! Crash-only: every attempt begins with what is stored, and whatever fails throws away all that is in memory.
//!
//! ```text
//!        +--> recover -> open -> plan -> pin, catch up, copy -> follow --+   asked to stop: Ended
//!        |                        ^                                      |
//!        |                        +---------- tables changed ------------+
//!        +--- pause <--- transient failure, of anything
//!                        definite failure -> prove ownership -> stop with its code
//! ```
//! There is one path back, so it is walked often and tested by every fault. A failure that may pass never ends a run;
//! one that rests on what was read ends it only after a commit has proved that nobody took over meanwhile: a process
//! that slept through its replacement judges by positions that are no longer true.

use std::sync::Arc;

use connector::{Checkpoint, Failure, Position, Sink, Source, Stored};
use tokio::time::Instant;

use crate::backoff::Pauses;
use crate::halt::{Halt, unless_stopped};
use crate::mutant::Mutant;
use crate::progress::Progress;
use crate::stream::Stream;
use crate::tally::Tally;
use crate::{Doing, Phase, Settings, StatusSender, Stop};

/// Why a run ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Asked to, through [`Stop`].
    Stopped,
    /// [`CopyMode::Only`](crate::CopyMode::Only), and the copy is done.
    Copied,
}

/// Copies and follows until asked to stop or until going on would be wrong.
///
/// Dropping the future at any point is a crash like any other: the next run goes on from what is stored.
pub async fn run<S, K>(
    source: S,
    sink: K,
    settings: Settings,
    status: StatusSender,
    stop: Stop,
) -> Result<Ended, Failure>
where
    S: Source + 'static,
    K: Sink<Position = S::Position> + 'static,
{
    let pauses = Pauses::new(settings.backoff.clone());
    let mut engine = Engine {
        source: Some(source),
        sink,
        stream: None,
        settings,
        status,
        tally: Tally::default(),
        stop,
        last: None,
        sink_is_clean: false,
        has_progressed: false,
    };
    let ended = Box::pin(engine.run(pauses)).await;
    engine.status.phase(Phase::Ended);
    ended
}

/// What lives as long as the process; all else belongs to one attempt.
pub(crate) struct Engine<S: Source, K> {
    /// None while the stream's task has it.
    pub(crate) source: Option<S>,
    pub(crate) sink: K,
    pub(crate) stream: Option<Stream<S>>,
    pub(crate) settings: Settings,
    pub(crate) status: StatusSender,
    pub(crate) tally: Tally,
    pub(crate) stop: Stop,
    /// What is stored, as far as this attempt knows; None before it has recovered.
    last: Option<Checkpoint<S::Position>>,
    /// Nothing was handed to the sink since its last commit or recovery.
    pub(crate) sink_is_clean: bool,
    has_progressed: bool,
}

impl<S, K> Engine<S, K>
where
    S: Source + 'static,
    K: Sink<Position = S::Position> + 'static,
{
    async fn run(&mut self, mut pauses: Pauses) -> Result<Ended, Failure> {
        loop {
            let mut outcome = Box::pin(self.attempt()).await;
            self.end_stream().await;
            if let Err(Halt::Failed(failure)) = &outcome
                && failure.rests_on_what_was_read()
                && !self.settings.is(Mutant::StopWithoutProof)
                && let Err(unproven) = Box::pin(self.prove_ownership()).await
            {
                tracing::warn!(code = failure.code, "a stop could not be proved: looking again");
                outcome = Err(Halt::Failed(unproven));
            }
            let failure = match outcome {
                Ok(ended) => return Ok(ended),
                Err(Halt::Stopped) => return Ok(Ended::Stopped),
                Err(Halt::Again) if std::mem::take(&mut self.has_progressed) => continue,
                Err(Halt::Again) => {
                    let why = "the source began again and nothing came of it";
                    Failure::transient("reopen", "following the log", why)
                }
                Err(Halt::Failed(failure)) if failure.is_definite() => return Err(failure),
                Err(Halt::Failed(failure)) => failure,
            };
            if std::mem::take(&mut self.has_progressed) {
                pauses.calm();
            }
            let pause = pauses.take(&mut self.settings.rng);
            if self.pause(&failure, pause).await.is_err() {
                return Ok(Ended::Stopped);
            }
        }
    }

    /// Waits before the next attempt, aloud.
    pub(crate) async fn pause(
        &mut self,
        failure: &Failure,
        pause: std::time::Duration,
    ) -> Result<(), Halt> {
        tracing::warn!(
            code = failure.code,
            doing = failure.doing,
            reason = %failure.source,
            pause_ms = pause.as_millis(),
            "trying again"
        );
        metrics::counter!("afterimage_retries_total", "code" => failure.code).increment(1);
        self.status.waiting(failure, Instant::now() + pause);
        unless_stopped(&mut self.stop, async {
            tokio::time::sleep(pause).await;
            Ok(())
        })
        .await
    }

    /// From what is stored to the end of the run or the first failure.
    async fn attempt(&mut self) -> Result<Ended, Halt> {
        self.last = None;
        self.sink_is_clean = false;
        self.status.phase(Phase::Starting);
        self.status.doing(Doing::Recovering);
        let stored = unless_stopped(&mut self.stop, self.sink.recover()).await?;
        self.sink_is_clean = true;
        // A claim without an intent or a position says only that somebody was here.
        let stored = stored.filter(|stored| stored.intent.is_some() || stored.at.is_some());
        self.remember(stored.as_ref().map_or_else(nothing, checkpoint_of));
        self.status.doing(Doing::Opening);
        let source = self.source.as_mut().expect("no stream runs before an attempt");
        let identity = unless_stopped(&mut self.stop, source.open(stored.as_ref())).await?;
        let mut progress = Progress::new(stored.unwrap_or_default(), identity);
        Box::pin(self.advance(&mut progress)).await
    }

    /// Makes what was written, and `progress`, durable.
    pub(crate) async fn commit(
        &mut self,
        progress: &mut Progress<S::Position>,
    ) -> Result<(), Failure> {
        self.status.doing(Doing::Committing);
        let began = Instant::now();
        let checkpoint = progress.checkpoint();
        if let (Some(stored), Some(next)) = (self.stored_at(), &checkpoint.at)
            && !next.from.covers(stored)
        {
            let why = format!("{} does not cover {}", next.from.text(), stored.text());
            return Err(Failure::definite("source-fault", "storing a position", why));
        }
        if self.settings.is(Mutant::ConfirmBeforeCommit) {
            self.confirm(&checkpoint);
        }
        self.sink_is_clean = false;
        if self.settings.is(Mutant::PositionLater)
            && let Some(last) = &self.last
        {
            self.sink.commit(last).await?;
        }
        self.sink.commit(&checkpoint).await?;
        self.sink_is_clean = true;
        // An intent alone is no progress: failing to pin must not be repeated in a hurry.
        self.has_progressed |= checkpoint.at.is_some();
        progress.committed();
        self.confirm(&checkpoint);
        metrics::histogram!("afterimage_commit_seconds").record(began.elapsed().as_secs_f64());
        metrics::counter!("afterimage_commits_total").increment(1);
        self.status.committed();
        self.remember(checkpoint);
        Ok(())
    }

    /// Lets the source confirm to its server what is stored, never more.
    fn confirm(&self, stored: &Checkpoint<S::Position>) {
        if let (Some(stream), Some(at)) = (&self.stream, &stored.at) {
            stream.confirm(at.from.clone());
        }
    }

    pub(crate) fn stored_at(&self) -> Option<&S::Position> {
        self.last.as_ref().and_then(|last| last.at.as_ref()).map(|at| &at.from)
    }

    fn remember(&mut self, mut stored: Checkpoint<S::Position>) {
        stored.changed = Vec::new();
        if let Some(at) = &stored.at {
            self.status.stored(at.from.text());
        }
        self.last = Some(stored);
    }

    /// Commits what is stored once more, with nothing else: only the owner can.
    ///
    /// Without a recovered state there is nothing to commit: a sink that stops while it recovers has committed its
    /// claim, or could not read and must not write.
    async fn prove_ownership(&mut self) -> Result<(), Failure> {
        let Some(last) = self.last.take() else { return Ok(()) };
        self.status.doing(Doing::Committing);
        if !self.sink_is_clean {
            let stored = self.sink.recover().await.map_err(unproven)?.unwrap_or_default();
            if stored.resume() != last.at || stored.intent != last.intent {
                return Err(unproven("the stored position is not the one that was judged"));
            }
        }
        self.sink.commit(&last).await.map_err(unproven)
    }
}

fn checkpoint_of<P: Position>(stored: &Stored<P>) -> Checkpoint<P> {
    Checkpoint {
        identity: Arc::new(stored.identity.clone()),
        intent: stored.intent,
        at: stored.resume(),
        changed: Vec::new(),
    }
}

fn nothing<P: Position>() -> Checkpoint<P> {
    checkpoint_of(&Stored::default())
}

/// The next attempt begins with the sink's recovery, which knows whether somebody took over.
fn unproven(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::transient("unproven", "proving that the position is still ours", source)
}
