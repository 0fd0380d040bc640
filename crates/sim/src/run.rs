//! One seed: a workload, faults, then quiet, and what must be true in the end.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use connector::{CopyState, Failure};
use engine::{Backoff, CopyMode, Ended, Limits, Readd, Settings, StopSender};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::check;
use crate::mutant::Mutant;
use crate::sink::ModelSink;
use crate::source::ModelSource;
use crate::world::{ProcessId, World};

/// Virtual time that everything may take once the faults have ended.
const PATIENCE: Duration = Duration::from_secs(900);

#[derive(Debug, Default)]
pub struct Report {
    pub seed: u64,
    pub violations: Vec<String>,
    pub crashes: u64,
    pub starts: u64,
    pub transactions: u64,
    pub messages: u64,
    pub cuts: u64,
    pub steps: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} breaks the protocol:", self.seed)?;
        for violation in self.violations.iter().take(8) {
            writeln!(f, "  {violation}")?;
        }
        write!(
            f,
            "replay: AFTERIMAGE_SIM_SEED={} cargo test -p sim one_seed -- --nocapture",
            self.seed
        )
    }
}

struct Running {
    id: ProcessId,
    run: JoinHandle<Result<Ended, Failure>>,
    stop: StopSender,
    /// Another process lived at the same time.
    had_company: bool,
}

struct Drive {
    world: World,
    running: Vec<Running>,
    next: ProcessId,
    copy: CopyMode,
    /// A table was left out and taken in again.
    readded: bool,
    /// Tables that were ever left out.
    left_out: BTreeSet<String>,
    report: Report,
}

/// Runs one seed to its end, in virtual time.
pub fn simulate(seed: u64, mutant: Option<Mutant>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without IO needs nothing");
    runtime.block_on(drive(seed, mutant))
}

async fn drive(seed: u64, mutant: Option<Mutant>) -> Report {
    let world = World::new(seed, mutant);
    let copy = if world.chance(0.1) { CopyMode::Never } else { CopyMode::Initial };
    let truncate_readded = world.chance(0.5);
    world.lock().config.truncate_readded = truncate_readded;
    let mut drive = Drive {
        world,
        running: Vec::new(),
        next: 1,
        copy,
        readded: false,
        left_out: BTreeSet::new(),
        report: Report { seed, ..Report::default() },
    };
    drive.chaos().await;
    drive.quiet().await;
    drive.end().await;
    let state = drive.world.lock();
    let mut report = drive.report;
    report.violations.extend(state.violations.iter().cloned());
    report.transactions = state.database.transactions;
    report.messages = state.broker.committed().count() as u64;
    report.steps = state.steps;
    report
}

impl Drive {
    async fn chaos(&mut self) {
        let end = Instant::now() + self.duration(20_000..90_000);
        while Instant::now() < end && self.report.violations.is_empty() {
            if self.running.is_empty() && self.world.chance(0.6) {
                self.start();
            }
            let pause = self.duration(0..1_500);
            tokio::select! {
                biased;
                () = self.world.blown.notified() => {}
                () = tokio::time::sleep(pause) => self.something_happens().await,
            }
            self.reap().await;
        }
    }

    async fn something_happens(&mut self) {
        let what = self.world.lock().rng.random_range(0..100);
        match what {
            // The weights: half of it is work, the other half trouble.
            0..45 => self.transact(6),
            45..50 => self.transact(40),
            50..58 => self.idle(),
            58..62 => self.rewrite(),
            62..65 => self.alter(),
            65..67 => self.create_table(),
            67..76 => self.kill().await,
            76..84 => self.light_fuse(),
            84..89 => self.put_to_sleep(),
            89..92 => self.start(),
            92..94 => self.stop_one(),
            94..98 => self.reconfigure().await,
            _ => {
                let mut state = self.world.lock();
                state.config.messages = !state.config.messages;
            }
        }
    }

    fn transact(&self, most: usize) {
        let mut state = self.world.lock();
        let state = &mut *state;
        state.database.transact(&mut state.rng, most);
    }

    fn idle(&self) {
        let mut state = self.world.lock();
        let state = &mut *state;
        state.database.idle(&mut state.rng);
    }

    fn a_table(&self) -> String {
        let mut state = self.world.lock();
        let tables = state.database.tables.len();
        format!("t{}", state.rng.random_range(0..tables))
    }

