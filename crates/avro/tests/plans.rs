//! Plans of schemas that no shape makes today.

#[path = "../../message/tests/support/mod.rs"]
mod support;

mod oracle;

use std::sync::Arc;

use avro::{AvroEncoder, Registry};
use change::Batch;
use message::{
    Binding, Encoder, Field, Literal, Part, Request, Role, Schema, Scope, Scratch, Tally,
};
use oracle::{Notes, decoded, ready};

/// A constant behind a struct is not part of it, even where the struct ends in a constant and is not there.
#[test]
fn a_struct_that_is_not_there_takes_nothing_with_it() {
    let constant =
        |name: &str| Field::new(name, Schema::string(), Binding::Literal(Literal::text(name)));
    let block = Schema::record("s.Block", vec![constant("a"), constant("b")]).optional();
    let schema = Schema::record(
        "s.Record",
        vec![
            constant("x"),
            Field::new("block", block, Binding::Fields(Part::Block)),
            constant("y"),
        ],
    );
    let check = |has_block: bool, expected: &str| {
        let notes = Arc::new(Notes::default());
        let mut encoder = AvroEncoder::new(Arc::clone(&notes) as Arc<dyn Registry>);
        let role = Role::Value;
        let request =
            Request { topic: "t", role, schema: &schema, part: Part::Always, pinned: None };
        let plan = ready(encoder.prepare(request)).expect("it has a plan").plan;
        let mut batch = Batch::new();
        support::begin(&mut batch, "1");
        let scope = Scope {
            transaction: batch.transaction(0),
            at: 0,
            row: 0,
            order: 0,
            table_order: 0,
            operation: "",
            snapshot: false,
            block: has_block,
            before: None,
            after: None,
            key: None,
            other: None,
            now: 0,
            status: "",
            end: None,
            specials_are_null: false,
            tally: &Tally::default(),
        };
        let mut bytes = Vec::new();
        encoder
            .encode(plan, &scope, &mut Scratch::default(), &mut bytes)
            .expect("it can be encoded");
        assert_eq!(format!("{:?}", decoded(&notes, &bytes)), expected);
    };
    let record = |block: &str| {
        format!(r#"Record([("x", String("x")), ("block", {block}), ("y", String("y"))])"#)
    };
    check(false, &record("Union(0, Null)"));
    check(true, &record(r#"Union(1, Record([("a", String("a")), ("b", String("b"))]))"#));
}
