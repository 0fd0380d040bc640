//! Topics and whose they are.

use std::collections::HashMap;
use std::sync::Arc;

use change::TableName;
use foldhash::fast::RandomState;

use crate::error::{EncodeError, PipelineError};
use crate::names;

/// Index into [`Pipeline::topics`](crate::Pipeline::topics); stable for the life of the pipeline.
pub type TopicIndex = usize;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub name: Arc<str>,
    pub kind: TopicKind,
    /// The latest message of a key tells all there is of it: the topic may be compacted. Not so of transactions and
    /// applications' messages, whose keys only group them.
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

/// All topics so far; no two owners share one.
#[derive(Debug)]
pub(crate) struct Topics {
    list: Vec<Topic>,
    by_name: HashMap<Arc<str>, TopicIndex, RandomState>,
    /// By name as schemas have it, where those are adjusted.
    by_adjusted: Option<HashMap<String, TopicIndex, RandomState>>,
}

impl Topics {
    pub(crate) fn new(adjust: bool) -> Self {
        let by_adjusted = adjust.then(HashMap::default);
        Self { list: Vec::new(), by_name: HashMap::default(), by_adjusted }
    }

    pub(crate) fn list(&self) -> &[Topic] {
        &self.list
    }

    pub(crate) fn set_keyed(&mut self, topic: TopicIndex, keyed: bool) {
        self.list[topic].keyed = keyed;
    }

    /// The topic of this name, which belongs to `kind` from now on.
    ///
    /// # Errors
    /// `topic-collision` when it belongs to another, `schema-collision` when its schemas would be named as another's.
    pub(crate) fn take(
        &mut self,
        name: &Arc<str>,
        kind: TopicKind,
    ) -> Result<TopicIndex, PipelineError> {
        if let Some(index) = self.by_name.get(name) {
            return match self.list[*index].kind == kind {
                true => Ok(*index),
                false => Err(self.collision("topic-collision", *index, &kind, name)),
            };
        }
        let index = self.list.len();
        if let Some(by_adjusted) = &mut self.by_adjusted {
            let adjusted = names::schema(name);
            if let Some(owner) = by_adjusted.get(&adjusted).copied() {
                return Err(self.collision("schema-collision", owner, &kind, &adjusted));
            }
            by_adjusted.insert(adjusted, index);
        }
        self.list.push(Topic { name: Arc::clone(name), kind, keyed: false });
        self.by_name.insert(Arc::clone(name), index);
        Ok(index)
    }

    fn collision(
        &self,
        code: &'static str,
        owner: TopicIndex,
        other: &TopicKind,
        name: &str,
    ) -> PipelineError {
        let source = EncodeError::Collision {
            one: describe(&self.list[owner].kind),
            other: describe(other),
            name: name.to_owned(),
        };
        PipelineError::definite(code, "naming topics", source)
    }
}

/// The table that applications' messages stand in has no schema.
pub(crate) fn is_message(table: &TableName) -> bool {
    table.schema.is_empty()
}

/// A table's name in the counts of a transaction, in parts to be written one behind the other.
pub fn collection(table: &TableName) -> [&str; 3] {
    match is_message(table) {
        true => ["LOGICAL_DECODING_MESSAGE", "", ""],
        false => [&table.schema, ".", &table.table],
    }
}

fn describe(kind: &TopicKind) -> String {
    match kind {
        TopicKind::Table(table) => format!("the table {table}"),
        TopicKind::Transaction => "the topic of transactions".to_owned(),
        TopicKind::Message => "the topic of messages".to_owned(),
    }
}