    fn rewrite(&self) {
        let table = self.a_table();
        let mut state = self.world.lock();
        let state = &mut *state;
        let truncate = state.rng.random_bool(0.4);
        state.database.rewrite(&mut state.rng, &table, truncate);
    }

    fn alter(&self) {
        let table = self.a_table();
        self.world.lock().database.alter(&table);
    }

    fn create_table(&self) {
        let mut state = self.world.lock();
        let state = &mut *state;
        if state.database.tables.len() < 6 {
            state.database.create_table(&mut state.rng);
        }
    }

    fn one(&self) -> Option<usize> {
        let count = self.running.len();
        (count > 0).then(|| self.world.lock().rng.random_range(0..count))
    }

    async fn kill(&mut self) {
        if let Some(index) = self.one() {
            self.kill_at(index).await;
        }
    }

    async fn kill_at(&mut self, index: usize) {
        let process = self.running.swap_remove(index);
        process.run.abort();
        let _ = process.run.await;
        self.report.crashes += 1;
        if self.world.lock().character.long_copy && self.world.chance(0.2) {
            self.rewrite();
        }
    }

    fn light_fuse(&self) {
        if let Some(index) = self.one() {
            let mut state = self.world.lock();
            let steps = state.rng.random_range(1..120);
            state.light_fuse(self.running[index].id, steps);
        }
    }

    fn put_to_sleep(&mut self) {
        if let Some(index) = self.one() {
            let until = Instant::now() + self.duration(100..40_000);
            self.world.lock().put_to_sleep(self.running[index].id, until);
            if self.world.chance(0.6) {
                self.start();
            }
        }
    }

    fn stop_one(&self) {
        if let Some(index) = self.one() {
            self.running[index].stop.stop();
        }
    }

    /// A table is left out, or taken in again, with the next start.
    async fn reconfigure(&mut self) {
        let table = self.a_table();
        self.leave_out_or_take_in(table);
        self.kill_all().await;
    }

    fn leave_out_or_take_in(&mut self, table: String) {
        let left_out = &mut self.world.lock().config.left_out;
        if left_out.remove(&table) {
            self.readded = true;
        } else {
            self.left_out.insert(table.clone());
            left_out.insert(table);
        }
    }

    async fn kill_all(&mut self) {
        while !self.running.is_empty() {
            self.kill_at(0).await;
        }
    }

