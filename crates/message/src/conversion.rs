//! From a cell's value to the value that a message carries.
//!
//! One [`Conversion`] a column, chosen when the schema is made; [`Conversion::apply`] is the only code that runs per
//! cell, and it allocates nothing: texts that must be made (a time, a UUID) go into the caller's [`Scratch`].

use change::{Decimal, Elements, Interval, TransactionEnd, Value};

use crate::calendar;
use crate::decimal;

/// How a kind's value becomes what a message carries.
#[derive(Debug, Clone, PartialEq)]
pub enum Conversion {
    Bool,
    /// Fits `bits` bits, signed.
    Int {
        bits: u8,
    },
    Float32,
    Float64,
    /// The unscaled value's bytes.
    Decimal {
        scale: i16,
    },
    /// Scale and unscaled value, without trailing zeroes.
    Number,
    /// Plain decimal digits.
    DecimalText,
    /// Days since 1970.
    Date,
    TimeMillis,
    TimeMicros,
    /// `10:15:30.5Z`
    TimeTz,
    StampMillis,
    StampMicros,
    /// `2020-01-31T10:15:30.120Z` with that many digits.
    Zoned {
        digits: u8,
    },
    /// Microseconds; a month has 365.25/12 days.
    Interval,
    Uuid,
    Text,
    Bytes,
    /// The bits as an unsigned number, little-endian, without leading zeroes.
    Bits,
    Point,
    /// `optional`: elements may be null.
    Array {
        element: Box<Conversion>,
        optional: bool,
    },
}

/// The value of one field, borrowed from the batch or from the scratch.
#[derive(Debug, Clone, Copy)]
pub enum Datum<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float32(f32),
    Float64(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// See [`change::Value::Bits`]; write with [`little_endian`].
    Bits {
        length: u32,
        bytes: &'a [u8],
    },
    Decimal {
        unscaled: &'a [u8],
        scale: i16,
    },
    Number {
        unscaled: &'a [u8],
        scale: i32,
    },
    Point {
        x: f64,
        y: f64,
    },
    Array(Elements<'a>),
    /// Tables and counts of an ended transaction.
    Counts(TransactionEnd<'a>),
    /// Not a number or an infinity, where a number is due.
    Special(&'static str),
}

/// Why a cell has no place in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the database did not send this value, and nothing stands for it")]
    Absent,
    #[error("null where a value is required")]
    Null,
    #[error("the value is not of the column's kind")]
    Kind,
    #[error("the number is outside its type's range")]
    Range,
    #[error("NaN or infinity, which a decimal cannot hold")]
    Special,
    #[error("an array of more than one dimension, or with nulls, for which the schema has no room")]
    Elements,
}

/// Room for values that are made rather than found. Reused, so that nothing is allocated per row.
#[derive(Debug)]
pub struct Scratch {
    pub(crate) short: [u8; SHORT],
    pub(crate) long: Vec<u8>,
}

/// Enough for a sequence of four 20-digit numbers, the longest short text.
pub(crate) const SHORT: usize = 96;

impl Default for Scratch {
    fn default() -> Self {
        Self { short: [0; SHORT], long: Vec::new() }
    }
}

/// Debezium 3.6.1's sentinels for infinite dates (days, +/-) and wall clocks (microseconds, +/-).
const DATE_INFINITY: [i64; 2] = [-2_147_472_692, -2_147_472_691];
const STAMP_INFINITY: [i64; 2] = [9_223_372_036_825_200_000, -9_223_372_036_832_400_000];

impl Conversion {
    /// # Errors
    /// [`Fault::Kind`] when the value is not of the kind that this conversion was chosen for, [`Fault::Range`] when it
    /// does not fit.
    #[inline]
    pub fn apply<'s, 'a: 's>(
        &self,
        value: Value<'a>,
        scratch: &'s mut Scratch,
    ) -> Result<Datum<'s>, Fault> {
        Ok(match (self, value) {
            (Conversion::Bool, Value::Bool(value)) => Datum::Bool(value),
            (Conversion::Int { bits }, Value::Int(value)) => {
                let unused = 64 - u32::from(*bits);
                if (value << unused) >> unused != value {
                    return Err(Fault::Range);
                }
                Datum::Int(value)
            }
            (Conversion::Int { bits }, Value::UInt(value)) => {
                if value >> (bits - 1) != 0 {
                    return Err(Fault::Range);
                }
                Datum::Int(value.cast_signed())
            }
            (Conversion::Float32, Value::Float32(value)) => Datum::Float32(value),
            (Conversion::Float64, Value::Float64(value)) => Datum::Float64(value),
            (Conversion::Text, Value::Text(text)) => Datum::Text(text),
            (Conversion::Bytes, Value::Bytes(bytes)) => Datum::Bytes(bytes),
            (conversion, Value::Decimal(value)) => return conversion.decimal(value, scratch),
            (Conversion::Date, Value::Date(days)) => Datum::Int(match days {
                i32::MAX => DATE_INFINITY[0],
                i32::MIN => DATE_INFINITY[1],
                days => i64::from(days),
            }),
            (Conversion::TimeMillis, Value::Time(micros)) => Datum::Int(micros.div_euclid(1000)),
            (Conversion::TimeMicros, Value::Time(micros)) => Datum::Int(micros),
            (Conversion::StampMillis, Value::DateTime(micros)) => {
                Datum::Int(stamp(micros).div_euclid(1000))
            }
            (Conversion::StampMicros, Value::DateTime(micros)) => Datum::Int(stamp(micros)),
            (Conversion::Zoned { .. }, Value::Instant(i64::MAX)) => Datum::Text("infinity"),
            (Conversion::Zoned { .. }, Value::Instant(i64::MIN)) => Datum::Text("-infinity"),
            (Conversion::Zoned { digits }, Value::Instant(micros)) => {
                Datum::Text(calendar::instant(micros, *digits, &mut scratch.short))
            }
            (Conversion::TimeTz, Value::TimeTz { micros, offset }) => {
                Datum::Text(calendar::time_utc(micros, offset, &mut scratch.short))
            }
            (Conversion::Interval, Value::Interval(value)) => Datum::Int(interval(value)),
            (Conversion::Uuid, Value::Uuid(bytes)) => Datum::Text(uuid(bytes, &mut scratch.short)),
            (Conversion::Bits, Value::Bits { length, bytes }) => Datum::Bits { length, bytes },
            (Conversion::Point, Value::Point { x, y }) => Datum::Point { x, y },
            (Conversion::Array { .. }, Value::Array(elements)) => Datum::Array(elements),
            _ => return Err(Fault::Kind),
        })
    }

    /// What the elements of an array go through, and whether they may be null.
    pub fn element(&self) -> Option<(&Conversion, bool)> {
        match self {
            Conversion::Array { element, optional } => Some((element, *optional)),
            _ => None,
        }
    }

    fn decimal<'s, 'a: 's>(
        &self,
        value: Decimal<'a>,
        scratch: &'s mut Scratch,
    ) -> Result<Datum<'s>, Fault> {
        let (unscaled, scale) = match (value, self) {
            (Decimal::Finite { unscaled, scale }, _) => (unscaled, scale),
            (Decimal::NotANumber, Conversion::DecimalText) => return Ok(Datum::Text("NAN")),
            (Decimal::Infinity, Conversion::DecimalText) => {
                return Ok(Datum::Text("POSITIVE_INFINITY"));
            }
            (Decimal::MinusInfinity, Conversion::DecimalText) => {
                return Ok(Datum::Text("NEGATIVE_INFINITY"));
            }
            (Decimal::NotANumber, _) => return Ok(Datum::Special("NaN")),
            (Decimal::Infinity, _) => return Ok(Datum::Special("Infinity")),
            (Decimal::MinusInfinity, _) => return Ok(Datum::Special("-Infinity")),
        };
        match self {
            Conversion::Decimal { scale: declared } if *declared == scale => {
                Ok(Datum::Decimal { unscaled, scale })
            }
            Conversion::Number => {
                let (unscaled, scale) = decimal::strip(unscaled, i32::from(scale), scratch);
                Ok(Datum::Number { unscaled, scale })
            }
            Conversion::DecimalText => {
                Ok(Datum::Text(decimal::plain(unscaled, i32::from(scale), &mut scratch.long)))
            }
            _ => Err(Fault::Kind),
        }
    }
}

