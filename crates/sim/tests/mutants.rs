//! A simulation that finds nothing proves nothing, unless it finds what is there: every rule left out is caught.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use engine::Mutant as Engine;
use sim::{Mutant, Report, simulate};

const MUTANTS: &[Mutant] = &[
    Mutant::Engine(Engine::BegunByRows),
    Mutant::Engine(Engine::FlushAtPin),
    Mutant::Engine(Engine::NoHoles),
    Mutant::Engine(Engine::PinBesideStream),
    Mutant::Engine(Engine::StopWithoutProof),
    Mutant::Engine(Engine::BegunLost),
    Mutant::Engine(Engine::ReaddedSilently),
    Mutant::Engine(Engine::ConfirmBeforeCommit),
    Mutant::Engine(Engine::CopyWithoutCatchingUp),
    Mutant::Engine(Engine::ForgetOpen),
    Mutant::Engine(Engine::PositionLater),
    Mutant::Engine(Engine::ChunkDoneEarly),
    Mutant::LateLocks,
    Mutant::OneSlotName,
    Mutant::HashAfterFilter,
    Mutant::OptionsAtOnce,
    Mutant::ChunksRecomputed,
    Mutant::RewriteIgnored,
    Mutant::UntilOverrun,
    Mutant::IdleOvertakes,
    Mutant::ChunkEndOnError,
    Mutant::FreeFencing,
    Mutant::LookedOnce,
    Mutant::ProducerReused,
    Mutant::LooksToTheEnd,
    Mutant::HastyJudgement,
];

/// The first report that is wrong, by the order of finding.
fn hunt(mutant: Mutant, seeds: u64) -> Option<Report> {
    let next = AtomicU64::new(1);
    let caught = AtomicBool::new(false);
    let found = Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !caught.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > seeds {
                        return;
                    }
                    let report = simulate(seed, Some(mutant));
                    if !report.violations.is_empty() {
                        caught.store(true, Ordering::Relaxed);
                        *found.lock().expect("no panic while held") = Some(report);
                        return;
                    }
                }
            });
        }
    });
    found.into_inner().expect("no panic while held")
}

#[test]
fn every_mutant_is_caught() {
    let seeds = std::env::var("AFTERIMAGE_SIM_MUTANT_SEEDS");
    let seeds = seeds.ok().and_then(|value| value.parse().ok()).unwrap_or(3_000);
    let mut alive = Vec::new();
    let only = std::env::var("AFTERIMAGE_SIM_MUTANT").ok();
    let chosen =
        |mutant: &&Mutant| only.as_ref().is_none_or(|only| format!("{mutant:?}").contains(only));
    for mutant in MUTANTS.iter().filter(chosen) {
        match hunt(*mutant, seeds) {
            Some(report) => println!("{mutant:?}: seed {}: {}", report.seed, report.violations[0]),
            None => {
                println!("{mutant:?}: NOT CAUGHT");
                alive.push(mutant);
            }
        }
    }
    assert!(alive.is_empty(), "not caught within {seeds} seeds: {alive:?}");
}
