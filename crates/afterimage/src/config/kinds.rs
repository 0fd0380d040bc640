//! The kinds that a section can be of, and the sections that the binary owns itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use postgres_source::PostgresSource;
use rand::SeedableRng;
use rand::rngs::StdRng;
use schema_registry::RegistryClient;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value, json};

use super::bounded::Bounded;
use super::document::{Document, join};
use super::problem::Problem;
use super::section::{self, nearest};
use crate::report::chain;

/// The connector's name: topic prefix, transactional id, default of the slot's name.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub(crate) struct Name(#[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"))] String);

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.len() <= 100
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(allowed)
        {
            Ok(Self(name))
        } else {
            Err(de::Error::custom(
                "a name is 1 to 100 letters, digits, `.`, `_` or `-`, and begins with a letter or digit",
            ))
        }
    }
}

#[derive(Debug)]
pub(crate) enum Source {
    Postgres(postgres_source::Config),
}

#[derive(Debug)]
pub(crate) enum Sink {
    Kafka(kafka_sink::Config),
    File(file_sink::FileConfig),
    Stdout(file_sink::StdoutConfig),
}

#[derive(Debug)]
pub(crate) struct Format {
    pub(crate) encoding: Encoding,
    pub(crate) messages: Messages,
}

#[derive(Debug)]
pub(crate) enum Encoding {
    Avro(schema_registry::Config),
    Json,
}

/// What becomes of the rows that are there before the first change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Copying {
    /// `initial`: every table is copied once, then followed. `never`: followed from now on. `only`: copied, then the
    /// run ends.
    pub(crate) copy: CopyMode,
    /// A table that was captured, left out and is captured again: `stop`, or `truncate` before its rows come again.
    pub(crate) readd: Readd,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CopyMode {
    #[default]
    Initial,
    Never,
    Only,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Readd {
    #[default]
    Stop,
    Truncate,
}

/// What messages look like, whatever they are encoded in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Messages {
    /// `debezium`: before, after, source and operation. `row`: the row after the change; a delete is a tombstone.
    pub(crate) shape: Shape,
    /// Debezium's transaction topic, and a transaction block in every message (default false).
    pub(crate) transactions: bool,
    /// `skip`: a TRUNCATE is counted and not sent. `emit`: a message without key and rows, to every partition.
    pub(crate) truncate: Truncate,
    /// Where a new row lacks a value that the database did not send. `placeholder`: Debezium's marker stands for it.
    /// `stop`: the connector stops (default for the shape `row`).
    pub(crate) absent: Option<Absent>,
    /// `precise`: exact binary decimals. `text`: their digits.
    pub(crate) decimals: Decimals,
    /// What NaN and infinity give in precise decimals: `stop`, or `null` where null is allowed.
    pub(crate) specials: Specials,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shape {
    #[default]
    Debezium,
    Row,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Truncate {
    #[default]
    Skip,
    Emit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Absent {
    Placeholder,
    Stop,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Decimals {
    #[default]
    Precise,
    Text,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Specials {
    #[default]
    Stop,
    Null,
}

impl Messages {
    pub(crate) fn settings(&self) -> message::Settings {
        message::Settings {
            shape: match self.shape {
                Shape::Debezium => message::Shape::Debezium,
                Shape::Row => message::Shape::Row,
            },
            transactions: self.transactions,
            truncate: match self.truncate {
                Truncate::Skip => message::Truncate::Skip,
                Truncate::Emit => message::Truncate::Emit,
            },
            absent: self.absent.map(|absent| match absent {
                Absent::Placeholder => message::Absent::Placeholder,
                Absent::Stop => message::Absent::Stop,
            }),
            decimals: match self.decimals {
                Decimals::Precise => message::Decimals::Precise,
                Decimals::Text => message::Decimals::Text,
            },
            specials: match self.specials {
                Specials::Stop => message::Specials::Stop,
                Specials::Null => message::Specials::Null,
            },
        }
    }
}

/// The pages for people's monitoring.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    /// Where `/metrics`, `/healthz` and `/readyz` are served (default 127.0.0.1:9600); port 0: a free one, logged.
    #[serde(default = "default_listen")]
    #[schemars(with = "String")]
    pub(crate) listen: SocketAddr,
    /// What a reader of `/metrics` must send as a bearer token (default: none is asked for).
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub(crate) token: Option<SecretString>,
}

fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 9600).into()
}

const MIB: u64 = 1 << 20;

/// Bounds of memory and time. Larger batches carry more rows a second, smaller ones arrive sooner.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Bytes of rows between source and sink (default 16 MiB). A larger row passes alone.
    pub(crate) queue_bytes: Bounded<MIB, { 4096 * MIB - 1 }>,
    /// A transaction of the sink is closed at the first source commit behind so many bytes of rows (default 8 MiB),
    pub(crate) transaction_bytes: Bounded<{ 64 * 1024 }, { 1024 * MIB }>,
    /// so many messages (default 10,000),
    pub(crate) transaction_messages: Bounded<1, 1_000_000>,
    /// or so many milliseconds (default 50).
    pub(crate) transaction_age_ms: Bounded<1, 10_000>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_bytes: Bounded::new(16 * MIB),
            transaction_bytes: Bounded::new(8 * MIB),
            transaction_messages: Bounded::new(10_000),
            transaction_age_ms: Bounded::new(50),
        }
    }
}

