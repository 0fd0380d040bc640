//! One event's messages.
//!
//! A changed key is a delete of the old one, its tombstone, and a create of the new one: who keeps rows by key forgets
//! the old row, and a compacted topic too. Which key an event has is read from the cells:
//!
//! ```text
//!                      key of                          cells the database did not send
//! read, insert, update the new row                     from the old row
//! delete               the old row                     stop: another row's tombstone would be wrong
//! key change           old row: delete, new: create    an old key that is not wholly there counts as unchanged
//! ```

use change::{Change, Row, TableName, Transaction};

use crate::conversion::Scratch;
use crate::encoded::{Encoded, Entry};
use crate::encoder::{Encoder, FieldFault, PlanId};
use crate::error::EncodeError;
use crate::json::JsonEncoder;
use crate::pipeline::{Counts, Plans};
use crate::scope::{Scope, Tally};
use crate::{Absent, PipelineError, Settings, Shape, Specials, Truncate};

type Bytes = std::ops::Range<usize>;
type Header = (&'static str, Bytes);

pub(crate) struct Task<'t, 'a> {
    pub(crate) writer: Writer<'t>,
    pub(crate) plans: Plans,
    pub(crate) key_columns: &'t [usize],
    pub(crate) scope: Scope<'a>,
    pub(crate) settings: &'t Settings,
    pub(crate) counts: &'t mut Counts,
}

/// Appends records to the messages' buffer.
pub(crate) struct Writer<'t> {
    pub(crate) encoder: &'t dyn Encoder,
    pub(crate) headers: &'t JsonEncoder,
    pub(crate) scratch: &'t mut Scratch,
    pub(crate) out: &'t mut Encoded,
}

impl Writer<'_> {
    pub(crate) fn record(&mut self, plan: PlanId, scope: &Scope<'_>) -> Result<Bytes, FieldFault> {
        let start = self.out.bytes.len();
        self.encoder.encode(plan, scope, self.scratch, &mut self.out.bytes)?;
        Ok(start..self.out.bytes.len())
    }

    fn header(&mut self, plan: PlanId, scope: &Scope<'_>) -> Result<Bytes, FieldFault> {
        let start = self.out.bytes.len();
        self.headers.encode(plan, scope, self.scratch, &mut self.out.bytes)?;
        Ok(start..self.out.bytes.len())
    }
}

pub(crate) enum Trouble {
    Field(FieldFault),
    IncompleteKeyChange,
    KeylessDelete,
}

impl From<FieldFault> for Trouble {
    fn from(fault: FieldFault) -> Self {
        Trouble::Field(fault)
    }
}

impl Trouble {
    pub(crate) fn into_error(self, table: &TableName) -> PipelineError {
        let doing = "encoding a change";
        let table = table.clone();
        match self {
            Trouble::Field(fault) => PipelineError::from_fault(Some(&table), fault, doing),
            Trouble::IncompleteKeyChange => {
                let source = EncodeError::IncompleteKeyChange { table };
                PipelineError::definite("absent-value", doing, source)
            }
            Trouble::KeylessDelete => {
                let source = EncodeError::KeylessDelete { table };
                PipelineError::definite("row-without-key", doing, source)
            }
        }
    }
}

/// A scope that knows its transaction only.
pub(crate) fn scope<'a>(
    transaction: Transaction<'a>,
    now: i64,
    settings: &Settings,
    tally: &'a Tally,
) -> Scope<'a> {
    Scope {
        transaction,
        at: 0,
        row: 0,
        order: 0,
        table_order: 0,
        operation: "",
        snapshot: false,
        block: false,
        before: None,
        after: None,
        key: None,
        other: None,
        now,
        status: "",
        end: None,
        specials_are_null: settings.specials == Specials::Null,
        tally,
    }
}

