use crate::batch::Elements;

/// What the database sent for one column of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// Not sent: unchanged TOAST, a column outside a key-only image. Never the same as null.
    Absent,
    Null,
    Value(Value<'a>),
}

impl<'a> Cell<'a> {
    pub fn value(self) -> Option<Value<'a>> {
        match self {
            Cell::Value(value) => Some(value),
            Cell::Absent | Cell::Null => None,
        }
    }

    pub fn is_absent(self) -> bool {
        matches!(self, Cell::Absent)
    }
}

/// A value of one cell; which variant it is follows from the column's [`Kind`](crate::Kind) alone.
///
/// Days count from 1970-01-01, microseconds from 1970-01-01T00:00:00 (with or without a zone, as the kind
/// says). `i32::MAX`/`i64::MAX` and `MIN` stand for infinity and minus infinity; no finite value of a
/// supported database reaches them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float32(f32),
    Float64(f64),
    Decimal(Decimal<'a>),
    /// Days.
    Date(i32),
    /// Microseconds since midnight; 24:00:00 is allowed, MySQL's TIME may be negative or above a day.
    Time(i64),
    /// Microseconds since midnight as written, and the zone's offset east of UTC in seconds.
    TimeTz {
        micros: i64,
        offset: i32,
    },
    /// Microseconds of the wall clock.
    DateTime(i64),
    /// Microseconds UTC.
    Instant(i64),
    Interval(Interval),
    /// Big-endian, as RFC 9562 writes it.
    Uuid([u8; 16]),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// `length` bits; the first bit of the text form is the highest bit of the first byte, the last byte is
    /// padded with zeroes at its low end.
    Bits {
        length: u32,
        bytes: &'a [u8],
    },
    Point {
        x: f64,
        y: f64,
    },
    Array(Elements<'a>),
}

/// `unscaled * 10^-scale`; `unscaled` is two's complement, big-endian, of minimal length (at least one byte).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decimal<'a> {
    Finite { unscaled: &'a [u8], scale: i16 },
    NotANumber,
    Infinity,
    MinusInfinity,
}

/// The three parts that PostgreSQL keeps apart: a month has no fixed number of days, nor a day of hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}