impl Limits {
    pub(crate) fn apply(&self, limits: &mut engine::Limits) {
        let whole = |value: u64| usize::try_from(value).expect("the bounds fit into 32 bits");
        limits.queue_bytes = whole(self.queue_bytes.get());
        limits.transaction_bytes = whole(self.transaction_bytes.get());
        limits.transaction_messages = whole(self.transaction_messages.get());
        limits.transaction_age = Duration::from_millis(self.transaction_age_ms.get());
    }
}

pub(super) const SOURCES: [&str; 1] = ["postgres"];
pub(super) const SINKS: [&str; 3] = ["kafka", "file", "stdout"];
pub(super) const FORMATS: [&str; 2] = ["avro", "json"];

/// The options of every kind of source that the engine and not the source obeys.
const COPYING: [&str; 2] = ["copy", "readd"];
const TAKEN: [&str; 3] = ["kind", COPYING[0], COPYING[1]];

pub(super) fn source(
    document: &Document,
    table: Value,
    problems: &mut Vec<Problem>,
) -> Option<(Source, Copying)> {
    let (kind, mut table) = kind(document, "source", table, &SOURCES, problems)?;
    let mut own = Map::new();
    if let Value::Object(table) = &mut table {
        own.extend(COPYING.iter().filter_map(|name| table.remove_entry(*name)));
    }
    let copying = section::read(document, "source", Value::Object(own), problems);
    let source = match kind {
        "postgres" => {
            section::read_beside(document, "source", table, &TAKEN, problems).map(Source::Postgres)
        }
        _ => None,
    };
    Some((source?, copying?))
}

pub(super) fn sink(document: &Document, table: Value, problems: &mut Vec<Problem>) -> Option<Sink> {
    let (kind, table) = kind(document, "sink", table, &SINKS, problems)?;
    match kind {
        "kafka" => {
            section::read_beside(document, "sink", table, &["kind"], problems).map(Sink::Kafka)
        }
        "file" => {
            section::read_beside(document, "sink", table, &["kind"], problems).map(Sink::File)
        }
        "stdout" => {
            section::read_beside(document, "sink", table, &["kind"], problems).map(Sink::Stdout)
        }
        _ => None,
    }
}

pub(super) fn format(
    document: &Document,
    table: Value,
    problems: &mut Vec<Problem>,
) -> Option<Format> {
    let (kind, mut table) = kind(document, "format", table, &FORMATS, problems)?;
    let encoding = match kind {
        "avro" => {
            let registry = table.as_object_mut().and_then(|table| table.remove("registry"));
            registry_config(document, registry, problems).map(Encoding::Avro)
        }
        _ => Some(Encoding::Json),
    };
    let taken: &[&str] = if kind == "avro" { &["kind", "registry"] } else { &["kind"] };
    let messages = section::read_beside(document, "format", table, taken, problems);
    Some(Format { encoding: encoding?, messages: messages? })
}

