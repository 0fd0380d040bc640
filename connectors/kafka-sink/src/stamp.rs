//! The header `afterimage` of every record: which connector wrote it in which transaction, for whoever audits a topic.
//!
//! `shop;1;42;3`: connector, incarnation, sequence, epoch. The sequence is that of the position stored in the same
//! transaction, so a record with a sequence above the stored position's says that the position topic has lost its end.

use rdkafka::message::{Header, Headers, OwnedHeaders};

pub(crate) const HEADER: &str = "afterimage";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    connector: String,
    pub(crate) incarnation: u64,
    pub(crate) sequence: u64,
    pub(crate) epoch: u64,
    text: String,
}

impl Stamp {
    pub(crate) fn new(connector: &str, incarnation: u64, sequence: u64, epoch: u64) -> Self {
        let text = format!("{connector};{incarnation};{sequence};{epoch}");
        Self { connector: connector.to_owned(), incarnation, sequence, epoch, text }
    }

    /// This stamp, with room for `more` headers.
    pub(crate) fn headers(&self, more: usize) -> OwnedHeaders {
        OwnedHeaders::new_with_capacity(1 + more)
            .insert(Header { key: HEADER, value: Some(self.text.as_bytes()) })
    }

    /// Bytes of the header's name and value.
    pub(crate) fn size(&self) -> usize {
        HEADER.len() + self.text.len()
    }

    /// The stamp of a record that `connector` wrote; None for everybody else's.
    pub(crate) fn of<H: Headers>(connector: &str, headers: &H) -> Option<Self> {
        let header = headers.iter().find(|header| header.key == HEADER)?;
        Self::parse(std::str::from_utf8(header.value?).ok()?)
            .filter(|stamp| stamp.connector == connector)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';');
        let connector = parts.next()?;
        let mut number = || parts.next()?.parse().ok();
        let (incarnation, sequence, epoch) = (number()?, number()?, number()?);
        match parts.next() {
            None => Some(Self::new(connector, incarnation, sequence, epoch)),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_back_and_others_do_not() {
        let stamp = Stamp::new("shop", 2, 42, 7);
        assert_eq!(Stamp::of("shop", &stamp.headers(0)), Some(stamp.clone()));
        assert_eq!(Stamp::of("shops", &stamp.headers(0)), None);
        for text in ["", "shop", "shop;1;2", "shop;1;2;3;4", "shop;1;-2;3", "shop;a;2;3"] {
            assert_eq!(Stamp::parse(text), None, "{text}");
        }
    }
}
