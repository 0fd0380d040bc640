use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use crate::settings::{ConfigError, Settings};

/// Where messages go and how surely.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `host:port` of some brokers of the cluster; the others are learnt from them.
    pub brokers: Vec<String>,
    #[serde(default)]
    pub delivery: Delivery,
    /// Encrypts the connections; an empty table is enough where the brokers' certificate is publicly known.
    #[serde(default)]
    pub tls: Option<Tls>,
    #[serde(default)]
    pub sasl: Option<Sasl>,
    #[serde(default)]
    pub topics: TopicRules,
    #[serde(default)]
    pub partitioner: Partitioner,
    #[serde(default)]
    pub compression: Compression,
    /// The largest record, in bytes with key and headers; a larger one stops the connector before it is sent.
    /// 1 KiB to 64 MiB, and no more than the topics' own `max.message.bytes`. A queue of at least this size is kept in
    /// memory.
    #[serde(default = "default_record_bytes_max")]
    #[schemars(range(min = 1024, max = 67_108_864))]
    pub record_bytes_max: u32,
    /// After this the broker ends a transaction of which it hears no more. 10,000 to 900,000, and no more than the
    /// broker's `transaction.max.timeout.ms`.
    #[serde(default = "default_transaction_timeout_ms")]
    #[schemars(range(min = 10_000, max = 900_000))]
    pub transaction_timeout_ms: u32,
    /// How long one request to the cluster (reading the position, creating topics, committing) may take in all its
    /// attempts before the connector starts again. 1,000 to 300,000.
    #[serde(default = "default_deadline_ms")]
    #[schemars(range(min = 1000, max = 300_000))]
    pub deadline_ms: u32,
    /// Further settings of the Kafka client (librdkafka), as strings.
    #[serde(default)]
    pub kafka: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Data and position in one Kafka transaction; consumers read with `isolation.level=read_committed`.
    #[default]
    ExactlyOnce,
    /// The position is written after the data is acknowledged: a crash sends some changes again.
    AtLeastOnce,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// False: as if the table were absent.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// Certificates that the brokers' must descend from, PEM (default: the system's).
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Our certificate with its chain, PEM, for brokers that ask for one.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// What the private key is encrypted with.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub key_password: Option<SecretString>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    pub mechanism: Mechanism,
    pub username: String,
    #[schemars(with = "String")]
    pub password: SecretString,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Mechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// How missing topics are made. Existing ones are never changed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TopicRules {
    /// False: a missing topic stops the connector.
    pub create: bool,
    /// -1: the broker's `num.partitions`. At most 10,000.
    #[schemars(range(min = -1, max = 10_000))]
    pub partitions: i32,
    /// -1: the broker's `default.replication.factor`.
    #[schemars(range(min = -1, max = 100))]
    pub replication_factor: i32,
    /// Default: `compact` for tables with a key, `delete` for the others.
    pub cleanup_policy: Option<CleanupPolicy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum CleanupPolicy {
    #[serde(rename = "compact")]
    Compact,
    #[serde(rename = "delete")]
    Delete,
    #[serde(rename = "compact,delete")]
    CompactDelete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Partitioner {
    /// As Java's clients: over the key's bytes as they are sent.
    #[default]
    Murmur2,
    /// The same without the first five bytes, in which a schema registry's number stands: a new number of an
    /// unchanged key does not move its rows.
    Stable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    #[default]
    Lz4,
    Zstd,
}

impl Default for TopicRules {
    fn default() -> Self {
        Self { create: true, partitions: -1, replication_factor: -1, cleanup_policy: None }
    }
}

fn default_record_bytes_max() -> u32 {
    1 << 20
}

fn default_transaction_timeout_ms() -> u32 {
    60_000
}

fn default_deadline_ms() -> u32 {
    30_000
}

impl Config {
    /// All defaults.
    pub fn new(brokers: Vec<String>) -> Self {
        Self {
            brokers,
            delivery: Delivery::default(),
            tls: None,
            sasl: None,
            topics: TopicRules::default(),
            partitioner: Partitioner::default(),
            compression: Compression::default(),
            record_bytes_max: default_record_bytes_max(),
            transaction_timeout_ms: default_transaction_timeout_ms(),
            deadline_ms: default_deadline_ms(),
            kafka: BTreeMap::new(),
        }
    }

    /// All mistakes that can be seen without a server. `name` is the connector's.
    pub fn mistakes(&self, name: &str) -> Vec<ConfigError> {
        Settings::new(name, self.clone()).err().unwrap_or_default()
    }

    /// The TLS settings, if connections are to be encrypted.
    pub(crate) fn encryption(&self) -> Option<&Tls> {
        self.tls.as_ref().filter(|tls| tls.enabled != Some(false))
    }
}

impl Mechanism {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl CleanupPolicy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            CleanupPolicy::Compact => "compact",
            CleanupPolicy::Delete => "delete",
            CleanupPolicy::CompactDelete => "compact,delete",
        }
    }
}

impl Compression {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}
