//! The servers that the project is tried on: PostgreSQL, Kafka, a schema registry and, when asked for, Kafka Connect.
//!
//! Whoever needs them asks for a [`Request`] and gets addresses; three providers stand behind that:
//! [`environment`] (addresses of servers that somebody else runs), [`compose`] (a container engine) and [`processes`] (the
//! distribution's packages and Maven's jars as plain processes). The first that applies is taken.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cache;
use crate::steps::Steps;
use crate::supervisor::{self, Control, Lifeline};
use crate::trouble::{Doing, Result, Trouble};

pub(crate) mod compose;
pub(crate) mod environment;
pub(crate) mod preconditions;
pub(crate) mod processes;

/// What is to be brought up.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) name: String,
    /// Major versions of PostgreSQL; the first is the one that plain `AFTERIMAGE_STACK_POSTGRES` means.
    pub(crate) postgres: Vec<u32>,
    pub(crate) connect: bool,
    /// Connect's worker is to support exactly-once connectors.
    pub(crate) exactly_once: bool,
    /// Encrypted and authenticated listeners besides the plain ones.
    pub(crate) secure: bool,
}

impl Default for Request {
    fn default() -> Self {
        Request {
            name: "default".to_owned(),
            postgres: vec![18],
            connect: false,
            exactly_once: false,
            secure: false,
        }
    }
}

/// Held, in a stack's directory, by whoever is bringing it up.
const LOCK: &str = "lock";

/// Names and values as they are handed to programs: `AFTERIMAGE_STACK_KAFKA` and so on.
pub(crate) type Addresses = BTreeMap<String, String>;

/// A name as it is exported.
pub(crate) fn variable(what: &str) -> String {
    format!("AFTERIMAGE_STACK_{what}")
}

/// A stack that is up. Dropped, it goes down, unless it was kept.
pub(crate) struct Stack {
    pub(crate) addresses: Addresses,
    site: Site,
    _lifeline: Lifeline,
}

/// Where a stack is: its supervisor lives, its directory is there.
pub(crate) struct Site {
    pub(crate) directory: PathBuf,
    pub(crate) control: Control,
    ports: Mutex<Vec<u16>>,
}

impl Site {
    /// One more of the stack's ports.
    pub(crate) fn port(&self) -> u16 {
        let mut ports = self.ports.lock().expect("no thread panics with the ports in hand");
        ports.pop().expect("a stack has fewer servers than ports")
    }

    pub(crate) fn log(&self, service: &str) -> PathBuf {
        self.directory.join(format!("{service}.log"))
    }

    /// How a service ended, if it has.
    pub(crate) fn ended(&self, service: &str) -> Result<Option<String>> {
        Ok(self.control.status()?.remove(service).and_then(|(_, ended)| ended))
    }

