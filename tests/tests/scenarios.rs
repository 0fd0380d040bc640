//! Every file of `tests/scenarios`, each in a database of its own, a few side by side.
//!
//! `AFTERIMAGE_SCENARIO=words` runs those whose name contains one of the words.

use std::path::PathBuf;
use std::sync::Arc;

use e2e::scenario::{self, Outcome};
use e2e::stack::Stack;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// More would only wait for each other on a small machine.
const SIDE_BY_SIDE: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_gives_the_expected_messages() {
    let stack = Stack::from_environment().unwrap_or_else(|error| panic!("{error}"));
    let wanted = std::env::var("AFTERIMAGE_SCENARIO").unwrap_or_default();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "scenario"))
            .filter(|path| {
                wanted.is_empty()
                    || wanted.split(',').any(|word| path.to_string_lossy().contains(word))
            })
            .collect();
    files.sort();
    assert!(!files.is_empty(), "no scenario");
    let room = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    let mut running = JoinSet::new();
    for file in files {
        let (stack, room) = (stack.clone(), Arc::clone(&room));
        running.spawn(async move {
            let _room = room.acquire_owned().await;
            let result = scenario::check(&stack, &file).await;
            (file, result)
        });
    }
    let mut failed = Vec::new();
    while let Some(ended) = running.join_next().await {
        let (file, result) = ended.unwrap();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        match result {
            Ok(Outcome::Passed) => println!("{name}: ok"),
            Ok(Outcome::Blessed) => println!("{name}: written anew"),
            Ok(Outcome::Skipped(why)) => println!("{name}: left out, {why}"),
            Err(error) => {
                println!("{name}: FAILED\n{error}");
                failed.push(name);
            }
        }
    }
    assert!(failed.is_empty(), "failed: {}", failed.join(", "));
}
