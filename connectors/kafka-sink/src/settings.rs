//! A configuration that was looked at as a whole, and what follows from it: names, limits, and the Kafka client's own
//! settings.
//!
//! What exactly-once rests on is set here and cannot be set otherwise: acknowledgement by all replicas, idempotence, at
//! most five requests in flight, a message's life shorter than a transaction's, and the client's report of lost
//! connections, from which a commit's unknown past is told. Everything else may be tuned under `[sink.kafka]`.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use secrecy::ExposeSecret;

use crate::{Config, Delivery};

/// A broker's limit on topic names is 249 characters; ours adds a prefix to the connector's name.
const NAME_LENGTH_MAX: usize = 200;

/// What waits in the producer for its acknowledgement, unless one record needs more.
const QUEUE_BYTES: u32 = 16 << 20;
const QUEUE_MESSAGES: u32 = 50_000;

/// Room for a record's framing beside key, value and headers.
pub(crate) const RECORD_OVERHEAD_BYTES: usize = 512;

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ConfigError {
    /// Inside the sink's table: `topics.partitions`.
    pub path: String,
    pub problem: String,
}

/// A valid configuration of one connector.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) name: Arc<str>,
    pub(crate) config: Config,
}

/// Which client is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Producer,
    /// Reads what was committed.
    Committed,
    /// Reads all there is, and asks for high watermarks.
    Uncommitted,
    Admin,
}

/// Keys of the Kafka client that we set, and where to set them instead.
const OURS: &[(&str, &str)] = &[
    ("acks", "acknowledgement by all replicas is what keeps a row"),
    ("allow.auto.create.topics", "use topics.create"),
    ("auto.offset.reset", "the position decides"),
    ("bootstrap.servers", "use brokers"),
    ("compression.codec", "use compression"),
    ("compression.type", "use compression"),
    ("delivery.timeout.ms", "it follows from transaction_timeout_ms"),
    ("enable.auto.commit", "the position decides"),
    ("enable.auto.offset.store", "the position decides"),
    ("enable.gapless.guarantee", ""),
    ("enable.idempotence", "without it a retry can double a row"),
    ("enable.partition.eof", ""),
    ("group.id", "the position decides"),
    ("group.instance.id", ""),
    ("isolation.level", "only what was committed may be read"),
    ("log.connection.close", "lost connections decide whether a producer may be used again"),
    ("log.queue", ""),
    ("log_level", "use the program's log level"),
    ("max.in.flight", "more than five lose the order of idempotent writes"),
    ("max.in.flight.requests.per.connection", "more than five lose the order of idempotent writes"),
    ("message.max.bytes", "use record_bytes_max"),
    ("message.send.max.retries", ""),
    ("message.timeout.ms", "it follows from transaction_timeout_ms"),
    ("metadata.broker.list", "use brokers"),
    ("partitioner", "use partitioner"),
    ("partitioner_cb", ""),
    ("plugin.library.paths", "no foreign code is loaded"),
    ("queue.buffering.max.kbytes", "it follows from record_bytes_max"),
    ("request.required.acks", "acknowledgement by all replicas is what keeps a row"),
    ("queued.max.messages.kbytes", ""),
    ("retries", ""),
    ("sasl.mechanism", "use sasl.mechanism of the sink's table"),
    ("sasl.mechanisms", "use sasl.mechanism of the sink's table"),
    ("sasl.password", "use sasl.password of the sink's table"),
    ("sasl.username", "use sasl.username of the sink's table"),
    ("security.protocol", "use tls and sasl"),
    ("ssl.ca.location", "use tls.ca"),
    ("ssl.certificate.location", "use tls.cert"),
    ("ssl.key.location", "use tls.key"),
    ("ssl.key.password", "use tls.key_password"),
    ("statistics.interval.ms", "use the program's metrics"),
    ("transaction.timeout.ms", "use transaction_timeout_ms"),
    ("transactional.id", "it follows from the connector's name"),
];

