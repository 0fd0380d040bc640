//! Scenarios as data: SQL in, messages out.
//!
//! ```text
//! What this shows, in a sentence or two.
//! requires: postgres >= 15
//! === config          TOML, merged over the usual configuration
//! === before          SQL before the connector's first start
//! === after           SQL while it runs; all of it has arrived before the next section. Any number of these
//! === down            SQL while it is stopped; it is started again behind it
//! === arrived TOPIC   goes on when a record is there
//! === compatibility TOPIC LEVEL   how the registry is to judge new versions from now on
//! === stop CODE       SQL after which the connector has to stop with this code
//! === expect          one line for each message, by topic and offset
//! ```
//! A line of `expect` is what a consumer sees, without what no two runs share: numbers of schemas, log positions, clocks. Where
//! a topic's messages change their schema, a line tells the new fields. `AFTERIMAGE_BLESS=1` writes what was seen as what is
//! expected, for a person to read in the diff.

mod file;
mod lines;

use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;
use toml::Table;

use crate::Result;
use crate::connector::Connector;
use crate::database::Database;
use crate::files::difference;
use crate::registry::{Registry, decode_json};
use crate::sentinel::{self, Sentinel};
use crate::stack::{Stack, fresh_name};
use crate::topics::{Isolation, Topics};

pub use file::{Scenario, Step};
pub use lines::{Lines, short_type};

/// Runs one file and compares; the error tells a person all there is to know.
pub async fn check(stack: &Stack, path: &Path) -> Result<Outcome> {
    let text = std::fs::read_to_string(path)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let scenario = Scenario::parse(&text).map_err(|error| format!("{stem}: {error}"))?;
    let name = fresh_name(&stem);
    let database = Database::create(stack, &name).await?;
    let version = database.version().await?;
    if version < scenario.postgres_min {
        database.drop_it().await?;
        return Ok(Outcome::Skipped(format!("needs PostgreSQL {}", scenario.postgres_min)));
    }
    let seen = play(stack, &scenario, &database, &name).await;
    database.drop_it().await?;
    let topics = Topics::of(&stack.kafka);
    topics.delete(&format!("{name}.")).await?;
    topics.delete(&format!("__afterimage.{name}")).await?;
    let seen = seen?;
    if seen == scenario.expected {
        return Ok(Outcome::Passed);
    }
    if std::env::var_os("AFTERIMAGE_BLESS").is_some() {
        std::fs::write(path, scenario.with_expected(&seen))?;
        return Ok(Outcome::Blessed);
    }
    Err(difference(&scenario.expected, &seen).into())
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Blessed,
    Skipped(String),
}

/// Plays the steps and returns the lines.
async fn play(
    stack: &Stack,
    scenario: &Scenario,
    database: &Database,
    name: &str,
) -> Result<Vec<String>> {
    let is_json = format_of(&scenario.config) == Some("json");
    database.run(&scenario.before).await?;
    let mut sentinel = Sentinel::create(stack, database, name, is_json).await?;
    let connector = Connector::new(stack, name, &database.url, &scenario.config)?;
    let mut running = connector.start()?;
    sentinel.streaming(database, &mut running).await?;
    for step in &scenario.steps {
        match step {
            Step::After(sql) => {
                database.run(sql).await?;
                sentinel.caught_up(database, &mut running).await?;
            }
            Step::Down(sql) => {
                running.stop().await?;
                database.run(sql).await?;
                running = connector.start()?;
                sentinel.caught_up(database, &mut running).await?;
            }
            Step::Stop(code, sql) => {
                database.run(sql).await?;
                running.stopped_with(code, Duration::from_secs(60)).await?;
                return read_lines(stack, name, is_json).await;
            }
            Step::Arrived(topic) => arrived(stack, &format!("{name}.{topic}")).await?,
            Step::Compatibility(topic, level) => {
                let subject = format!("{name}.{topic}-value");
                Registry::of(&stack.registry).set_compatibility(&subject, level).await?;
            }
        }
    }
    running.stop().await?;
    read_lines(stack, name, is_json).await
}

/// Waits until a topic holds a committed record.
async fn arrived(stack: &Stack, topic: &str) -> Result<()> {
    let topics = Topics::of(&stack.kafka);
    for _ in 0..300 {
        if !topics.read(topic, Isolation::ReadCommitted).await?.is_empty() {
            return Ok(());
        }
        sleep(Duration::from_millis(200)).await;
    }
    Err(format!("nothing arrives in {topic}").into())
}

/// What a read_committed consumer finds in the topics of a connector, but the sentinel's.
pub async fn read_lines(stack: &Stack, name: &str, is_json: bool) -> Result<Vec<String>> {
    let prefix = format!("{name}.");
    let records = Topics::of(&stack.kafka).read(&prefix, Isolation::ReadCommitted).await?;
    let mut registry = Registry::of(&stack.registry);
    let mut lines = Lines::new(name);
    for record in records {
        if record.topic == sentinel::topic(name) {
            continue;
        }
        let decoded = if is_json { decode_json(record)? } else { registry.decode(record).await? };
        lines.add(&decoded)?;
    }
    Ok(lines.finish())
}

fn format_of(config: &Table) -> Option<&str> {
    config.get("format")?.get("kind")?.as_str()
}
