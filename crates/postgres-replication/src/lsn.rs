//! A position in the write-ahead log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A byte position in the write-ahead log, written `X/Y` in hexadecimal as the server does.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The position that no record has; the server's "invalid".
    pub const ZERO: Lsn = Lsn(0);
}

/// The text is no `X/Y` of two hexadecimal numbers of at most 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a log position is written X/Y, two hexadecimal numbers")]
pub struct ParseLsnError;

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Lsn, ParseLsnError> {
        let (high, low) = text.split_once('/').ok_or(ParseLsnError)?;
        Ok(Lsn(u64::from(half(high)?) << 32 | u64::from(half(low)?)))
    }
}

fn half(digits: &str) -> Result<u32, ParseLsnError> {
    // from_str_radix alone would take a sign
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(ParseLsnError);
    }
    u32::from_str_radix(digits, 16).map_err(|_| ParseLsnError)
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lsn, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Lsn;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a log position X/Y")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Lsn, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_parsed_as_the_server_writes_it() {
        let cases: &[(&str, Option<u64>)] = &[
            ("0/0", Some(0)),
            ("0/1566F10", Some(0x0156_6F10)),
            ("16/b374d848", Some(0x16_B374_D848)),
            ("FFFFFFFF/FFFFFFFF", Some(u64::MAX)),
            ("00000001/00000002", Some(0x1_0000_0002)),
            ("", None),
            ("/", None),
            ("1", None),
            ("1/", None),
            ("/1", None),
            ("1/2/3", None),
            ("+1/2", None),
            (" 1/2", None),
            ("100000000/0", None),
            ("G/0", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Lsn>().ok().map(|lsn| lsn.0), *expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn printing_and_parsing_agree(raw: u64) {
            let lsn = Lsn(raw);
            assert_eq!(lsn.to_string().parse(), Ok(lsn));
            let json = serde_json::to_string(&lsn).unwrap();
            assert_eq!(json, format!("\"{lsn}\""));
            assert_eq!(serde_json::from_str::<Lsn>(&json).unwrap(), lsn);
        }
    }
}
