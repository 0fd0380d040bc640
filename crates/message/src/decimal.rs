//! Decimals of any length: digits from two's complement, and without their trailing zeroes.

use crate::conversion::Scratch;

const BILLION: u32 = 1_000_000_000;

/// The same number with the smallest scale that is not negative, unscaled value in minimal two's complement.
pub(crate) fn strip<'s, 'a: 's>(
    unscaled: &'a [u8],
    scale: i32,
    scratch: &'s mut Scratch,
) -> (&'s [u8], i32) {
    if scale == 0 {
        return (unscaled, 0);
    }
    if let Some(value) = small(unscaled)
        && let Some((value, scale)) = strip_small(value, scale)
    {
        return (minimal(value, scratch), scale);
    }
    let mut number = Magnitude::new(unscaled);
    let mut scale = scale;
    while scale < 0 {
        number.multiply(10);
        scale += 1;
    }
    for divisor in [BILLION, 10] {
        let digits = if divisor == 10 { 1 } else { 9 };
        while scale >= digits && number.remainder(divisor) == 0 {
            number.divide(divisor);
            scale -= digits;
        }
    }
    number.twos_complement(&mut scratch.long);
    (&scratch.long, scale)
}

fn strip_small(mut value: i128, mut scale: i32) -> Option<(i128, i32)> {
    while scale < 0 {
        value = value.checked_mul(10)?;
        scale += 1;
    }
    if value == 0 {
        return Some((0, 0));
    }
    while scale > 0 && value % 10 == 0 {
        value /= 10;
        scale -= 1;
    }
    Some((value, scale))
}

/// Plain digits with a point where the scale has one: `-0.05`, `1200`.
pub(crate) fn plain<'s>(unscaled: &[u8], scale: i32, out: &'s mut Vec<u8>) -> &'s str {
    out.clear();
    let mut buffer = itoa::Buffer::new();
    let negative = unscaled.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = usize::from(negative);
    if negative {
        out.push(b'-');
    }
    match small(unscaled) {
        Some(value) => out.extend_from_slice(buffer.format(value.unsigned_abs()).as_bytes()),
        None => Magnitude::new(unscaled).digits(out),
    }
    let fraction = usize::try_from(scale).unwrap_or(0);
    if scale < 0 && out[start..] != *b"0" {
        out.resize(out.len() + scale.unsigned_abs() as usize, b'0');
    }
    if fraction > 0 {
        let whole = out.len() - start;
        if whole <= fraction {
            let zeroes = fraction + 1 - whole;
            out.splice(start..start, std::iter::repeat_n(b'0', zeroes));
        }
        out.insert(out.len() - fraction, b'.');
    }
    std::str::from_utf8(out).expect("digits, a sign and a point are text")
}

/// The unscaled value and scale of plain or scientific decimal text.
pub(crate) fn parse(text: &str) -> Option<(Vec<u8>, i32)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.as_bytes().first()? {
        b'-' => (true, &mantissa[1..]),
        b'+' => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() == 0 || digits.len() > 200_000 || exponent.abs() > 200_000 {
        return None;
    }
    let mut number = Magnitude { limbs: vec![0], negative };
    for digit in whole.bytes().chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return None;
        }
        number.multiply(10);
        number.add(u32::from(digit - b'0'));
    }
    let scale = i32::try_from(fraction.len()).ok()? - exponent;
    let mut bytes = Vec::new();
    number.twos_complement(&mut bytes);
    Some((bytes, scale))
}

/// The unscaled value at another scale; None when digits would be lost.
pub(crate) fn rescale(unscaled: &[u8], from: i32, to: i32) -> Option<Vec<u8>> {
    let mut number = Magnitude::new(unscaled);
    for _ in from..to {
        number.multiply(10);
    }
    for _ in to..from {
        if number.remainder(10) != 0 {
            return None;
        }
        number.divide(10);
    }
    let mut bytes = Vec::new();
    number.twos_complement(&mut bytes);
    Some(bytes)
}

