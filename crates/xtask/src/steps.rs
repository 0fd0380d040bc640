//! What a person sees while the automation works: one line a step, with its duration.
//!
//! Steps of one run may end on several threads; each prints its whole line at once.

use std::time::{Duration, Instant};

use crate::trouble::Result;

/// The printer of one run.
#[derive(Clone, Copy)]
pub(crate) struct Steps {
    begun: Instant,
}

impl Steps {
    pub(crate) fn begin() -> Self {
        Steps { begun: Instant::now() }
    }

    /// A line that belongs to no step.
    pub(crate) fn note(&self, text: &str) {
        eprintln!("{:>7} | {text}", seconds(self.begun.elapsed()));
    }

    /// Runs `work` and says, when it has ended, what it was and how long it took.
    pub(crate) fn step<T>(&self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        let result = work();
        let took = seconds(begun.elapsed());
        match &result {
            Ok(_) => self.note(&format!("{what} ({took})")),
            Err(_) => self.note(&format!("{what}: failed ({took})")),
        }
        result
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// A duration as people read it: `0.3 s`, `12.0 s`, `3 min 05 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole < 100 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}
