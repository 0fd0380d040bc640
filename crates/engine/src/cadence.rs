//! When a sink's transaction is closed. Pure: no waiting, the time is an argument.
//!
//! A transaction of the sink holds one or more whole transactions of the source. It is closed behind a commit of the
//! source, at the first of: so many bytes, so many messages, so old, or nothing more is queued. The last one makes
//! batches as large as the sink is slow (while it commits, the queue fills) without any timer to tune.
//!
//! A source transaction that stays open for half of the sink's own time-out is cut, where a mark allows it; else the
//! sink would throw it away, and again after every restart.
//!
//! Positions that move without rows are stored now and then only, or when the server waits for it.

use std::time::Duration;

use tokio::time::Instant;

use crate::Limits;

#[derive(Debug)]
pub(crate) struct Cadence {
    limits: Limits,
    /// When the first row was written that is not committed yet.
    began: Option<Instant>,
    bytes: usize,
    messages: usize,
    /// The last mark stood inside a source transaction.
    within: bool,
    /// The position moved without rows since the last commit.
    moved: bool,
    moved_bytes: u64,
    urgent: bool,
    committed: Instant,
    answered: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    No,
    /// At a source commit.
    Commit,
    /// Inside a source transaction.
    Cut,
}

impl Cadence {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            began: None,
            bytes: 0,
            messages: 0,
            within: false,
            moved: false,
            moved_bytes: 0,
            urgent: false,
            committed: now,
            answered: None,
        }
    }

    /// Something is about to be handed to the sink that only a commit makes visible.
    pub(crate) fn writing(&mut self, now: Instant, bytes: usize, messages: usize) {
        self.began.get_or_insert(now);
        self.bytes = self.bytes.saturating_add(bytes);
        self.messages = self.messages.saturating_add(messages);
    }

    pub(crate) fn marked_within(&mut self) {
        self.within = true;
    }

    /// `log_bytes`: how much log lies between the last stored position and this one, where the source can tell.
    pub(crate) fn marked_commit(&mut self, log_bytes: Option<u64>, urgent: bool) {
        self.within = false;
        self.moved = true;
        self.moved_bytes = log_bytes.unwrap_or(0);
        self.urgent |= urgent;
    }

    pub(crate) fn committed(&mut self, now: Instant) {
        if self.urgent && !self.within {
            self.answered = Some(now);
            self.urgent = false;
        }
        self.began = None;
        self.bytes = 0;
        self.messages = 0;
        self.moved = false;
        self.moved_bytes = 0;
        self.committed = now;
    }

    /// Since the first row that is not committed yet.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        self.began.map(|began| now.duration_since(began))
    }

    /// Rows were handed to the sink since the last commit.
    pub(crate) fn is_dirty(&self) -> bool {
        self.began.is_some()
    }

    /// There is something to store, rows or a position.
    pub(crate) fn is_pending(&self) -> bool {
        self.is_dirty() || self.moved
    }

    /// A commit now would store a place between two source transactions.
    pub(crate) fn is_whole(&self) -> bool {
        !self.within
    }

    pub(crate) fn due(&self, now: Instant, queue_is_empty: bool) -> Due {
        let Some(began) = self.began else {
            return if self.moved && !self.within && self.idle_is_due(now) {
                Due::Commit
            } else {
                Due::No
            };
        };
        let age = now.duration_since(began);
        if self.within {
            return if age >= self.limits.cut_after { Due::Cut } else { Due::No };
        }
        let full = self.bytes >= self.limits.transaction_bytes
            || self.messages >= self.limits.transaction_messages
            || age >= self.limits.transaction_age;
        if full || queue_is_empty { Due::Commit } else { Due::No }
    }

    fn idle_is_due(&self, now: Instant) -> bool {
        self.moved_bytes >= self.limits.idle_bytes
            || now >= self.committed + self.limits.idle_commit
            || (self.urgent && now >= self.urgent_from())
    }

    fn urgent_from(&self) -> Instant {
        self.answered.map_or(self.committed, |last| last + self.limits.urgent_commit)
    }

    /// When [`due`](Self::due) may say something else although nothing arrives.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if let Some(began) = self.began {
            return self.within.then(|| began + self.limits.cut_after);
        }
        if !self.moved || self.within {
            return None;
        }
        let idle = self.committed + self.limits.idle_commit;
        Some(if self.urgent { idle.min(self.urgent_from()) } else { idle })
    }

    /// For copied rows: any place will do, and nobody waits for them.
    pub(crate) fn copy_is_due(&self, now: Instant) -> bool {
        self.began.is_some_and(|began| {
            self.bytes >= self.limits.transaction_bytes
                || self.messages >= self.limits.transaction_messages
                || now >= began + self.limits.copy_age
        })
    }

    pub(crate) fn copy_deadline(&self) -> Option<Instant> {
        self.began.map(|began| began + self.limits.copy_age)
    }
}

