//! What the command line does with a connector's topics when the connector does not run: look, forget, remove.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use connector::{Failure, Position, Stored};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Config;
use crate::error::Error;
use crate::log::{Log, State};
use crate::position::{self, Contents, Gathered, Place};
use crate::reader::{self, Reader, blocking};
use crate::settings::{Role, Settings};
use crate::topics::Purpose;
use crate::watch::Watch;

/// Partitions whose ends are looked at for the incarnations in their headers.
const LOOKED_AT: usize = 4096;

const RESETTING: &str = "forgetting the stored position";

/// A connector's topics as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The position topic, if it exists.
    pub position: Option<String>,
    /// All others whose names begin with the connector's and a dot.
    pub targets: Vec<String>,
}

/// What a reset did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    pub position_topic: String,
    /// Of the records that will be written from now on.
    pub incarnation: u64,
    /// Things that were stored and are no longer: tables, topics, the source.
    pub forgotten: usize,
}

/// Any source's position: what is stored is only moved or forgotten here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Any(serde_json::Value);

impl Position for Any {
    fn covers(&self, other: &Self) -> bool {
        self == other
    }
}

fn settings(config: Config, name: &str) -> Result<Settings, Failure> {
    Settings::new(name, config).map_err(|errors| {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Error::Config(all.join("; ")).failing("reading the sink's configuration")
    })
}

/// What is stored, without shutting out a running connector.
pub async fn peek<P: Position>(config: Config, name: &str) -> Result<Option<Stored<P>>, Failure> {
    let settings = settings(config, name)?;
    let topic = settings.position_topic();
    let reading = |error: Error| error.failing("reading the stored position");
    let contents: Option<Contents<P>> = blocking(move || {
        let reader = Reader::new(&settings)?;
        read(&reader, &settings)
    })
    .await
    .and_then(|records| match records {
        None => Ok(None),
        Some(records) => Contents::read(&records, false)
            .map(Some)
            .map_err(|damage| Error::Corrupt { topic, problem: damage.to_string() }),
    })
    .map_err(reading)?;
    Ok(contents.and_then(|contents| contents.stored()))
}

/// All that stands in the position topic; None when there is none.
pub(crate) fn read(reader: &Reader, settings: &Settings) -> Result<Option<Gathered>, Error> {
    let topic = settings.position_topic();
    if reader.partitions(&topic)?.is_none() {
        return Ok(None);
    }
    let end = reader.stable(&topic, 0)?;
    reader.read_to(&topic, end).map(Some)
}

pub async fn list_topics(config: Config, name: &str) -> Result<Listing, Failure> {
    let settings = settings(config, name)?;
    let listed = blocking(move || {
        let reader = Reader::new(&settings)?;
        let topic = settings.position_topic();
        let position = reader.partitions(&topic)?.map(|_| topic);
        let targets = reader.topics(&format!("{}.", settings.name))?.into_keys().collect();
        Ok(Listing { position, targets })
    });
    listed.await.map_err(|error| error.failing("listing the connector's topics"))
}

/// Deletes the position topic and, if asked to, the target topics. Returns the names of those that were there.
pub async fn drop_topics(
    config: Config,
    name: &str,
    target_topics: bool,
) -> Result<Vec<String>, Failure> {
    let listing = list_topics(config.clone(), name).await?;
    let settings = settings(config, name)?;
    let mut names: Vec<String> = listing.position.into_iter().collect();
    if target_topics {
        names.extend(listing.targets);
    }
    let deleted = delete(&settings, &names).await;
    deleted.map_err(|error| error.failing("deleting the connector's topics"))?;
    Ok(names)
}

async fn delete(settings: &Settings, names: &[String]) -> Result<(), Error> {
    /// Topics in one request.
    const MOST: usize = 500;
    let admin: AdminClient<Watch> =
        settings.client(Role::Admin).create_with_context(Watch::default())?;
    let options = AdminOptions::new()
        .operation_timeout(Some(settings.deadline()))
        .request_timeout(Some(settings.deadline()));
    for names in names.chunks(MOST) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for deleted in admin.delete_topics(&names, &options).await? {
            match deleted {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((_, code)) => return Err(KafkaError::AdminOp(code).into()),
            }
        }
    }
    blocking(move || {
        drop(admin);
        Ok(())
    })
    .await
}

/// Forgets where the connector was: it will begin as if it had never run, with an incarnation above every one found,
/// so that what it wrote before is not taken for the new one's. A running connector is shut out.
pub async fn reset(
    config: Config,
    name: &str,
    instance: Uuid,
    clock: crate::Clock,
) -> Result<Reset, Failure> {
    let settings = settings(config, name)?;
    let mut log = Log::<Any>::new(settings.clone(), instance);
    forget(&mut log, clock).await.map_err(|error| error.failing(RESETTING))
}

async fn forget(log: &mut Log<Any>, clock: crate::Clock) -> Result<Reset, Error> {
    let settings = log.settings.clone();
    let reader = Reader::open(&settings).await?;
    log.owner.look(&reader).await?;
    let producer = log.owner.init(&settings).await?;
    let position = settings.position_topic();
    log.topics.ensure(&producer, &position, Purpose::Position, Some(1)).await?;
    log.state = State::Ready(producer);
    let records = log.owner.read(&reader).await?;
    let found = records.highest;
    let headers = {
        let (reader, name) = (Arc::clone(&reader), Arc::clone(&settings.name));
        blocking(move || {
            let topics: BTreeMap<String, i32> = reader.topics(&format!("{name}."))?;
            let partitions = reader.latest(&topics, clock() / 1000, LOOKED_AT)?;
            reader.tails(&name, &partitions)
        })
        .await?
    };
    let written = headers.iter().map(|tail| tail.stamp.incarnation).max().unwrap_or(0);
    let sent = headers.iter().map(|tail| tail.stamp.sequence).max().unwrap_or(0);
    let place = Place::<Any> {
        sequence: found.sequence.max(sent) + 1,
        incarnation: found.incarnation.max(written) + 1,
        epoch: found.epoch + 1,
        identity: position::no_identity(),
        done: None,
        open: None,
    };
    let keys = keys(&records);
    let incarnation = place.incarnation;
    let forgotten = keys.len();
    log.replace(keys, place).await?;
    reader::close(reader);
    Ok(Reset { position_topic: position, incarnation, forgotten })
}

/// Keys that hold something, without the position's own.
fn keys(gathered: &Gathered) -> BTreeSet<Vec<u8>> {
    let held = gathered.last.iter().filter(|(_, record)| record.value.is_some());
    held.map(|(key, _)| key.clone()).filter(|key| key != position::POSITION.as_bytes()).collect()
}
