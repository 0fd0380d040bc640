//! `cargo xtask bench`: what the connector costs, measured beside the server's own reader and Debezium.
//!
//! The servers are brought up here; the measuring is a program of the end-to-end tests, which need the same clients.

use crate::arguments::Arguments;
use crate::metadata::{self, Workspace};
use crate::stack::{Provider, Stack, preconditions};
use crate::steps::Steps;
use crate::trouble::{Doing, Result, Trouble};

pub(crate) const USAGE: &str = "  bench [--quick] [--debezium] [--rows N] [--rounds N] [--drain-only] [--out DIRECTORY]
                                        figures of the PostgreSQL connector, to docs/benchmarks; --quick: 2 rounds
                                        of 200,000 rows, printed only; --debezium: beside Kafka Connect too";

const QUICK: (u64, u64) = (200_000, 2);
const FULL: (u64, u64) = (1_000_000, 5);

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let quick = arguments.flag("--quick");
    let debezium = arguments.flag("--debezium");
    let drain_only = arguments.flag("--drain-only");
    let (rows, rounds) = if quick { QUICK } else { FULL };
    let rows = arguments.number("--rows")?.unwrap_or(rows);
    let rounds = arguments.number("--rounds")?.unwrap_or(rounds);
    let out = arguments.value("--out")?;
    let mut request =
        crate::stack_commands::request(format!("bench-{}", std::process::id()), &mut arguments)?;
    arguments.end()?;
    request.connect |= debezium;

    let steps = Steps::begin();
    let mut needs = preconditions::of_build();
    if Provider::choose()? == Provider::Processes {
        needs.extend(preconditions::of_stack(&request));
    }
    preconditions::ensure(&needs, steps)?;
    // One after the other: what is measured later must not run beside a compiler.
    let programs = steps.step("connector built", || {
        let status = metadata::cargo()
            .args(["build", "--release", "--package", "afterimage", "--package", "e2e", "--bins"])
            .status()
            .doing("cargo build")?;
        match status.success() {
            true => Ok(()),
            false => Err(Trouble(format!("cargo build ended with {status}"))),
        }
    });
    programs?;
    let workspace = Workspace::members()?;
    let programs = workspace.target.join("release");

    let stack = Stack::up(&request, steps)?;
    let mut command = crate::program::bound(programs.join("bench-postgres"));
    command.envs(&stack.addresses).env("AFTERIMAGE_BIN", programs.join("afterimage")).args([
        "--rows",
        &rows.to_string(),
        "--rounds",
        &rounds.to_string(),
    ]);
    if !debezium {
        command.env_remove(crate::stack::variable("CONNECT"));
    }
    if quick {
        command.args(["--idle", "0"]);
    }
    if drain_only {
        command.arg("--drain-only");
    }
    match out {
        Some(directory) => {
            command.args(["--out", &directory]);
        }
        // A quick look is not what the project shows.
        None if !quick && !drain_only => {
            command.arg("--out").arg(workspace.root.join("docs/benchmarks"));
        }
        None => {}
    }
    let measured = command.status().doing("bench-postgres").and_then(|status| {
        if status.success() {
            Ok(())
        } else {
            Err(Trouble(format!("bench-postgres ended with {status}")))
        }
    });
    let ended = stack.down();
    measured.and(ended)
}
