//! The models keep the contract: what the simulation proves, it proves for sources and sinks that keep it too.

use change::TableName;
use connector::conformance::{SinkBench, SourceBench, Step, check_sink, check_source};

use crate::broker::{MessageKind, Payload};
use crate::database::{Lsn, table_name};
use crate::sink::ModelSink;
use crate::source::ModelSource;
use crate::world::World;

struct Bench {
    world: World,
    processes: u64,
}

impl Bench {
    fn new() -> Self {
        Self { world: calm(), processes: 0 }
    }

    fn process(&mut self) -> u64 {
        self.processes += 1;
        self.processes
    }
}

pub(crate) fn calm() -> World {
    let world = World::new(1, None);
    let mut state = world.lock();
    state.faults = false;
    state.character.long_copy = false;
    state.character.slow_claims = false;
    state.database.empty(2);
    drop(state);
    world
}

impl SinkBench for Bench {
    type Sink = ModelSink;

    async fn fresh(&mut self) {
        self.world = calm();
    }

    async fn sink(&mut self) -> ModelSink {
        let process = self.process();
        ModelSink::new(&self.world, process)
    }

    fn position(&self, n: u64) -> Lsn {
        Lsn(n)
    }

    async fn visible(&mut self) -> Option<Vec<u64>> {
        let state = self.world.lock();
        let keys = state.broker.committed().filter_map(|record| match &record.payload {
            Payload::Message(message) => match message.kind {
                MessageKind::Insert { key, .. } => Some(key),
                _ => None,
            },
            _ => None,
        });
        Some(keys.collect())
    }
}

impl SourceBench for Bench {
    type Source = ModelSource;

    async fn fresh(&mut self) -> [TableName; 2] {
        self.world = calm();
        ["t0", "t1"].map(table_name)
    }

    async fn source(&mut self) -> ModelSource {
        let process = self.process();
        ModelSource::new(&self.world, process)
    }

    async fn commit(&mut self, steps: &[Step]) {
        let mut state = self.world.lock();
        state.database.commit_steps(steps);
    }
}

#[tokio::test(start_paused = true)]
async fn the_model_sink_keeps_the_contract() {
    check_sink(&mut Bench::new()).await;
}

#[tokio::test(start_paused = true)]
async fn the_model_source_keeps_the_contract() {
    check_source(&mut Bench::new()).await;
}