fn small(unscaled: &[u8]) -> Option<i128> {
    let first = *unscaled.first()?;
    if unscaled.len() > 16 {
        return None;
    }
    let mut bytes = [if first & 0x80 == 0 { 0 } else { 0xFF }; 16];
    bytes[16 - unscaled.len()..].copy_from_slice(unscaled);
    Some(i128::from_be_bytes(bytes))
}

fn minimal(value: i128, scratch: &mut Scratch) -> &[u8] {
    let bytes = value.to_be_bytes();
    scratch.short[..16].copy_from_slice(&bytes);
    &scratch.short[redundant(&bytes)..16]
}

/// How many leading bytes only repeat the sign.
fn redundant(bytes: &[u8]) -> usize {
    bytes
        .windows(2)
        .take_while(|pair| {
            (pair[0] == 0 && pair[1] & 0x80 == 0) || (pair[0] == 0xFF && pair[1] & 0x80 != 0)
        })
        .count()
}

/// Sign and magnitude, lowest limb first.
struct Magnitude {
    limbs: Vec<u32>,
    negative: bool,
}

impl Magnitude {
    fn new(unscaled: &[u8]) -> Self {
        let negative = unscaled.first().is_some_and(|byte| byte & 0x80 != 0);
        let mut limbs = Vec::with_capacity(unscaled.len() / 4 + 1);
        let fill = if negative { u32::MAX } else { 0 };
        for chunk in unscaled.rchunks(4) {
            limbs.push(chunk.iter().fold(fill, |limb, byte| limb << 8 | u32::from(*byte)));
        }
        if negative {
            let mut carry = true;
            for limb in &mut limbs {
                let (sum, over) = (!*limb).overflowing_add(u32::from(carry));
                *limb = sum;
                carry = over;
            }
            if carry {
                limbs.push(1);
            }
        }
        let mut number = Self { limbs, negative };
        number.trim();
        number
    }

    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }

    fn is_zero(&self) -> bool {
        self.limbs.iter().all(|limb| *limb == 0)
    }

    fn multiply(&mut self, factor: u32) {
        let mut carry = 0;
        for limb in &mut self.limbs {
            let product = u64::from(*limb) * u64::from(factor) + carry;
            *limb = product as u32;
            carry = product >> 32;
        }
        if carry > 0 {
            self.limbs.push(carry as u32);
        }
    }

    fn add(&mut self, value: u32) {
        let mut carry = u64::from(value);
        for limb in &mut self.limbs {
            let sum = u64::from(*limb) + carry;
            *limb = sum as u32;
            carry = sum >> 32;
        }
        if carry > 0 {
            self.limbs.push(carry as u32);
        }
    }

    fn remainder(&self, divisor: u32) -> u32 {
        let divisor = u64::from(divisor);
        let fold = |rest: u64, limb: &u32| (rest << 32 | u64::from(*limb)) % divisor;
        self.limbs.iter().rev().fold(0, fold) as u32
    }

    /// Returns the remainder.
    fn divide(&mut self, divisor: u32) -> u32 {
        let mut rest = 0;
        for limb in self.limbs.iter_mut().rev() {
            let part = rest << 32 | u64::from(*limb);
            *limb = (part / u64::from(divisor)) as u32;
            rest = part % u64::from(divisor);
        }
        self.trim();
        rest as u32
    }

    fn digits(mut self, out: &mut Vec<u8>) {
        let mut groups = Vec::new();
        while !self.limbs.is_empty() {
            groups.push(self.divide(BILLION));
        }
        let mut buffer = itoa::Buffer::new();
        let Some(first) = groups.pop() else {
            out.push(b'0');
            return;
        };
        out.extend_from_slice(buffer.format(first).as_bytes());
        for group in groups.into_iter().rev() {
            let text = buffer.format(group);
            out.resize(out.len() + 9 - text.len(), b'0');
            out.extend_from_slice(text.as_bytes());
        }
    }

    fn twos_complement(&self, out: &mut Vec<u8>) {
        out.clear();
        let negative = self.negative && !self.is_zero();
        out.push(if negative { 0xFF } else { 0 });
        let start = out.len();
        for limb in self.limbs.iter().rev() {
            out.extend_from_slice(&limb.to_be_bytes());
        }
        if negative {
            let mut carry = true;
            for byte in out[start..].iter_mut().rev() {
                let (sum, over) = (!*byte).overflowing_add(u8::from(carry));
                *byte = sum;
                carry = over;
            }
        }
        let unused = redundant(out);
        out.drain(..unused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_name_the_same_number() {
        let check = |text: &str, bytes: &[u8], scale: i32| {
            assert_eq!(parse(text), Some((bytes.to_vec(), scale)), "{text}");
            assert_eq!(plain(bytes, scale, &mut Vec::new()), text);
        };
        check("0", &[0], 0);
        check("0.00", &[0], 2);
        check("1", &[1], 0);
        check("-1", &[0xFF], 0);
        check("127", &[0x7F], 0);
        check("128", &[0, 0x80], 0);
        check("-128", &[0x80], 0);
        check("-129", &[0xFF, 0x7F], 0);
        check("12.34", &[0x04, 0xD2], 2);
        check("-0.05", &[0xFB], 2);
        check("4294967296", &[1, 0, 0, 0, 0], 0);
        check("-4294967296", &[0xFF, 0, 0, 0, 0], 0);
    }

    #[test]
    fn long_numbers_keep_every_digit() {
        for length in [1, 9, 10, 38, 39, 40, 77, 200, 1000] {
            for sign in ["", "-"] {
                let digits: String =
                    (0..length).map(|n: u32| char::from(b'1' + (n * 7 % 9) as u8)).collect();
                let text = format!("{sign}{digits}");
                let (bytes, scale) = parse(&text).unwrap();
                assert_eq!(plain(&bytes, scale, &mut Vec::new()), text);
                let pointed = format!("{sign}{digits}.{digits}");
                let (bytes, scale) = parse(&pointed).unwrap();
                assert_eq!(plain(&bytes, scale, &mut Vec::new()), pointed);
            }
        }
    }

    #[test]
    fn trailing_zeroes_go_and_the_scale_stays_at_least_zero() {
        let check = |text: &str, expected: &str, expected_scale: i32| {
            let (bytes, scale) = parse(text).unwrap();
            let mut scratch = Scratch::default();
            let (stripped, stripped_scale) = strip(&bytes, scale, &mut scratch);
            assert_eq!(stripped_scale, expected_scale, "{text}");
            assert_eq!(plain(stripped, stripped_scale, &mut Vec::new()), expected);
        };
        check("0", "0", 0);
        check("0.000", "0", 0);
        check("1.50", "1.5", 1);
        check("-1.50", "-1.5", 1);
        check("100", "100", 0);
        check("1e3", "1000", 0);
        check("1.00", "1", 0);
        check("0e-40", "0", 0);
        check(&format!("0.{}", "0".repeat(40)), "0", 0);
        let long = "7".repeat(60);
        check(&format!("{long}.{long}{}", "0".repeat(31)), &format!("{long}.{long}"), 60);
        check(&format!("-{long}.0"), &format!("-{long}"), 0);
        check(&format!("{long}e2"), &format!("{long}00"), 0);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", ".", "1.2.3", "x", "1e", "1e999999", "NaN", "--1", "1e2147483648"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_scale_changes_only_without_loss() {
        assert_eq!(rescale(&[15], 1, 3), Some(vec![0x05, 0xDC]));
        assert_eq!(rescale(&[0x05, 0xDC], 3, 1), Some(vec![15]));
        assert_eq!(rescale(&[15], 1, 0), None);
    }
}