/// A sleep that never ends when there is no deadline.
pub(crate) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ROWS: (usize, usize) = (100, 1);

    enum Step {
        Rows(usize, usize),
        Within,
        Commit,
        Idle(u64),
        Urgent,
        Committed,
        Wait(u64),
    }
    use Step::{Commit, Committed, Idle, Rows, Urgent, Wait, Within};

    /// Runs the steps, then asks with more in the queue and with none.
    fn check(steps: &[Step], with_more_queued: Due, with_empty_queue: Due) {
        let start = Instant::now();
        let mut now = start;
        let mut cadence = Cadence::new(Limits::default(), now);
        for step in steps {
            match step {
                Rows(bytes, messages) => cadence.writing(now, *bytes, *messages),
                Within => cadence.marked_within(),
                Commit => cadence.marked_commit(None, false),
                Idle(bytes) => cadence.marked_commit(Some(*bytes), false),
                Urgent => cadence.marked_commit(None, true),
                Committed => cadence.committed(now),
                Wait(millis) => now += Duration::from_millis(*millis),
            }
        }
        assert_eq!(cadence.due(now, false), with_more_queued, "more is queued");
        assert_eq!(cadence.due(now, true), with_empty_queue, "nothing is queued");
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_is_closed_only_behind_a_source_commit() {
        let rows = || Rows(ROWS.0, ROWS.1);
        check(&[], Due::No, Due::No);
        check(&[rows(), Commit], Due::No, Due::Commit);
        check(&[rows(), Within], Due::No, Due::No);
        check(&[rows(), Commit, rows(), Within], Due::No, Due::No);
        check(&[Rows(9 << 20, 1), Commit], Due::Commit, Due::Commit);
        check(&[Rows(1, 10_000), Commit], Due::Commit, Due::Commit);
        check(&[Rows(9 << 20, 20_000), Within], Due::No, Due::No);
        check(&[rows(), Commit, Wait(50)], Due::Commit, Due::Commit);
        check(&[rows(), Commit, Committed], Due::No, Due::No);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_transaction_is_cut_when_it_is_too_old() {
        let rows = || Rows(ROWS.0, ROWS.1);
        check(&[rows(), Within, Wait(29_999)], Due::No, Due::No);
        check(&[rows(), Within, Wait(30_000)], Due::Cut, Due::Cut);
        check(&[rows(), Within, Wait(30_000), Committed, Wait(1)], Due::No, Due::No);
        // Nothing of it was written: nothing is open in the sink.
        check(&[Within, Wait(60_000)], Due::No, Due::No);
        check(&[Idle(0), Within, Wait(60_000)], Due::No, Due::No);
    }

    #[tokio::test(start_paused = true)]
    async fn marks_without_rows_are_stored_now_and_then() {
        check(&[Idle(0)], Due::No, Due::No);
        check(&[Idle(0), Wait(9_999)], Due::No, Due::No);
        check(&[Idle(0), Wait(10_000)], Due::Commit, Due::Commit);
        check(&[Idle(16 << 20)], Due::Commit, Due::Commit);
        check(&[Urgent], Due::Commit, Due::Commit);
        check(&[Urgent, Committed, Urgent], Due::No, Due::No);
        check(&[Urgent, Committed, Urgent, Wait(1_000)], Due::Commit, Due::Commit);
        // Rows behind an idle mark: the usual rule.
        check(&[Idle(0), Rows(1, 1), Commit], Due::No, Due::Commit);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_when_the_answer_changes() {
        let now = Instant::now();
        let mut cadence = Cadence::new(Limits::default(), now);
        assert_eq!(cadence.deadline(), None);
        cadence.marked_commit(None, false);
        assert_eq!(cadence.deadline(), Some(now + Duration::from_secs(10)));
        cadence.marked_commit(None, true);
        assert_eq!(cadence.deadline(), Some(now));
        cadence.committed(now);
        cadence.marked_commit(None, true);
        assert_eq!(cadence.deadline(), Some(now + Duration::from_secs(1)));
        cadence.writing(now, 1, 1);
        cadence.marked_within();
        assert_eq!(cadence.deadline(), Some(now + Duration::from_secs(30)));
    }
}
