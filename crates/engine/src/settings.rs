use std::time::Duration;

use rand::rngs::StdRng;

use crate::mutant::Mutant;

/// How a connector runs. Everything has a default but the source of chance.
#[derive(Debug)]
pub struct Settings {
    pub copy: CopyMode,
    pub readd: Readd,
    pub limits: Limits,
    pub backoff: Backoff,
    /// Names copies and spreads retries; seeded by the caller so that a run can be repeated.
    pub rng: StdRng,
    #[cfg(feature = "mutants")]
    pub mutant: Option<Mutant>,
}

impl Settings {
    pub fn new(rng: StdRng) -> Self {
        Self {
            copy: CopyMode::default(),
            readd: Readd::default(),
            limits: Limits::default(),
            backoff: Backoff::default(),
            rng,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// Whether a rule is left out on purpose; never in what is delivered.
    #[cfg(feature = "mutants")]
    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn is(&self, _: Mutant) -> bool {
        false
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopyMode {
    /// Every table is copied once, then followed.
    #[default]
    Initial,
    /// Followed from now on; what is there already is never read.
    Never,
    /// Copied, then the run ends. A later run with another mode goes on from there.
    Only,
}

/// What to do with a table that was captured, was left out, and is captured again: its topic holds rows that may have
/// been deleted meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Readd {
    /// Stop with `table-has-history`.
    #[default]
    Stop,
    /// Send a truncate with the first copied rows.
    Truncate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Rows between the source and the engine, while streaming and while copying.
    pub queue_bytes: usize,
    /// A sink's transaction is closed at the first source commit behind any of these three.
    pub transaction_bytes: usize,
    pub transaction_messages: usize,
    pub transaction_age: Duration,
    /// A source transaction that is open in the sink for this long is cut: half of the sink's own time-out.
    pub cut_after: Duration,
    /// A position that moves without rows is stored this often, or behind so much log.
    pub idle_commit: Duration,
    pub idle_bytes: u64,
    /// An idle mark that the server waits for is committed at once, but not more often than this.
    pub urgent_commit: Duration,
    /// A transaction of copied rows is closed at the latest after this long.
    pub copy_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_bytes: 16 << 20,
            transaction_bytes: 8 << 20,
            transaction_messages: 10_000,
            transaction_age: Duration::from_millis(50),
            cut_after: Duration::from_secs(30),
            idle_commit: Duration::from_secs(10),
            idle_bytes: 16 << 20,
            urgent_commit: Duration::from_secs(1),
            copy_age: Duration::from_secs(1),
        }
    }
}

/// Pauses between attempts: doubled each time up to `most`, a random part of each taken off, `first` again once
/// something was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(200), most: Duration::from_secs(30) }
    }
}
