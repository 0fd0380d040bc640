//! From a batch to messages.
//!
//! Every version of a table (an `Arc<Table>` of its own) is compiled once; versions that are equal share their plans.
//! The address of the `Arc` finds the plan, which is safe because the plan keeps the `Arc` alive.

use std::collections::HashMap;
use std::sync::Arc;

use change::{Batch, Change, Event, Origin, Table, TableName, Transaction, TransactionEnd};
use foldhash::fast::RandomState;

use crate::conversion::Scratch;
use crate::encoded::{Cursor, Encoded, Entry};
use crate::encoder::{Encoder, PlanId, Request, Role};
use crate::error::{EncodeError, PipelineError};
use crate::json::{JsonEncoder, JsonNumbers};
use crate::schema::{Image, Part, Schema};
use crate::scope::{Scope, Tally};
use crate::shape::{Collision, Frame};
use crate::task::{Task, Writer, scope};
use crate::topics::{Topic, TopicIndex, TopicKind, Topics, is_message};
use crate::{Absent, Settings, Shape, names};

/// Shape, topics, keys and encoder of one connector.
pub struct Pipeline {
    frame: Frame,
    settings: Settings,
    encoder: Box<dyn Encoder>,
    topics: Topics,
    /// Schema ids that keys carry, by topic.
    pinned: HashMap<Arc<str>, u32, RandomState>,
    /// The latest key of each topic: most changes of a table leave it as it is.
    keys: HashMap<Arc<str>, (Schema, KeyPlans), RandomState>,
    /// Keys in headers are JSON whatever the encoder.
    headers: JsonEncoder,
    plans: Vec<TablePlan>,
    by_table: HashMap<Arc<Table>, usize, RandomState>,
    /// Every `Arc` seen, by address.
    by_address: HashMap<usize, (Arc<Table>, usize), RandomState>,
    transaction: Option<Plans>,
    scratch: Scratch,
    tally: Tally,
    counts: Counts,
}

/// What did not become a message, or not as it was, since the pipeline was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// TRUNCATEs seen, whether written or not.
    pub truncates: u64,
    /// Cells of new rows written as the placeholder.
    pub placeholders: u64,
    /// Keys changed to a row with a placeholder: no message tells that row in full.
    pub incomplete_key_changes: u64,
    /// NaN and infinities written as null.
    pub specials: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Plans {
    pub(crate) topic: TopicIndex,
    pub(crate) key: Option<KeyPlans>,
    pub(crate) value: PlanId,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyPlans {
    pub(crate) key: PlanId,
    pub(crate) header: PlanId,
}

#[derive(Debug)]
struct TablePlan {
    plans: Plans,
    key_columns: Vec<usize>,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("topics", &self.topics).finish_non_exhaustive()
    }
}

/// Addresses remembered at least; beyond, those are forgotten that nobody else holds.
const ADDRESSES_MIN: usize = 1024;

impl Pipeline {
    /// `prefix`: the connector's name, first part of every topic's.
    pub fn new(
        prefix: &str,
        origin: Origin,
        settings: Settings,
        encoder: Box<dyn Encoder>,
    ) -> Self {
        let adjust = encoder.adjusts_names();
        let frame = Frame { prefix: prefix.into(), origin, decimals: settings.decimals, adjust };
        Self {
            frame,
            settings,
            encoder,
            topics: Topics::new(adjust),
            pinned: HashMap::default(),
            keys: HashMap::default(),
            headers: JsonEncoder::new(JsonNumbers::Header),
            plans: Vec::new(),
            by_table: HashMap::default(),
            by_address: HashMap::default(),
            transaction: None,
            scratch: Scratch::default(),
            tally: Tally::default(),
            counts: Counts::default(),
        }
    }

    /// All topics that prepared batches can write to.
    pub fn topics(&self) -> &[Topic] {
        self.topics.list()
    }

    pub fn counts(&self) -> Counts {
        Counts {
            placeholders: self.tally.placeholders.get(),
            specials: self.tally.specials.get(),
            ..self.counts
        }
    }

    /// The topic that a table's changes go to.
    pub fn topic_name(&self, table: &TableName) -> String {
        names::topic(&[&self.frame.prefix, &table.schema, &table.table])
    }

    /// The schema id that keys of this topic carry; None before its table is prepared, or without a registry.
    pub fn key_schema_id(&self, topic: TopicIndex) -> Option<u32> {
        self.pinned.get(&self.topics().get(topic)?.name).copied()
    }

