//! Types without a family: truth, whole numbers, floats, bytes, bits, texts, a point, a map.

use change::{Decimal, RowWriter};

use super::numeric::minimal;
use super::{CellError, fixed};

pub(super) fn bool_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    match value {
        b"t" => row.bool(true),
        b"f" => row.bool(false),
        _ => return Err(CellError::Malformed("boolean")),
    }
    Ok(())
}

pub(super) fn bool_binary(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    match value {
        [1] => row.bool(true),
        [0] => row.bool(false),
        _ => return Err(CellError::Malformed("boolean")),
    }
    Ok(())
}

pub(super) fn int_text(
    value: &[u8],
    min: i64,
    max: i64,
    row: &mut RowWriter<'_>,
) -> Result<(), CellError> {
    match parse_int(value) {
        Some(number) if (min..=max).contains(&number) => {
            row.int(number);
            Ok(())
        }
        _ => Err(CellError::Malformed("integer")),
    }
}

/// Digits with an optional minus; nothing else.
pub(super) fn parse_int(value: &[u8]) -> Option<i64> {
    let (negative, digits) = match value {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut number: i64 = 0;
    for digit in digits {
        let digit = i64::from(digit.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?;
        // downwards for negative numbers, so that the smallest one passes
        number = if negative { number.checked_sub(digit)? } else { number.checked_add(digit)? };
    }
    Some(number)
}

pub(super) fn float32_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    row.float32(parse_float(value).ok_or(CellError::Malformed("real"))?);
    Ok(())
}

pub(super) fn float64_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    row.float64(parse_float(value).ok_or(CellError::Malformed("double precision"))?);
    Ok(())
}

fn parse_float<F: std::str::FromStr>(value: &[u8]) -> Option<F> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The C locale writes `$1,234.56` and `-$1,234.56`; others differ in marks and in where the sign stands, but all
/// write the digits in this order. Two digits are the fraction, as in the C locale, which our sessions set.
pub(super) fn money_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    let mut negative = false;
    let mut number: i64 = 0;
    let mut digits = 0;
    for byte in value {
        match byte {
            b'-' | b'(' => negative = true,
            b'0'..=b'9' => {
                digits += 1;
                number = number
                    .checked_mul(10)
                    .and_then(|number| number.checked_sub(i64::from(byte - b'0')))
                    .ok_or(CellError::Malformed("money"))?;
            }
            _ => {}
        }
    }
    if digits < 2 {
        return Err(CellError::Malformed("money"));
    }
    let cents = if negative { Some(number) } else { number.checked_neg() };
    money(cents.ok_or(CellError::Malformed("money"))?, row);
    Ok(())
}

pub(super) fn money_binary(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    money(i64::from_be_bytes(fixed(value, "money")?), row);
    Ok(())
}

fn money(cents: i64, row: &mut RowWriter<'_>) {
    let bytes = i128::from(cents).to_be_bytes();
    row.decimal(Decimal::Finite { unscaled: minimal(&bytes), scale: 2 });
}

pub(super) fn uuid_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    let malformed = CellError::Malformed("uuid");
    let text = std::str::from_utf8(value).map_err(|_| malformed)?;
    row.uuid(uuid::Uuid::try_parse(text).map_err(|_| malformed)?.into_bytes());
    Ok(())
}

/// `\x..` or the older form with backslash escapes.
pub(super) fn bytea_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    let malformed = CellError::Malformed("bytea");
    let mut bytes = Vec::with_capacity(value.len() / 2);
    if let [b'\\', b'x', digits @ ..] = value {
        let (pairs, rest) = digits.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(malformed);
        }
        for [high, low] in pairs {
            bytes.push(hex(*high).ok_or(malformed)? << 4 | hex(*low).ok_or(malformed)?);
        }
    } else {
        let mut rest = value;
        while let [first, tail @ ..] = rest {
            rest = match (first, tail) {
                (b'\\', [b'\\', tail @ ..]) => {
                    bytes.push(b'\\');
                    tail
                }
                (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                    bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                    tail
                }
                (b'\\', _) => return Err(malformed),
                (byte, tail) => {
                    bytes.push(*byte);
                    tail
                }
            };
        }
    }
    row.bytes(&bytes);
    Ok(())
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

