//! Bytes are judged by apache-avro: it parses every schema, and reads from the bytes what the JSON encoder, itself tested
//! against expected texts, writes of the same rows.
#![allow(clippy::unwrap_used)]

#[path = "../../message/tests/support/mod.rs"]
mod support;

mod oracle;

use std::sync::Arc;

use apache_avro::types::Value;
use change::{Column, Default, Kind};
use message::{Absent, Decimals, Pipeline, Settings, Shape, Truncate};
use oracle::{Notes, decoded, encoded};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, json};
use support::{Step, V, batch, origin, table};

/// What the JSON converter would write of a decoded value.
fn shown(value: Value) -> serde_json::Value {
    let float = |value: f64, text: String| match value.is_finite() {
        true => serde_json::from_str(&text).unwrap(),
        false if value.is_nan() => json!("NaN"),
        false => json!(if value > 0.0 { "Infinity" } else { "-Infinity" }),
    };
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Boolean(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Long(value) => json!(value),
        Value::Float(value) => float(value.into(), format!("{value:?}")),
        Value::Double(value) => float(value, format!("{value:?}")),
        Value::String(value) => json!(value),
        Value::Bytes(bytes) => json!(base64(&bytes)),
        Value::Decimal(value) => json!(base64(&Vec::<u8>::try_from(&value).unwrap())),
        Value::Union(_, value) => shown(*value),
        Value::Array(values) => values.into_iter().map(shown).collect(),
        Value::Record(fields) => {
            let fields: Map<_, _> =
                fields.into_iter().map(|(name, value)| (name, shown(value))).collect();
            fields.into()
        }
        other => panic!("no schema of ours has a {other:?}"),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |group: u32, shift: u32| char::from(DIGITS[(group >> shift & 63) as usize]);
    let group = |chunk: &[u8]| {
        let byte = |index: usize| u32::from(*chunk.get(index).unwrap_or(&0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        let text: String = [18_u32, 12, 6, 0].map(|shift| digit(group, shift)).iter().collect();
        format!("{:=<4}", &text[..=chunk.len()])
    };
    bytes.chunks(3).map(group).collect()
}

/// Messages as (topic, key, value), parsed.
type Parsed = Vec<(String, serde_json::Value, serde_json::Value)>;

fn from_avro(
    settings: Settings,
    steps: &[Step],
    table: &Arc<change::Table>,
) -> Result<Parsed, &'static str> {
    let notes = Arc::new(Notes::default());
    let mut pipeline = oracle::pipeline("shop", origin(), settings, &notes);
    let read = |bytes: Option<&[u8]>| {
        bytes.map_or(serde_json::Value::Null, |bytes| shown(decoded(&notes, bytes)))
    };
    parsed(&mut pipeline, steps, table, read)
}

fn from_json(
    settings: Settings,
    steps: &[Step],
    table: &Arc<change::Table>,
) -> Result<Parsed, &'static str> {
    let read = |bytes: Option<&[u8]>| {
        bytes.map_or(serde_json::Value::Null, |bytes| {
            serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}"))
        })
    };
    parsed(&mut support::json(settings), steps, table, read)
}

fn parsed(
    pipeline: &mut Pipeline,
    steps: &[Step],
    table: &Arc<change::Table>,
    read: impl Fn(Option<&[u8]>) -> serde_json::Value,
) -> Result<Parsed, &'static str> {
    let mut messages = Vec::new();
    let result = encoded(pipeline, &batch(table, steps), |pipeline, message| {
        let topic = pipeline.topics()[message.topic].name.to_string();
        messages.push((topic, read(message.key), read(message.value)));
    });
    result.map(|()| messages).map_err(|error| error.code)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z]{1,8}", "\\PC{0,12}", Just("x".repeat(200))]
}

