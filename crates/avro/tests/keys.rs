//! A key's schema id is part of the bytes that choose the partition, so it must not change by itself.

#[path = "../../message/tests/support/mod.rs"]
mod support;

mod oracle;

use std::sync::Arc;

use change::{Column, Kind, Table};
use message::{Pipeline, PipelineError, Settings};
use oracle::{Notes, batch_of, ready};
use support::{Step, V, batch, origin, problem, table};

const TOPIC: &str = "shop.public.orders";

fn keyed(kind: Kind, others: &[&str]) -> Arc<Table> {
    let others = others.iter().map(|name| Column::new(name, Kind::Text));
    table([Column::new("id", kind).required()].into_iter().chain(others).collect(), &[0])
}

fn narrow() -> Arc<Table> {
    keyed(Kind::Int { bits: 32, signed: true }, &[])
}

fn started(registry: &Arc<Notes>, pinned: Option<u32>) -> Pipeline {
    let mut pipeline = oracle::pipeline("shop", origin(), Settings::default(), registry);
    if let Some(id) = pinned {
        pipeline.pin_key_schema(TOPIC, id);
    }
    pipeline
}

/// Which id the table's keys carry, as told and as written.
fn key_id(pipeline: &mut Pipeline, table: &Arc<Table>) -> Result<u32, PipelineError> {
    ready(pipeline.prepare(&batch_of(table)))?;
    let id = pipeline.key_schema_id(0).expect("keys have a schema");
    let mut row = vec![V::Int(1)];
    row.resize(table.columns.len(), V::Null);
    oracle::encoded(pipeline, &batch(table, &[Step::Insert(row)]), |_, message| {
        assert_eq!(message.key.expect("there is a key")[1..5], id.to_be_bytes());
    })?;
    Ok(id)
}

/// A registry that has seen the key of [`narrow`], and the id that key has there.
fn registry() -> (Arc<Notes>, u32) {
    let registry = Arc::new(Notes::default());
    let id = key_id(&mut started(&registry, None), &narrow()).expect("the registry answers");
    (registry, id)
}

#[test]
fn without_stored_keys_the_registry_decides() {
    let (registry, id) = registry();
    assert_eq!(registry.subjects()[&format!("{TOPIC}-key")], [id]);
}

#[test]
fn an_unchanged_key_keeps_the_stored_id() {
    // The registry answers another id for the same text: here it knows the stored one by other white space.
    let mut registry = Notes::default();
    registry.knows(77, &registry_text());
    assert_eq!(key_id(&mut started(&Arc::new(registry), Some(77)), &narrow()).ok(), Some(77));
}

fn registry_text() -> String {
    let (registry, id) = registry();
    registry.by_id(id).expect("the id is known").replace(":", " : ")
}

#[test]
fn a_key_that_really_changed_takes_the_new_id() {
    let (registry, id) = registry();
    let wider = keyed(Kind::Int { bits: 64, signed: true }, &[]);
    let changed = key_id(&mut started(&registry, Some(id)), &wider).expect("it has an id");
    assert_ne!(changed, id);

    // The same within one run.
    let mut pipeline = started(&registry, Some(id));
    assert_eq!(key_id(&mut pipeline, &narrow()).ok(), Some(id));
    assert_eq!(key_id(&mut pipeline, &wider).ok(), Some(changed));
}

#[test]
fn a_stored_id_that_the_registry_lost_stops() {
    let (registry, id) = registry();
    let error = key_id(&mut started(&registry, Some(99)), &narrow()).expect_err("99 is unknown");
    assert!(!error.transient);
    assert_eq!(
        problem(&error),
        format!(
            "key-schema-changed: registering a schema: keys of {TOPIC}-key carry the schema id 99, which the registry \
             does not know; it would now be {id}, and keys would move to other partitions"
        )
    );
}

#[test]
fn a_new_column_leaves_the_key_alone() {
    let (registry, id) = registry();
    let mut pipeline = started(&registry, Some(id));
    let wider = keyed(Kind::Int { bits: 32, signed: true }, &["note"]);
    assert_eq!(key_id(&mut pipeline, &narrow()).ok(), Some(id));
    assert_eq!(key_id(&mut pipeline, &wider).ok(), Some(id));
    // Asked in the first run, and once in this one.
    assert_eq!(registry.subjects()[&format!("{TOPIC}-key")], [id, id]);
    assert_eq!(registry.subjects()[&format!("{TOPIC}-value")].len(), 3);
}

#[test]
fn the_registrys_refusal_is_handed_on() {
    let registry = Notes::refusing("schema-incompatible");
    let error = key_id(&mut started(&Arc::new(registry), None), &narrow()).expect_err("it refuses");
    assert_eq!(
        problem(&error),
        "schema-incompatible: registering a schema: the registry's own words"
    );
}
