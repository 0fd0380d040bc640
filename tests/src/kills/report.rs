//! What a campaign found, for a person.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ledger::{Verdict, Violation};

#[derive(Debug, Default, Clone)]
pub struct Report {
    pub in_copy: usize,
    pub in_stream: usize,
    /// From a start to its first record in Kafka.
    pub recoveries: Vec<Duration>,
    pub records: usize,
    /// Records that a read_uncommitted consumer finds and a read_committed one does not.
    pub aborted: usize,
    pub changes: usize,
    pub positions_sampled: u64,
    pub verdict: Verdict,
    /// Violations of what was sampled while it ran.
    pub samples: Vec<String>,
}

impl Report {
    /// In the form that a person reads.
    pub fn figures(&self, elapsed: Duration) -> String {
        let mut recoveries = self.recoveries.clone();
        recoveries.sort();
        let percentile =
            |part: usize| recoveries.get(recoveries.len() * part / 100).or(recoveries.last());
        let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
        let seen = &self.verdict.figures;
        let kills = self.in_copy + self.in_stream;
        format!(
            "{kills} kills ({} in the copy, {} in the stream) in {:.0} s; start to first record p50 {:.2} s, max {:.2} s\n\
             {} records: {} copied ({} again), {} changes, {} tombstones; {} more were aborted\n\
             {} changes committed; {} rows compared by hash, {} not comparable yet; {} rows in the tables\n\
             {} positions sampled",
            self.in_copy,
            self.in_stream,
            elapsed.as_secs_f64(),
            seconds(percentile(50)),
            seconds(recoveries.last()),
            self.records,
            seen.copied,
            seen.copied_again,
            seen.streamed,
            seen.tombstones,
            self.aborted,
            self.changes,
            seen.hashes,
            seen.unknown,
            seen.rows,
            self.positions_sampled
        )
    }

    /// What was wrong, by kind, each with a few examples.
    pub fn complaints(&self) -> Vec<String> {
        let mut kinds: BTreeMap<String, Vec<&Violation>> = Default::default();
        for violation in &self.verdict.violations {
            let text = format!("{violation:?}");
            let kind = text.split([' ', '{']).next().unwrap_or(&text).to_owned();
            kinds.entry(kind).or_default().push(violation);
        }
        let told = kinds
            .into_iter()
            .map(|(kind, all)| format!("{} x {kind}: {:?}", all.len(), &all[..all.len().min(5)]));
        told.chain(self.samples.iter().take(5).cloned()).collect()
    }

    /// Adds another campaign's figures.
    pub fn add(&mut self, other: Report) {
        self.in_copy += other.in_copy;
        self.in_stream += other.in_stream;
        self.recoveries.extend(other.recoveries);
        self.records += other.records;
        self.aborted += other.aborted;
        self.changes += other.changes;
        self.positions_sampled += other.positions_sampled;
        self.samples.extend(other.samples);
        self.verdict.violations.extend(other.verdict.violations);
        let (mine, theirs) = (&mut self.verdict.figures, other.verdict.figures);
        mine.copied += theirs.copied;
        mine.copied_again += theirs.copied_again;
        mine.streamed += theirs.streamed;
        mine.tombstones += theirs.tombstones;
        mine.hashes += theirs.hashes;
        mine.unknown += theirs.unknown;
        mine.rows += theirs.rows;
    }
}
