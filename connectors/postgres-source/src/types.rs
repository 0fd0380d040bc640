//! The one decode table of this database: what a type means, and how its cells are read in either wire form.
//!
//! ```text
//!   type oid, modifier ── TypeCatalog::resolve ──> ColumnType { kind, decoder }
//!                                                     decoder.text(..)    the log, and what COPY sends as text
//!                                                     decoder.binary(..)  COPY, for types whose binary form is known
//! ```
//! A row must have equal cells whether it was copied or followed. Both ways therefore go through the same [`Decoder`]
//! of the same [`ColumnType`], and every decoder with a binary form is tested to give equal cells from either form.
//! A type whose binary form is not worth knowing has none ([`Decoder::has_binary`]): the copy asks for its text.
//!
//! The texts are those of a session with our settings (ISO dates, ISO 8601 intervals, UTC, hexadecimal bytea, the C
//! locale's money); [`crate::session`] sets them on every connection.

mod array;
mod builtin;
mod catalog;
mod numeric;
mod scalar;
mod temporal;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use change::{Kind, RowWriter};

pub use catalog::{TypeCatalog, TypeClass, TypeInfo, is_unknown};
pub(crate) use temporal::clock;

/// A column's meaning and the way its cells are read.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnType {
    pub kind: Kind,
    pub decoder: Decoder,
}

/// How cells of a type are read. The kind of the column says what comes out.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoder {
    Bool,
    Int16,
    Int32,
    Int64,
    /// Unsigned, 32 bits.
    Oid,
    Float32,
    Float64,
    /// `numeric(p, s)`: every cell has the declared scale.
    Decimal {
        scale: i16,
    },
    /// `numeric`: every cell has its own scale.
    Number,
    Money,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    Bytea,
    Bits,
    /// `bit(1)`.
    Bit,
    Point,
    /// The binary form is the text.
    Text,
    /// Read as text only.
    OutputText,
    /// The binary form has a version in front of the text.
    Jsonb,
    /// Becomes a JSON object.
    Hstore,
    Array {
        element: Arc<Decoder>,
        delimiter: u8,
    },
}

/// A cell that is not what its type's form demands. Never holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CellError {
    #[error("a malformed {0}")]
    Malformed(&'static str),
    #[error("a text that is not UTF-8")]
    NotUtf8,
    #[error("a number with more digits than the column's scale")]
    Scale,
    #[error("a binary form of a type that has none here")]
    NoBinaryForm,
}

impl Decoder {
    /// Whether [`binary`](Self::binary) can read the type's binary form.
    pub fn has_binary(&self) -> bool {
        match self {
            Decoder::OutputText | Decoder::Hstore => false,
            Decoder::Array { element, .. } => element.has_binary(),
            _ => true,
        }
    }

    /// Writes the cell whose text form is `value`.
    pub fn text(&self, value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
        match self {
            Decoder::Bool => scalar::bool_text(value, row),
            Decoder::Int16 => scalar::int_text(value, i16::MIN.into(), i16::MAX.into(), row),
            Decoder::Int32 => scalar::int_text(value, i32::MIN.into(), i32::MAX.into(), row),
            Decoder::Int64 => scalar::int_text(value, i64::MIN, i64::MAX, row),
            Decoder::Oid => scalar::int_text(value, 0, u32::MAX.into(), row),
            Decoder::Float32 => scalar::float32_text(value, row),
            Decoder::Float64 => scalar::float64_text(value, row),
            Decoder::Decimal { scale } => numeric::text(value, Some(*scale), row),
            Decoder::Number => numeric::text(value, None, row),
            Decoder::Money => scalar::money_text(value, row),
            Decoder::Date => temporal::date_text(value, row),
            Decoder::Time => temporal::time_text(value, row),
            Decoder::TimeTz => temporal::time_tz_text(value, row),
            Decoder::Timestamp => temporal::timestamp_text(value, row),
            Decoder::TimestampTz => temporal::timestamp_tz_text(value, row),
            Decoder::Interval => temporal::interval_text(value, row),
            Decoder::Uuid => scalar::uuid_text(value, row),
            Decoder::Bytea => scalar::bytea_text(value, row),
            Decoder::Bits => scalar::bits_text(value, row),
            Decoder::Bit => scalar::bit_text(value, row),
            Decoder::Point => scalar::point_text(value, row),
            Decoder::Text | Decoder::OutputText | Decoder::Jsonb => scalar::plain_text(value, row),
            Decoder::Hstore => scalar::hstore_text(value, row),
            Decoder::Array { element, delimiter } => array::text(value, element, *delimiter, row),
        }
    }

    /// Writes the cell whose binary form is `value`.
    pub fn binary(&self, value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
        match self {
            Decoder::Bool => scalar::bool_binary(value, row),
            Decoder::Int16 => {
                row.int(i16::from_be_bytes(fixed(value, "smallint")?).into());
                Ok(())
            }
            Decoder::Int32 => {
                row.int(i32::from_be_bytes(fixed(value, "integer")?).into());
                Ok(())
            }
            Decoder::Int64 => {
                row.int(i64::from_be_bytes(fixed(value, "bigint")?));
                Ok(())
            }
            Decoder::Oid => {
                row.int(u32::from_be_bytes(fixed(value, "oid")?).into());
                Ok(())
            }
            Decoder::Float32 => {
                row.float32(f32::from_be_bytes(fixed(value, "real")?));
                Ok(())
            }
            Decoder::Float64 => {
                row.float64(f64::from_be_bytes(fixed(value, "double precision")?));
                Ok(())
            }
            Decoder::Decimal { scale } => numeric::binary(value, Some(*scale), row),
            Decoder::Number => numeric::binary(value, None, row),
            Decoder::Money => scalar::money_binary(value, row),
            Decoder::Date => temporal::date_binary(value, row),
            Decoder::Time => temporal::time_binary(value, row),
            Decoder::TimeTz => temporal::time_tz_binary(value, row),
            Decoder::Timestamp => temporal::timestamp_binary(value, row),
            Decoder::TimestampTz => temporal::timestamp_tz_binary(value, row),
            Decoder::Interval => temporal::interval_binary(value, row),
            Decoder::Uuid => {
                row.uuid(fixed(value, "uuid")?);
                Ok(())
            }
            Decoder::Bytea => {
                row.bytes(value);
                Ok(())
            }
            Decoder::Bits => scalar::bits_binary(value, row),
            Decoder::Bit => scalar::bit_binary(value, row),
            Decoder::Point => scalar::point_binary(value, row),
            Decoder::Text => scalar::plain_text(value, row),
            Decoder::Jsonb => match value {
                [1, text @ ..] => scalar::plain_text(text, row),
                _ => Err(CellError::Malformed("jsonb")),
            },
            Decoder::Array { element, .. } => array::binary(value, element, row),
            Decoder::OutputText | Decoder::Hstore => Err(CellError::NoBinaryForm),
        }
    }
}

fn fixed<const N: usize>(value: &[u8], what: &'static str) -> Result<[u8; N], CellError> {
    value.try_into().map_err(|_| CellError::Malformed(what))
}
