//! Dates and times. The database counts from 2000-01-01, the batch from 1970-01-01.
//!
//! Infinity has the same sentinels on both sides (the extreme values). A timestamp behind the year 294246 is finite in
//! the database and has no microsecond count from 1970 in 64 bits: it becomes the largest finite count.

use change::{Interval, RowWriter};

use super::scalar::parse_int;
use super::{CellError, fixed};

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * DAY_MICROS;
const DAY_MICROS: i64 = 86_400_000_000;

const DATE: CellError = CellError::Malformed("date");
const TIME: CellError = CellError::Malformed("time");
const TIMESTAMP: CellError = CellError::Malformed("timestamp");
const INTERVAL: CellError = CellError::Malformed("interval");

pub(super) fn date_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    let days = match value {
        b"infinity" => i32::MAX,
        b"-infinity" => i32::MIN,
        _ => {
            let (date, before_christ) = era(value);
            i32::try_from(parse_date(date, before_christ).ok_or(DATE)?).map_err(|_| DATE)?
        }
    };
    row.date(days);
    Ok(())
}

pub(super) fn date_binary(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    row.date(match i32::from_be_bytes(fixed(value, "date")?) {
        i32::MAX => i32::MAX,
        i32::MIN => i32::MIN,
        days => days.checked_add(EPOCH_DAYS).ok_or(DATE)?,
    });
    Ok(())
}

pub(super) fn time_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    row.time(parse_time(value).ok_or(TIME)?);
    Ok(())
}

pub(super) fn time_binary(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    row.time(i64::from_be_bytes(fixed(value, "time")?));
    Ok(())
}

pub(super) fn time_tz_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    let (time, offset) = split_offset(value).ok_or(TIME)?;
    row.time_tz(parse_time(time).ok_or(TIME)?, offset);
    Ok(())
}

/// Microseconds, then the zone in seconds *west* of UTC.
pub(super) fn time_tz_binary(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    let both: [u8; 12] = fixed(value, "time with time zone")?;
    let micros = i64::from_be_bytes(both[..8].try_into().expect("8 of 12 bytes"));
    let west = i32::from_be_bytes(both[8..].try_into().expect("4 of 12 bytes"));
    row.time_tz(micros, west.checked_neg().ok_or(TIME)?);
    Ok(())
}

pub(super) fn timestamp_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    row.date_time(parse_timestamp(value, false).ok_or(TIMESTAMP)?);
    Ok(())
}

pub(super) fn timestamp_tz_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    row.instant(parse_timestamp(value, true).ok_or(TIMESTAMP)?);
    Ok(())
}

pub(super) fn timestamp_binary(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    row.date_time(from_epoch(i64::from_be_bytes(fixed(value, "timestamp")?)));
    Ok(())
}

pub(super) fn timestamp_tz_binary(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    row.instant(from_epoch(i64::from_be_bytes(fixed(value, "timestamp with time zone")?)));
    Ok(())
}

fn from_epoch(micros: i64) -> i64 {
    match micros {
        i64::MAX | i64::MIN => micros,
        _ => micros.saturating_add(EPOCH_MICROS).min(i64::MAX - 1),
    }
}

/// The server's clock values inside protocol messages, as microseconds since 1970.
pub(crate) fn clock(micros_since_2000: i64) -> i64 {
    micros_since_2000.saturating_add(EPOCH_MICROS)
}

/// Takes ` BC` off the end.
fn era(value: &[u8]) -> (&[u8], bool) {
    match value.strip_suffix(b" BC") {
        Some(rest) => (rest, true),
        None => (value, false),
    }
}

