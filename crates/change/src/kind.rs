use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The meaning of a column's cells, independent of the database that declared it.
///
/// A kind fixes which [`Value`](crate::Value) its cells carry (named at each variant) and keeps what a
/// consumer may want to know of the declaration (digits, precision, labels).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// [`Value::Bool`](crate::Value::Bool)
    Bool,
    /// [`Value::Int`](crate::Value::Int) when signed, [`Value::UInt`](crate::Value::UInt) else; 8, 16, 24, 32 or 64 bits.
    Int { bits: u8, signed: bool },
    /// [`Value::Float32`](crate::Value::Float32)
    Float32,
    /// [`Value::Float64`](crate::Value::Float64)
    Float64,
    /// [`Value::Decimal`](crate::Value::Decimal) whose scale is always `scale`; `precision` 0: not declared (money).
    Decimal { precision: u16, scale: i16 },
    /// [`Value::Decimal`](crate::Value::Decimal) with a scale of its own in every cell: `numeric` without precision.
    Number,
    /// [`Value::Date`](crate::Value::Date)
    Date,
    /// [`Value::Time`](crate::Value::Time); `digits` of a second's fraction, 0 to 6.
    Time { digits: u8 },
    /// [`Value::TimeTz`](crate::Value::TimeTz)
    TimeTz { digits: u8 },
    /// [`Value::DateTime`](crate::Value::DateTime): a wall clock without a zone.
    DateTime { digits: u8 },
    /// [`Value::Instant`](crate::Value::Instant): a point in time.
    Instant { digits: u8 },
    /// [`Value::Interval`](crate::Value::Interval)
    Interval,
    /// [`Value::Int`](crate::Value::Int): a calendar year.
    Year,
    /// [`Value::Uuid`](crate::Value::Uuid)
    Uuid,
    /// [`Value::Text`](crate::Value::Text)
    Text,
    /// [`Value::Bytes`](crate::Value::Bytes)
    Bytes,
    /// [`Value::Bits`](crate::Value::Bits); `length` 0: unbounded.
    Bits { length: u32 },
    /// [`Value::Text`](crate::Value::Text): JSON in the database's own text form.
    Json,
    /// [`Value::Text`](crate::Value::Text): XML.
    Xml,
    /// [`Value::Text`](crate::Value::Text): a text search vector.
    SearchVector,
    /// [`Value::Text`](crate::Value::Text): a label path (`ltree`).
    LabelPath,
    /// [`Value::Text`](crate::Value::Text): one of the labels.
    Enum(Arc<[Box<str>]>),
    /// [`Value::Text`](crate::Value::Text): labels joined by commas.
    Set(Arc<[Box<str>]>),
    /// [`Value::Point`](crate::Value::Point): x and y.
    Point,
    /// [`Value::Text`](crate::Value::Text): a type we have no kind for, in the database's text form.
    /// Holds the database's name of the type.
    Other(Arc<str>),
    /// [`Value::Array`](crate::Value::Array) of the given kind.
    Array(Arc<Kind>),
}
