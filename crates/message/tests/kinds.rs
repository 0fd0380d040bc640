//! What each kind of value looks like in a message.

mod support;

use std::sync::Arc;

use change::{Column, Default, Kind};
use message::{Absent, Decimals, JsonEncoder, JsonNumbers, Pipeline, Settings, Shape, Specials};
use support::{Step, V, batch, json, lines, origin, problem, table, text};

/// The plain row of one column, without the row around it.
fn shown(pipeline: &mut Pipeline, column: Column, value: V) -> Result<String, String> {
    let table = table(vec![column], &[]);
    let batch = batch(&table, &[Step::Insert(vec![value])]);
    let lines = lines(pipeline, &batch, 1).map_err(|error| problem(&error))?;
    let row = lines[0].strip_prefix("shop.public.orders - {\"v\":").expect("one message");
    Ok(row.strip_suffix('}').expect("one row").to_owned())
}

fn row() -> Settings {
    Settings { shape: Shape::Row, ..Settings::default() }
}

fn check(kind: Kind, value: V, expected: &str) {
    let shown = shown(&mut json(row()), Column::new("v", kind.clone()), value.clone());
    assert_eq!(shown.as_deref(), Ok(expected), "{kind:?} {value:?}");
}

fn refused(kind: Kind, value: V, expected: &str) {
    let column = Column::new("v", kind.clone()).required();
    let shown = shown(&mut json(row()), column, value.clone());
    let expected = expected.split_once(": ").expect("code and text");
    let expected =
        format!("{}: encoding a change: public.orders, column v: {}", expected.0, expected.1);
    assert_eq!(shown, Err(expected), "{kind:?} {value:?}");
}

fn int(bits: u8) -> Kind {
    Kind::Int { bits, signed: true }
}

fn array(kind: Kind) -> Kind {
    Kind::Array(Arc::new(kind))
}

#[test]
fn numbers() {
    check(Kind::Bool, V::Bool(true), "true");
    check(Kind::Bool, V::Null, "null");
    check(int(16), V::Int(-32_768), "-32768");
    check(int(32), V::Int(2_147_483_647), "2147483647");
    check(int(64), V::Int(i64::MIN), "-9223372036854775808");
    check(Kind::Int { bits: 32, signed: false }, V::UInt(4_294_967_295), "4294967295");
    check(Kind::Int { bits: 64, signed: false }, V::UInt(i64::MAX as u64), "9223372036854775807");
    check(Kind::Year, V::Int(2026), "2026");
    check(Kind::Float32, V::Float32(0.1), "0.1");
    check(Kind::Float64, V::Float64(1e300), "1e300");
    check(Kind::Float64, V::Float64(f64::NAN), "\"NaN\"");
    check(Kind::Float32, V::Float32(f32::NEG_INFINITY), "\"-Infinity\"");
    refused(int(16), V::Int(32_768), "value-range: the number is outside its type's range");
    refused(
        Kind::Int { bits: 64, signed: false },
        V::UInt(u64::MAX),
        "value-range: the number is outside its type's range",
    );
    refused(int(32), text("1"), "value-kind: the value is not of the column's kind");
    refused(int(32), V::Null, "null-value: null where a value is required");
}

