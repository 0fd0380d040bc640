use change::TableName;
use serde::{Deserialize, Serialize};

/// How far the copy of one table has come. Kept while the table is known, also when it is finished.
///
/// Chunks are stored by their bounds and never computed again: a row must not move between a chunk that was sent
/// and one that was not because somebody counted anew.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableCopy {
    pub state: CopyState,
    /// Empty until the table is begun and again when finished.
    pub chunks: Vec<Chunk>,
    /// An Absent cell was streamed while the copy was unfinished: the copy must start again after a crash.
    pub holes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyState {
    /// Nothing sent yet: until its pin the stream leaves the table out.
    #[default]
    Waiting,
    /// From the first chunk on, also an empty one: every change of the table is streamed.
    Begun,
    Finished,
    /// No longer captured. Its topic holds rows whose end was not told.
    Removed,
}

/// A range of a table. `from` and `to` are the source's own words (pages, key values); None: open-ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Chunk {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}

/// Says of a batch of copied rows which part of which chunk it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkMark {
    pub table: TableName,
    /// Index into [`TableCopy::chunks`].
    pub chunk: usize,
    /// The chunk's last batch, possibly without rows.
    pub last: bool,
    pub rows: u64,
    /// Bytes read from the source, for progress.
    pub bytes: u64,
}

impl TableCopy {
    pub fn is_captured(&self) -> bool {
        self.state != CopyState::Removed
    }

    pub fn is_unfinished(&self) -> bool {
        matches!(self.state, CopyState::Waiting | CopyState::Begun)
    }
}