/// `Y..-MM-DD`; year 1 BC is year 0.
fn parse_date(value: &[u8], before_christ: bool) -> Option<i64> {
    let (front, day) = value.split_at_checked(value.len().checked_sub(3)?)?;
    let (year, month) = front.split_at_checked(front.len().checked_sub(3)?)?;
    let ([b'-', month @ ..], [b'-', day @ ..]) = (month, day) else { return None };
    let (year, month, day) = (digits(year, 4..=7)?, digits(month, 2..=2)?, digits(day, 2..=2)?);
    if year == 0 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some(days_from_civil(if before_christ { 1 - year } else { year }, month, day))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, years counted with a year 0.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // years begin in March, so that the leap day is the last
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// `HH:MM:SS[.f]`
fn parse_time(value: &[u8]) -> Option<i64> {
    let [h1, h2, b':', m1, m2, b':', s1, s2, fraction @ ..] = value else { return None };
    let hours = digits(&[*h1, *h2], 2..=2)?;
    let minutes = digits(&[*m1, *m2], 2..=2)?;
    let seconds = digits(&[*s1, *s2], 2..=2)?;
    if hours > 24 || minutes > 59 || seconds > 60 {
        return None;
    }
    let fraction = match fraction {
        [] => 0,
        [b'.', fraction @ ..] => parse_fraction(fraction)?,
        _ => return None,
    };
    Some((hours * 3600 + minutes * 60 + seconds) * 1_000_000 + fraction)
}

/// Digits behind a point as microseconds.
fn parse_fraction(value: &[u8]) -> Option<i64> {
    let number = digits(value, 1..=6)?;
    Some(number * 10_i64.pow(6 - value.len() as u32))
}

/// `Y..-MM-DD HH:MM:SS[.f][offset][ BC]`
fn parse_timestamp(value: &[u8], with_zone: bool) -> Option<i64> {
    match value {
        b"infinity" => return Some(i64::MAX),
        b"-infinity" => return Some(i64::MIN),
        _ => {}
    }
    let (value, before_christ) = era(value);
    let space = value.iter().position(|byte| *byte == b' ')?;
    let days = parse_date(&value[..space], before_christ)?;
    let (time, offset) =
        if with_zone { split_offset(&value[space + 1..])? } else { (&value[space + 1..], 0) };
    let within = parse_time(time)? - i64::from(offset) * 1_000_000;
    // in 128 bits: the largest finite timestamps do not fit, see the module's page
    let micros = i128::from(days) * i128::from(DAY_MICROS) + i128::from(within);
    i64::try_from(micros.min(i128::from(i64::MAX - 1))).ok()
}

/// Takes `+HH[:MM[:SS]]` off the end: seconds east of UTC.
fn split_offset(value: &[u8]) -> Option<(&[u8], i32)> {
    let sign = value.iter().rposition(|byte| matches!(byte, b'+' | b'-'))?;
    let mut seconds: i64 = 0;
    let mut unit = 3600;
    for part in value[sign + 1..].split(|byte| *byte == b':') {
        seconds += digits(part, 2..=2)? * unit;
        // a fourth part finds no unit
        unit = if unit == 1 { 0 } else { unit / 60 };
    }
    let seconds = i32::try_from(seconds).ok()?;
    Some((&value[..sign], if value[sign] == b'-' { -seconds } else { seconds }))
}

fn digits(value: &[u8], length: std::ops::RangeInclusive<usize>) -> Option<i64> {
    if !length.contains(&value.len()) || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    parse_int(value)
}

/// ISO 8601 with a sign at every part: `P1Y-2M3DT-4H5M-6.7S`.
pub(super) fn interval_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    row.interval(match value {
        b"infinity" => Interval { months: i32::MAX, days: i32::MAX, micros: i64::MAX },
        b"-infinity" => Interval { months: i32::MIN, days: i32::MIN, micros: i64::MIN },
        _ => parse_interval(value).ok_or(INTERVAL)?,
    });
    Ok(())
}

fn parse_interval(value: &[u8]) -> Option<Interval> {
    let mut rest = value.strip_prefix(b"P")?;
    let (mut months, mut days, mut micros) = (0_i64, 0_i64, 0_i128);
    let mut in_time = false;
    while !rest.is_empty() {
        if let (false, [b'T', tail @ ..]) = (in_time, rest) {
            in_time = true;
            rest = tail;
            continue;
        }
        let end = rest.iter().position(u8::is_ascii_alphabetic)?;
        let (number, unit) = (&rest[..end], rest[end]);
        rest = &rest[end + 1..];
        if unit == b'S' {
            micros += i128::from(parse_seconds(number)?);
            continue;
        }
        let number = parse_int(number)?;
        match (in_time, unit) {
            (false, b'Y') => months = months.checked_add(number.checked_mul(12)?)?,
            (false, b'M') => months = months.checked_add(number)?,
            (false, b'W') => days = days.checked_add(number.checked_mul(7)?)?,
            (false, b'D') => days = days.checked_add(number)?,
            (true, b'H') => micros += i128::from(number) * 3_600_000_000,
            (true, b'M') => micros += i128::from(number) * 60_000_000,
            _ => return None,
        }
    }
    Some(Interval {
        months: i32::try_from(months).ok()?,
        days: i32::try_from(days).ok()?,
        micros: i64::try_from(micros).ok()?,
    })
}

fn parse_seconds(value: &[u8]) -> Option<i64> {
    let negative = value.first() == Some(&b'-');
    let (whole, fraction) = match value.iter().position(|byte| *byte == b'.') {
        Some(point) => (&value[..point], parse_fraction(&value[point + 1..])?),
        None => (value, 0),
    };
    // `-0.5`: the sign stands before a zero
    let micros = parse_int(whole)?.checked_mul(1_000_000)?;
    micros.checked_add(if negative { -fraction } else { fraction })
}

/// Microseconds, days, months.
pub(super) fn interval_binary(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    let all: [u8; 16] = fixed(value, "interval")?;
    row.interval(Interval {
        micros: i64::from_be_bytes(all[..8].try_into().expect("8 of 16 bytes")),
        days: i32::from_be_bytes(all[8..12].try_into().expect("4 of 16 bytes")),
        months: i32::from_be_bytes(all[12..].try_into().expect("4 of 16 bytes")),
    });
    Ok(())
}