    /// Asks a service to end and gives it `patience`; the supervisor kills what is late.
    pub(crate) fn finish(&self, service: &str, patience: Duration) -> Result<()> {
        if self.ended(service)?.is_some() {
            return Ok(());
        }
        self.control.signal(service, "TERM")?;
        let deadline = Instant::now() + patience;
        while self.ended(service)?.is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Provider {
    Environment,
    Compose,
    Processes,
}

impl Provider {
    /// The first that applies; `AFTERIMAGE_STACK=compose` or `processes` decides where both would.
    pub(crate) fn choose() -> Result<Provider> {
        if environment::is_given() {
            return Ok(Provider::Environment);
        }
        match std::env::var(environment::CHOICE).as_deref() {
            Ok("compose") => Ok(Provider::Compose),
            Ok("processes") => Ok(Provider::Processes),
            Ok(other) => Err(Trouble(format!(
                "{}={other}: it is 'compose' or 'processes'",
                environment::CHOICE
            ))),
            Err(_) if compose::engine_answers() => Ok(Provider::Compose),
            Err(_) => Ok(Provider::Processes),
        }
    }
}

impl Stack {
    /// Brings a stack up for the runner: it ends with the runner, however that ends.
    pub(crate) fn up(request: &Request, steps: Steps) -> Result<Stack> {
        let provider = Provider::choose()?;
        check_name(&request.name)?;
        if provider == Provider::Processes {
            preconditions::ensure(&preconditions::of_stack(request), steps)?;
        }
        sweep()?;
        let directory = directory(&request.name)?;
        // Held until the state is written: a directory without a supervisor and without this lock is a dead one's.
        let _lock = claim(&directory)?;
        if Control::of(&request.name)?.answers() {
            return Err(Trouble(format!("a stack named '{}' is up already", request.name)));
        }
        let (control, lifeline, mut ports) = supervisor::launch(&request.name, &directory)?;
        ports.reverse();
        let site = Site { directory, control, ports: Mutex::new(ports) };
        let brought_up = match provider {
            Provider::Environment => environment::addresses(),
            Provider::Compose => compose::up(request, &site, steps),
            Provider::Processes => processes::up(request, &site, steps),
        };
        let mut addresses = match brought_up {
            Ok(addresses) => addresses,
            Err(trouble) => {
                // It would end by itself with the lifeline; so it has ended when the error is told.
                let _ = site.control.end();
                return Err(trouble);
            }
        };
        addresses.insert(variable("NAME"), request.name.clone());
        addresses.insert(variable("LOGS"), site.directory.display().to_string());
        let state = json!({"provider": format!("{provider:?}"), "addresses": addresses});
        let file = site.directory.join("state.json");
        fs::write(&file, format!("{state:#}\n")).doing(file.display())?;
        Ok(Stack { addresses, site, _lifeline: lifeline })
    }

    /// Leaves the stack running when the runner ends.
    pub(crate) fn keep(self) -> Result<Addresses> {
        self.site.control.detach()?;
        Ok(self.addresses)
    }

    /// Takes the stack down and waits until it is gone.
    pub(crate) fn down(self) -> Result<()> {
        self.site.control.end()
    }

    pub(crate) fn site(&self) -> &Site {
        &self.site
    }
}

/// The addresses of a running stack by name.
pub(crate) fn addresses(name: &str) -> Result<Addresses> {
    if environment::is_given() {
        return environment::addresses();
    }
    let none =
        || Trouble(format!("no stack named '{name}' is up: cargo xtask stack up --name {name}"));
    if !Control::of(name)?.answers() {
        return Err(none());
    }
    let text = fs::read_to_string(directory(name)?.join("state.json")).map_err(|_| none())?;
    let state: Value = serde_json::from_str(&text).doing("state.json")?;
    let addresses = state["addresses"].as_object().ok_or_else(none)?;
    Ok(addresses
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect())
}

/// Takes down a stack by name and removes all that is left of it.
pub(crate) fn down(name: &str) -> Result<bool> {
    let control = Control::of(name)?;
    let was_up = control.answers();
    if was_up {
        control.end()?;
    }
    let directory = directory(name)?;
    if directory.exists() {
        fs::remove_dir_all(&directory).doing(directory.display())?;
        return Ok(true);
    }
    Ok(was_up)
}

/// The names of all stacks that have a directory.
pub(crate) fn names() -> Result<Vec<String>> {
    let dir = stacks()?;
    let mut names: Vec<String> = fs::read_dir(&dir)
        .doing(dir.display())?
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// Removes what stacks left behind whose supervisor was killed.
fn sweep() -> Result<()> {
    for name in names()? {
        let directory = directory(&name)?;
        // Somebody who is just bringing it up holds the lock.
        let free = File::create(directory.join(LOCK)).is_ok_and(|file| file.try_lock().is_ok());
        if free && !Control::of(&name)?.answers() {
            let _ = fs::remove_dir_all(&directory);
        }
    }
    Ok(())
}

/// Makes the directory, empty, and locks it. The lock goes with the directory, so having it is not enough: while we waited
/// for it the directory may have been removed, and then the next one is to be locked.
fn claim(directory: &Path) -> Result<File> {
    let path = directory.join(LOCK);
    loop {
        fs::create_dir_all(directory).doing(directory.display())?;
        let Ok(file) = File::create(&path) else { continue };
        file.lock().doing(path.display())?;
        let own = file.metadata().doing(path.display())?.ino();
        if fs::metadata(&path).is_ok_and(|now| now.ino() == own) {
            return Ok(file);
        }
    }
}

fn stacks() -> Result<PathBuf> {
    let dir = cache::directory()?.join("stacks");
    fs::create_dir_all(&dir).doing(dir.display())?;
    Ok(dir)
}

fn directory(name: &str) -> Result<PathBuf> {
    Ok(stacks()?.join(name))
}

/// A name becomes part of a socket's path, which must be short, and of a container project's name.
fn check_name(name: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=32).contains(&name.len()) && name.chars().all(good) {
        Ok(())
    } else {
        Err(Trouble(format!("'{name}' is no name for a stack: 1 to 32 of a-z, 0-9 and -")))
    }
}