    /// Says which schema id the keys written so far to the topic of this name carry. An unchanged key keeps it, so that
    /// its bytes, and with them its partition, stay.
    pub fn pin_key_schema(&mut self, topic: &str, id: u32) {
        self.pinned.insert(topic.into(), id);
    }

    /// Makes known all that encoding this batch needs; may ask the registry. Cheap when nothing is new.
    /// Until it succeeds nothing of the batch may be sent.
    ///
    /// # Errors
    /// What the encoder says, and `topic-collision`, `schema-collision`, `field-collision`: two names that become one.
    pub async fn prepare(&mut self, batch: &Batch) -> Result<(), PipelineError> {
        for table in batch.tables() {
            if !self.by_address.contains_key(&address(table)) {
                self.prepare_table(table).await?;
            }
        }
        if self.settings.transactions && self.transaction.is_none() {
            self.transaction = Some(self.prepare_transactions().await?);
        }
        Ok(())
    }

    async fn prepare_table(&mut self, table: &Arc<Table>) -> Result<(), PipelineError> {
        let plan = match self.by_table.get(table) {
            Some(plan) => *plan,
            None => self.compile(table).await?,
        };
        let bound = 2 * self.by_table.len() + ADDRESSES_MIN;
        if self.by_address.len() >= bound {
            self.by_address.retain(|_, (table, _)| Arc::strong_count(table) > 1);
        }
        self.by_address.insert(address(table), (Arc::clone(table), plan));
        Ok(())
    }

    async fn compile(&mut self, table: &Arc<Table>) -> Result<usize, PipelineError> {
        let name: Arc<str> = self.topic_name(&table.name).into();
        let message = is_message(&table.name);
        let kind = match message {
            true => TopicKind::Message,
            false => TopicKind::Table(table.name.clone()),
        };
        let topic = self.topics.take(&name, kind)?;
        let collision = |Collision { field }| {
            let source = EncodeError::Fields { table: table.name.clone(), field };
            PipelineError::definite("field-collision", "naming fields", source)
        };
        let key = self.frame.key(table, &name).map_err(collision)?;
        let (value, part) = match self.settings.shape {
            Shape::Debezium => (self.frame.envelope(table, &name), Part::Always),
            Shape::Row => {
                let absent = self.settings.absent.unwrap_or(Absent::Stop);
                (self.frame.row(table, &name, absent), Part::Image(Image::After))
            }
        };
        let value = value.map_err(collision)?;
        let key = match key {
            Some(key) => Some(self.key(&name, key).await?),
            None => None,
        };
        let value = self.plan(&name, Role::Value, &value, part).await?;
        self.topics.set_keyed(topic, key.is_some() && !message);
        let plans = Plans { topic, key, value };
        self.plans.push(TablePlan { plans, key_columns: table.key.clone() });
        self.by_table.insert(Arc::clone(table), self.plans.len() - 1);
        Ok(self.plans.len() - 1)
    }

    async fn key(&mut self, topic: &Arc<str>, schema: Schema) -> Result<KeyPlans, PipelineError> {
        if let Some((known, plans)) = self.keys.get(topic)
            && *known == schema
        {
            return Ok(*plans);
        }
        let part = Part::Image(Image::Key);
        let key = self.plan(topic, Role::Key, &schema, part).await?;
        let plans = KeyPlans { key, header: self.headers.add(&schema, part) };
        self.keys.insert(Arc::clone(topic), (schema, plans));
        Ok(plans)
    }

    async fn prepare_transactions(&mut self) -> Result<Plans, PipelineError> {
        let name: Arc<str> = names::topic(&[&self.frame.prefix, "transaction"]).into();
        let topic = self.topics.take(&name, TopicKind::Transaction)?;
        let key = self.frame.transaction_key();
        let value = self.frame.transaction_value();
        let key = self.key(&name, key).await?;
        let value = self.plan(&name, Role::Value, &value, Part::Always).await?;
        Ok(Plans { topic, key: Some(key), value })
    }

    async fn plan(
        &mut self,
        topic: &Arc<str>,
        role: Role,
        schema: &Schema,
        part: Part,
    ) -> Result<PlanId, PipelineError> {
        let pinned = match role {
            Role::Key => self.pinned.get(topic).copied(),
            Role::Value => None,
        };
        let request = Request { topic, role, schema, part, pinned };
        let prepared = self.encoder.prepare(request).await?;
        if let (Role::Key, Some(id)) = (role, prepared.schema_id) {
            self.pinned.insert(Arc::clone(topic), id);
        }
        Ok(prepared.plan)
    }

