//! Messages as lines that two runs share.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::Result;
use crate::registry::Decoded;

/// Headers that name keys before and after a change of the key.
const KEY_HEADERS: [(&str, &str); 2] =
    [("__debezium.newkey", "newkey"), ("__debezium.oldkey", "oldkey")];

#[derive(Debug)]
pub struct Lines {
    prefix: String,
    /// By topic: the text of the schemas of the last message told.
    schemas: BTreeMap<String, (String, String)>,
    all: Vec<String>,
}

impl Lines {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: format!("{prefix}."), schemas: BTreeMap::new(), all: Vec::new() }
    }

    /// All lines. Copied rows that follow each other are sorted: tables and their parts are read side by side.
    pub fn finish(mut self) -> Vec<String> {
        let is_copied = |line: &String| line.contains("\"op\":\"r\"");
        for run in self.all.chunk_by_mut(|a, b| is_copied(a) && is_copied(b)) {
            run.sort();
        }
        self.all
    }

    pub fn add(&mut self, decoded: &Decoded) -> Result<()> {
        let topic = decoded.record.topic.strip_prefix(&self.prefix).unwrap_or("?").to_owned();
        if topic == "transaction" && self.is_the_sentinels(decoded) {
            return Ok(());
        }
        self.add_schema(&topic, decoded);
        let mut line = Map::new();
        line.insert("topic".to_owned(), topic.clone().into());
        if let Some(key) = &decoded.key {
            let key = if topic == "transaction" { without_place(key, "id") } else { key.clone() };
            line.insert("key".to_owned(), key);
        }
        for (header, name) in KEY_HEADERS {
            if let Some(value) = decoded.record.header(header) {
                let value = String::from_utf8_lossy(value);
                let value =
                    serde_json::from_str(&value).unwrap_or(Value::String(value.into_owned()));
                line.insert(name.to_owned(), value);
            }
        }
        match &decoded.value {
            None => {
                line.insert("tombstone".to_owned(), true.into());
            }
            Some(value) if topic == "transaction" => {
                let mut value = without_place(value, "id");
                value.as_object_mut().map(|value| value.shift_remove("ts_ms"));
                line.insert("value".to_owned(), value);
            }
            Some(Value::Object(envelope)) if envelope.contains_key("op") => {
                add_envelope(&mut line, envelope);
            }
            Some(value) => {
                line.insert("value".to_owned(), value.clone());
            }
        }
        self.all.push(Value::Object(line).to_string());
        Ok(())
    }

    /// A BEGIN waits for its END, which tells the tables: how often the sentinel was changed is by chance.
    fn is_the_sentinels(&mut self, decoded: &Decoded) -> bool {
        let Some(value) = &decoded.value else { return false };
        let tables = value["data_collections"].as_array();
        let is_own = tables.is_some_and(|tables| {
            tables.iter().all(|table| table["data_collection"] == crate::sentinel::TABLE)
        });
        if is_own && self.all.last().is_some_and(|line| line.contains("\"status\":\"BEGIN\"")) {
            self.all.pop();
        }
        is_own
    }

    fn add_schema(&mut self, topic: &str, decoded: &Decoded) {
        let Some(value) = &decoded.value_schema else { return };
        let key = decoded.key_schema.as_ref();
        let known = self.schemas.get(topic);
        // A message about the whole table has no key, which says nothing of the others'.
        let key_text = match (key, known) {
            (Some(key), _) => key.text.clone(),
            (None, Some((known, _))) => known.clone(),
            (None, None) => String::new(),
        };
        let told = (key_text, value.text.clone());
        if known == Some(&told) {
            return;
        }
        self.schemas.insert(topic.to_owned(), told);
        let row = envelope_row(&value.json).unwrap_or(&value.json);
        let mut line = Map::new();
        line.insert("topic".to_owned(), topic.into());
        if let Some(key) = key {
            line.insert("key fields".to_owned(), fields(&key.json));
        }
        line.insert("fields".to_owned(), fields(row));
        self.all.push(Value::Object(line).to_string());
    }
}

fn add_envelope(line: &mut Map<String, Value>, envelope: &Map<String, Value>) {
    for name in ["op", "before", "after", "message"] {
        if let Some(value) = envelope.get(name).filter(|value| !value.is_null()) {
            line.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(block) = envelope.get("transaction").filter(|block| !block.is_null()) {
        let told = json!([block["total_order"], block["data_collection_order"]]);
        line.insert("order".to_owned(), told);
    }
}

/// Without the transaction's number, which another run does not have.
fn without_place(value: &Value, name: &str) -> Value {
    let mut value = value.clone();
    if let Some(object) = value.as_object_mut() {
        object.shift_remove(name);
    }
    value
}

/// The record of a row within an envelope's schema.
fn envelope_row(schema: &Value) -> Option<&Value> {
    let before = schema["fields"].as_array()?.iter().find(|field| field["name"] == "before")?;
    before["type"].as_array()?.iter().find(|branch| branch.is_object())
}

fn fields(record: &Value) -> Value {
    let fields = record["fields"].as_array().into_iter().flatten();
    fields
        .map(|field| {
            let mut text =
                format!("{} {}", field["name"].as_str().unwrap_or("?"), short_type(&field["type"]));
            if let Some(default) = field.get("default").filter(|default| !default.is_null()) {
                text.push_str(&format!(" = {default}"));
            }
            Value::String(text)
        })
        .collect()
}

/// A type in a few words: `int16?`, `Decimal(10,2)`, `[string?]`, `Enum(a,b)`.
pub fn short_type(schema: &Value) -> String {
    match schema {
        Value::String(name) => name.clone(),
        Value::Array(branches) => {
            let inner = branches.iter().filter(|branch| *branch != "null").map(short_type);
            format!("{}?", inner.collect::<Vec<_>>().join("|"))
        }
        Value::Object(object) => {
            let parameter = |name: &str| object.get("connect.parameters")?.get(name)?.as_str();
            if let Some(name) = object.get("connect.name").and_then(Value::as_str) {
                let short = name.rsplit('.').next().unwrap_or(name);
                return match short {
                    "Decimal" => format!(
                        "Decimal({},{})",
                        object.get("precision").unwrap_or(&Value::Null),
                        object.get("scale").unwrap_or(&Value::Null)
                    ),
                    "Enum" => format!("Enum({})", parameter("allowed").unwrap_or_default()),
                    "Bits" => format!("Bits({})", parameter("length").unwrap_or_default()),
                    short => short.to_owned(),
                };
            }
            if let Some(name) = object.get("connect.type").and_then(Value::as_str) {
                return name.to_owned();
            }
            match object.get("type") {
                Some(Value::String(name)) if name == "array" => {
                    format!("[{}]", short_type(object.get("items").unwrap_or(&Value::Null)))
                }
                Some(inner) => short_type(inner),
                None => "?".to_owned(),
            }
        }
        _ => "?".to_owned(),
    }
}