impl Settings {
    /// All mistakes at once.
    pub(crate) fn new(name: &str, config: Config) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut wrong = |path: &str, problem: &str| {
            errors.push(ConfigError { path: path.to_owned(), problem: problem.to_owned() });
        };
        if !is_name(name) {
            wrong(
                "name",
                "1 to 200 of the characters a-z A-Z 0-9 . _ -, beginning with a letter or digit",
            );
        }
        if config.brokers.is_empty() {
            wrong("brokers", "at least one host:port");
        }
        for broker in &config.brokers {
            if !is_address(broker) {
                wrong("brokers", &format!("{broker:?} is not host:port"));
            }
        }
        if !(1024..=64 << 20).contains(&config.record_bytes_max) {
            wrong("record_bytes_max", "1024 to 67108864");
        }
        if !(10_000..=900_000).contains(&config.transaction_timeout_ms) {
            wrong("transaction_timeout_ms", "10000 to 900000");
        }
        if !(1000..=300_000).contains(&config.deadline_ms) {
            wrong("deadline_ms", "1000 to 300000");
        }
        if !matches!(config.topics.partitions, -1 | 1..=10_000) {
            wrong("topics.partitions", "-1, or 1 to 10000");
        }
        if !matches!(config.topics.replication_factor, -1 | 1..=100) {
            wrong("topics.replication_factor", "-1, or 1 to 100");
        }
        if let Some(tls) = config.encryption()
            && tls.cert.is_some() != tls.key.is_some()
        {
            wrong("tls", "cert and key belong together");
        }
        if let Some(sasl) = &config.sasl
            && (sasl.username.is_empty() || sasl.password.expose_secret().is_empty())
        {
            wrong("sasl", "username and password must not be empty");
        }
        for key in config.kafka.keys() {
            if let Some((_, instead)) = OURS.iter().find(|(ours, _)| ours == key) {
                let why = if instead.is_empty() { "" } else { ": " };
                wrong(&format!("kafka.{key}"), &format!("cannot be set here{why}{instead}"));
            } else if key.starts_with("test.mock.") {
                wrong(&format!("kafka.{key}"), "cannot be set here");
            }
        }
        let settings = Self { name: name.into(), config };
        if errors.is_empty() {
            errors.extend(settings.unknown_keys());
        }
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }

    fn unknown_keys(&self) -> Option<ConfigError> {
        match self.client(Role::Producer).create_native_config() {
            Ok(_) => None,
            // The value may be a secret, so only the key and the client's sentence about it are kept.
            Err(KafkaError::ClientConfig(_, problem, key, value)) => {
                let problem = match value.is_empty() {
                    true => problem,
                    false => problem.replace(&value, ".."),
                };
                Some(ConfigError { path: format!("kafka.{key}"), problem })
            }
            Err(_) => Some(ConfigError {
                path: "kafka".to_owned(),
                problem: "a key or value holds a zero byte".to_owned(),
            }),
        }
    }

    pub(crate) fn position_topic(&self) -> String {
        format!("__afterimage.{}", self.name)
    }

    pub(crate) fn transactional_id(&self) -> String {
        format!("afterimage.{}", self.name)
    }

    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_millis(u64::from(self.config.deadline_ms))
    }

    /// Whoever took over has claimed within this, or dropped out: the deadline of its reading and some.
    pub(crate) fn claim_deadline(&self) -> Duration {
        self.deadline() + Duration::from_secs(5)
    }

    pub(crate) fn is_exactly_once(&self) -> bool {
        self.config.delivery == Delivery::ExactlyOnce
    }

    /// What the Kafka client is to be created with.
    pub(crate) fn client(&self, role: Role) -> ClientConfig {
        let config = &self.config;
        let mut client = ClientConfig::new();
        for (key, value) in &config.kafka {
            client.set(key, value);
        }
        client.set("bootstrap.servers", config.brokers.join(","));
        client.set("client.id", format!("afterimage-{}", self.name));
        client.set("log.connection.close", "true");
        client.set("allow.auto.create.topics", "false");
        self.security(&mut client);
        match role {
            Role::Producer => self.producer(&mut client),
            Role::Committed => self.consumer(&mut client, "read_committed"),
            Role::Uncommitted => self.consumer(&mut client, "read_uncommitted"),
            Role::Admin => {}
        }
        // Lost connections are told at this level, and the sink must hear of them.
        let debug = config.kafka.contains_key("debug");
        client.set_log_level(if debug { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
        client
    }

    fn security(&self, client: &mut ClientConfig) {
        let encryption = self.config.encryption();
        let protocol = match (encryption.is_some(), self.config.sasl.is_some()) {
            (false, false) => "plaintext",
            (true, false) => "ssl",
            (false, true) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        };
        client.set("security.protocol", protocol);
        if let Some(tls) = encryption {
            let files = [
                ("ssl.ca.location", &tls.ca),
                ("ssl.certificate.location", &tls.cert),
                ("ssl.key.location", &tls.key),
            ];
            for (key, file) in files {
                if let Some(file) = file {
                    client.set(key, file.to_string_lossy());
                }
            }
            if let Some(password) = &tls.key_password {
                client.set("ssl.key.password", password.expose_secret());
            }
        }
        if let Some(sasl) = &self.config.sasl {
            client.set("sasl.mechanism", sasl.mechanism.name());
            client.set("sasl.username", &sasl.username);
            client.set("sasl.password", sasl.password.expose_secret());
        }
    }

    fn producer(&self, client: &mut ClientConfig) {
        let config = &self.config;
        let preferred =
            [("linger.ms", "5"), ("batch.size", "1000000"), ("batch.num.messages", "100000")];
        for (key, value) in preferred {
            if !config.kafka.contains_key(key) {
                client.set(key, value);
            }
        }
        if !config.kafka.contains_key("queue.buffering.max.messages") {
            client.set("queue.buffering.max.messages", QUEUE_MESSAGES.to_string());
        }
        // Both inside the transaction's life, so that nothing of it can be sent when it is over.
        let message_timeout_ms = config.transaction_timeout_ms / 4 * 3;
        client.set("message.timeout.ms", message_timeout_ms.to_string());
        if !config.kafka.contains_key("socket.timeout.ms") {
            let socket_timeout_ms = (config.transaction_timeout_ms / 2).min(30_000);
            client.set("socket.timeout.ms", socket_timeout_ms.to_string());
        }
        let record = config.record_bytes_max + RECORD_OVERHEAD_BYTES as u32;
        // The position's own records may be larger than the data's.
        client.set("message.max.bytes", record.max(crate::position::RECORD_BYTES_MAX).to_string());
        let queue_kbytes = QUEUE_BYTES.max(2 * record) / 1024;
        client.set("queue.buffering.max.kbytes", queue_kbytes.to_string());
        client.set("acks", "all");
        client.set("enable.idempotence", "true");
        client.set("max.in.flight", "5");
        client.set("compression.codec", config.compression.name());
        if self.is_exactly_once() {
            client.set("transactional.id", self.transactional_id());
            client.set("transaction.timeout.ms", config.transaction_timeout_ms.to_string());
        }
    }

    fn consumer(&self, client: &mut ClientConfig, isolation: &str) {
        // Partitions are assigned by hand and no offset is kept: the group has no member and no memory.
        client.set("group.id", format!("afterimage.{}", self.name));
        client.set("enable.auto.commit", "false");
        client.set("enable.auto.offset.store", "false");
        client.set("auto.offset.reset", "earliest");
        client.set("enable.partition.eof", "true");
        client.set("isolation.level", isolation);
        client.set("fetch.wait.max.ms", "10");
        client.set("queued.max.messages.kbytes", "16384");
    }
}

fn is_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=NAME_LENGTH_MAX).contains(&name.len())
        && name.bytes().all(legal)
        && name.as_bytes()[0].is_ascii_alphanumeric()
}

fn is_address(broker: &str) -> bool {
    broker.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && !host.contains([',', '/', ' '])
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests;