/// `registry = "http://.."` is short for `[format.registry] url = "http://.."`.
fn registry_config(
    document: &Document,
    registry: Option<Value>,
    problems: &mut Vec<Problem>,
) -> Option<schema_registry::Config> {
    let path = "format.registry";
    match registry {
        Some(Value::String(url)) => section::read(document, path, json!({ "url": url }), problems),
        Some(table) => section::read(document, path, table, problems),
        None => {
            if !problems.iter().any(|problem| problem.fatal && problem.path == path) {
                let message = "this option is missing: the schema registry's address".to_owned();
                problems.push(Problem::error(document.place("format"), path, message));
            }
            None
        }
    }
}

/// Takes `kind` out of a section.
fn kind(
    document: &Document,
    section: &str,
    mut table: Value,
    known: &'static [&'static str],
    problems: &mut Vec<Problem>,
) -> Option<(&'static str, Value)> {
    let path = join(section, "kind");
    let choice = known.join(", ");
    let message = match table.as_object_mut().map(|table| table.remove("kind")) {
        Some(Some(Value::String(kind))) => match known.iter().find(|known| **known == kind) {
            Some(kind) => return Some((kind, table)),
            None if document.hides(&path) => format!("unknown kind; there is {choice}"),
            None => match nearest(&kind, known.iter().copied()) {
                Some(near) => format!("unknown kind `{kind}`; did you mean `{near}`?"),
                None => format!("unknown kind `{kind}`; there is {choice}"),
            },
        },
        Some(Some(_)) => format!("a string is expected: {choice}"),
        Some(None) => format!("this option is missing: {choice}"),
        None => {
            let message = format!("a section is expected: [{section}]");
            problems.push(Problem::error(document.place(section), section, message));
            return None;
        }
    };
    if !problems.iter().any(|problem| problem.fatal && problem.path == path) {
        problems.push(Problem::error(document.place(&path), &path, message));
    }
    None
}

/// What only the owner of a section can tell, without asking a server.
pub(super) fn mistakes(
    document: &Document,
    name: Option<&Name>,
    source: Option<(&Source, &Copying)>,
    sink: Option<&Sink>,
    format: Option<&Format>,
    problems: &mut Vec<Problem>,
) {
    let mut add = |path: String, message: String| {
        problems.push(Problem::error(document.place(&path), &path, message));
    };
    // Only what is named after it would differ.
    let name = name.map_or("connector", Name::as_str);
    match source {
        Some((Source::Postgres(postgres), _)) => {
            let errors = PostgresSource::new(name, postgres).err().unwrap_or_default();
            for postgres_source::ConfigError { path, problem } in errors {
                add(join("source", &path), problem);
            }
        }
        None => {}
    }
    match sink {
        Some(Sink::Kafka(kafka)) => {
            for kafka_sink::ConfigError { path, problem } in kafka.mistakes(name) {
                add(join("sink", &path), problem);
            }
        }
        Some(Sink::File(_) | Sink::Stdout(_)) | None => {}
    }
    let Some(format) = format else { return };
    match (&format.encoding, sink) {
        (Encoding::Avro(_), Some(Sink::File(_) | Sink::Stdout(_))) => {
            let message = "lines hold JSON: this sink needs format.kind = \"json\"".to_owned();
            add("format.kind".to_owned(), message);
        }
        (Encoding::Avro(registry), Some(Sink::Kafka(_)) | None) => {
            // The client is thrown away; its pauses need no chance.
            if let Err(error) = RegistryClient::new(registry, StdRng::seed_from_u64(0)) {
                add("format.registry".to_owned(), chain(&error));
            }
        }
        (Encoding::Json, _) => {}
    }
    let (Some((_, copying)), Some(sink)) = (source, sink) else { return };
    let messages = &format.messages;
    if messages.truncate == Truncate::Emit
        && let Sink::Kafka(kafka) = sink
        && kafka.topics.cleanup_policy != Some(kafka_sink::CleanupPolicy::Delete)
    {
        let message = "a TRUNCATE's message has no key, which compacted topics refuse: set \
                       sink.topics.cleanup_policy = \"delete\"";
        add("format.truncate".to_owned(), message.to_owned());
    }
    let tells = messages.truncate == Truncate::Emit && messages.shape == Shape::Debezium;
    if copying.readd == Readd::Truncate && !tells {
        let message = "only a TRUNCATE that is told makes a topic begin anew: set \
                       format.truncate = \"emit\", with the shape `debezium`";
        add("source.readd".to_owned(), message.to_owned());
    }
}
