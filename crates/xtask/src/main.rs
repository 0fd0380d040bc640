//! All automation of the project: the servers it is tried on, its checks, its demonstration.
//!
//! `cargo xtask MODE ..`; the table below is the whole of it. Everything here is plain Rust over the standard library, so that
//! it builds in seconds and needs no tool of its own.

#![expect(
    clippy::disallowed_methods,
    reason = "automation waits for real servers by the real clock; nothing here is simulated"
)]

use std::path::Path;
use std::process::ExitCode;

use arguments::Arguments;
use trouble::Result;

mod arguments;
mod bench;
mod cache;
mod certificates;
mod checks;
mod connect;
mod demo;
mod http;
mod java;
mod kafka;
mod licences;
mod maven;
mod metadata;
mod packages;
mod postgres;
mod program;
mod registry;
mod stack;
mod stack_commands;
mod steps;
mod supervisor;
mod test_programs;
mod tidy;
mod trouble;

struct Mode {
    name: &'static str,
    usage: &'static str,
    run: fn(Arguments) -> Result<()>,
}

const MODES: [Mode; 5] = [
    Mode { name: "demo", usage: demo::USAGE, run: demo::run },
    Mode { name: "test", usage: checks::USAGE, run: checks::run },
    Mode { name: "bench", usage: bench::USAGE, run: bench::run },
    Mode { name: "tidy", usage: tidy::USAGE, run: tidy::run },
    Mode { name: "stack", usage: stack_commands::USAGE, run: stack_commands::run },
];

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_default();
    let arguments = Arguments::of(words);
    let result = match MODES.iter().find(|mode| mode.name == name) {
        Some(mode) => (mode.run)(arguments),
        None if name == "supervise" => supervise(arguments),
        None => {
            eprintln!("cargo xtask MODE, where MODE is one of\n");
            for mode in MODES {
                eprintln!("{}\n", mode.usage);
            }
            return if name == "help" || name == "--help" {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            };
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("error: {trouble}");
            ExitCode::FAILURE
        }
    }
}

/// Not for people: the process that owns a stack's servers.
fn supervise(mut arguments: Arguments) -> Result<()> {
    let directory = arguments.word().ok_or("supervise DIRECTORY SOCKET")?;
    let socket = arguments.word().ok_or("supervise DIRECTORY SOCKET")?;
    supervisor::supervise(Path::new(&directory), Path::new(&socket))
}
