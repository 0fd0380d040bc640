use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use change::{Batch, TableName};

/// Index into [`Pipeline::topics`]; stable for the life of the pipeline.
pub type TopicIndex = usize;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub name: Arc<str>,
    pub kind: TopicKind,
    /// Messages carry keys: the topic may be compacted.
    pub keyed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicKind {
    /// The changes of one table.
    Table(TableName),
    /// Begin and end of transactions.
    Transaction,
    /// Messages that applications wrote into the log.
    Message,
}

/// Shape, topics, keys and encoder of one connector.
pub struct Pipeline {
    topics: Vec<Topic>,
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("topics", &self.topics.len()).finish_non_exhaustive()
    }
}

/// Where in a batch encoding goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) event: usize,
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
}

/// One message, ready to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    pub topic: TopicIndex,
    /// None: the table has no key, or the message is about the whole table.
    pub key: Option<&'a [u8]>,
    /// None: a tombstone.
    pub value: Option<&'a [u8]>,
    /// `__debezium.newkey`, `__debezium.oldkey`.
    pub header: Option<(&'static str, &'a [u8])>,
}

impl Encoded {
    pub fn messages(&self) -> impl ExactSizeIterator<Item = Message<'_>> {
        let part = |range: &Range<usize>| &self.bytes[range.clone()];
        self.messages.iter().map(move |entry| Message {
            topic: entry.topic,
            key: entry.key.as_ref().map(part),
            value: entry.value.as_ref().map(part),
            header: entry.header.as_ref().map(|(name, range)| (*name, part(range))),
        })
    }
}

impl Pipeline {
    /// All topics that prepared batches can write to.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// Makes known all that encoding this batch needs; may ask the registry. Cheap when nothing is new.
    /// Until it succeeds nothing of the batch may be sent.
    pub async fn prepare(&mut self, batch: &Batch) -> Result<(), PipelineError> {
        let _ = batch;
        Ok(())
    }

    /// Encodes from `cursor` on into `out` (cleared first) until about `limit` bytes; the messages of one event stay
    /// together. Returns false when the batch had nothing more. `now`: microseconds since 1970, for `ts_us`.
    pub fn encode(
        &mut self,
        batch: &Batch,
        cursor: &mut Cursor,
        now: i64,
        limit: usize,
        out: &mut Encoded,
    ) -> Result<bool, PipelineError> {
        let _ = (batch, cursor, now, limit, out);
        Ok(false)
    }
}

/// Why messages could not be made.
#[derive(Debug)]
pub struct PipelineError {
    pub code: &'static str,
    /// Trying again may help (a registry that does not answer).
    pub transient: bool,
    pub doing: &'static str,
    pub source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for PipelineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.doing)
    }
}

impl Error for PipelineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
