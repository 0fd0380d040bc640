//! Types whose object numbers are fixed in every database.

use std::sync::Arc;

use change::Kind;

use super::{ColumnType, Decoder};

/// A built-in type that is no array, with the modifier of a column; None: not built in, or of no use to a reader
/// but as text.
pub(super) fn resolve(oid: u32, modifier: i32) -> Option<ColumnType> {
    let digits = || u8::try_from(modifier).ok().filter(|digits| *digits <= 6).unwrap_or(6);
    let int = |bits, decoder| (Kind::Int { bits, signed: true }, decoder);
    let (kind, decoder) = match oid {
        16 => (Kind::Bool, Decoder::Bool),
        21 => int(16, Decoder::Int16),
        23 => int(32, Decoder::Int32),
        20 => int(64, Decoder::Int64),
        26 => int(64, Decoder::Oid),
        700 => (Kind::Float32, Decoder::Float32),
        701 => (Kind::Float64, Decoder::Float64),
        790 => (Kind::Decimal { precision: 0, scale: 2 }, Decoder::Money),
        1700 => match declared(modifier) {
            Some((precision, scale)) => {
                (Kind::Decimal { precision, scale }, Decoder::Decimal { scale })
            }
            None => (Kind::Number, Decoder::Number),
        },
        1082 => (Kind::Date, Decoder::Date),
        1083 => (Kind::Time { digits: digits() }, Decoder::Time),
        1266 => (Kind::TimeTz { digits: digits() }, Decoder::TimeTz),
        1114 => (Kind::DateTime { digits: digits() }, Decoder::Timestamp),
        1184 => (Kind::Instant { digits: digits() }, Decoder::TimestampTz),
        1186 => (Kind::Interval, Decoder::Interval),
        2950 => (Kind::Uuid, Decoder::Uuid),
        17 => (Kind::Bytes, Decoder::Bytea),
        1560 | 1562 => match (oid, u32::try_from(modifier).unwrap_or(0)) {
            (1560, 1) => (Kind::Bool, Decoder::Bit),
            (_, length) => (Kind::Bits { length }, Decoder::Bits),
        },
        600 => (Kind::Point, Decoder::Point),
        114 => (Kind::Json, Decoder::Text),
        3802 => (Kind::Json, Decoder::Jsonb),
        142 => (Kind::Xml, Decoder::OutputText),
        3614 => (Kind::SearchVector, Decoder::OutputText),
        // name, text, bpchar, varchar
        19 | 25 | 1042 | 1043 => (Kind::Text, Decoder::Text),
        // "char", cidr, macaddr8, macaddr, inet
        18 | 650 | 774 | 829 | 869 => (Kind::Text, Decoder::OutputText),
        // int4range, numrange, tsrange, tstzrange, daterange, int8range
        3904 | 3906 | 3908 | 3910 | 3912 | 3926 => (Kind::Text, Decoder::OutputText),
        _ => return None,
    };
    Some(ColumnType { kind, decoder })
}

/// The element type of a built-in array type.
pub(super) fn element(oid: u32) -> Option<u32> {
    const ARRAYS: [(u32, u32); 39] = [
        (1000, 16),
        (1001, 17),
        (1002, 18),
        (1003, 19),
        (1005, 21),
        (1007, 23),
        (1009, 25),
        (1014, 1042),
        (1015, 1043),
        (1016, 20),
        (1017, 600),
        (1021, 700),
        (1022, 701),
        (1028, 26),
        (651, 650),
        (775, 774),
        (791, 790),
        (1040, 829),
        (1041, 869),
        (1115, 1114),
        (1182, 1082),
        (1183, 1083),
        (1185, 1184),
        (1187, 1186),
        (1231, 1700),
        (1270, 1266),
        (1561, 1560),
        (1563, 1562),
        (2951, 2950),
        (143, 142),
        (199, 114),
        (3643, 3614),
        (3807, 3802),
        (3905, 3904),
        (3907, 3906),
        (3909, 3908),
        (3911, 3910),
        (3913, 3912),
        (3927, 3926),
    ];
    ARRAYS.iter().find(|(array, _)| *array == oid).map(|(_, element)| *element)
}

/// Precision and scale of a `numeric` with a modifier. The scale is a signed number of 11 bits.
fn declared(modifier: i32) -> Option<(u16, i16)> {
    let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
    let precision = u16::try_from(packed >> 16).ok()?;
    let scale = ((packed & 0x7FF) ^ 1024) - 1024;
    Some((precision, i16::try_from(scale).ok()?))
}

/// A type that this crate has no kind for: its text.
pub(super) fn other(name: &str) -> ColumnType {
    ColumnType { kind: Kind::Other(name.into()), decoder: Decoder::OutputText }
}

/// Types of extensions have no fixed numbers: they are known by name.
pub(super) fn by_name(name: &str) -> Option<ColumnType> {
    let (kind, decoder) = match name {
        "citext" | "isbn" => (Kind::Text, Decoder::OutputText),
        "ltree" => (Kind::LabelPath, Decoder::OutputText),
        "hstore" => (Kind::Json, Decoder::Hstore),
        _ => return None,
    };
    Some(ColumnType { kind, decoder })
}

pub(super) fn array_of(element: ColumnType, delimiter: u8) -> ColumnType {
    ColumnType {
        kind: Kind::Array(Arc::new(element.kind)),
        decoder: Decoder::Array { element: Arc::new(element.decoder), delimiter },
    }
}
