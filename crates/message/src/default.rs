//! A column's default as the schema shows it.
//!
//! Debezium reads the default's text, gives up (no default) where it cannot, and shows the type's zero for what only
//! the database can compute. The same types are covered here; structs and arrays have no default there.

use change::{Column, Default, Interval, Kind};

use crate::Decimals;
use crate::calendar;
use crate::conversion::{self, SHORT, little_endian};
use crate::decimal;
use crate::kind;
use crate::schema::Literal;

const DAY: i64 = 86_400_000_000;

pub(crate) fn of(column: &Column, decimals: Decimals) -> Option<Literal> {
    match column.default.as_ref()? {
        Default::Literal(text) => literal(&column.kind, text, decimals),
        Default::Computed => computed(&column.kind, decimals),
    }
}

/// What Debezium shows for a default that only the database can compute.
fn computed(kind: &Kind, decimals: Decimals) -> Option<Literal> {
    Some(match kind {
        Kind::Number if decimals == Decimals::Precise => return None,
        Kind::Decimal { precision: 0, .. }
        | Kind::TimeTz { .. }
        | Kind::Bytes
        | Kind::SearchVector
        | Kind::LabelPath
        | Kind::Enum(_)
        | Kind::Set(_)
        | Kind::Other(_)
        | Kind::Point
        | Kind::Array(_) => return None,
        Kind::Instant { digits } => instant(0, *digits),
        Kind::Json => Literal::text("{}"),
        Kind::Uuid => Literal::text("00000000-0000-0000-0000-000000000000"),
        kind => kind::zero(kind, decimals),
    })
}

fn literal(kind: &Kind, text: &str, decimals: Decimals) -> Option<Literal> {
    let trimmed = text.trim();
    Some(match kind {
        Kind::Bool => match trimmed {
            "true" | "t" | "1" => Literal::Bool(true),
            "false" | "f" | "0" => Literal::Bool(false),
            _ => return None,
        },
        Kind::Int { bits, signed } => Literal::Int(int(*bits, *signed, trimmed)?),
        Kind::Year => Literal::Int(trimmed.parse::<i32>().ok()?.into()),
        Kind::Float32 => Literal::Float32(trimmed.parse().ok().filter(|x: &f32| x.is_finite())?),
        Kind::Float64 => Literal::Float64(trimmed.parse().ok().filter(|x: &f64| x.is_finite())?),
        Kind::Decimal { precision: 0, .. } => return None,
        Kind::Decimal { scale, .. } => {
            let (unscaled, from) = decimal::parse(trimmed)?;
            let unscaled = decimal::rescale(&unscaled, from, i32::from(*scale))?;
            match decimals {
                Decimals::Precise => Literal::bytes(&unscaled),
                Decimals::Text => plain(&unscaled, i32::from(*scale)),
            }
        }
        Kind::Number if decimals == Decimals::Text => {
            let (unscaled, scale) = decimal::parse(trimmed)?;
            plain(&unscaled, scale)
        }
        Kind::Date => {
            let (days, rest) = date(trimmed)?;
            clock_or_nothing(rest)?;
            Literal::Int(days)
        }
        Kind::Time { digits } => Literal::Int(match digits {
            0..=3 => clock(trimmed)? / 1000,
            _ => clock(trimmed)?,
        }),
        Kind::DateTime { digits } => {
            let (days, rest) = date(trimmed)?;
            let micros = days * DAY + clock_or_nothing(rest)?;
            Literal::Int(if *digits <= 3 { micros.div_euclid(1000) } else { micros })
        }
        Kind::Instant { digits } => {
            let (days, rest) = date(trimmed)?;
            let (time, offset) = zone(rest)?;
            instant(days * DAY + clock_or_nothing(time)? - offset, *digits)
        }
        Kind::Interval => Literal::Int(conversion::interval(interval(trimmed)?)),
        Kind::Uuid => Literal::text(uuid(trimmed)?),
        Kind::Text | Kind::Json | Kind::Xml => Literal::text(text),
        Kind::Enum(labels) => {
            labels.iter().any(|label| **label == *text).then(|| Literal::text(text))?
        }
        Kind::Set(_) => Literal::text(text),
        Kind::Bits { .. } => bits(trimmed)?,
        Kind::Number
        | Kind::TimeTz { .. }
        | Kind::Bytes
        | Kind::SearchVector
        | Kind::LabelPath
        | Kind::Point
        | Kind::Other(_)
        | Kind::Array(_) => return None,
    })
}

fn int(bits: u8, signed: bool, text: &str) -> Option<i64> {
    let value: i64 = text.parse().ok()?;
    let width = u32::from(bits.clamp(1, 64));
    let fits = match signed {
        true => (value << (64 - width)) >> (64 - width) == value,
        false => value >= 0 && (width == 64 || value >> width == 0),
    };
    fits.then_some(value)
}

fn plain(unscaled: &[u8], scale: i32) -> Literal {
    Literal::text(decimal::plain(unscaled, scale, &mut Vec::new()))
}

fn instant(micros: i64, digits: u8) -> Literal {
    Literal::text(calendar::instant(micros, digits, &mut [0; SHORT]))
}

