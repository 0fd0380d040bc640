//! `cargo xtask test`: every check of the project, in numbered, timed steps.
//!
//! A failed step does not stop the later ones: one run tells everything that is wrong. Only what a step needs decides whether
//! it runs at all: without a connector, or without servers, there is no end-to-end test.
//!
//! The servers' downloads begin first and go on while everything else compiles, and the servers start while the connector is
//! built. Code is compiled twice and no more: for all tests together (profile dev), and for the connector as it is shipped
//! (profile release), which the end-to-end tests run.

use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::arguments::Arguments;
use crate::licences;
use crate::metadata::{self, Workspace};
use crate::stack::{Addresses, Provider, Request, Stack, preconditions, processes, variable};
use crate::steps::{Steps, seconds};
use crate::test_programs::{self, TestProgram};
use crate::tidy;
use crate::trouble::{Doing, Result, Trouble};

pub(crate) const USAGE: &str = "  test [--quick] [--only STEP[,STEP]] [--postgres 18[,15,17]] [-- ..to the end-to-end tests]
                                        every check: format, tidy, licences, lint, unit, e2e
                                        --quick: all that need no server
                                        AFTERIMAGE_FUZZ_SECONDS and AFTERIMAGE_SIM_SEEDS, when set, lengthen
                                        the fuzzing and the simulations among the unit tests";

const STEPS: [&str; 6] = ["format", "tidy", "licences", "lint", "unit", "e2e"];

/// How the run goes so far.
struct Report {
    wanted: Vec<&'static str>,
    steps: Steps,
    done: Vec<(String, String)>,
    failed: Vec<String>,
}

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let (wanted, request, passed_on) = options(&mut arguments)?;
    arguments.end()?;
    let steps = Steps::begin();
    let mut report = Report { wanted, steps, done: vec![], failed: vec![] };
    let with_servers = report.wanted.contains(&"e2e");
    let provider = Provider::choose()?;
    let processes = with_servers && provider == Provider::Processes;
    let mut needs = preconditions::of_build();
    if processes {
        needs.extend(preconditions::of_stack(&request));
    }
    if report.wanted.iter().any(|step| ["lint", "unit", "e2e"].contains(step)) {
        preconditions::ensure(&needs, steps)?;
    }
    let download = processes.then(|| downloading(request.clone(), steps));

    report.step("format", "the code is formatted", || {
        cargo(&["fmt", "--all", "--check", "--", "--files-with-diff"])
    });
    report.step("tidy", "crates use what they may, files keep the rules", || {
        tidy::check().map(|summary| println!("{summary}"))
    });
    report.step("licences", "every dependency has an allowed licence", || {
        licences::check().map(|summary| println!("{summary}"))
    });
    report.step("lint", "clippy finds nothing", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])
    });
    let programs = report.compile();
    let root = Workspace::members()?.root;
    if let Some(programs) = &programs {
        report.step("unit", "unit tests, contract, fuzzing and simulation", || {
            let here = programs.iter().filter(|program| !program.is_end_to_end(&root));
            let ran = test_programs::run(here, &[], &Addresses::new());
            let examples = test_programs::examples();
            ran.and(examples)
        });
        if with_servers {
            let scenarios: Vec<&TestProgram> =
                programs.iter().filter(|program| program.is_end_to_end(&root)).collect();
            end_to_end(&mut report, &request, download, &scenarios, &passed_on);
        }
    }
    report.close()
}

/// The steps wanted, the stack, and what follows `--`.
fn options(arguments: &mut Arguments) -> Result<(Vec<&'static str>, Request, Vec<String>)> {
    let passed_on = arguments.after_dashes();
    let quick = arguments.flag("--quick");
    let only = arguments.value("--only")?;
    let name = format!("test-{}", std::process::id());
    let mut request = crate::stack_commands::request(name, arguments)?;
    request.connect = true;
    request.secure = true;
    let mut wanted: Vec<&'static str> = STEPS.to_vec();
    if let Some(only) = &only {
        let names: Vec<&str> = only.split(',').collect();
        if let Some(unknown) = names.iter().find(|name| !STEPS.contains(*name)) {
            return Err(Trouble(format!("--only {unknown}: the steps are {}", STEPS.join(", "))));
        }
        wanted.retain(|step| names.contains(step));
    }
    if quick {
        wanted.retain(|step| *step != "e2e");
    }
    Ok((wanted, request, passed_on))
}

