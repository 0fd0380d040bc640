//! What stands in the position topic: small records, one key for each thing, the last of a key counts.
//!
//! ```text
//! position            in every transaction, last: done, open, sequence, incarnation, epoch
//! source              identity and intent      |
//! table/<schema>.<table>   schema, copy        |  in the same transaction, when they change
//! topic/<name>        partitions, key schema   |
//! claim               who writes now           |
//! ```
//! A value reads `1 <crc> <json>`: the format's version, CRC-32 of key, a zero byte and JSON in eight hexadecimal digits,
//! and the thing itself. A record that was cut, or put under another key, does not pass for one. Headers say which
//! instance wrote it, so that who took over can be told without reading the value, also before its transaction ends.

use std::collections::BTreeMap;

use change::TableName;
use connector::{CopyId, Identity, Open, Stored, TableState};
use rdkafka::message::{Header, Headers, OwnedHeaders};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;
use crate::stamp::Stamp;

/// The position topic's `max.message.bytes`: a large GTID set, a table of thousands of columns.
pub(crate) const RECORD_BYTES_MAX: u32 = 8 << 20;

const VERSION: &str = "1";
const INSTANCE: &str = "instance";

pub(crate) const POSITION: &str = "position";
pub(crate) const SOURCE: &str = "source";
pub(crate) const CLAIM: &str = "claim";

/// Where the source's log was read up to, and the counters that put records in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place<P> {
    /// One more with every transaction, through all incarnations.
    pub(crate) sequence: u64,
    /// One more after every reset.
    pub(crate) incarnation: u64,
    /// One more with every claim.
    pub(crate) epoch: u64,
    /// Of the identity under `source`, so that the two belong together.
    pub(crate) identity: u64,
    pub(crate) done: Option<P>,
    pub(crate) open: Option<Open>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct SourceRecord {
    pub(crate) identity: Identity,
    pub(crate) intent: Option<CopyId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopicRecord {
    pub(crate) name: String,
    pub(crate) partitions: i32,
    /// The registry's number that stands in every key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_schema: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClaimRecord {
    pub(crate) instance: Uuid,
    pub(crate) epoch: u64,
}

/// One record of the position topic as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) offset: i64,
    pub(crate) key: Vec<u8>,
    /// None: a tombstone.
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) instance: Option<Uuid>,
}

/// The highest counters of any position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(crate) struct Counters {
    pub(crate) sequence: u64,
    pub(crate) incarnation: u64,
    pub(crate) epoch: u64,
}

/// The last record of each key. What was replaced later need not be whole and takes no memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gathered {
    pub(crate) last: BTreeMap<Vec<u8>, Raw>,
    pub(crate) highest: Counters,
}

impl Gathered {
    /// Takes the next record of the log.
    pub(crate) fn add(&mut self, record: Raw) {
        if record.key == POSITION.as_bytes()
            && let Some(value) = &record.value
            && let Ok(counters) = decode::<Counters>(POSITION, value)
        {
            self.highest.sequence = self.highest.sequence.max(counters.sequence);
            self.highest.incarnation = self.highest.incarnation.max(counters.incarnation);
            self.highest.epoch = self.highest.epoch.max(counters.epoch);
        }
        self.last.insert(record.key.clone(), record);
    }
}

/// All that the position topic says, put together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Contents<P> {
    pub(crate) place: Option<Place<P>>,
    pub(crate) source: Option<SourceRecord>,
    pub(crate) tables: BTreeMap<TableName, TableState>,
    pub(crate) topics: BTreeMap<String, TopicRecord>,
    pub(crate) claim: Option<ClaimRecord>,
}

/// Why a record is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    #[error("a key that is not text")]
    Key,
    #[error("{key}: not a record of this connector")]
    Form { key: String },
    #[error("{key}: written in format {version}, which a newer version of the connector made")]
    Version { key: String, version: String },
    #[error("{key}: its checksum does not match")]
    Checksum { key: String },
    #[error("{key}: not what is kept under this key (line {line}, column {column})")]
    Content { key: String, line: usize, column: usize },
    #[error("the last position has sequence {last}, an earlier one {highest}")]
    Order { last: u64, highest: u64 },
    #[error("the position belongs to another source than the one stored with it")]
    Identity,
}

pub(crate) fn table_key(name: &TableName) -> String {
    format!("table/{}.{}", escape(&name.schema), escape(&name.table))
}

pub(crate) fn topic_key(name: &str) -> String {
    format!("topic/{name}")
}

