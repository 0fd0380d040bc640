//! `cargo xtask demo`: a shop's database reaches Kafka before your eyes.
//!
//! ```text
//!   servers up  ----\
//!                    >--> shop made --> writer writes --> connector runs --> viewer shows what arrives
//!   connector built-/
//! ```
//! Everything but the viewer is a service of the stack's supervisor, so it ends with the runner, however that ends. The end by
//! Ctrl-C or by `--seconds` goes in order: the connector finishes its running commit, then the servers go.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::metadata::{self, Workspace};
use crate::stack::{Addresses, Provider, Request, Site, Stack, preconditions, variable};
use crate::steps::Steps;
use crate::supervisor::Service;
use crate::trouble::{Doing, Result, Trouble};

pub(crate) const USAGE: &str = "  demo [--seconds N] [--rate ROWS-PER-SECOND] [--postgres 18]
                                        a shop's database reaches Kafka before your eyes; Ctrl-C ends it, or
                                        --seconds, then with success only if copy and stream were both read back";

/// Changes that the writer makes in a second when nothing is said.
const RATE: u64 = 50;
/// How long the connector may take for its last commit.
const END_PATIENCE: Duration = Duration::from_secs(15);

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let seconds = arguments.number("--seconds")?;
    let rate = arguments.number("--rate")?.unwrap_or(RATE);
    let request =
        crate::stack_commands::request(format!("demo-{}", std::process::id()), &mut arguments)?;
    arguments.end()?;
    let steps = Steps::begin();
    let mut needs = preconditions::of_build();
    if Provider::choose()? == Provider::Processes {
        needs.extend(preconditions::of_stack(&request));
    }
    preconditions::ensure(&needs, steps)?;

    let (stack, programs) = prepare(&request, steps)?;
    let shop = Shop {
        addresses: stack.addresses.clone(),
        programs,
        directory: stack.site().directory.clone(),
        steps,
    };
    // From here on an interruption is a wish to end in order; before, it simply ended the runner, and the servers with it.
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).doing("signals")?;
    }
    let result = shop.open(stack.site(), rate, seconds, &interrupted);
    let ended = stack.down();
    steps.note("all of it is gone again");
    result.and(ended)
}

/// The servers, and the programs of this repository: both take long the first time, so both at once.
fn prepare(request: &Request, steps: Steps) -> Result<(Stack, PathBuf)> {
    thread::scope(|scope| {
        let stack = scope.spawn(|| Stack::up(request, steps));
        let built = steps.step("connector built", || {
            let packages =
                ["build", "--release", "--package", "afterimage", "--package", "e2e", "--bins"];
            let status = metadata::cargo().args(packages).status().doing("cargo build")?;
            if status.success() {
                Ok(())
            } else {
                Err(Trouble(format!("cargo build ended with {status}")))
            }
        });
        let stack = stack.join().expect("bringing the servers up does not panic");
        built?;
        Ok((stack?, Workspace::members()?.target.join("release")))
    })
}

struct Shop {
    addresses: Addresses,
    /// Where the built programs are.
    programs: PathBuf,
    directory: PathBuf,
    steps: Steps,
}

struct Database {
    url: String,
    password: String,
}

