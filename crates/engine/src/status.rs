//! What the running engine says of itself: for the progress bar, the health page, the metrics. Never needed by it.

use std::sync::Arc;

use change::{Batch, TableName};
use connector::{ChunkMark, Failure};
use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    pub phase: Phase,
    /// What the engine is waiting for at this moment, and since when: one that waits for the source is quiet, one
    /// that waits long for the sink hangs.
    pub doing: Doing,
    pub doing_since: Instant,
    /// When something was last made durable.
    pub last_commit: Option<Instant>,
    /// The stored position in the source's own words.
    pub position: Option<Arc<str>>,
    /// Commit time, by the source's clock, of the last transaction that was made durable: microseconds since 1970
    /// UTC. The lag is the wall clock minus this, while rows arrive.
    pub committed_at: Option<i64>,
    /// As `committed_at`, handed to the sink and not durable yet.
    pub written_at: Option<i64>,
    pub counters: Counters,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Recovering the stored position, connecting, comparing.
    Starting,
    Copying(Copying),
    /// A copy was interrupted or a table was added: the log is followed up to the new pin before copying goes on.
    CatchingUp,
    Streaming,
    /// A failure that may pass; the next attempt comes at `next_try`.
    Waiting {
        code: &'static str,
        reason: Arc<str>,
        next_try: Instant,
    },
    Ended,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copying {
    pub tables: usize,
    pub tables_done: usize,
    pub chunks: usize,
    pub chunks_done: usize,
    /// Since this attempt began.
    pub rows: u64,
    pub bytes: u64,
    /// What the readers expect to read in this attempt, where they can tell.
    pub of_bytes: Option<u64>,
    /// The table of the last batch.
    pub table: Option<TableName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    Recovering,
    Opening,
    Pinning,
    /// Nothing to do: the source is quiet.
    Listening,
    Writing,
    Committing,
    Pausing,
}

/// Since the process began; what was thrown away and done again counts twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    pub rows_copied: u64,
    pub changes: u64,
    pub transactions: u64,
    pub bytes: u64,
    pub commits: u64,
    /// Source transactions cut by the time limit.
    pub cuts: u64,
    pub retries: u64,
}

#[derive(Debug)]
pub struct StatusSender(watch::Sender<Status>);

pub type StatusReceiver = watch::Receiver<Status>;

pub fn status() -> (StatusSender, StatusReceiver) {
    let (sender, receiver) = watch::channel(Status {
        phase: Phase::Starting,
        doing: Doing::Recovering,
        doing_since: Instant::now(),
        last_commit: None,
        position: None,
        committed_at: None,
        written_at: None,
        counters: Counters::default(),
    });
    (StatusSender(sender), receiver)
}

impl StatusSender {
    fn update(&self, change: impl FnOnce(&mut Status)) {
        self.0.send_modify(change);
    }

    pub(crate) fn phase(&self, phase: Phase) {
        self.update(|status| status.phase = phase);
    }

    pub(crate) fn current(&self) -> Phase {
        self.0.borrow().phase.clone()
    }

    pub(crate) fn doing(&self, doing: Doing) {
        self.0.send_if_modified(|status| {
            let is_new = status.doing != doing;
            if is_new {
                status.doing = doing;
                status.doing_since = Instant::now();
            }
            is_new
        });
    }

    pub(crate) fn waiting(&self, failure: &Failure, next_try: Instant) {
        let reason = failure.source.to_string().into();
        self.update(|status| {
            status.phase = Phase::Waiting { code: failure.code, reason, next_try };
            status.doing = Doing::Pausing;
            status.doing_since = Instant::now();
            status.counters.retries += 1;
        });
    }

    pub(crate) fn stored(&self, position: String) {
        self.update(|status| status.position = Some(position.into()));
    }

    pub(crate) fn committed(&self) {
        self.update(|status| {
            status.last_commit = Some(Instant::now());
            status.counters.commits += 1;
            if let Some(at) = status.written_at.take() {
                status.committed_at = Some(at);
            }
        });
    }

    pub(crate) fn streamed(&self, batch: &Batch) {
        let ended = batch.transactions().filter(|transaction| transaction.end().is_some()).count();
        let last = batch.transactions().last().map(|transaction| transaction.committed_at());
        self.update(|status| {
            status.written_at = last.or(status.written_at);
            let counters = &mut status.counters;
            counters.changes += batch.len() as u64;
            counters.transactions += ended as u64;
            counters.bytes += batch.size() as u64;
        });
    }

    pub(crate) fn copied(&self, mark: &ChunkMark) {
        self.update(|status| {
            status.counters.rows_copied += mark.rows;
            status.counters.bytes += mark.bytes;
        });
    }

    pub(crate) fn cut(&self) {
        self.update(|status| status.counters.cuts += 1);
    }
}
