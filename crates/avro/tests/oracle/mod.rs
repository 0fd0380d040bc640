//! A registry in memory, and apache-avro as the judge of our bytes.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use avro::{AvroEncoder, Id, Registry, RegistryError, SchemaText};
use change::{Batch, Operation, Origin, Place, Table};
use message::{Cursor, Encoded, Message, Pipeline, PipelineError, Settings};

/// Ids are handed out from 1; the same text has the same id.
#[derive(Default)]
pub struct Notes {
    texts: Mutex<Vec<String>>,
    subjects: Mutex<BTreeMap<String, Vec<u32>>>,
    /// Ids that mean these texts and are given to nobody.
    old: BTreeMap<u32, String>,
    refuses: Option<&'static str>,
}

impl Notes {
    /// The latest schema of a subject.
    pub fn text(&self, subject: &str) -> String {
        let subjects = self.subjects.lock().unwrap();
        let id = *subjects.get(subject).expect("the subject is registered").last().unwrap();
        self.by_id(id).unwrap()
    }

    pub fn by_id(&self, id: u32) -> Option<String> {
        if let Some(text) = self.old.get(&id) {
            return Some(text.clone());
        }
        let index = id.checked_sub(1)?;
        self.texts.lock().unwrap().get(index as usize).cloned()
    }

    pub fn refusing(code: &'static str) -> Self {
        Self { refuses: Some(code), ..Self::default() }
    }

    pub fn knows(&mut self, id: u32, text: &str) {
        self.old.insert(id, text.to_owned());
    }

    pub fn subjects(&self) -> BTreeMap<String, Vec<u32>> {
        self.subjects.lock().unwrap().clone()
    }
}

impl Registry for Notes {
    fn id<'a>(&'a self, subject: &'a str, schema: &'a str) -> Id<'a> {
        Box::pin(async move {
            if let Some(code) = self.refuses {
                return Err(RegistryError::definite(code, "the registry's own words"));
            }
            let mut texts = self.texts.lock().unwrap();
            let index = texts.iter().position(|text| text == schema).unwrap_or_else(|| {
                texts.push(schema.to_owned());
                texts.len() - 1
            });
            let id = u32::try_from(index).unwrap() + 1;
            self.subjects.lock().unwrap().entry(subject.to_owned()).or_default().push(id);
            Ok(id)
        })
    }

    fn text(&self, id: u32) -> SchemaText<'_> {
        Box::pin(async move { Ok(self.by_id(id)) })
    }
}

pub fn pipeline(
    prefix: &str,
    origin: Origin,
    settings: Settings,
    registry: &Arc<Notes>,
) -> Pipeline {
    let registry = Arc::clone(registry) as Arc<dyn Registry>;
    Pipeline::new(prefix, origin, settings, Box::new(AvroEncoder::new(registry)))
}

/// Runs a future that never waits.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

pub fn prepared(pipeline: &mut Pipeline, batch: &Batch) {
    ready(pipeline.prepare(batch)).expect("the batch can be prepared");
}

/// A batch that knows the table and has no row of it.
pub fn batch_of(table: &Arc<Table>) -> Batch {
    let mut batch = Batch::new();
    batch.begin("1", 0).finish();
    batch.row(table, Operation::Truncate, Place::default()).finish();
    batch
}

pub const NOW: i64 = 1_700_000_000_123_456;

/// All messages of a batch, through `see`.
pub fn encoded(
    pipeline: &mut Pipeline,
    batch: &Batch,
    mut see: impl FnMut(&Pipeline, Message<'_>),
) -> Result<(), PipelineError> {
    ready(pipeline.prepare(batch))?;
    let (mut cursor, mut out) = (Cursor::default(), Encoded::default());
    loop {
        let more = pipeline.encode(batch, &mut cursor, NOW, 100, &mut out)?;
        for message in out.messages() {
            see(pipeline, message);
        }
        if !more {
            return Ok(());
        }
    }
}

/// What apache-avro reads of a framed record, by the schema that its header names.
pub fn decoded(registry: &Notes, bytes: &[u8]) -> Value {
    assert_eq!(bytes[0], 0);
    let id = u32::from_be_bytes(bytes[1..5].try_into().unwrap());
    let text = registry.by_id(id).expect("the id is known");
    let schema =
        apache_avro::Schema::parse_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut body = &bytes[5..];
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let value = reader.read_value(&mut body).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(body.is_empty(), "{} bytes are left over", body.len());
    value
}