fn stamp(micros: i64) -> i64 {
    match micros {
        i64::MAX => STAMP_INFINITY[0],
        i64::MIN => STAMP_INFINITY[1],
        micros => micros,
    }
}

/// 365.25 / 12 days are a whole number of microseconds, so this is exact; what exceeds 64 bits stays at their end.
pub(crate) fn interval(value: Interval) -> i64 {
    const DAY: i128 = 86_400_000_000;
    const MONTH: i128 = 2_629_800_000_000;
    let micros =
        i128::from(value.months) * MONTH + i128::from(value.days) * DAY + i128::from(value.micros);
    i64::try_from(micros).unwrap_or(if micros < 0 { i64::MIN } else { i64::MAX })
}

fn uuid(bytes: [u8; 16], out: &mut [u8; SHORT]) -> &str {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut at = 0;
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out[at] = b'-';
            at += 1;
        }
        out[at] = HEX[usize::from(byte >> 4)];
        out[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    std::str::from_utf8(&out[..at]).expect("hex digits are text")
}

/// The bytes of a bit string read as an unsigned number, lowest byte first, without leading zeroes: none for zero.
pub fn little_endian(length: u32, bytes: &[u8]) -> impl ExactSizeIterator<Item = u8> {
    let pad = (8 - length % 8) % 8;
    let number = move |index: usize| {
        // Shifting the whole string right by `pad` bits: each byte takes the low bits of the one before it.
        let low = bytes[index] >> pad;
        let high = if pad > 0 && index > 0 { bytes[index - 1] << (8 - pad) } else { 0 };
        high | low
    };
    let zeroes = (0..bytes.len()).take_while(|index| number(*index) == 0).count();
    (zeroes..bytes.len()).rev().map(number)
}