fn value(kind: &Kind) -> BoxedStrategy<V> {
    match kind {
        Kind::Bool => any::<bool>().prop_map(V::Bool).boxed(),
        Kind::Int { signed: true, bits } => {
            let unused = 64 - u32::from(*bits);
            any::<i64>().prop_map(move |value| V::Int(value >> unused)).boxed()
        }
        Kind::Int { signed: false, bits } => {
            let unused = 64 - u32::from(*bits);
            any::<u64>().prop_map(move |value| V::UInt(value >> unused)).boxed()
        }
        Kind::Float32 => any::<f32>().prop_map(V::Float32).boxed(),
        Kind::Float64 => any::<f64>().prop_map(V::Float64).boxed(),
        Kind::Decimal { scale, .. } => {
            let scale = *scale;
            prop_oneof![
                9 => any::<i128>().prop_map(move |value| V::Decimal(value, scale)),
                9 => any::<i16>().prop_map(move |value| V::Decimal(value.into(), scale)),
                1 => Just(V::NaN),
            ]
            .boxed()
        }
        Kind::Number => prop_oneof![
            9 => (any::<i64>(), -3_i16..30).prop_map(|(value, scale)| V::Decimal(value.into(), scale)),
            3 => (vec(any::<u8>(), 17..40), 0_i16..90).prop_map(|(mut bytes, scale)| {
                // Of minimal length.
                bytes[0] = 0x55;
                V::Digits(bytes, scale)
            }),
            1 => Just(V::Infinity),
        ]
        .boxed(),
        Kind::Date => any::<i32>().prop_map(V::Date).boxed(),
        Kind::Time { .. } => (0_i64..=86_400_000_000).prop_map(V::Time).boxed(),
        Kind::TimeTz { .. } => (0_i64..=86_400_000_000, -57_599_i32..=57_599)
            .prop_map(|(micros, offset)| V::TimeTz(micros, offset))
            .boxed(),
        Kind::DateTime { .. } => any::<i64>().prop_map(V::DateTime).boxed(),
        Kind::Instant { .. } => {
            prop_oneof![any::<i64>(), Just(i64::MAX), Just(i64::MIN)].prop_map(V::Instant).boxed()
        }
        Kind::Interval => (any::<i32>(), any::<i32>(), any::<i64>())
            .prop_map(|(months, days, micros)| V::Interval(months, days, micros))
            .boxed(),
        Kind::Year => (1901_i64..2156).prop_map(V::Int).boxed(),
        Kind::Uuid => any::<[u8; 16]>().prop_map(V::Uuid).boxed(),
        Kind::Bytes => vec(any::<u8>(), 0..40).prop_map(V::Bytes).boxed(),
        Kind::Bits { length: 0 } => "[01]{0,40}".prop_map(V::Bits).boxed(),
        Kind::Bits { length } => {
            vec(any::<bool>(), *length as usize..=*length as usize)
                .prop_map(|bits| V::Bits(bits.iter().map(|bit| if *bit { '1' } else { '0' }).collect()))
                .boxed()
        }
        Kind::Point => (any::<f64>(), any::<f64>()).prop_map(|(x, y)| V::Point(x, y)).boxed(),
        Kind::Array(element) => {
            let element = prop_oneof![8 => value(element), 1 => Just(V::Null)];
            vec(element, 0..4).prop_map(V::Array).boxed()
        }
        _ => text().prop_map(V::Text).boxed(),
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    let leaf = prop_oneof![
        Just(Kind::Bool),
        (prop::sample::select(vec![8_u8, 16, 24, 32, 64]), any::<bool>())
            .prop_map(|(bits, signed)| Kind::Int { bits, signed }),
        Just(Kind::Float32),
        Just(Kind::Float64),
        (0_u16..40, -3_i16..12).prop_map(|(precision, scale)| Kind::Decimal { precision, scale }),
        Just(Kind::Number),
        Just(Kind::Date),
        (0_u8..=6).prop_map(|digits| Kind::Time { digits }),
        (0_u8..=6).prop_map(|digits| Kind::TimeTz { digits }),
        (0_u8..=6).prop_map(|digits| Kind::DateTime { digits }),
        (0_u8..=6).prop_map(|digits| Kind::Instant { digits }),
        Just(Kind::Interval),
        Just(Kind::Year),
        Just(Kind::Uuid),
        Just(Kind::Text),
        Just(Kind::Bytes),
        (0_u32..30).prop_map(|length| Kind::Bits { length }),
        Just(Kind::Json),
        Just(Kind::Xml),
        Just(Kind::SearchVector),
        Just(Kind::LabelPath),
        vec("\\PC{0,6}", 0..4).prop_map(|labels| {
            Kind::Enum(labels.into_iter().map(String::into_boxed_str).collect())
        }),
        Just(Kind::Set(["a".into(), "b".into()].into())),
        Just(Kind::Point),
        Just(Kind::Other("box".into())),
    ];
    leaf.prop_recursive(2, 4, 1, |kind| kind.prop_map(|kind| Kind::Array(Arc::new(kind))))
}

#[derive(Debug, Clone)]
struct Cells {
    column: Column,
    old: V,
    new: V,
}

fn cells() -> impl Strategy<Value = Cells> {
    (kind(), any::<bool>(), 0..4_u8).prop_flat_map(|(kind, nullable, default)| {
        let mut column = Column::new("c", kind);
        column.nullable = nullable;
        column.default = match default {
            0 => Some(Default::Computed),
            1 => Some(Default::Literal("1".into())),
            2 => Some(Default::Literal("2020-01-02".into())),
            _ => None,
        };
        let cell = |column: &Column, absent| {
            let null = u32::from(column.nullable) * 2;
            prop_oneof![
                10 => value(&column.kind),
                null => Just(V::Null),
                absent => Just(V::Absent),
            ]
        };
        let (old, new) = (cell(&column, 3), cell(&column, 1));
        (Just(column), old, new).prop_map(|(column, old, new)| Cells { column, old, new })
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(row, transactions, text)| Settings {
        shape: if row { Shape::Row } else { Shape::Debezium },
        transactions,
        truncate: Truncate::Emit,
        absent: Some(Absent::Placeholder),
        decimals: if text { Decimals::Text } else { Decimals::Precise },
        ..Settings::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn avro_and_json_tell_the_same(cells in vec(cells(), 1..6), settings in settings()) {
        let columns = std::iter::once(Column::new("id", Kind::Int { bits: 32, signed: true }).required())
            .chain(cells.iter().enumerate().map(|(index, cells)| {
                Column { name: format!("c{index}").into(), ..cells.column.clone() }
            }));
        let table = table(columns.collect(), &[0]);
        let row = |id, cells: Vec<V>| [vec![V::Int(id)], cells].concat();
        let old = || cells.iter().map(|cells| cells.old.clone()).collect();
        let new = || cells.iter().map(|cells| cells.new.clone()).collect();
        let steps = [
            Step::Read(row(0, new())),
            Step::Insert(row(1, new())),
            Step::UpdateFrom(row(1, old()), row(1, new())),
            Step::UpdateFrom(row(1, old()), row(2, new())),
            Step::Delete(row(2, old())),
            Step::Truncate,
            Step::End(5),
        ];
        prop_assert_eq!(from_avro(settings, &steps, &table), from_json(settings, &steps, &table));
    }
}

#[test]
fn long_integers_take_as_many_bytes_as_they_need() {
    let table = table(vec![Column::new("v", Kind::Int { bits: 64, signed: true }).required()], &[]);
    let settings = Settings { shape: Shape::Row, ..Settings::default() };
    let check = |value: i64, expected: &[u8]| {
        let mut pipeline =
            oracle::pipeline("shop", origin(), settings, &Arc::new(Notes::default()));
        let batch = batch(&table, &[Step::Insert(vec![V::Int(value)])]);
        encoded(&mut pipeline, &batch, |_, message| {
            assert_eq!(message.value, Some(&[&[0, 0, 0, 0, 1], expected].concat()[..]));
        })
        .unwrap();
    };
    check(0, &[0]);
    check(-1, &[1]);
    check(63, &[0x7E]);
    check(64, &[0x80, 1]);
    check(i64::MAX, &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]);
    check(i64::MIN, &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]);
}