/// Days since 1970, and what follows the date.
fn date(text: &str) -> Option<(i64, &str)> {
    let end = text.find([' ', 'T']).unwrap_or(text.len());
    let (date, rest) = text.split_at(end);
    let mut parts = date.split('-');
    let year = parts.next()?.parse::<u32>().ok().filter(|year| *year <= 294_276)?;
    let month = parts.next()?.parse().ok()?;
    let day = parts.next()?.parse().ok()?;
    match parts.next() {
        None => Some((calendar::days(i64::from(year), month, day)?, rest.get(1..).unwrap_or(""))),
        Some(_) => None,
    }
}

fn clock_or_nothing(text: &str) -> Option<i64> {
    if text.is_empty() { Some(0) } else { clock(text) }
}

/// Microseconds since midnight of `10:15[:30[.5]]`.
fn clock(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut seconds = 0;
    let mut parts = 0;
    for (part, limit) in whole.split(':').zip([24, 59, 59]) {
        let part = part.parse::<u32>().ok().filter(|part| *part <= limit)?;
        seconds = seconds * 60 + i64::from(part);
        parts += 1;
    }
    if parts < 2 || parts != whole.split(':').count() || fraction.len() > 6 {
        return None;
    }
    if parts == 2 {
        seconds *= 60;
    }
    let micros = match fraction {
        "" => 0,
        digits => i64::from(digits.parse::<u32>().ok()?) * 10_i64.pow(6 - digits.len() as u32),
    };
    Some(seconds * 1_000_000 + micros).filter(|micros| *micros <= DAY)
}

/// The time, and the zone's offset in microseconds; none is UTC.
fn zone(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix('Z') {
        return Some((time, 0));
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, 0)) };
    let (time, zone) = text.split_at(at);
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let mut seconds = 0;
    let mut unit = 3600;
    for part in zone[1..].split(':') {
        seconds += part.parse::<u32>().ok().map(i64::from)? * unit;
        unit /= 60;
    }
    Some((time, sign * seconds * 1_000_000))
}

