//! `afterimage reset` and `afterimage drop`: what a connector left, shown first, then taken away.
//!
//! The database first: a slot in use shows that the connector runs, and stops both before anything has changed. A crash
//! in the middle leaves a connector that stops with `gap` or `orphan`; doing it again mends that.

use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use connector::Failure;
use uuid::Uuid;

use crate::cli::{Logs, Remove, Reset};
use crate::clock;
use crate::config::{self, Config, Sink, Source};
use crate::exit::Exit;
use crate::report::{Trouble, complain, print};
use crate::run::block_on;

pub(crate) fn reset(reset: &Reset, logs: &Logs) -> Result<(), Trouble> {
    let config = config::load(&reset.file.config)?;
    logs.start(true)?;
    block_on(async {
        let found = Found::look(&config, What::Position).await?;
        found.confirm(reset.yes)?;
        match &config.source {
            Source::Postgres(postgres) => {
                postgres_source::drop_slots(postgres, config.name.as_str()).await?;
            }
        }
        match &config.sink {
            Sink::Kafka(kafka) => {
                let (kafka, instance) = (kafka.clone(), Uuid::new_v4());
                kafka_sink::reset(kafka, config.name.as_str(), instance, clock::now).await?;
            }
            Sink::File(file) => forget(&file.position())?,
            Sink::Stdout(stdout) => forget(&stdout.position(config.name.as_str()))?,
        }
        print("done; the next run begins anew\n");
        Ok(())
    })
}

pub(crate) fn drop(remove: &Remove, logs: &Logs) -> Result<(), Trouble> {
    let config = config::load(&remove.file.config)?;
    logs.start(true)?;
    block_on(async {
        let what = if remove.topics { What::Everything } else { What::Connector };
        let found = Found::look(&config, what).await?;
        if found.0.is_empty() {
            print("nothing is left of this connector\n");
            return Ok(());
        }
        found.confirm(remove.yes)?;
        match &config.source {
            Source::Postgres(postgres) => {
                postgres_source::drop_all(postgres, config.name.as_str()).await?;
            }
        }
        match &config.sink {
            Sink::Kafka(kafka) => {
                let name = config.name.as_str();
                kafka_sink::drop_topics(kafka.clone(), name, remove.topics).await?;
            }
            Sink::File(file) => {
                forget(&file.position())?;
                if remove.topics {
                    delete(&file.path)?;
                }
            }
            Sink::Stdout(stdout) => forget(&stdout.position(config.name.as_str()))?,
        }
        print("done\n");
        Ok(())
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// The position, and the slots that belong to it.
    Position,
    /// All but what was written.
    Connector,
    Everything,
}

/// What will go, one line each.
struct Found(Vec<String>);

impl Found {
    async fn look(config: &Config, what: What) -> Result<Self, Failure> {
        let mut found = Vec::new();
        match &config.source {
            Source::Postgres(postgres) => {
                let left = postgres_source::leavings(postgres, config.name.as_str()).await?;
                found.extend(left.slots.iter().map(|slot| format!("replication slot {slot}")));
                if what != What::Position {
                    found.extend(left.publication.map(|name| format!("publication {name}")));
                }
            }
        }
        let mut position = |path: PathBuf| {
            if path.exists() {
                found.push(format!("position {}", path.display()));
            }
        };
        match &config.sink {
            Sink::Kafka(kafka) => {
                let topics = kafka_sink::list_topics(kafka.clone(), config.name.as_str()).await?;
                match (topics.position, what) {
                    (Some(topic), What::Position) => {
                        found.push(format!("the position in topic {topic}"));
                    }
                    (Some(topic), _) => found.push(format!("topic {topic}, with the position")),
                    (None, _) => {}
                }
                if what == What::Everything {
                    let targets = topics.targets.iter();
                    found.extend(
                        targets.map(|topic| format!("topic {topic}, with all its records")),
                    );
                }
            }
            Sink::File(file) => {
                position(file.position());
                if what == What::Everything && file.path.exists() {
                    found.push(format!("file {}, with all its lines", file.path.display()));
                }
            }
            Sink::Stdout(stdout) => position(stdout.position(config.name.as_str())),
        }
        Ok(Self(found))
    }

    /// Shows what will go, and asks unless `yes`.
    fn confirm(&self, yes: bool) -> Result<(), Trouble> {
        let mut text = String::from("this will go:\n");
        for line in &self.0 {
            text += &format!("  {line}\n");
        }
        if self.0.is_empty() {
            text += "  nothing that is there now\n";
        }
        print(&text);
        if yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            complain("nobody can be asked here; `--yes` goes on without asking\n");
            return Err(Trouble::Told(Exit::Usage));
        }
        complain("go on? [y/N] ");
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        complain("nothing was changed\n");
        Err(Trouble::Told(Exit::Failed))
    }
}

fn forget(position: &Path) -> Result<(), Failure> {
    file_sink::forget(position)
        .map(|_| ())
        .map_err(|error| Failure::definite(error.code(), "forgetting the position", error))
}

fn delete(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::definite("output-unwritable", "deleting the output", error))
        }
        _ => Ok(()),
    }
}
