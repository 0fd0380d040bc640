//! Debezium itself on the same tables, and its messages beside ours.
//!
//! Both follow one database, each with its own slot and prefix. Per topic the messages are put side by side in their order and
//! compared field by field, with the text of the schemas that they were written with and the bytes of the keys. What may
//! differ stands in one list of [`Difference`]s, each with its reason; one that no longer occurs is itself a failure.

mod connect;
mod differences;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Result;
use crate::avro;
use crate::registry::{Decoded, Registry};
use crate::topics::{Isolation, Topics};

pub use connect::Connect;
pub use differences::{DIFFERENCES, Difference};

/// The messages of one connector by topic, the topic without the prefix.
pub type Messages = BTreeMap<String, Vec<Decoded>>;

/// Reads all topics of a prefix; `registry` must know the numbers in their bytes.
pub async fn read(topics: &Topics, registry: &mut Registry, prefix: &str) -> Result<Messages> {
    let dotted = format!("{prefix}.");
    let mut messages = Messages::new();
    for record in topics.read(&dotted, Isolation::ReadCommitted).await? {
        let topic = record.topic[dotted.len()..].to_owned();
        messages.entry(topic).or_default().push(registry.decode(record).await?);
    }
    Ok(messages)
}

/// One place where the two are not the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub topic: String,
    /// `schema value`, `value 3 after.n`, `headers 2`, `number of messages`.
    pub place: String,
    pub theirs: String,
    pub ours: String,
}

/// Everything that differs. `their_prefix` and `our_prefix` are made equal first.
pub fn compare(
    theirs: &Messages,
    ours: &Messages,
    their_prefix: &str,
    our_prefix: &str,
) -> Vec<Found> {
    let mut comparison = Comparison {
        prefixes: (their_prefix.to_owned(), our_prefix.to_owned()),
        found: Vec::new(),
    };
    let topics: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    for topic in topics {
        let none = Vec::new();
        if topic == TRANSACTION {
            continue;
        }
        comparison.topic(
            topic,
            theirs.get(topic).unwrap_or(&none),
            ours.get(topic).unwrap_or(&none),
        );
    }
    let empty = Vec::new();
    let of = |messages: &'_ Messages| messages.get(TRANSACTION).cloned().unwrap_or_default();
    comparison
        .schemas(TRANSACTION, "key", &of(theirs), &of(ours), |message| message.key_schema.as_ref());
    comparison.schemas(TRANSACTION, "value", &of(theirs), &of(ours), |message| {
        message.value_schema.as_ref()
    });
    comparison.transactions(
        theirs.get(TRANSACTION).unwrap_or(&empty),
        ours.get(TRANSACTION).unwrap_or(&empty),
    );
    comparison.found
}

/// The topic with the beginnings and ends of transactions.
const TRANSACTION: &str = "transaction";

/// `xid:lsn` of which the second part is another for each message of Debezium's.
fn xid(id: &Value) -> String {
    let id = id.as_str().unwrap_or_default();
    id.split(':').next().unwrap_or_default().to_owned()
}

struct Comparison {
    prefixes: (String, String),
    found: Vec<Found>,
}

impl Comparison {
    fn topic(&mut self, topic: &str, theirs: &[Decoded], ours: &[Decoded]) {
        if theirs.len() != ours.len() {
            self.differ(topic, "number of messages", &theirs.len(), &ours.len());
        }
        self.schemas(topic, "key", theirs, ours, |message| message.key_schema.as_ref());
        self.schemas(topic, "value", theirs, ours, |message| message.value_schema.as_ref());
        for (index, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
            self.message(topic, index, theirs, ours);
        }
    }

    /// Each has begun to follow at another transaction, and Debezium tells of those without rows too; so those are compared
    /// that both tell of.
    fn transactions(&mut self, theirs: &[Decoded], ours: &[Decoded]) {
        let told = |messages: &[Decoded]| {
            let mut told: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
            for value in messages.iter().filter_map(|message| message.value.as_ref()) {
                let status = value["status"].as_str().unwrap_or_default().to_owned();
                told.entry((xid(&value["id"]), status)).or_default().push(value.clone());
            }
            told
        };
        let (theirs, ours) = (told(theirs), told(ours));
        for (which, theirs) in &theirs {
            let Some(ours) = ours.get(which) else { continue };
            let place = format!("transaction {}", which.1);
            if theirs.len() != 1 || ours.len() != 1 {
                self.differ(TRANSACTION, &place, &theirs.len(), &ours.len());
            }
            self.value(TRANSACTION, &place, "", &theirs[0], &ours[0]);
        }
    }