impl<'a> Task<'_, 'a> {
    pub(crate) fn change(&mut self, change: Change<'a>) -> Result<(), Trouble> {
        match change {
            Change::Read(row) => self.write("r", None, row, None, None),
            Change::Insert(row) => self.write("c", None, row, None, None),
            Change::Message(row) => self.write("m", None, row, None, None),
            Change::Update { before, after } => self.update(before, after),
            Change::Delete(row) => self.delete(row, None),
            Change::Truncate => self.truncate(),
        }
    }

    fn update(&mut self, before: Option<Row<'a>>, after: Row<'a>) -> Result<(), Trouble> {
        let Some(old) = before.filter(|before| self.key_changed(*before, after)) else {
            return self.write("u", before, after, before, None);
        };
        let fill = |index: usize| after.cell(index).is_absent() && old.cell(index).is_absent();
        if (0..after.len()).any(fill) {
            if self.settings.absent == Some(Absent::Stop) {
                return Err(Trouble::IncompleteKeyChange);
            }
            self.counts.incomplete_key_changes += 1;
        }
        let new_key = self.key_header("__debezium.newkey", after, Some(old))?;
        let old_key = self.key_header("__debezium.oldkey", old, None)?;
        self.delete(old, new_key)?;
        // The source leaves a second place free for the create.
        self.scope.order += 1;
        self.scope.table_order += 1;
        self.write("c", None, after, before, old_key)
    }

    /// Only where both keys are wholly known.
    fn key_changed(&self, before: Row<'a>, after: Row<'a>) -> bool {
        let known = |column: &usize| !before.cell(*column).is_absent();
        let differs = |column: &usize| {
            let new = after.cell(*column);
            !new.is_absent() && new != before.cell(*column)
        };
        self.key_columns.iter().all(known) && self.key_columns.iter().any(differs)
    }

    /// A change with a new row.
    fn write(
        &mut self,
        operation: &'static str,
        before: Option<Row<'a>>,
        after: Row<'a>,
        other: Option<Row<'a>>,
        header: Option<Header>,
    ) -> Result<(), Trouble> {
        let key = self.key(after, other)?;
        let scope = Scope { operation, before, after: Some(after), other, ..self.scope };
        let value = Some(self.writer.record(self.plans.value, &scope)?);
        self.push(Entry { key, value, header, ..Entry::of(self.plans.topic) });
        Ok(())
    }

    /// The delete, where the shape has one, and the tombstone.
    fn delete(&mut self, row: Row<'a>, header: Option<Header>) -> Result<(), Trouble> {
        if self.settings.shape == Shape::Row && self.plans.key.is_none() {
            return Err(Trouble::KeylessDelete);
        }
        let key = self.key(row, None)?;
        let tombstone = Entry { key, header, ..Entry::of(self.plans.topic) };
        if self.settings.shape == Shape::Debezium {
            let scope = Scope { operation: "d", before: Some(row), ..self.scope };
            let value = Some(self.writer.record(self.plans.value, &scope)?);
            self.push(Entry { value, ..tombstone.clone() });
        }
        self.push(tombstone);
        Ok(())
    }

    fn truncate(&mut self) -> Result<(), Trouble> {
        self.counts.truncates += 1;
        let settings = (self.settings.truncate, self.settings.shape);
        if settings == (Truncate::Emit, Shape::Debezium) {
            let scope = Scope { operation: "t", ..self.scope };
            let value = Some(self.writer.record(self.plans.value, &scope)?);
            let entry = Entry { value, every_partition: true, ..Entry::of(self.plans.topic) };
            self.push(entry);
        }
        Ok(())
    }

    fn key(&mut self, row: Row<'a>, other: Option<Row<'a>>) -> Result<Option<Bytes>, Trouble> {
        let scope = Scope { key: Some(row), other, ..self.scope };
        let Some(plans) = self.plans.key else { return Ok(None) };
        Ok(Some(self.writer.record(plans.key, &scope)?))
    }

    fn key_header(
        &mut self,
        name: &'static str,
        row: Row<'a>,
        other: Option<Row<'a>>,
    ) -> Result<Option<Header>, Trouble> {
        let scope = Scope { key: Some(row), other, ..self.scope };
        let Some(plans) = self.plans.key else { return Ok(None) };
        Ok(Some((name, self.writer.header(plans.header, &scope)?)))
    }

    fn push(&mut self, entry: Entry) {
        self.writer.out.messages.push(entry);
    }
}