/// Fetches the servers on the side.
fn downloading(request: Request, steps: Steps) -> JoinHandle<Result<()>> {
    thread::spawn(move || processes::download(&request, steps))
}

/// Builds the connector while the servers start, then runs the scenarios, each version of PostgreSQL in its turn.
fn end_to_end(
    report: &mut Report,
    request: &Request,
    download: Option<JoinHandle<Result<()>>>,
    scenarios: &[&TestProgram],
    passed_on: &[String],
) {
    let steps = report.steps;
    let starting = {
        let request = request.clone();
        thread::spawn(move || {
            // Starting fetches what is missing, so a failed download fails there again, and is told there.
            if let Some(download) = download {
                let _ = download.join();
            }
            Stack::up(&request, steps)
        })
    };
    let built = report.step("e2e", "the connector is built as it is shipped", || {
        cargo(&["build", "--release", "--package", "afterimage"])
    });
    let mut stack = None;
    report.step("e2e", "servers are up", || {
        stack = Some(
            starting.join().map_err(|_| Trouble::from("bringing the servers up panicked"))??,
        );
        Ok(())
    });
    let Some(stack) = stack else { return };
    for (index, version) in request.postgres.iter().enumerate().filter(|_| built) {
        report.step("e2e", &format!("end to end on PostgreSQL {version}"), || {
            let environment =
                scenario_environment(&stack.addresses, (index > 0).then_some(*version))?;
            test_programs::run(scenarios.iter().copied(), passed_on, &environment)
        });
    }
    report.step("e2e", "servers are down", || stack.down());
}

/// The addresses, and the connector's program; for another PostgreSQL than the first, its addresses become the plain ones.
fn scenario_environment(addresses: &Addresses, other: Option<u32>) -> Result<Addresses> {
    let mut environment = addresses.clone();
    if let Some(version) = other {
        let (plain, own) = (variable("POSTGRES"), variable(&format!("POSTGRES_{version}")));
        for (name, value) in addresses {
            let rest =
                name.strip_prefix(&own).filter(|rest| rest.is_empty() || rest.starts_with('_'));
            if let Some(rest) = rest {
                environment.insert(format!("{plain}{rest}"), value.clone());
            }
        }
    }
    let program = Workspace::members()?.target.join("release").join("afterimage");
    environment.insert("AFTERIMAGE_BIN".to_owned(), program.display().to_string());
    Ok(environment)
}

fn cargo(arguments: &[&str]) -> Result<()> {
    succeed(metadata::cargo().args(arguments))
}

/// Runs with our own output: what a test runner says is for the person, unshortened.
fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().doing("cargo")?;
    if status.success() { Ok(()) } else { Err(Trouble(format!("ended with {status}"))) }
}

impl Report {
    /// Compiles all tests when any is wanted.
    fn compile(&mut self) -> Option<Vec<TestProgram>> {
        let group = self.wanted.iter().copied().find(|step| ["unit", "e2e"].contains(step))?;
        let mut programs = None;
        self.step(group, "tests are compiled", || {
            programs = Some(test_programs::compile()?);
            Ok(())
        });
        programs
    }

    /// Runs one step when its group is wanted; whether it succeeded.
    fn step(&mut self, group: &str, what: &str, work: impl FnOnce() -> Result<()>) -> bool {
        if !self.wanted.contains(&group) {
            return false;
        }
        let number = self.done.len() + 1;
        println!("\n== {number}. {group}: {what}");
        let begun = Instant::now();
        let result = work();
        let took = seconds(begun.elapsed());
        let verdict = match &result {
            Ok(()) => "ok".to_owned(),
            Err(trouble) => {
                eprintln!("error: {trouble}");
                self.failed.push(format!("{number}. {group}: {what}"));
                "FAILED".to_owned()
            }
        };
        println!("== {number}. {group}: {verdict} ({took})");
        self.done
            .push((format!("{number:>2}. {group:<9} {what}"), format!("{verdict:<6} {took:>12}")));
        result.is_ok()
    }

    fn close(self) -> Result<()> {
        println!("\n== summary, after {}", seconds(self.steps.elapsed()));
        for (what, verdict) in &self.done {
            println!("{what:<60} {verdict}");
        }
        match self.failed.len() {
            0 => Ok(()),
            count => Err(Trouble(format!(
                "{count} of {} steps failed: {}",
                self.done.len(),
                self.failed.join("; ")
            ))),
        }
    }
}