    /// Encodes from `cursor` on into `out` (cleared first) until about `limit` bytes; the messages of one event stay
    /// together. Returns false when nothing of the batch is left behind what is in `out`. `now`: microseconds since 1970, for `ts_us`.
    ///
    /// # Errors
    /// `unprepared` when [`prepare`](Self::prepare) was not called; `absent-value`, `unrepresentable`, `null-value`,
    /// `value-range` and `value-kind` for a value without a place in its message; `row-without-key` for a delete that
    /// the plain row cannot tell.
    pub fn encode(
        &mut self,
        batch: &Batch,
        cursor: &mut Cursor,
        now: i64,
        limit: usize,
        out: &mut Encoded,
    ) -> Result<bool, PipelineError> {
        out.bytes.clear();
        out.messages.clear();
        while out.bytes.len() < limit {
            let Some(event) = batch.get(cursor.event) else {
                self.ends(batch, cursor, batch.transactions().len(), now, out)?;
                return Ok(false);
            };
            self.ends(batch, cursor, event.transaction.index(), now, out)?;
            if cursor.event > 0 && cursor.at == event.at {
                cursor.row += 1;
            } else {
                cursor.row = 0;
            }
            cursor.at = event.at;
            self.event(&event, cursor.row, now, out)?;
            cursor.event += 1;
        }
        Ok(true)
    }

    /// Writes the ends of the transactions from the cursor's on to before `until`.
    fn ends(
        &mut self,
        batch: &Batch,
        cursor: &mut Cursor,
        until: usize,
        now: i64,
        out: &mut Encoded,
    ) -> Result<(), PipelineError> {
        while cursor.transaction < until {
            let transaction = batch.transaction(cursor.transaction);
            cursor.transaction += 1;
            if let (Some(plans), Some(end)) = (self.transaction, transaction.end())
                && end.events() > 0
            {
                self.boundary(plans, transaction, Some(end), now, out)?;
            }
        }
        Ok(())
    }

    fn boundary(
        &mut self,
        plans: Plans,
        transaction: Transaction<'_>,
        end: Option<TransactionEnd<'_>>,
        now: i64,
        out: &mut Encoded,
    ) -> Result<(), PipelineError> {
        let status = if end.is_some() { "END" } else { "BEGIN" };
        let scope = Scope { status, end, ..scope(transaction, now, &self.settings, &self.tally) };
        let mut writer = Writer {
            encoder: &*self.encoder,
            headers: &self.headers,
            scratch: &mut self.scratch,
            out,
        };
        let doing = "encoding a transaction";
        let fail = |fault| PipelineError::from_fault(None, fault, doing);
        let key = plans.key.map(|plans| writer.record(plans.key, &scope)).transpose();
        let key = key.map_err(fail)?;
        let value = writer.record(plans.value, &scope).map_err(fail)?;
        writer.out.messages.push(Entry { key, value: Some(value), ..Entry::of(plans.topic) });
        Ok(())
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        row: u64,
        now: i64,
        out: &mut Encoded,
    ) -> Result<(), PipelineError> {
        if let (Some(plans), 1) = (self.transaction, event.order)
            && !matches!(event.change, Change::Read(_))
        {
            self.boundary(plans, event.transaction, None, now, out)?;
        }
        let Some((_, index)) = self.by_address.get(&address(event.table)) else {
            let source = EncodeError::Unprepared { table: event.table.name.clone() };
            return Err(PipelineError::definite("unprepared", "encoding a change", source));
        };
        let table = &self.plans[*index];
        let snapshot = matches!(event.change, Change::Read(_));
        let scope = Scope {
            at: event.at,
            row,
            order: event.order,
            table_order: event.table_order,
            snapshot,
            block: self.transaction.is_some() && !snapshot,
            ..scope(event.transaction, now, &self.settings, &self.tally)
        };
        let writer = Writer {
            encoder: &*self.encoder,
            headers: &self.headers,
            scratch: &mut self.scratch,
            out,
        };
        let mut task = Task {
            writer,
            plans: table.plans,
            key_columns: &table.key_columns,
            scope,
            settings: &self.settings,
            counts: &mut self.counts,
        };
        task.change(event.change).map_err(|trouble| trouble.into_error(&event.table.name))
    }
}

fn address(table: &Arc<Table>) -> usize {
    Arc::as_ptr(table) as usize
}