/// A dot inside a name must not look like the dot between two.
fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '.' => escaped.push_str("%2E"),
            '%' => escaped.push_str("%25"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The checksum does not move with the order in which a map happens to be written: identities are sorted.
pub(crate) fn identity_hash(identity: &Identity) -> u64 {
    let mut bytes = Vec::new();
    for (name, value) in &identity.0 {
        for part in [name, value] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    xxhash_rust::xxh3::xxh3_64(&bytes)
}

fn checksum(key: &[u8], json: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(&[0]);
    hasher.update(json);
    hasher.finalize()
}

pub(crate) fn encode<T: Serialize>(key: &str, thing: &T) -> Result<Vec<u8>, Error> {
    let json = serde_json::to_vec(thing).map_err(|error| Error::Encoding("a record", error))?;
    let mut value = format!("{VERSION} {:08x} ", checksum(key.as_bytes(), &json)).into_bytes();
    value.extend_from_slice(&json);
    Ok(value)
}

fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, Damage> {
    let form = || Damage::Form { key: key.to_owned() };
    let (version, rest) = split(value).ok_or_else(form)?;
    if version != VERSION.as_bytes() {
        let version = String::from_utf8_lossy(&version[..version.len().min(16)]).into_owned();
        return match version.bytes().all(|byte| byte.is_ascii_digit()) && !version.is_empty() {
            true => Err(Damage::Version { key: key.to_owned(), version }),
            false => Err(form()),
        };
    }
    let (crc, json) = split(rest).ok_or_else(form)?;
    let crc = std::str::from_utf8(crc).ok().filter(|crc| crc.len() == 8);
    let crc = crc.and_then(|crc| u32::from_str_radix(crc, 16).ok()).ok_or_else(form)?;
    if crc != checksum(key.as_bytes(), json) {
        return Err(Damage::Checksum { key: key.to_owned() });
    }
    serde_json::from_slice(json).map_err(|error| Damage::Content {
        key: key.to_owned(),
        line: error.line(),
        column: error.column(),
    })
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    Some((&bytes[..space], &bytes[space + 1..]))
}

pub(crate) fn headers(stamp: &Stamp, instance: Uuid) -> OwnedHeaders {
    let instance = instance.to_string();
    stamp.headers(1).insert(Header { key: INSTANCE, value: Some(instance.as_str()) })
}

/// The writer of a record of the position topic.
pub(crate) fn instance<H: Headers>(headers: &H) -> Option<Uuid> {
    let header = headers.iter().find(|header| header.key == INSTANCE)?;
    Uuid::try_parse_ascii(header.value?).ok()
}

impl<P> Default for Contents<P> {
    fn default() -> Self {
        Self {
            place: None,
            source: None,
            tables: BTreeMap::new(),
            topics: BTreeMap::new(),
            claim: None,
        }
    }
}

impl<P: DeserializeOwned> Contents<P> {
    /// Puts together what was read. `together`: it was written in transactions, so no part may be newer than another.
    pub(crate) fn read(gathered: &Gathered, together: bool) -> Result<Self, Damage> {
        let mut contents = Self::default();
        for (key, record) in &gathered.last {
            let key = std::str::from_utf8(key).map_err(|_| Damage::Key)?;
            contents.take(key, record.value.as_deref())?;
        }
        contents.whole(gathered.highest.sequence, together)?;
        Ok(contents)
    }

    fn take(&mut self, key: &str, value: Option<&[u8]>) -> Result<(), Damage> {
        let form = || Damage::Form { key: key.to_owned() };
        match (key, value) {
            (POSITION, Some(value)) => self.place = Some(decode(key, value)?),
            (POSITION, None) => return Err(form()),
            (SOURCE, value) => self.source = value.map(|value| decode(key, value)).transpose()?,
            (CLAIM, value) => self.claim = value.map(|value| decode(key, value)).transpose()?,
            (key, Some(value)) if key.starts_with("table/") => {
                let table: TableState = decode(key, value)?;
                if table_key(&table.name) != key {
                    return Err(form());
                }
                self.tables.insert(table.name.clone(), table);
            }
            (key, Some(value)) if key.starts_with("topic/") => {
                let topic: TopicRecord = decode(key, value)?;
                if topic_key(&topic.name) != key {
                    return Err(form());
                }
                self.topics.insert(topic.name.clone(), topic);
            }
            // What was forgotten, or a key that a newer version writes and this one can do without.
            (_, _) => {}
        }
        Ok(())
    }

    fn whole(&self, highest: u64, together: bool) -> Result<(), Damage> {
        let Some(place) = &self.place else { return Ok(()) };
        if place.sequence < highest {
            return Err(Damage::Order { last: place.sequence, highest });
        }
        let identity = self.source.as_ref().map(|source| identity_hash(&source.identity));
        if together && identity.unwrap_or_else(no_identity) != place.identity {
            return Err(Damage::Identity);
        }
        Ok(())
    }

    /// What the engine goes on with; None when it never stored anything.
    pub(crate) fn stored(&self) -> Option<Stored<P>>
    where
        P: Clone,
    {
        let source = self.source.clone()?;
        let place = self.place.as_ref();
        Some(Stored {
            identity: source.identity,
            intent: source.intent,
            at: place.and_then(|place| place.done.clone()),
            open: place.and_then(|place| place.open.clone()),
            tables: self.tables.clone(),
        })
    }
}

/// The hash that a position carries before any identity was stored.
pub(crate) fn no_identity() -> u64 {
    identity_hash(&Identity::default())
}

#[cfg(test)]
mod tests;
