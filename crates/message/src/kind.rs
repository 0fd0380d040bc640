//! What each kind of column becomes: Debezium's semantic types, and how a cell is turned into them.
//!
//! The table is Debezium 3.6.1's with its default options, and goes further where that drops a column (arrays of
//! money, intervals, bit strings, XML and points are arrays of what one of them is; an unknown type is its text).
//!
//! **`NaN` and infinities of `numeric`.** No `Decimal` can hold them. Debezium's default leaves the field out with a
//! warning (null, or a stop where null is not allowed), so the row is silently wrong. Here they stop with the code
//! `unrepresentable`; [`Decimals::Text`] carries them in Debezium's words (`NAN`, `POSITIVE_INFINITY`,
//! `NEGATIVE_INFINITY`), and [`Specials::Null`](crate::Specials::Null) writes null and counts it.
//!
//! **Infinite dates** are numbers that Debezium 3.6.1 writes, however odd: both infinities of a `date` stand a day
//! apart in the year -5877611. Infinite instants are the texts `infinity` and `-infinity`.

use change::Kind;

use crate::Decimals;
use crate::conversion::Conversion;
use crate::decimal;
use crate::schema::{Form, Literal, Schema};

/// What stands for a value that the database did not send.
pub const PLACEHOLDER: &str = "__debezium_unavailable_value";
/// The name-based UUID (version 3) of the placeholder.
const PLACEHOLDER_UUID: &str = "b68a35a7-17ad-35b3-af2a-ae46edb4545a";

/// The schema of a column of this kind, required and without a default, and how its cells get there.
pub(crate) fn of(kind: &Kind, decimals: Decimals) -> (Schema, Conversion) {
    let semantic = Schema::semantic;
    match kind {
        Kind::Bool => (Schema::new(Form::Boolean), Conversion::Bool),
        Kind::Int { bits, signed } => int(*bits, *signed),
        Kind::Float32 => (Schema::new(Form::Float32), Conversion::Float32),
        Kind::Float64 => (Schema::new(Form::Float64), Conversion::Float64),
        Kind::Decimal { .. } | Kind::Number if decimals == Decimals::Text => {
            (Schema::string(), Conversion::DecimalText)
        }
        Kind::Decimal { precision, scale } => {
            (decimal_schema(*precision, *scale), decimal_of(*scale))
        }
        Kind::Number => (number(), Conversion::Number),
        Kind::Date => (semantic(Form::Int32, "io.debezium.time.Date"), Conversion::Date),
        Kind::Time { digits: 0..=3 } => {
            (semantic(Form::Int32, "io.debezium.time.Time"), Conversion::TimeMillis)
        }
        Kind::Time { .. } => {
            (semantic(Form::Int64, "io.debezium.time.MicroTime"), Conversion::TimeMicros)
        }
        Kind::TimeTz { .. } => {
            (semantic(Form::String, "io.debezium.time.ZonedTime"), Conversion::TimeTz)
        }
        Kind::DateTime { digits: 0..=3 } => {
            (semantic(Form::Int64, "io.debezium.time.Timestamp"), Conversion::StampMillis)
        }
        Kind::DateTime { .. } => {
            (semantic(Form::Int64, "io.debezium.time.MicroTimestamp"), Conversion::StampMicros)
        }
        Kind::Instant { digits } => (
            semantic(Form::String, "io.debezium.time.ZonedTimestamp"),
            Conversion::Zoned { digits: *digits },
        ),
        Kind::Interval => {
            (semantic(Form::Int64, "io.debezium.time.MicroDuration"), Conversion::Interval)
        }
        Kind::Year => {
            (semantic(Form::Int32, "io.debezium.time.Year"), Conversion::Int { bits: 32 })
        }
        Kind::Uuid => (semantic(Form::String, "io.debezium.data.Uuid"), Conversion::Uuid),
        Kind::Text | Kind::Other(_) => (Schema::string(), Conversion::Text),
        Kind::Bytes => (Schema::new(Form::Bytes), Conversion::Bytes),
        Kind::Bits { length } => (bits(*length), Conversion::Bits),
        Kind::Json => text("io.debezium.data.Json"),
        Kind::Xml => text("io.debezium.data.Xml"),
        Kind::SearchVector => text("io.debezium.data.Tsvector"),
        Kind::LabelPath => text("io.debezium.data.Ltree"),
        Kind::Enum(labels) => labelled("io.debezium.data.Enum", labels),
        Kind::Set(labels) => labelled("io.debezium.data.EnumSet", labels),
        Kind::Point => (point(), Conversion::Point),
        Kind::Array(element) => {
            let (schema, conversion) = of(element, decimals);
            // Debezium forgets to say that elements of these may be null: see `Scope::has_room`.
            let optional = !matches!(**element, Kind::Enum(_) | Kind::SearchVector);
            let schema = Schema { optional, ..schema };
            let conversion = Conversion::Array { element: Box::new(conversion), optional };
            (Schema::new(Form::Array(Box::new(schema))), conversion)
        }
    }
}

fn int(bits: u8, signed: bool) -> (Schema, Conversion) {
    let (form, bits) = match (bits, signed) {
        (0..=8, _) | (9..=16, true) => (Form::Int16, 16),
        (17..=32, true) | (9..=24, false) => (Form::Int32, 32),
        _ => (Form::Int64, 64),
    };
    (Schema::new(form), Conversion::Int { bits })
}

