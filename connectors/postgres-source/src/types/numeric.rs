//! `numeric`: decimal digits on the wire, two's complement in the batch.
//!
//! Up to 38 digits, which is nearly every number that anybody stores, fit into 128 bits; longer ones (the database
//! allows 131,072 digits before and 16,383 after the point) go through limbs of 32 bits.

use change::{Decimal, RowWriter};

use super::CellError;

const MALFORMED: CellError = CellError::Malformed("numeric");

/// The most digits that the binary form can claim: its weight and scale are 16 bits.
const DIGITS_MAX: usize = 4 * (i16::MAX as usize + 1) + i16::MAX as usize;

pub(super) fn text(
    value: &[u8],
    scale: Option<i16>,
    row: &mut RowWriter<'_>,
) -> Result<(), CellError> {
    match value {
        b"NaN" => row.decimal(Decimal::NotANumber),
        b"Infinity" => row.decimal(Decimal::Infinity),
        b"-Infinity" => row.decimal(Decimal::MinusInfinity),
        _ => {
            let (negative, digits) = match value {
                [b'-', digits @ ..] => (true, digits),
                digits => (false, digits),
            };
            let point = digits.iter().position(|byte| *byte == b'.');
            let (whole, fraction) = match point {
                Some(point) => (&digits[..point], &digits[point + 1..]),
                None => (digits, &[][..]),
            };
            let all_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
            if whole.is_empty()
                || (point.is_some() && fraction.is_empty())
                || !all_digits(whole)
                || !all_digits(fraction)
            {
                return Err(MALFORMED);
            }
            finite(negative, whole, fraction, scale, row)?;
        }
    }
    Ok(())
}

/// Number of base-10000 digits, weight of the first, sign, digits after the point; then the digits.
pub(super) fn binary(
    value: &[u8],
    scale: Option<i16>,
    row: &mut RowWriter<'_>,
) -> Result<(), CellError> {
    let (head, groups) = value.split_first_chunk::<8>().ok_or(MALFORMED)?;
    let (groups, rest) = groups.as_chunks::<2>();
    let count = usize::from(u16::from_be_bytes([head[0], head[1]]));
    let weight = i16::from_be_bytes([head[2], head[3]]);
    let sign = u16::from_be_bytes([head[4], head[5]]);
    let shown = usize::from(u16::from_be_bytes([head[6], head[7]]) & 0x3FFF);
    if !rest.is_empty() || groups.len() != count {
        return Err(MALFORMED);
    }
    let negative = match sign {
        0x0000 => false,
        0x4000 => true,
        0xC000 => {
            row.decimal(Decimal::NotANumber);
            return Ok(());
        }
        0xD000 => {
            row.decimal(Decimal::Infinity);
            return Ok(());
        }
        0xF000 => {
            row.decimal(Decimal::MinusInfinity);
            return Ok(());
        }
        _ => return Err(MALFORMED),
    };
    // groups in front of the point, whether sent or not, then those that the shown fraction needs
    let front = usize::try_from(i32::from(weight) + 1).unwrap_or(0);
    let back = shown.div_ceil(4);
    if 4 * (front + back) > DIGITS_MAX {
        return Err(MALFORMED);
    }
    let mut stack = [b'0'; 64];
    let mut heap = Vec::new();
    let digits: &mut [u8] = if 4 * (front + back) <= stack.len() {
        &mut stack[..4 * (front + back)]
    } else {
        heap.resize(4 * (front + back), b'0');
        &mut heap
    };
    for (index, group) in groups.iter().enumerate() {
        let group = u16::from_be_bytes(*group);
        if group > 9999 {
            return Err(MALFORMED);
        }
        // the first group stands `weight` groups in front of the point
        let place = index as i64 + (front as i64 - 1 - i64::from(weight));
        let place = usize::try_from(place).map_err(|_| MALFORMED)?;
        match digits.get_mut(4 * place..4 * place + 4) {
            Some(four) => {
                for (digit, power) in four.iter_mut().zip([1000, 100, 10, 1]) {
                    *digit = b'0' + (group / power % 10) as u8;
                }
            }
            None if group == 0 => {}
            None => return Err(MALFORMED),
        }
    }
    let (whole, fraction) = digits.split_at(4 * front);
    if fraction[shown..].iter().any(|digit| *digit != b'0') {
        return Err(MALFORMED);
    }
    finite(negative, whole, &fraction[..shown], scale, row)
}

fn finite(
    negative: bool,
    whole: &[u8],
    fraction: &[u8],
    scale: Option<i16>,
    row: &mut RowWriter<'_>,
) -> Result<(), CellError> {
    let scale = match scale {
        Some(scale) => scale,
        None => i16::try_from(fraction.len()).map_err(|_| MALFORMED)?,
    };
    let zeroes = |digits: &[u8]| digits.iter().all(|digit| *digit == b'0');
    let fraction_kept = fraction.len().min(usize::try_from(scale).unwrap_or(0));
    let whole_kept = whole.len().saturating_sub(usize::try_from(-i32::from(scale)).unwrap_or(0));
    if !zeroes(&fraction[fraction_kept..]) || !zeroes(&whole[whole_kept..]) {
        return Err(CellError::Scale);
    }
    let padding = usize::try_from(scale).unwrap_or(0) - fraction_kept;
    let leading = whole[..whole_kept].iter().take_while(|digit| **digit == b'0').count();
    let digits = whole[leading..whole_kept]
        .iter()
        .chain(&fraction[..fraction_kept])
        .map(|digit| digit - b'0')
        .chain(std::iter::repeat_n(0, padding));
    if whole_kept - leading + fraction_kept + padding <= 38 {
        let magnitude = digits.fold(0_i128, |number, digit| number * 10 + i128::from(digit));
        let bytes = if negative { -magnitude } else { magnitude }.to_be_bytes();
        row.decimal(Decimal::Finite { unscaled: minimal(&bytes), scale });
    } else {
        let bytes = large(negative, digits);
        row.decimal(Decimal::Finite { unscaled: minimal(&bytes), scale });
    }
    Ok(())
}

/// Without the leading bytes that only repeat the sign.
pub(super) fn minimal(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, second, ..] = rest {
        let repeats = (*first == 0 && second & 0x80 == 0) || (*first == 0xFF && second & 0x80 != 0);
        if !repeats {
            break;
        }
        rest = &rest[1..];
    }
    rest
}

/// Two's complement, big-endian, not minimal.
fn large(negative: bool, mut digits: impl Iterator<Item = u8>) -> Vec<u8> {
    // least significant limb first
    let mut limbs: Vec<u32> = Vec::new();
    loop {
        let (mut group, mut power) = (0_u64, 1_u64);
        for digit in digits.by_ref().take(9) {
            group = group * 10 + u64::from(digit);
            power *= 10;
        }
        if power == 1 {
            break;
        }
        let mut carry = group;
        for limb in &mut limbs {
            let product = u64::from(*limb) * power + carry;
            *limb = product as u32;
            carry = product >> 32;
        }
        if carry != 0 {
            limbs.push(carry as u32);
        }
    }
    // room for the sign
    limbs.push(0);
    if negative {
        let mut carry = true;
        for limb in &mut limbs {
            (*limb, carry) = (!*limb).overflowing_add(u32::from(carry));
        }
    }
    limbs.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect()
}