    /// The texts of the schemas in the order in which messages first use them.
    fn schemas<'a>(
        &mut self,
        topic: &str,
        part: &str,
        theirs: &'a [Decoded],
        ours: &'a [Decoded],
        schema: impl Fn(&'a Decoded) -> Option<&'a std::sync::Arc<avro::Schema>>,
    ) {
        let texts = |messages: &'a [Decoded], prefix: &str| {
            let mut texts: Vec<String> = Vec::new();
            for message in messages {
                if let Some(schema) = schema(message) {
                    let text = schema.text.replace(&format!("\"{prefix}."), "\"PREFIX.");
                    if !texts.contains(&text) {
                        texts.push(text);
                    }
                }
            }
            texts
        };
        let (theirs, ours) = (texts(theirs, &self.prefixes.0), texts(ours, &self.prefixes.1));
        if theirs.len() != ours.len() {
            self.differ(topic, &format!("number of {part} schemas"), &theirs.len(), &ours.len());
        }
        for (version, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
            if theirs == ours {
                continue;
            }
            let before = self.found.len();
            if let (Ok(theirs), Ok(ours)) =
                (serde_json::from_str::<Value>(theirs), serde_json::from_str::<Value>(ours))
            {
                self.schema(topic, &format!("{part} schema {version}"), &theirs, &ours);
            }
            // The same content, but the text is what a registry compares.
            if self.found.len() == before {
                self.differ(topic, &format!("text of {part} schema {version}"), theirs, ours);
            }
        }
    }

    /// Field lists are compared by name, so that one field too many is told as that.
    fn schema(&mut self, topic: &str, place: &str, theirs: &Value, ours: &Value) {
        match (theirs, ours) {
            (Value::Object(a), Value::Object(b)) => {
                let (names_a, names_b): (Vec<_>, Vec<_>) = (a.keys().collect(), b.keys().collect());
                if names_a != names_b {
                    self.differ(topic, place, &format!("{names_a:?}"), &format!("{names_b:?}"));
                }
                for (name, a) in a {
                    if let Some(b) = b.get(name) {
                        self.schema(topic, &format!("{place}.{name}"), a, b);
                    }
                }
            }
            (Value::Array(a), Value::Array(b))
                if a.iter().chain(b).all(|field| field["name"].is_string()) =>
            {
                let name = |field: &Value| field["name"].as_str().unwrap_or_default().to_owned();
                let of = |fields: &[Value], wanted: &str| {
                    fields.iter().find(|field| name(field) == wanted).cloned()
                };
                let both = |fields: &[Value], others: &[Value]| {
                    fields
                        .iter()
                        .map(name)
                        .filter(|field| of(others, field).is_some())
                        .collect::<Vec<_>>()
                };
                if both(a, b) != both(b, a) {
                    self.differ(
                        topic,
                        &format!("{place} order"),
                        &both(a, b).join(" "),
                        &both(b, a).join(" "),
                    );
                }
                for field in a.iter().chain(b).map(name).collect::<BTreeSet<_>>() {
                    let place = format!("{place}.{field}");
                    match (of(a, &field), of(b, &field)) {
                        (Some(a), Some(b)) => self.schema(topic, &place, &a, &b),
                        (Some(_), None) => self.differ(topic, &place, "a field", "none"),
                        _ => self.differ(topic, &place, "none", "a field"),
                    }
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (index, (a, b)) in a.iter().zip(b).enumerate() {
                    self.schema(topic, &format!("{place}[{index}]"), a, b);
                }
            }
            (a, b) if a == b => {}
            (a, b) => self.differ(topic, place, &a, &b),
        }
    }

    fn message(&mut self, topic: &str, index: usize, theirs: &Decoded, ours: &Decoded) {
        let headers = |message: &Decoded| {
            let of_keys = |name: &str| name.ends_with("key") && name.starts_with("__debezium");
            let headers = message.record.headers.iter().filter(|(name, _)| of_keys(name));
            headers
                .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
                .collect::<Vec<_>>()
                .join(" ")
        };
        if headers(theirs) != headers(ours) {
            self.differ(topic, &format!("headers {index}"), &headers(theirs), &headers(ours));
        }
        let none = Value::Null;
        let op = theirs.value.as_ref().and_then(|value| value["op"].as_str()).unwrap_or("-");
        let pairs = [("key", &theirs.key, &ours.key), ("value", &theirs.value, &ours.value)];
        for (part, theirs, ours) in pairs {
            let (theirs, ours) = (theirs.as_ref().unwrap_or(&none), ours.as_ref().unwrap_or(&none));
            self.value(topic, &format!("{part} {index} ({op})"), "", theirs, ours);
        }
        // Equal values of an equal schema must be equal bytes: the framing, and then the datum.
        let bytes = |message: &Decoded| message.record.key.as_ref().map(|key| key[5..].to_vec());
        if theirs.key == ours.key && bytes(theirs) != bytes(ours) {
            let shown = |message: &Decoded| {
                bytes(message).map(|bytes| avro::hex(&bytes)).unwrap_or_default()
            };
            self.differ(topic, &format!("key bytes {index}"), &shown(theirs), &shown(ours));
        }
    }

    fn value(&mut self, topic: &str, place: &str, path: &str, theirs: &Value, ours: &Value) {
        match (theirs, ours) {
            (Value::Object(a), Value::Object(b)) => {
                for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                    let path =
                        if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    // A field that only one of them has is told once, at the schema.
                    if let (Some(a), Some(b)) = (a.get(name), b.get(name)) {
                        self.value(topic, place, &path, a, b);
                    }
                }
            }
            (Value::String(a), Value::String(b)) if path == "source.name" => {
                if *a != self.prefixes.0 || *b != self.prefixes.1 {
                    self.differ(topic, &format!("{place} {path}"), a, b);
                }
            }
            (a, b) if a == b => {}
            // The number behind the transaction's own is that of each event in Debezium's, of the commit in ours.
            (a, b) if path.ends_with("id") && a.is_string() && xid(a) == xid(b) => {}
            (a, b) => self.differ(topic, &format!("{place} {path}"), &a, &b),
        }
    }

    fn differ(
        &mut self,
        topic: &str,
        place: &str,
        theirs: &(impl std::fmt::Display + ?Sized),
        ours: &(impl std::fmt::Display + ?Sized),
    ) {
        self.found.push(Found {
            topic: topic.to_owned(),
            place: place.trim().to_owned(),
            theirs: theirs.to_string(),
            ours: ours.to_string(),
        });
    }
}
