//! Many seeds, none of which may break the protocol.

use std::sync::atomic::{AtomicU64, Ordering};

use sim::{Report, simulate};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn one_seed() {
    let report = simulate(number("AFTERIMAGE_SIM_SEED", 1), None);
    println!("{report:?}");
    assert!(report.violations.is_empty(), "{report}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in 1..20 {
        assert_eq!(format!("{:?}", simulate(seed, None)), format!("{:?}", simulate(seed, None)));
    }
}

#[test]
fn simulation() {
    let first = number("AFTERIMAGE_SIM_FIRST", 1);
    let seeds = number("AFTERIMAGE_SIM_SEEDS", 2_500);
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let work = || {
        let mut sum = Report::default();
        let mut failed = Vec::new();
        while failed.is_empty() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                break;
            }
            let report = simulate(seed, None);
            sum.crashes += report.crashes;
            sum.starts += report.starts;
            sum.transactions += report.transactions;
            sum.messages += report.messages;
            sum.cuts += report.cuts;
            sum.steps += report.steps;
            if !report.violations.is_empty() {
                failed.push(report);
            }
        }
        (sum, failed)
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic in a worker")).collect()
    });
    let total = |part: fn(&Report) -> u64| results.iter().map(|(sum, _)| part(sum)).sum::<u64>();
    println!(
        "{seeds} seeds from {first}: {} starts, {} crashes, {} source transactions, {} records, {} cuts, {} steps",
        total(|sum| sum.starts),
        total(|sum| sum.crashes),
        total(|sum| sum.transactions),
        total(|sum| sum.messages),
        total(|sum| sum.cuts),
        total(|sum| sum.steps),
    );
    let failed: Vec<_> = results.iter().flat_map(|(_, failed)| failed).collect();
    for report in &failed {
        println!("{report}");
    }
    assert!(failed.is_empty(), "{} seeds failed", failed.len());
}