pub(super) fn bits_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    let malformed = CellError::Malformed("bit string");
    let length = u32::try_from(value.len()).map_err(|_| malformed)?;
    let mut bytes = vec![0_u8; value.len().div_ceil(8)];
    for (index, bit) in value.iter().enumerate() {
        match bit {
            b'0' => {}
            b'1' => bytes[index / 8] |= 0x80 >> (index % 8),
            _ => return Err(malformed),
        }
    }
    row.bits(length, &bytes);
    Ok(())
}

pub(super) fn bits_binary(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    let malformed = CellError::Malformed("bit string");
    let (length, bytes) = value.split_first_chunk::<4>().ok_or(malformed)?;
    let length = u32::try_from(i32::from_be_bytes(*length)).map_err(|_| malformed)?;
    if bytes.len() != length.div_ceil(8) as usize {
        return Err(malformed);
    }
    row.bits(length, bytes);
    Ok(())
}

pub(super) fn bit_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    match value {
        b"1" => row.bool(true),
        b"0" => row.bool(false),
        _ => return Err(CellError::Malformed("bit")),
    }
    Ok(())
}

pub(super) fn bit_binary(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    match value {
        [0, 0, 0, 1, bit] => row.bool(bit & 0x80 != 0),
        _ => return Err(CellError::Malformed("bit")),
    }
    Ok(())
}

/// `(x,y)`
pub(super) fn point_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    let parsed =
        value.strip_prefix(b"(").and_then(|rest| rest.strip_suffix(b")")).and_then(|rest| {
            let comma = rest.iter().position(|byte| *byte == b',')?;
            Some((parse_float(&rest[..comma])?, parse_float(&rest[comma + 1..])?))
        });
    let (x, y) = parsed.ok_or(CellError::Malformed("point"))?;
    row.point(x, y);
    Ok(())
}

pub(super) fn point_binary(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    let both: [u8; 16] = fixed(value, "point")?;
    let [x, y] = [0, 8]
        .map(|start| f64::from_be_bytes(both[start..start + 8].try_into().expect("8 of 16 bytes")));
    row.point(x, y);
    Ok(())
}

pub(super) fn plain_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    row.text(simdutf8::basic::from_utf8(value).map_err(|_| CellError::NotUtf8)?);
    Ok(())
}

/// `"key"=>"value", "other"=>NULL` becomes `{"key":"value","other":null}`.
pub(super) fn hstore_text(value: &[u8], row: &mut RowWriter<'_>) -> Result<(), CellError> {
    let text = simdutf8::basic::from_utf8(value).map_err(|_| CellError::NotUtf8)?;
    let json = hstore_json(text).ok_or(CellError::Malformed("hstore"))?;
    row.text(&json);
    Ok(())
}

fn hstore_json(mut rest: &str) -> Option<String> {
    let mut json = String::with_capacity(rest.len() + 2);
    json.push('{');
    while !rest.is_empty() {
        if json.len() > 1 {
            rest = rest.strip_prefix(", ")?;
            json.push(',');
        }
        rest = quoted(rest, &mut json)?.strip_prefix("=>")?;
        json.push(':');
        rest = match rest.strip_prefix("NULL") {
            Some(rest) => {
                json.push_str("null");
                rest
            }
            None => quoted(rest, &mut json)?,
        };
    }
    json.push('}');
    Some(json)
}

/// Takes a `"..."` with backslash escapes off `text` and appends it as a JSON string.
fn quoted<'a>(text: &'a str, json: &mut String) -> Option<&'a str> {
    let body = text.strip_prefix('"')?;
    let mut plain = String::new();
    let mut chars = body.char_indices();
    loop {
        match chars.next()? {
            (end, '"') => {
                json.push_str(&serde_json::to_string(&plain).ok()?);
                return Some(&body[end + 1..]);
            }
            (_, '\\') => plain.push(chars.next()?.1),
            (_, c) => plain.push(c),
        }
    }
}
