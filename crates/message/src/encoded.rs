use std::ops::Range;

use crate::TopicIndex;

/// Where in a batch encoding goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) event: usize,
    /// Transactions before this one have their end written.
    pub(crate) transaction: usize,
    pub(crate) at: u64,
    pub(crate) row: u64,
}

/// Messages over one buffer, reused.
#[derive(Debug, Default)]
pub struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) messages: Vec<Entry>,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) topic: TopicIndex,
    pub(crate) key: Option<Range<usize>>,
    pub(crate) value: Option<Range<usize>>,
    pub(crate) header: Option<(&'static str, Range<usize>)>,
    pub(crate) every_partition: bool,
}

impl Entry {
    pub(crate) fn of(topic: TopicIndex) -> Self {
        Self { topic, key: None, value: None, header: None, every_partition: false }
    }
}

/// One message, ready to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    pub topic: TopicIndex,
    /// None: the table has no key, or the message is about the whole table.
    pub key: Option<&'a [u8]>,
    /// None: a tombstone.
    pub value: Option<&'a [u8]>,
    /// `__debezium.newkey`, `__debezium.oldkey`; the value is the key as JSON text, whatever the format, as Connect's
    /// default converter of headers writes it.
    pub header: Option<(&'static str, &'a [u8])>,
    /// About all keys: to be sent once to each partition of the topic.
    pub every_partition: bool,
}

impl Encoded {
    pub fn messages(&self) -> impl ExactSizeIterator<Item = Message<'_>> {
        let part = |range: &Range<usize>| &self.bytes[range.clone()];
        self.messages.iter().map(move |entry| Message {
            topic: entry.topic,
            key: entry.key.as_ref().map(part),
            value: entry.value.as_ref().map(part),
            header: entry.header.as_ref().map(|(name, range)| (*name, part(range))),
            every_partition: entry.every_partition,
        })
    }
}
