//! The schema registry, as a consumer asks it, and records decoded with what it answers.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::Result;
use crate::avro::{self, Schema};
use crate::topics::Record;

/// Schemas by number, asked once.
#[derive(Debug, Clone)]
pub struct Registry {
    url: String,
    client: reqwest::Client,
    known: HashMap<u32, Arc<Schema>>,
}

/// A record whose bytes have been read.
#[derive(Debug, Clone)]
pub struct Decoded {
    pub record: Record,
    pub key: Option<Value>,
    /// None: a tombstone.
    pub value: Option<Value>,
    pub key_schema: Option<Arc<Schema>>,
    pub value_schema: Option<Arc<Schema>>,
}

impl Registry {
    /// Confluent's API below this address.
    pub fn of(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            client: reqwest::Client::new(),
            known: HashMap::new(),
        }
    }

    pub async fn schema(&mut self, id: u32) -> Result<Arc<Schema>> {
        if let Some(schema) = self.known.get(&id) {
            return Ok(Arc::clone(schema));
        }
        // Apicurio's own API gives the schema itself, Confluent's wraps it.
        let native = self.url.contains("/apis/registry/");
        let url = if native {
            format!("{}/ids/globalIds/{id}", self.url)
        } else {
            format!("{}/schemas/ids/{id}", self.url)
        };
        let response = self.client.get(&url).send().await?;
        if !response.status().is_success() {
            return Err(format!("the registry has no schema {id}: {}", response.status()).into());
        }
        let text = response.text().await?;
        let text = if native {
            text
        } else {
            let answer: Value = serde_json::from_str(&text)?;
            answer["schema"].as_str().ok_or("the registry's answer has no schema")?.to_owned()
        };
        let schema = Arc::new(Schema::parse(&text)?);
        self.known.insert(id, Arc::clone(&schema));
        Ok(schema)
    }

    /// Decodes key and value; both readers of [`Schema`] must agree that they can.
    pub async fn decode(&mut self, record: Record) -> Result<Decoded> {
        let place = format!("{} {}@{}", record.topic, record.partition, record.offset);
        let told = |error: crate::Error| format!("{place}: {error}");
        let (key_schema, key) = self.decode_part(record.key.as_deref()).await.map_err(told)?;
        let (value_schema, value) =
            self.decode_part(record.value.as_deref()).await.map_err(told)?;
        Ok(Decoded { record, key, value, key_schema, value_schema })
    }

    async fn decode_part(
        &mut self,
        bytes: Option<&[u8]>,
    ) -> Result<(Option<Arc<Schema>>, Option<Value>)> {
        let Some(bytes) = bytes else { return Ok((None, None)) };
        let (id, datum) = avro::unframe(bytes)?;
        let schema = self.schema(id).await?;
        let value = schema.decode(datum)?;
        Ok((Some(schema), Some(value)))
    }

    /// All versions registered for a subject, in order.
    pub async fn versions(&self, subject: &str) -> Result<Vec<String>> {
        let base = format!("{}/subjects/{}/versions", self.url, urlencode(subject));
        let numbers: Vec<u32> = self.client.get(&base).send().await?.json().await?;
        let mut versions = Vec::new();
        for number in numbers {
            let answer: Value =
                self.client.get(format!("{base}/{number}")).send().await?.json().await?;
            versions.push(answer["schema"].as_str().unwrap_or_default().to_owned());
        }
        Ok(versions)
    }

    /// Sets how versions of a subject must go together.
    pub async fn set_compatibility(&self, subject: &str, level: &str) -> Result<()> {
        let url = format!("{}/config/{}", self.url, urlencode(subject));
        let body = json!({ "compatibility": level }).to_string();
        let request = self.client.put(url).header("content-type", "application/json").body(body);
        let response = request.send().await?;
        if response.status().is_success() {
            Ok(())
        } else {
            Err(format!("compatibility of {subject}: {}", response.text().await?).into())
        }
    }
}

/// JSON without a registry.
pub fn decode_json(record: Record) -> Result<Decoded> {
    let parse = |bytes: Option<&[u8]>| bytes.map(serde_json::from_slice).transpose();
    let key = parse(record.key.as_deref())?;
    let value = parse(record.value.as_deref())?;
    Ok(Decoded { record, key, value, key_schema: None, value_schema: None })
}

fn urlencode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {
                encoded.push(byte.into())
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
