//! What a run does when nothing is left to chance.

use std::time::Duration;

use connector::conformance::Step;
use connector::{CopyState, Failure};
use engine::{CopyMode, Ended, Phase, Settings, StatusReceiver, StopSender};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::task::JoinHandle;

use crate::broker::{MessageKind, Payload};
use crate::conformance::calm;
use crate::database::table_name;
use crate::sink::ModelSink;
use crate::source::ModelSource;
use crate::world::World;

struct Run {
    world: World,
    run: JoinHandle<Result<Ended, Failure>>,
    stop: StopSender,
    status: StatusReceiver,
}

fn start(world: &World, process: u64, change: impl FnOnce(&mut Settings)) -> Run {
    let source = ModelSource::new(world, process);
    let sink = ModelSink::new(world, process);
    let mut settings = Settings::new(StdRng::seed_from_u64(process));
    change(&mut settings);
    let (stop, stopped) = engine::stop();
    let (sender, status) = engine::status();
    let run = tokio::spawn(engine::run(source, sink, settings, sender, stopped));
    Run { world: world.clone(), run, stop, status }
}

impl Run {
    /// Waits until all is told.
    async fn settle(&self) {
        for _ in 0..100_000 {
            let done = {
                let state = self.world.lock();
                state.broker.stored.at.is_some_and(|at| at.0 == state.database.end)
            };
            if done {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it does not settle: {:?}", self.status.borrow());
    }

    async fn end(self) -> Result<Ended, Failure> {
        self.stop.stop();
        self.run.await.expect("no panic")
    }
}

/// Copied rows and other messages, and table states stored.
fn told(world: &World) -> (usize, usize, usize) {
    let state = world.lock();
    let mut told = (0, 0, 0);
    for record in state.broker.committed() {
        match &record.payload {
            Payload::Message(message) => match message.kind {
                MessageKind::Read { .. } => told.0 += 1,
                _ => told.1 += 1,
            },
            Payload::Checkpoint(checkpoint) => told.2 += checkpoint.changed.len(),
            _ => {}
        }
    }
    told
}

fn with_rows() -> World {
    let world = calm();
    world.lock().database.commit_steps(&[Step::Insert(0, 0..9), Step::Insert(1, 0..4)]);
    world
}

fn change(world: &World, key: u64) {
    world.lock().database.commit_steps(&[Step::Insert(0, key..key + 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_there_is_copied_and_what_comes_is_followed() {
    let world = with_rows();
    let run = start(&world, 1, |_| {});
    run.settle().await;
    change(&world, 20);
    run.settle().await;
    assert_eq!(run.status.borrow().phase, Phase::Streaming);
    let counters = run.status.borrow().counters;
    assert_eq!((counters.rows_copied, counters.changes, counters.transactions), (13, 1, 1));
    assert_eq!(run.end().await.expect("a good end"), Ended::Stopped);
    let (copied, streamed, _) = told(&world);
    assert_eq!((copied, streamed), (13, 1));
}

#[tokio::test(start_paused = true)]
async fn a_copy_alone_ends_by_itself_and_is_followed_later() {
    let world = with_rows();
    let run = start(&world, 1, |settings| settings.copy = CopyMode::Only);
    assert_eq!(run.run.await.expect("no panic").expect("a good end"), Ended::Copied);
    change(&world, 20);
    let again = start(&world, 2, |settings| settings.copy = CopyMode::Only);
    assert_eq!(again.run.await.expect("no panic").expect("a good end"), Ended::Copied);
    assert_eq!((told(&world).0, told(&world).1), (13, 0));
    let run = start(&world, 3, |_| {});
    run.settle().await;
    run.end().await.expect("a good end");
    assert_eq!((told(&world).0, told(&world).1), (13, 1));
    assert_eq!(world.lock().pins, 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_copy_only_changes_are_told() {
    let world = with_rows();
    let run = start(&world, 1, |settings| settings.copy = CopyMode::Never);
    run.settle().await;
    change(&world, 20);
    run.settle().await;
    run.end().await.expect("a good end");
    assert_eq!((told(&world).0, told(&world).1), (0, 1));
    let state = world.lock();
    let table = &state.broker.stored.tables[&table_name("t0")];
    assert_eq!(table.copy.state, CopyState::Finished);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_for_a_while_does_not_cost_the_pin() {
    let world = with_rows();
    world.lock().character.long_copy = true;
    let run = start(&world, 1, |_| {});
    let mut status = run.status.clone();
    let copying = |status: &engine::Status| matches!(status.phase, Phase::Copying(_));
    status.wait_for(copying).await.expect("it copies");
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.lock().failing = 5;
    let waiting = |status: &engine::Status| matches!(status.phase, Phase::Waiting { .. });
    status.wait_for(waiting).await.expect("it notices");
    run.settle().await;
    change(&world, 20);
    run.settle().await;
    run.end().await.expect("a good end");
    let (copied, streamed, _) = told(&world);
    assert_eq!((copied, streamed), (13, 1), "every row is told once, although written twice");
    assert_eq!(world.lock().pins, 1, "the pin lived on");
}

#[tokio::test(start_paused = true)]
async fn a_restart_stores_no_table_again() {
    let world = with_rows();
    let run = start(&world, 1, |_| {});
    run.settle().await;
    change(&world, 20);
    run.settle().await;
    run.end().await.expect("a good end");
    let before = told(&world).2;
    for process in 2..5 {
        let run = start(&world, process, |_| {});
        change(&world, 20 + process);
        run.settle().await;
        run.end().await.expect("a good end");
    }
    assert_eq!(told(&world).2, before);
}

#[tokio::test(start_paused = true)]
async fn an_idle_log_is_stored_now_and_then() {
    let world = with_rows();
    let run = start(&world, 1, |_| {});
    run.settle().await;
    let commits = run.status.borrow().counters.commits;
    for _ in 0..600 {
        world.lock().database.end += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let more = run.status.borrow().counters.commits - commits;
    assert!((5..=61).contains(&more), "{more} commits in a minute without a row");
    run.end().await.expect("a good end");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_can_be_stopped() {
    let world = with_rows();
    world.lock().failing = u32::MAX;
    let run = start(&world, 1, |_| {});
    tokio::time::sleep(Duration::from_secs(100)).await;
    let status = run.status.borrow().clone();
    assert!(matches!(status.phase, Phase::Waiting { code: "link", .. }), "{status:?}");
    assert!(status.counters.retries > 3);
    assert_eq!(run.end().await.expect("a good end"), Ended::Stopped);
}
