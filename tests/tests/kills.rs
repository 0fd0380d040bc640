//! SIGKILL at random times, in the copy and in the stream; then every committed change must be in Kafka exactly once, every
//! row copied and never older than what its key already says, and the fold of the topics equal to the tables.
//!
//! `AFTERIMAGE_KILLS` (8 when not set) says how often, `AFTERIMAGE_SEED` repeats the times of a run.

use std::time::Duration;

use e2e::kills::{self, Plan};
use e2e::stack::Stack;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_time_nothing_is_lost_doubled_or_disordered() {
    let stack = Stack::from_environment().unwrap_or_else(|error| panic!("{error}"));
    let kills = number("AFTERIMAGE_KILLS").unwrap_or(8) as usize;
    let seed = number("AFTERIMAGE_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("AFTERIMAGE_SEED={seed}");
    let kills_in_copy = kills.div_ceil(2);
    // About 300 bytes a row over two sessions: what is copied between two kills, so that the copy outlives its share.
    let slow = 300_000;
    let rows = 4_000 * 3 * kills_in_copy as i64;
    let plan = Plan {
        kills,
        kills_in_copy,
        rows: rows.max(20_000),
        slow,
        writers: 3,
        partitions: 3,
        seed,
        config: toml::from_str("format.transactions = true").unwrap(),
    };
    let begun = kills::now();
    let report = kills::campaign(&stack, &plan).await.unwrap_or_else(|error| panic!("{error}"));
    println!("{}", report.figures(begun.elapsed()));
    let complaints = report.complaints();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let least = kills * 15 / 100;
    assert!(report.in_copy >= least && report.in_stream >= least, "too few kills of one kind");
    assert!(report.positions_sampled > 0, "no position was sampled");
    assert!(begun.elapsed() > Duration::ZERO);
}
