//! What the health pages answer, told from the engine's status.
//!
//! A quiet source, a copy that waits for an old transaction and a broker that is down are all in order: the engine is
//! listening, pinning, or pausing before the next attempt. What is not in order is one step that does not end: each call
//! of a sink or source has a deadline of its own far below [`STEP_MAX`], so whoever is longer in one hangs.

use std::time::Duration;

use engine::{Doing, Phase, Status};
use serde::Serialize;
use tokio::time::Instant;

/// Far above every deadline of a single step.
pub(crate) const STEP_MAX: Duration = Duration::from_secs(180);

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Health {
    /// `healthz`: whether a restart of the process would help.
    #[serde(skip)]
    pub(crate) alive: bool,
    /// `readyz`: whether rows move, or would.
    #[serde(skip)]
    pub(crate) ready: bool,
    state: &'static str,
    doing: &'static str,
    for_s: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_commit_s: Option<u64>,
    /// Why the engine waits for its next attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

impl Health {
    pub(crate) fn of(status: &Status, now: Instant) -> Self {
        let since = now.saturating_duration_since(status.doing_since);
        let hangs = since > STEP_MAX && step_ends(status.doing) && !is_paused(&status.phase);
        let (state, code) = match &status.phase {
            _ if hangs => ("hung", None),
            Phase::Starting => ("starting", None),
            Phase::Copying(_) => ("copying", None),
            Phase::CatchingUp => ("catching-up", None),
            Phase::Streaming if status.doing == Doing::Listening => ("quiet", None),
            Phase::Streaming => ("streaming", None),
            Phase::Waiting { code, .. } => ("waiting", Some(*code)),
            Phase::Ended => ("ended", None),
        };
        let moves =
            matches!(status.phase, Phase::Copying(_) | Phase::CatchingUp | Phase::Streaming);
        Self {
            alive: !hangs,
            ready: moves && !hangs,
            state,
            doing: name(status.doing),
            for_s: since.as_secs(),
            last_commit_s: status
                .last_commit
                .map(|commit| now.saturating_duration_since(commit).as_secs()),
            code,
        }
    }
}

impl Health {
    pub(crate) fn is_quiet(&self) -> bool {
        self.state == "quiet"
    }
}

/// Listening ends when the source has something to say, pinning when older transactions of the source have ended.
fn step_ends(doing: Doing) -> bool {
    match doing {
        Doing::Recovering | Doing::Opening | Doing::Writing | Doing::Committing => true,
        Doing::Pinning | Doing::Listening | Doing::Pausing => false,
    }
}

fn is_paused(phase: &Phase) -> bool {
    matches!(phase, Phase::Waiting { .. } | Phase::Ended)
}

fn name(doing: Doing) -> &'static str {
    match doing {
        Doing::Recovering => "recovering",
        Doing::Opening => "opening",
        Doing::Pinning => "pinning",
        Doing::Listening => "listening",
        Doing::Writing => "writing",
        Doing::Committing => "committing",
        Doing::Pausing => "pausing",
    }
}

#[cfg(test)]
mod tests {
    use engine::Copying;

    use super::*;

    async fn check(phase: Phase, doing: Doing, for_s: u64, expected: (bool, bool, &str)) {
        let (_sender, receiver) = engine::status();
        let mut status = receiver.borrow().clone();
        status.phase = phase.clone();
        status.doing = doing;
        let now = status.doing_since + Duration::from_secs(for_s);
        let health = Health::of(&status, now);
        assert_eq!(
            (health.alive, health.ready, health.state),
            expected,
            "{phase:?} {doing:?} {for_s}"
        );
    }

    #[tokio::test]
    async fn quiet_is_told_from_hung() {
        let copying = || Phase::Copying(Copying::default());
        let waiting = || Phase::Waiting {
            code: "kafka-unreachable",
            reason: "no broker".into(),
            next_try: Instant::now(),
        };
        let hour = 3600;
        check(Phase::Starting, Doing::Recovering, 0, (true, false, "starting")).await;
        check(Phase::Starting, Doing::Recovering, hour, (false, false, "hung")).await;
        check(Phase::Starting, Doing::Opening, hour, (false, false, "hung")).await;
        check(Phase::Starting, Doing::Pinning, hour, (true, false, "starting")).await;
        check(copying(), Doing::Writing, 1, (true, true, "copying")).await;
        check(copying(), Doing::Listening, hour, (true, true, "copying")).await;
        check(copying(), Doing::Writing, hour, (false, false, "hung")).await;
        check(Phase::CatchingUp, Doing::Pinning, hour, (true, true, "catching-up")).await;
        check(Phase::Streaming, Doing::Listening, hour, (true, true, "quiet")).await;
        check(Phase::Streaming, Doing::Committing, 180, (true, true, "streaming")).await;
        check(Phase::Streaming, Doing::Committing, 181, (false, false, "hung")).await;
        check(waiting(), Doing::Pausing, hour, (true, false, "waiting")).await;
        check(waiting(), Doing::Writing, hour, (true, false, "waiting")).await;
        check(Phase::Ended, Doing::Committing, hour, (true, false, "ended")).await;
    }
}
