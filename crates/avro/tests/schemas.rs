//! The schema text of every kind, of keys and of transactions.

#[path = "../../message/tests/support/mod.rs"]
mod support;

mod oracle;

use std::sync::Arc;

use change::{Column, Default, Kind, Table, TableName};
use message::{Decimals, Settings, Shape};
use oracle::{Notes, batch_of, pipeline, prepared, ready};
use support::{origin, problem, table};

fn row() -> Settings {
    Settings { shape: Shape::Row, ..Settings::default() }
}

/// The schema of a plain row of one column, without what every row has around it; apache-avro must take it.
fn shown(column: Column, settings: Settings) -> String {
    let notes = Arc::new(Notes::default());
    let mut pipeline = pipeline("shop", origin(), settings, &notes);
    prepared(&mut pipeline, &batch_of(&table(vec![column], &[])));
    let text = notes.text("shop.public.orders-value");
    apache_avro::Schema::parse_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let start = r#"{"type":"record","name":"Value","namespace":"shop.public.orders","fields":[{"name":"v","type":"#;
    let end = r#"}],"connect.name":"shop.public.orders.Value"}"#;
    let text = text.strip_prefix(start).expect("every row begins so");
    text.strip_suffix(end).expect("every row ends so").to_owned()
}

#[test]
fn each_kind_has_debeziums_type() {
    let check = |kind: Kind, expected: &str| {
        assert_eq!(shown(Column::new("v", kind.clone()).required(), row()), expected, "{kind:?}");
        let nullable = shown(Column::new("v", kind), row());
        assert_eq!(nullable, format!(r#"["null",{expected}],"default":null"#));
    };
    let int = |bits, signed| Kind::Int { bits, signed };
    let small = r#"{"type":"int","connect.type":"int16"}"#;
    check(Kind::Bool, r#""boolean""#);
    check(int(8, true), small);
    check(int(8, false), small);
    check(int(16, true), small);
    check(int(16, false), r#""int""#);
    check(int(24, true), r#""int""#);
    check(int(24, false), r#""int""#);
    check(int(32, true), r#""int""#);
    check(int(32, false), r#""long""#);
    check(int(64, true), r#""long""#);
    check(Kind::Float32, r#""float""#);
    check(Kind::Float64, r#""double""#);
    check(Kind::Text, r#""string""#);
    check(Kind::Bytes, r#""bytes""#);
    check(Kind::Other("box".into()), r#""string""#);
    check(
        Kind::Decimal { precision: 12, scale: 2 },
        r#"{"type":"bytes","scale":2,"precision":12,"connect.version":1,"connect.parameters":{"scale":"2","connect.decimal.precision":"12"},"connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}"#,
    );
    check(
        Kind::Decimal { precision: 0, scale: 2 },
        r#"{"type":"bytes","scale":2,"precision":64,"connect.version":1,"connect.parameters":{"scale":"2"},"connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}"#,
    );
    check(
        Kind::Number,
        r#"{"type":"record","name":"VariableScaleDecimal","namespace":"io.debezium.data","fields":[{"name":"scale","type":"int"},{"name":"value","type":"bytes"}],"connect.doc":"Variable scaled decimal","connect.version":1,"connect.name":"io.debezium.data.VariableScaleDecimal"}"#,
    );
    check(
        Kind::Point,
        r#"{"type":"record","name":"Point","namespace":"io.debezium.data.geometry","fields":[{"name":"x","type":"double"},{"name":"y","type":"double"},{"name":"wkb","type":["null","bytes"],"default":null},{"name":"srid","type":["null","int"],"default":null}],"connect.doc":"Geometry (POINT)","connect.version":1,"connect.name":"io.debezium.data.geometry.Point"}"#,
    );
    let named = |kind, form: &str, name: &str| {
        let expected = format!(
            r#"{{"type":"{form}","connect.version":1,"connect.name":"io.debezium.{name}"}}"#
        );
        check(kind, &expected);
    };
    named(Kind::Date, "int", "time.Date");
    named(Kind::Time { digits: 3 }, "int", "time.Time");
    named(Kind::Time { digits: 4 }, "long", "time.MicroTime");
    named(Kind::TimeTz { digits: 6 }, "string", "time.ZonedTime");
    named(Kind::DateTime { digits: 3 }, "long", "time.Timestamp");
    named(Kind::DateTime { digits: 6 }, "long", "time.MicroTimestamp");
    named(Kind::Instant { digits: 6 }, "string", "time.ZonedTimestamp");
    named(Kind::Interval, "long", "time.MicroDuration");
    named(Kind::Year, "int", "time.Year");
    named(Kind::Uuid, "string", "data.Uuid");
    named(Kind::Json, "string", "data.Json");
    named(Kind::Xml, "string", "data.Xml");
    named(Kind::SearchVector, "string", "data.Tsvector");
    named(Kind::LabelPath, "string", "data.Ltree");
    let parameter = |kind, form: &str, name: &str, value: &str| {
        let expected = format!(
            r#"{{"type":"{form}","connect.version":1,"connect.parameters":{{{value}}},"connect.name":"io.debezium.data.{name}"}}"#
        );
        check(kind, &expected);
    };
    parameter(Kind::Bits { length: 12 }, "bytes", "Bits", r#""length":"12""#);
    parameter(Kind::Bits { length: 0 }, "bytes", "Bits", r#""length":"2147483647""#);
    let labels: Arc<[Box<str>]> = ["a".into(), "b \"c\"".into()].into();
    parameter(Kind::Enum(labels.clone()), "string", "Enum", r#""allowed":"a,b \"c\"""#);
    parameter(Kind::Set(labels), "string", "EnumSet", r#""allowed":"a,b \"c\"""#);
    let array = |kind| Kind::Array(Arc::new(kind));
    check(array(int(32, true)), r#"{"type":"array","items":["null","int"]}"#);
    check(
        array(Kind::Uuid),
        r#"{"type":"array","items":["null",{"type":"string","connect.version":1,"connect.name":"io.debezium.data.Uuid"}]}"#,
    );
    check(
        array(Kind::Enum(["a".into()].into())),
        r#"{"type":"array","items":{"type":"string","connect.version":1,"connect.parameters":{"allowed":"a"},"connect.name":"io.debezium.data.Enum"}}"#,
    );
}

#[test]
fn a_decimal_as_text_is_a_string() {
    let settings = Settings { decimals: Decimals::Text, ..row() };
    for kind in [Kind::Number, Kind::Decimal { precision: 4, scale: 2 }] {
        assert_eq!(shown(Column::new("v", kind).required(), settings), r#""string""#);
    }
}

#[test]
fn a_default_stands_in_field_and_type() {
    let check = |kind: Kind, default: Default, expected: &str| {
        let mut column = Column::new("v", kind).required();
        column.default = Some(default);
        assert_eq!(shown(column.clone(), row()), expected);
        // Apache Avro wants a default to be of the union's first branch.
        column.nullable = true;
        let (of_type, of_field) = expected.rsplit_once(",\"default\":").expect("there is one");
        assert_eq!(shown(column, row()), format!("[{of_type},\"null\"],\"default\":{of_field}"));
    };
    let literal = |text: &str| Default::Literal(text.into());
    let int = Kind::Int { bits: 32, signed: true };
    check(int.clone(), literal("5"), r#"{"type":"int","connect.default":5},"default":5"#);
    check(int, Default::Computed, r#"{"type":"int","connect.default":0},"default":0"#);
    check(
        Kind::Int { bits: 16, signed: true },
        literal("5"),
        r#"{"type":"int","connect.default":5,"connect.type":"int16"},"default":5"#,
    );
    check(
        Kind::Bool,
        literal("true"),
        r#"{"type":"boolean","connect.default":true},"default":true"#,
    );
    check(
        Kind::Text,
        literal("a\"b"),
        r#"{"type":"string","connect.default":"a\"b"},"default":"a\"b""#,
    );
    check(
        Kind::Float64,
        literal("0.5"),
        r#"{"type":"double","connect.default":0.5},"default":0.5"#,
    );
    check(
        Kind::Decimal { precision: 4, scale: 2 },
        literal("1.5"),
        "{\"type\":\"bytes\",\"scale\":2,\"precision\":4,\"connect.version\":1,\"connect.parameters\":{\"scale\":\"2\",\"connect.decimal.precision\":\"4\"},\"connect.default\":\"\\u0000\u{96}\",\"connect.name\":\"org.apache.kafka.connect.data.Decimal\",\"logicalType\":\"decimal\"},\"default\":\"\\u0000\u{96}\"",
    );
    check(
        Kind::DateTime { digits: 6 },
        Default::Computed,
        r#"{"type":"long","connect.version":1,"connect.default":0,"connect.name":"io.debezium.time.MicroTimestamp"},"default":0"#,
    );
    check(
        Kind::Enum(["a".into(), "b".into()].into()),
        literal("b"),
        r#"{"type":"string","connect.version":1,"connect.parameters":{"allowed":"a,b"},"connect.default":"b","connect.name":"io.debezium.data.Enum"},"default":"b""#,
    );
}

#[test]
fn a_type_used_twice_is_written_once() {
    let notes = Arc::new(Notes::default());
    let mut pipeline = pipeline("shop", origin(), row(), &notes);
    let columns = vec![
        Column::new("a", Kind::Number),
        Column::new("b", Kind::Number).required(),
        Column::new("c", Kind::Array(Kind::Number.into())),
    ];
    prepared(&mut pipeline, &batch_of(&table(columns, &[])));
    let text = notes.text("shop.public.orders-value");
    apache_avro::Schema::parse_str(&text).expect("apache-avro takes it");
    assert_eq!(text.matches(r#""name":"VariableScaleDecimal""#).count(), 1);
    assert!(text.contains(r#"{"name":"b","type":"io.debezium.data.VariableScaleDecimal"}"#));
    assert!(
        text.contains(
            r#"{"type":"array","items":["null","io.debezium.data.VariableScaleDecimal"]}"#
        )
    );
}

#[test]
fn transactions_have_debeziums_records() {
    let notes = Arc::new(Notes::default());
    let settings = Settings { transactions: true, ..Settings::default() };
    let mut pipeline = pipeline("shop", origin(), settings, &notes);
    prepared(&mut pipeline, &batch_of(&table(vec![Column::new("v", Kind::Text)], &[])));
    assert_eq!(
        notes.text("shop.transaction-key"),
        r#"{"type":"record","name":"TransactionMetadataKey","namespace":"io.debezium.connector.common","fields":[{"name":"id","type":"string"}],"connect.version":1,"connect.name":"io.debezium.connector.common.TransactionMetadataKey"}"#
    );
    assert_eq!(
        notes.text("shop.transaction-value"),
        r#"{"type":"record","name":"TransactionMetadataValue","namespace":"io.debezium.connector.common","fields":[{"name":"status","type":"string"},{"name":"id","type":"string"},{"name":"event_count","type":["null","long"],"default":null},{"name":"data_collections","type":["null",{"type":"array","items":["null",{"type":"record","name":"collection","namespace":"event","fields":[{"name":"data_collection","type":"string"},{"name":"event_count","type":"long"}],"connect.version":1,"connect.name":"event.collection"}]}],"default":null},{"name":"ts_ms","type":"long"}],"connect.version":1,"connect.name":"io.debezium.connector.common.TransactionMetadataValue"}"#
    );
}

#[test]
fn applications_messages_have_debeziums_records() {
    let notes = Arc::new(Notes::default());
    let mut pipeline = pipeline("shop", origin(), Settings::default(), &notes);
    let table = Table {
        name: TableName::new("", "message"),
        columns: vec![
            Column::new("prefix", Kind::Text).required(),
            Column::new("content", Kind::Bytes).required(),
        ],
        key: vec![0],
    };
    prepared(&mut pipeline, &batch_of(&Arc::new(table)));
    let prefix = r#"{"name":"prefix","type":["null","string"],"default":null}"#;
    let space = "io.debezium.connector.postgresql";
    assert_eq!(
        notes.text("shop.message-key"),
        format!(
            r#"{{"type":"record","name":"MessageKey","namespace":"{space}","fields":[{prefix}],"connect.version":1,"connect.name":"{space}.MessageKey"}}"#
        )
    );
    let value = notes.text("shop.message-value");
    apache_avro::Schema::parse_str(&value).expect("apache-avro takes it");
    let start = format!(
        r#"{{"type":"record","name":"MessageValue","namespace":"{space}","fields":[{{"name":"op","type":"string"}},{{"name":"ts_ms","type":["null","long"],"default":null}},{{"name":"source","type":{{"type":"record","name":"Source","fields":["#
    );
    assert!(value.starts_with(&start), "{value}");
    let end = format!(
        r#"{{"name":"message","type":{{"type":"record","name":"Message","fields":[{prefix},{{"name":"content","type":["null","bytes"],"default":null}}],"connect.version":1,"connect.name":"{space}.Message"}}}}],"connect.version":1,"connect.name":"{space}.MessageValue"}}"#
    );
    assert!(value.ends_with(&end), "{value}");
}

fn named(schema: &str, name: &str, columns: &[&str]) -> Arc<Table> {
    let columns = columns.iter().map(|name| Column::new(name, Kind::Text).required()).collect();
    Arc::new(Table { name: TableName::new(schema, name), columns, key: vec![0] })
}

#[test]
fn names_are_adjusted_to_avros_rules() {
    let notes = Arc::new(Notes::default());
    let mut pipeline = pipeline("my-shop", origin(), row(), &notes);
    prepared(&mut pipeline, &batch_of(&named("a b", "größe", &["1st", "order id"])));
    assert_eq!(pipeline.topics()[0].name.as_ref(), "my-shop.a_b.gr__e");
    assert_eq!(
        notes.text("my-shop.a_b.gr__e-value"),
        r#"{"type":"record","name":"Value","namespace":"my_shop.a_b.gr__e","fields":[{"name":"_1st","type":"string"},{"name":"order_id","type":"string"}],"connect.name":"my_shop.a_b.gr__e.Value"}"#
    );
}

#[test]
fn names_that_become_one_are_refused() {
    let check = |tables: &[Arc<Table>], expected: &str| {
        let mut pipeline = pipeline("shop", origin(), row(), &Arc::new(Notes::default()));
        let prepare = |table| ready(pipeline.prepare(&batch_of(table)));
        let error = tables.iter().map(prepare).find_map(Result::err).expect("a name is taken");
        assert_eq!(problem(&error), expected);
    };
    check(
        &[named("public", "a-b", &["x"]), named("public", "a_b", &["x"])],
        "schema-collision: naming topics: the table public.a-b and the table public.a_b would both be called shop.public.a_b",
    );
    check(
        &[named("public", "t", &["a b", "a-b"])],
        "field-collision: naming fields: public.t: two columns become the field a_b",
    );
}