/// `1 year -2 mons +3 days -04:05:06.7`, any part of it.
/// What follows the `P` of ISO 8601, with a sign at any part.
fn designated(text: &str) -> Option<Interval> {
    let mut interval = Interval { months: 0, days: 0, micros: 0 };
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    for part in date.split_inclusive(|c: char| c.is_ascii_alphabetic()) {
        let (number, unit) = part.split_at(part.len() - 1);
        let count: i32 = number.parse().ok()?;
        let (field, each) = match unit {
            "Y" => (&mut interval.months, 12),
            "M" => (&mut interval.months, 1),
            "D" => (&mut interval.days, 1),
            _ => return None,
        };
        *field = field.checked_add(count.checked_mul(each)?)?;
    }
    for part in time.split_inclusive(|c: char| c.is_ascii_alphabetic()) {
        let (number, unit) = part.split_at(part.len() - 1);
        let (sign, number) = match number.strip_prefix('-') {
            Some(number) => (-1, number),
            None => (1, number),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let each = match unit {
            "H" => 3_600_000_000,
            "M" => 60_000_000,
            "S" => 1_000_000,
            _ => return None,
        };
        let digits = fraction.get(..6).unwrap_or(fraction);
        let fraction: i64 = format!("{digits:0<6}").parse().ok()?;
        let micros = whole.parse::<i64>().ok()?.checked_mul(each)?.checked_add(fraction)?;
        interval.micros = interval.micros.checked_add(sign * micros)?;
    }
    Some(interval)
}

/// `1 year 2 mons 3 days 04:05:06.7`, or the same as `P1Y2M3DT4H5M6.7S`.
fn interval(text: &str) -> Option<Interval> {
    let mut interval = Interval { months: 0, days: 0, micros: 0 };
    if let Some(parts) = text.strip_prefix('P') {
        return designated(parts);
    }
    let mut words = text.split_ascii_whitespace().peekable();
    words.peek()?;
    while let Some(word) = words.next() {
        if word.contains(':') {
            let (sign, time) = match word.strip_prefix('-') {
                Some(time) => (-1, time),
                None => (1, word.strip_prefix('+').unwrap_or(word)),
            };
            interval.micros = sign * clock(time)?;
            continue;
        }
        let count: i32 = word.parse().ok()?;
        let (part, each) = match words.next()?.trim_end_matches('s') {
            "year" => (&mut interval.months, 12),
            "mon" => (&mut interval.months, 1),
            "day" => (&mut interval.days, 1),
            _ => return None,
        };
        *part = part.checked_add(count.checked_mul(each)?)?;
    }
    Some(interval)
}

fn uuid(text: &str) -> Option<&str> {
    let dash = |index: usize| matches!(index, 8 | 13 | 18 | 23);
    let valid = text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match dash(index) {
            true => byte == b'-',
            false => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
    valid.then_some(text)
}

fn bits(text: &str) -> Option<Literal> {
    let mut bytes = vec![0_u8; text.len().div_ceil(8)];
    for (index, bit) in text.bytes().enumerate() {
        match bit {
            b'1' => bytes[index / 8] |= 0x80 >> (index % 8),
            b'0' => {}
            _ => return None,
        }
    }
    let length = u32::try_from(text.len()).ok()?;
    let number: Vec<u8> = little_endian(length, &bytes).collect();
    Some(Literal::bytes(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, text: &str, expected: Option<Literal>) {
        assert_eq!(literal(&kind, text, Decimals::Precise), expected, "{kind:?} {text}");
    }

    #[test]
    fn a_constant_is_read_by_its_kind() {
        let int = |value| Some(Literal::Int(value));
        let text = |value| Some(Literal::text(value));
        let bytes = |value: &[u8]| Some(Literal::bytes(value));
        let int32 = Kind::Int { bits: 32, signed: true };
        check(int32.clone(), "42", int(42));
        check(int32.clone(), " -1 ", int(-1));
        check(int32.clone(), "2147483648", None);
        check(int32, "(1 + 2)", None);
        check(Kind::Int { bits: 32, signed: false }, "4294967295", int(4_294_967_295));
        check(Kind::Int { bits: 32, signed: false }, "-1", None);
        check(Kind::Bool, "true", Some(Literal::Bool(true)));
        check(Kind::Bool, "0", Some(Literal::Bool(false)));
        check(Kind::Bool, "maybe", None);
        check(Kind::Float64, "1.5", Some(Literal::Float64(1.5)));
        check(Kind::Float64, "NaN", None);
        check(Kind::Decimal { precision: 12, scale: 2 }, "1.5", bytes(&[0, 150]));
        check(Kind::Decimal { precision: 12, scale: 2 }, "0", bytes(&[0]));
        check(Kind::Decimal { precision: 12, scale: 2 }, "1.555", None);
        check(Kind::Number, "1", None);
        check(Kind::Text, " kept ", text(" kept "));
        check(Kind::Json, "{\"a\": 1}", text("{\"a\": 1}"));
        check(Kind::Enum(["a".into(), "b".into()].into()), "b", text("b"));
        check(Kind::Enum(["a".into()].into()), "c", None);
        check(Kind::Date, "2020-02-29", int(18_321));
        check(Kind::Date, "2021-02-29", None);
        check(Kind::Date, "infinity", None);
        check(Kind::Time { digits: 6 }, "10:15:30.5", int(36_930_500_000));
        check(Kind::Time { digits: 3 }, "10:15", int(36_900_000));
        check(Kind::Time { digits: 6 }, "25:00", None);
        check(Kind::DateTime { digits: 6 }, "1970-01-02 00:00:01", int(86_401_000_000));
        check(Kind::DateTime { digits: 0 }, "1970-01-02", int(86_400_000));
        check(
            Kind::Instant { digits: 6 },
            "2020-01-01 00:00:00+02",
            text("2019-12-31T22:00:00.000000Z"),
        );
        check(Kind::Instant { digits: 0 }, "2020-01-01", text("2020-01-01T00:00:00Z"));
        check(Kind::Interval, "1 day", int(86_400_000_000));
        check(Kind::Interval, "-1 mons +1 day -00:00:01.5", int(-2_543_401_500_000));
        check(Kind::Interval, "1 year 2 mons", int(36_817_200_000_000));
        check(Kind::Interval, "00:00:00", int(0));
        check(Kind::Interval, "P1D", int(86_400_000_000));
        check(Kind::Interval, "P-1M1DT-1.5S", int(-2_543_401_500_000));
        check(Kind::Interval, "P1Y2M", int(36_817_200_000_000));
        check(Kind::Interval, "PT1H2M3.000004S", int(3_723_000_004));
        check(Kind::Interval, "PT0S", int(0));
        check(Kind::Interval, "P1X", None);
        check(Kind::Interval, "PT-S", None);
        check(Kind::Interval, "2147483647 years", None);
        check(Kind::Interval, "1", None);
        check(Kind::Interval, "", None);
        check(Kind::Interval, "infinity", None);
        let uuid = "76019d1a-ad2e-4b22-96e9-1a6d6543c818";
        check(Kind::Uuid, uuid, text(uuid));
        check(Kind::Uuid, "76019d1a", None);
        check(Kind::Bits { length: 3 }, "101", bytes(&[5]));
        check(Kind::Bits { length: 12 }, "000100000001", bytes(&[1, 1]));
        check(Kind::Bits { length: 2 }, "0x", None);
        check(Kind::Bytes, "\\x00", None);
    }

    #[test]
    fn a_computed_default_shows_the_types_zero() {
        let check = |kind: Kind, expected: Option<Literal>| {
            assert_eq!(computed(&kind, Decimals::Precise), expected, "{kind:?}");
        };
        check(Kind::Int { bits: 64, signed: true }, Some(Literal::Int(0)));
        check(Kind::Text, Some(Literal::text("")));
        check(Kind::Decimal { precision: 12, scale: 2 }, Some(Literal::bytes(&[0])));
        check(Kind::Instant { digits: 3 }, Some(Literal::text("1970-01-01T00:00:00.000Z")));
        check(Kind::Number, None);
        check(Kind::Array(Kind::Text.into()), None);
    }
}