fn text(name: &str) -> (Schema, Conversion) {
    (Schema::semantic(Form::String, name), Conversion::Text)
}

fn labelled(name: &str, labels: &[Box<str>]) -> (Schema, Conversion) {
    let (schema, conversion) = text(name);
    (schema.parameter("allowed", labels.join(",")), conversion)
}

fn decimal_schema(precision: u16, scale: i16) -> Schema {
    let schema = Schema::semantic(Form::Bytes, DECIMAL).parameter("scale", scale.to_string());
    match precision {
        0 => schema,
        _ => schema.parameter("connect.decimal.precision", precision.to_string()),
    }
}

/// The name of Connect's own decimal type, which encoders treat specially.
pub const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";

fn decimal_of(scale: i16) -> Conversion {
    Conversion::Decimal { scale }
}

fn number() -> Schema {
    let fields =
        vec![part("scale", Schema::new(Form::Int32)), part("value", Schema::new(Form::Bytes))];
    Schema::record("io.debezium.data.VariableScaleDecimal", fields)
        .version(1)
        .documented("Variable scaled decimal")
}

fn point() -> Schema {
    let fields = vec![
        part("x", Schema::new(Form::Float64)),
        part("y", Schema::new(Form::Float64)),
        part("wkb", Schema::new(Form::Bytes).optional()),
        part("srid", Schema::new(Form::Int32).optional()),
    ];
    Schema::record("io.debezium.data.geometry.Point", fields)
        .version(1)
        .documented("Geometry (POINT)")
}

/// A field of a struct that is one column's value: filled by the encoder from that value.
fn part(name: &str, schema: Schema) -> crate::schema::Field {
    crate::schema::Field::new(name, schema, crate::schema::Binding::Literal(Literal::Null))
}

fn bits(length: u32) -> Schema {
    let length = if length == 0 { i32::MAX.cast_unsigned() } else { length };
    Schema::semantic(Form::Bytes, "io.debezium.data.Bits").parameter("length", length.to_string())
}

/// What Debezium writes where a value is required and the database sent none, as in an old image of key columns only.
pub(crate) fn zero(kind: &Kind, decimals: Decimals) -> Literal {
    match kind {
        Kind::Bool => Literal::Bool(false),
        Kind::Int { .. }
        | Kind::Date
        | Kind::Time { .. }
        | Kind::DateTime { .. }
        | Kind::Interval
        | Kind::Year => Literal::Int(0),
        Kind::Float32 => Literal::Float32(0.0),
        Kind::Float64 => Literal::Float64(0.0),
        Kind::Decimal { scale, .. } if decimals == Decimals::Text => {
            Literal::text(decimal::plain(&[0], i32::from(*scale), &mut Vec::new()))
        }
        Kind::Number if decimals == Decimals::Text => Literal::text("0"),
        Kind::Decimal { .. } => Literal::bytes(&[0]),
        Kind::Number => Literal::Struct(vec![Literal::Int(0), Literal::bytes(&[0])]),
        Kind::TimeTz { .. } => Literal::text("00:00:00Z"),
        Kind::Instant { .. } => Literal::text("1970-01-01T00:00:00Z"),
        Kind::Uuid
        | Kind::Text
        | Kind::Json
        | Kind::Xml
        | Kind::SearchVector
        | Kind::LabelPath
        | Kind::Enum(_)
        | Kind::Set(_)
        | Kind::Other(_) => Literal::text(""),
        Kind::Bytes | Kind::Bits { .. } => Literal::bytes(&[]),
        Kind::Point => Literal::Struct(vec![
            Literal::Float64(0.0),
            Literal::Float64(0.0),
            Literal::bytes(&point_wkb(0.0, 0.0)),
            Literal::Null,
        ]),
        Kind::Array(_) => Literal::Array(Vec::new()),
    }
}

/// What stands for a value that is there but was not sent. None: the type has no room for such a thing.
pub(crate) fn placeholder(kind: &Kind) -> Option<Literal> {
    let text = || Literal::text(PLACEHOLDER);
    let bytes = || Literal::bytes(PLACEHOLDER.as_bytes());
    Some(match kind {
        Kind::Bytes => bytes(),
        Kind::Array(element) => match &**element {
            Kind::Bytes => Literal::Array(vec![bytes()]),
            Kind::Int { bits: 9.., .. } | Kind::Date => Literal::Array(
                PLACEHOLDER.bytes().map(|byte| Literal::Int(i64::from(byte))).collect(),
            ),
            Kind::Uuid => Literal::Array(vec![Literal::text(PLACEHOLDER_UUID)]),
            element if is_text(element) => Literal::Array(vec![text()]),
            _ => return None,
        },
        kind if is_text(kind) => text(),
        _ => return None,
    })
}

fn is_text(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Text
            | Kind::Json
            | Kind::Xml
            | Kind::SearchVector
            | Kind::LabelPath
            | Kind::Enum(_)
            | Kind::Set(_)
            | Kind::Other(_)
    )
}

/// A point in well-known binary: little-endian, type 1, x, y.
pub fn point_wkb(x: f64, y: f64) -> [u8; 21] {
    let mut wkb = [0; 21];
    wkb[0] = 1;
    wkb[1] = 1;
    wkb[5..13].copy_from_slice(&x.to_le_bytes());
    wkb[13..].copy_from_slice(&y.to_le_bytes());
    wkb
}