#[test]
fn decimals() {
    let money = Kind::Decimal { precision: 12, scale: 2 };
    check(money.clone(), V::Decimal(1234, 2), "\"BNI=\"");
    check(money.clone(), V::Decimal(-1, 2), "\"/w==\"");
    check(money.clone(), V::Decimal(0, 2), "\"AA==\"");
    check(Kind::Number, V::Decimal(1500, 3), r#"{"scale":1,"value":"Dw=="}"#);
    check(Kind::Number, V::Decimal(-7, 0), r#"{"scale":0,"value":"+Q=="}"#);
    refused(money.clone(), V::Decimal(1, 3), "value-kind: the value is not of the column's kind");
    for special in [V::NaN, V::Infinity, V::MinusInfinity] {
        let words = "unrepresentable: NaN or infinity, which a decimal cannot hold";
        refused(money.clone(), special.clone(), words);
        refused(Kind::Number, special, words);
    }
}

#[test]
fn decimals_as_text_hold_every_number() {
    let check = |kind: &Kind, value: V, expected: &str| {
        let mut pipeline = json(Settings { decimals: Decimals::Text, ..row() });
        let column = Column::new("v", kind.clone()).required();
        assert_eq!(shown(&mut pipeline, column, value).as_deref(), Ok(expected));
    };
    for kind in [Kind::Number, Kind::Decimal { precision: 5, scale: 2 }] {
        check(&kind, V::Decimal(12_340, 2), "\"123.40\"");
        check(&kind, V::Decimal(-5, 2), "\"-0.05\"");
        check(&kind, V::NaN, "\"NAN\"");
        check(&kind, V::Infinity, "\"POSITIVE_INFINITY\"");
        check(&kind, V::MinusInfinity, "\"NEGATIVE_INFINITY\"");
    }
}

#[test]
fn decimals_for_people_are_numbers() {
    let check = |kind: &Kind, value: V, expected: &str| {
        let encoder = Box::new(JsonEncoder::new(JsonNumbers::Plain));
        let mut pipeline = Pipeline::new("shop", origin(), row(), encoder);
        let column = Column::new("v", kind.clone()).required();
        assert_eq!(shown(&mut pipeline, column, value).as_deref(), Ok(expected));
    };
    check(&Kind::Decimal { precision: 5, scale: 2 }, V::Decimal(12_340, 2), "123.40");
    check(&Kind::Decimal { precision: 5, scale: -2 }, V::Decimal(12, -2), "1200");
    check(&Kind::Number, V::Decimal(-5, 2), "-0.05");
    check(&Kind::Number, V::NaN, "\"NaN\"");
}

#[test]
fn specials_become_null_where_that_is_wanted_and_allowed() {
    let mut pipeline = json(Settings { specials: Specials::Null, ..row() });
    let nullable = Column::new("v", Kind::Number);
    assert_eq!(shown(&mut pipeline, nullable, V::NaN).as_deref(), Ok("null"));
    assert_eq!(pipeline.counts().specials, 1);
    let required = Column::new("v", Kind::Number).required();
    assert!(shown(&mut pipeline, required, V::NaN).is_err());
    assert_eq!(pipeline.counts().specials, 1);
}

#[test]
fn dates_and_times() {
    check(Kind::Date, V::Date(-1), "-1");
    check(Kind::Date, V::Date(i32::MAX), "-2147472692");
    check(Kind::Date, V::Date(i32::MIN), "-2147472691");
    check(Kind::Time { digits: 3 }, V::Time(36_930_120_000), "36930120");
    check(Kind::Time { digits: 4 }, V::Time(36_930_120_000), "36930120000");
    check(Kind::Time { digits: 6 }, V::Time(86_400_000_000), "86400000000");
    check(Kind::TimeTz { digits: 6 }, V::TimeTz(36_930_120_000, 7200), "\"08:15:30.12Z\"");
    check(Kind::DateTime { digits: 0 }, V::DateTime(-1_000_000), "-1000");
    check(Kind::DateTime { digits: 3 }, V::DateTime(1_234_000), "1234");
    check(Kind::DateTime { digits: 6 }, V::DateTime(-1), "-1");
    check(Kind::DateTime { digits: 6 }, V::DateTime(i64::MAX), "9223372036825200000");
    check(Kind::DateTime { digits: 6 }, V::DateTime(i64::MIN), "-9223372036832400000");
    check(Kind::DateTime { digits: 3 }, V::DateTime(i64::MAX), "9223372036825200");
    check(Kind::DateTime { digits: 3 }, V::DateTime(i64::MIN), "-9223372036832400");
    let instant = |digits| Kind::Instant { digits };
    check(instant(6), V::Instant(1_580_465_730_120_000), "\"2020-01-31T10:15:30.120000Z\"");
    check(instant(3), V::Instant(1_580_465_730_120_000), "\"2020-01-31T10:15:30.120Z\"");
    check(instant(0), V::Instant(1_580_465_730_000_000), "\"2020-01-31T10:15:30Z\"");
    check(instant(6), V::Instant(i64::MAX), "\"infinity\"");
    check(instant(6), V::Instant(i64::MIN), "\"-infinity\"");
    check(Kind::Interval, V::Interval(14, 3, 4), "37076400000004");
    check(Kind::Interval, V::Interval(-1, 0, 0), "-2629800000000");
    check(Kind::Interval, V::Interval(i32::MAX, 0, 0), "9223372036854775807");
    check(Kind::Interval, V::Interval(i32::MIN, 0, 0), "-9223372036854775808");
}

#[test]
fn texts_and_bytes() {
    for kind in [Kind::Text, Kind::Json, Kind::Xml, Kind::SearchVector, Kind::LabelPath] {
        check(kind, text("a"), "\"a\"");
    }
    check(Kind::Other("box".into()), text("(1,1),(0,0)"), "\"(1,1),(0,0)\"");
    check(Kind::Enum(["a".into(), "b".into()].into()), text("b"), "\"b\"");
    check(Kind::Set(["a".into(), "b".into()].into()), text("a,b"), "\"a,b\"");
    check(
        Kind::Text,
        text("\"\\/\n\r\t\u{8}\u{c}\u{1}\u{1f}é😀"),
        r#""\"\\/\n\r\t\b\f\u0001\u001fé😀""#,
    );
    for (bytes, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
        check(Kind::Bytes, V::Bytes(bytes.into()), &format!("\"{expected}\""));
    }
    check(Kind::Bytes, V::Bytes(vec![0xFB, 0xFF, 0xFE]), "\"+//+\"");
    let uuid = [
        0x76, 0x01, 0x9d, 0x1a, 0xad, 0x2e, 0x4b, 0x22, 0x96, 0xe9, 0x1a, 0x6d, 0x65, 0x43, 0xc8,
        0x18,
    ];
    check(Kind::Uuid, V::Uuid(uuid), "\"76019d1a-ad2e-4b22-96e9-1a6d6543c818\"");
}

#[test]
fn bits_are_a_little_endian_number() {
    let bits = |text: &str| V::Bits(text.to_owned());
    check(Kind::Bits { length: 3 }, bits("101"), "\"BQ==\"");
    check(Kind::Bits { length: 8 }, bits("00000000"), "\"\"");
    check(Kind::Bits { length: 12 }, bits("100000000001"), "\"AQg=\"");
    check(Kind::Bits { length: 12 }, bits("000000000001"), "\"AQ==\"");
    check(Kind::Bits { length: 0 }, bits(""), "\"\"");
}

#[test]
fn points_and_arrays() {
    check(
        Kind::Point,
        V::Point(1.0, -0.5),
        r#"{"x":1.0,"y":-0.5,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAOC/","srid":null}"#,
    );
    check(array(int(32)), V::Array(vec![]), "[]");
    check(array(int(32)), V::Array(vec![V::Int(1), V::Null, V::Int(3)]), "[1,null,3]");
    check(
        array(Kind::Number),
        V::Array(vec![V::Decimal(15, 1)]),
        r#"[{"scale":1,"value":"Dw=="}]"#,
    );
    let nested = V::Array(vec![V::Array(vec![text("a")]), V::Array(vec![text("b"), V::Null])]);
    check(array(array(Kind::Text)), nested.clone(), r#"[["a"],["b",null]]"#);
    let refusal = "unrepresentable: an array of more than one dimension, or with nulls, for which the schema has no room";
    refused(array(Kind::Text), nested, refusal);
    for kind in [Kind::Enum(["a".into()].into()), Kind::SearchVector] {
        refused(array(kind), V::Array(vec![V::Null]), refusal);
    }
}

#[test]
fn a_placeholder_stands_for_what_was_not_sent() {
    let check = |kind: Kind, expected: Option<&str>| {
        let settings = Settings { absent: Some(Absent::Placeholder), ..row() };
        let mut pipeline = json(settings);
        let shown = shown(&mut pipeline, Column::new("v", kind.clone()).required(), V::Absent);
        assert_eq!(shown.ok().as_deref(), expected, "{kind:?}");
        assert_eq!(pipeline.counts().placeholders, 1);
        refused(
            kind,
            V::Absent,
            "absent-value: the database did not send this value, and nothing stands for it",
        );
    };
    let placeholder = Some("\"__debezium_unavailable_value\"");
    for kind in [Kind::Text, Kind::Json, Kind::Xml, Kind::SearchVector, Kind::Other("t".into())] {
        check(kind.clone(), placeholder);
        check(array(kind), Some("[\"__debezium_unavailable_value\"]"));
    }
    let bytes = "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"";
    check(Kind::Bytes, Some(bytes));
    check(array(Kind::Bytes), Some(&format!("[{bytes}]")));
    let numbers = "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101]";
    for kind in [int(16), int(32), int(64), Kind::Date] {
        check(array(kind), Some(numbers));
    }
    check(array(Kind::Uuid), Some("[\"b68a35a7-17ad-35b3-af2a-ae46edb4545a\"]"));
    for kind in [Kind::Number, Kind::Bits { length: 0 }, array(Kind::Float64), int(32)] {
        check(kind, None);
    }
}

#[test]
fn an_old_image_of_key_columns_has_zeroes_where_values_are_required() {
    let check = |kind: Kind, default: Option<&str>, expected: &str| {
        let mut column = Column::new("v", kind.clone()).required();
        column.default = default.map(|text| Default::Literal(text.into()));
        let table = table(vec![column], &[]);
        let batch = batch(&table, &[Step::Delete(vec![V::Absent])]);
        let line = lines(&mut json(Settings::default()), &batch, 1).unwrap().remove(0);
        let start =
            format!("shop.public.orders - {{\"before\":{{\"v\":{expected}}},\"after\":null,");
        assert!(line.starts_with(&start), "{kind:?}: {line}");
    };
    check(int(32), None, "0");
    check(int(32), Some("5"), "5");
    check(Kind::Bool, None, "false");
    check(Kind::Float64, None, "0.0");
    check(Kind::Text, None, "\"\"");
    check(Kind::Text, Some("x"), "\"x\"");
    check(Kind::Bytes, None, "\"\"");
    check(Kind::Decimal { precision: 4, scale: 2 }, None, "\"AA==\"");
    check(Kind::Number, None, r#"{"scale":0,"value":"AA=="}"#);
    check(Kind::Instant { digits: 6 }, None, "\"1970-01-01T00:00:00Z\"");
    check(Kind::TimeTz { digits: 6 }, None, "\"00:00:00Z\"");
    check(
        Kind::Point,
        None,
        r#"{"x":0.0,"y":0.0,"wkb":"AQEAAAAAAAAAAAAAAAAAAAAAAAAA","srid":null}"#,
    );
    check(array(int(32)), None, "[]");
}