impl Shop {
    /// Makes the shop, keeps it busy, runs the connector and the viewer until one of them or the person ends it.
    fn open(
        &self,
        stack: &Site,
        rate: u64,
        seconds: Option<u64>,
        interrupted: &AtomicBool,
    ) -> Result<()> {
        let metrics = format!("127.0.0.1:{}", stack.port());
        let configuration = self.directory.join("connector.toml");
        fs::write(&configuration, self.configuration(&metrics)?).doing(configuration.display())?;

        let writer = self.programs.join("demo-writer");
        self.steps.step("shop made: customers, products, orders", || {
            crate::program::output(Command::new(&writer).arg("create").envs(&self.addresses))
                .map(drop)
        })?;
        stack.control.start(&self.service(
            "writer",
            &[&writer.display().to_string(), "write", "--rate", &rate.to_string()],
            "KILL",
        ))?;
        let connector = self.programs.join("afterimage").display().to_string();
        stack.control.start(&self.service(
            "connector",
            &[&connector, "run", &configuration.display().to_string()],
            "TERM",
        ))?;
        self.steps.note(&format!(
            "connector runs with {}; its log and the servers' are beside it",
            configuration.display()
        ));

        let mut viewer = crate::program::bound(self.programs.join("demo-viewer"));
        viewer
            .envs(&self.addresses)
            .env("AFTERIMAGE_DEMO_METRICS", format!("http://{metrics}/metrics"));
        if let Some(seconds) = seconds {
            viewer.args(["--seconds", &seconds.to_string()]);
        }
        let mut viewer = viewer.spawn().doing("demo-viewer")?;
        let watched = self.watch(stack, &mut viewer, interrupted);
        let _ = viewer.kill();
        let _ = viewer.wait();
        stack.finish("connector", END_PATIENCE)?;
        match watched? {
            None => Ok(()),
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(Trouble(format!("the viewer ended with {status}"))),
        }
    }

    /// Waits for the first end: the viewer's (its status), the person's (none), or that of what must not end (an error).
    fn watch(
        &self,
        stack: &Site,
        viewer: &mut Child,
        interrupted: &AtomicBool,
    ) -> Result<Option<ExitStatus>> {
        let mut looked = Instant::now();
        loop {
            if interrupted.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if let Some(status) = viewer.try_wait().doing("demo-viewer")? {
                // Ctrl-C reaches the viewer too, and perhaps first.
                thread::sleep(Duration::from_millis(50));
                return Ok((!interrupted.load(Ordering::Relaxed)).then_some(status));
            }
            if looked.elapsed() > Duration::from_secs(1) {
                looked = Instant::now();
                for service in ["connector", "writer"] {
                    if let Some(how) = stack.ended(service)? {
                        let log = fs::read_to_string(stack.log(service)).unwrap_or_default();
                        return Err(Trouble(format!(
                            "the {service} ended with {how}\n{}",
                            crate::program::tail(&log)
                        )));
                    }
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn service(&self, name: &str, words: &[&str], end: &'static str) -> Service {
        let mut environment: BTreeMap<String, String> = self.addresses.clone();
        let password = self.database().map(|database| database.password).unwrap_or_default();
        environment.insert("SHOP_PASSWORD".to_owned(), password);
        let mut all = crate::program::dies_with_parent();
        all.extend(words.iter().map(|word| (*word).to_owned()));
        Service {
            name: name.to_owned(),
            words: all,
            environment: environment.into_iter().collect(),
            log: self.directory.join(format!("{name}.log")),
            end,
        }
    }

    /// The database's address without its password, which goes through the environment, as it should in any configuration.
    fn database(&self) -> Result<Database> {
        let url = self.address("POSTGRES")?;
        let parts =
            url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?)));
        let Some((scheme, (login, server))) = parts else {
            return Err(
                "the address of PostgreSQL is not postgres://USER:PASSWORD@HOST:PORT/DATABASE"
                    .into(),
            );
        };
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        Ok(Database { url: format!("{scheme}://{user}@{server}"), password: password.to_owned() })
    }

    fn address(&self, what: &str) -> Result<&String> {
        self.addresses
            .get(&variable(what))
            .ok_or_else(|| Trouble(format!("the stack has no address of {what}")))
    }

    fn configuration(&self, metrics: &str) -> Result<String> {
        Ok(format!(
            r#"name = "shop"

[source]
kind = "postgres"
url = "{}"
password = "${{env:SHOP_PASSWORD}}"
tls = "disable"
tables = ["public.*"]

[sink]
kind = "kafka"
brokers = ["{}"]
delivery = "exactly-once"

[format]
kind = "avro"
registry = "{}"

[http]
listen = "{metrics}"
"#,
            self.database()?.url,
            self.address("KAFKA")?,
            self.address("REGISTRY")?,
        ))
    }
}
