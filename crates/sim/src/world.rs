//! One seed's world: a database, a broker, the processes between them, and the chance that moves all three.
//!
//! Every step of a process passes [`World::step`]: there it may be delayed, stopped for a while (a process that
//! sleeps), or ended for ever (its fuse has blown). The world is one mutex that is never held across an await, on one
//! thread with paused time, so a seed is a history: the same one every time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use connector::Failure;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::broker::Broker;
use crate::database::Database;
use crate::mutant::Mutant;

#[derive(Debug, Clone)]
pub struct World {
    state: Arc<Mutex<State>>,
    /// A fuse has blown: somebody has to end that process.
    pub blown: Arc<Notify>,
}

#[derive(Debug)]
pub struct State {
    pub rng: StdRng,
    pub database: Database,
    pub broker: Broker,
    pub processes: BTreeMap<ProcessId, Process>,
    pub faults: bool,
    pub mutant: Option<Mutant>,
    pub config: Config,
    pub character: Character,
    /// Rules that were seen broken while running.
    pub violations: Vec<String>,
    pub steps: u64,
    /// Pins taken.
    pub pins: u64,
    /// So many of the sink's next requests fail.
    pub failing: u32,
}

pub(crate) type ProcessId = u64;

/// What a process reads when it starts.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Tables left out.
    pub left_out: BTreeSet<String>,
    /// Whether the server sends messages too: changes the rows that are counted, not those that are emitted.
    pub messages: bool,
    pub truncate_readded: bool,
}

/// What is special about a seed.
#[derive(Debug, Clone, Copy)]
pub struct Character {
    /// More and larger tables, and slower readers: most faults fall into the copy.
    pub long_copy: bool,
    /// The broker answers new owners late.
    pub slow_claims: bool,
}

#[derive(Debug, Default)]
pub struct Process {
    /// Steps left to live.
    fuse: Option<u32>,
    asleep_until: Option<Instant>,
    pub dead: bool,
}

impl World {
    pub fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let character =
            Character { long_copy: rng.random_bool(0.4), slow_claims: rng.random_bool(0.15) };
        let database = Database::new(&mut rng, character.long_copy);
        let state = State {
            rng,
            database,
            broker: Broker::default(),
            processes: BTreeMap::new(),
            faults: true,
            mutant,
            config: Config::default(),
            character,
            violations: Vec::new(),
            steps: 0,
            pins: 0,
            failing: 0,
        };
        Self { state: Arc::new(Mutex::new(state)), blown: Arc::new(Notify::new()) }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the world")
    }

    pub fn is(&self, mutant: Mutant) -> bool {
        self.lock().mutant == Some(mutant)
    }

    pub fn chance(&self, probability: f64) -> bool {
        self.lock().rng.random_bool(probability)
    }

    /// Fails now and then while there are faults.
    pub fn trip(&self, probability: f64, doing: &'static str) -> Result<(), Failure> {
        let mut state = self.lock();
        if state.faults && state.rng.random_bool(probability) {
            return Err(Failure::transient("link", doing, "the connection was lost"));
        }
        Ok(())
    }

    /// A place where a process may be delayed, sleep, or end.
    pub async fn step(&self, process: ProcessId) {
        let delay = {
            let mut state = self.lock();
            state.steps += 1;
            let faults = state.faults;
            let known = state.processes.entry(process).or_default();
            if let Some(left) = &mut known.fuse {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    known.dead = true;
                }
            }
            if known.dead { None } else { Some(delay(&mut state.rng, faults)) }
        };
        let Some(delay) = delay else {
            self.blown.notify_one();
            return std::future::pending().await;
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        loop {
            let asleep = self.lock().processes.get(&process).and_then(|known| known.asleep_until);
            match asleep {
                Some(until) if until > Instant::now() => tokio::time::sleep_until(until).await,
                _ => return,
            }
        }
    }
}

fn delay(rng: &mut StdRng, faults: bool) -> Duration {
    match rng.random_range(0..100) {
        0..60 => Duration::ZERO,
        60..97 => Duration::from_micros(rng.random_range(100..20_000)),
        97..99 => Duration::from_millis(rng.random_range(20..300)),
        _ if faults => Duration::from_millis(rng.random_range(300..4_000)),
        _ => Duration::ZERO,
    }
}

impl State {
    pub fn violate(&mut self, rule: impl Into<String>) {
        self.violations.push(rule.into());
    }

    pub fn light_fuse(&mut self, process: ProcessId, steps: u32) {
        self.processes.entry(process).or_default().fuse = Some(steps);
    }

    pub fn put_to_sleep(&mut self, process: ProcessId, until: Instant) {
        self.processes.entry(process).or_default().asleep_until = Some(until);
    }

    pub fn wake_all(&mut self) {
        for process in self.processes.values_mut() {
            process.asleep_until = None;
            process.fuse = None;
        }
    }

    /// The server has been told that it may forget the log before `position`.
    pub fn confirm(&mut self, slot: &str, position: u64) {
        let stored = self.broker.stored.at.map_or(0, |at| at.0);
        if position > stored {
            self.violate(format!("confirmed {position} while {stored} was stored"));
        }
        self.database.confirm(slot, position);
    }
}