    fn duration(&self, millis: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.world.lock().rng.random_range(millis))
    }

    fn start(&mut self) {
        let id = self.next;
        self.next += 1;
        self.report.starts += 1;
        let source = ModelSource::new(&self.world, id);
        let sink = ModelSink::new(&self.world, id);
        let settings = self.settings();
        let (stop, stopped) = engine::stop();
        let (status, _) = engine::status();
        let run = tokio::spawn(engine::run(source, sink, settings, status, stopped));
        for other in &mut self.running {
            other.had_company = true;
        }
        let had_company = !self.running.is_empty();
        self.running.push(Running { id, run, stop, had_company });
    }

    fn settings(&self) -> Settings {
        let mut state = self.world.lock();
        let seed = state.rng.random();
        let mut settings = Settings::new(StdRng::seed_from_u64(seed));
        settings.copy = self.copy;
        if state.faults && state.rng.random_bool(0.05) && self.copy == CopyMode::Initial {
            settings.copy = CopyMode::Only;
        }
        settings.readd = if state.config.truncate_readded { Readd::Truncate } else { Readd::Stop };
        // Long pauses would hide that two processes shut each other out for ever.
        let most = if state.character.slow_claims { 200 } else { 5_000 };
        settings.backoff =
            Backoff { first: Duration::from_millis(100), most: Duration::from_millis(most) };
        settings.limits = Limits {
            queue_bytes: 4_000,
            transaction_bytes: 2_000,
            transaction_messages: 12,
            cut_after: Duration::from_millis(700),
            idle_bytes: 200,
            copy_age: Duration::from_millis(300),
            ..Limits::default()
        };
        #[cfg(feature = "mutants")]
        {
            settings.mutant = match state.mutant {
                Some(Mutant::Engine(mutant)) => Some(mutant),
                // The engine would notice.
                Some(Mutant::ChunksRecomputed | Mutant::RewriteIgnored) => {
                    Some(engine::Mutant::PlanUnchecked)
                }
                _ => None,
            };
        }
        settings
    }

    /// Ends what has blown and looks at what has ended.
    async fn reap(&mut self) {
        let mut index = 0;
        while index < self.running.len() {
            let id = self.running[index].id;
            if self.world.lock().processes.get(&id).is_some_and(|process| process.dead) {
                self.kill_at(index).await;
            } else if self.running[index].run.is_finished() {
                let process = self.running.swap_remove(index);
                self.judge(process).await;
            } else {
                index += 1;
            }
        }
    }

    async fn judge(&mut self, process: Running) {
        let failure = match process.run.await {
            Ok(Ok(_)) => return,
            Ok(Err(failure)) => failure,
            Err(panicked) => {
                self.report.violations.push(format!("a process panicked: {panicked}"));
                return;
            }
        };
        match failure.code {
            "fenced" if process.had_company => {}
            "table-has-history" if self.readded => {
                // As its text says: it stays left out.
                let mut state = self.world.lock();
                let text = failure.source.to_string();
                let named: Vec<_> = state
                    .database
                    .tables
                    .keys()
                    .filter(|name| text.starts_with(&format!("model.{name} ")))
                    .cloned()
                    .collect();
                state.config.left_out.extend(named);
            }
            code => {
                let why = format!("stopped with {code}: {failure}: {}", failure.source);
                self.report.violations.push(why);
            }
        }
    }

    /// The faults end; everything has to be told, in bounded time.
    async fn quiet(&mut self) {
        let end = {
            let mut state = self.world.lock();
            state.faults = false;
            state.wake_all();
            Instant::now() + PATIENCE
        };
        if self.world.lock().character.slow_claims {
            // One that works, and one that comes beside it.
            tokio::time::sleep(Duration::from_secs(30)).await;
            self.start();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        self.transact(6);
        while self.report.violations.is_empty() && self.world.lock().violations.is_empty() {
            self.reap().await;
            if self.running.is_empty() {
                self.start();
            }
            if self.is_done() {
                return;
            }
            if Instant::now() > end {
                let state = self.world.lock();
                let stored = &state.broker.stored;
                let end = state.database.end;
                let why = format!(
                    "no end of it: stored {:?} {:?} of {end}, {:?}",
                    stored.at,
                    stored.open,
                    stored.tables.values().map(|table| &table.copy).collect::<Vec<_>>()
                );
                drop(state);
                self.report.violations.push(why);
                return;
            }
            tokio::select! {
                biased;
                () = self.world.blown.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(700)) => {}
            }
        }
    }

    fn captured(&self) -> BTreeSet<String> {
        let state = self.world.lock();
        let names = state.database.tables.keys();
        names.filter(|name| !state.config.left_out.contains(*name)).cloned().collect()
    }

    fn is_done(&self) -> bool {
        let captured = self.captured();
        let state = self.world.lock();
        let stored = &state.broker.stored;
        let finished = stored
            .tables
            .values()
            .filter(|table| table.copy.state == CopyState::Finished)
            .filter(|table| captured.contains(&*table.name.table))
            .count();
        stored.at.is_some_and(|at| at.0 == state.database.end)
            && stored.open.is_none()
            && finished == captured.len()
    }

    async fn end(&mut self) {
        for process in &self.running {
            process.stop.stop();
        }
        for process in std::mem::take(&mut self.running) {
            let limit = Duration::from_secs(120);
            let mut process = process;
            if tokio::time::timeout(limit, &mut process.run).await.is_err() {
                self.report.violations.push("a process does not stop".into());
                process.run.abort();
            }
        }
        let captured = self.captured();
        let state = self.world.lock();
        let found = if self.report.violations.is_empty() && state.violations.is_empty() {
            let whole = self.copy != CopyMode::Never;
            check::complete(&state, &captured, whole, &self.left_out)
        } else {
            check::committed(&state, &self.left_out)
        };
        self.report.violations.extend(found);
        if std::env::var_os("AFTERIMAGE_SIM_DUMP").is_some() {
            for (offset, record) in state.broker.log.iter().enumerate() {
                println!("{offset} {record:?}");
            }
        }
        let cuts = state.broker.committed().filter(|record| {
            matches!(&record.payload, crate::broker::Payload::Checkpoint(checkpoint)
                if checkpoint.at.as_ref().is_some_and(|at| at.open.is_some()))
        });
        self.report.cuts = cuts.count() as u64;
    }
}
