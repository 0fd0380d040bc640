//! What a message is made of: one event, or one end of a transaction, as the encoders look at it.

use std::cell::Cell as Counter;

use change::{Cell, Elements, Fact, Row, Transaction, TransactionEnd, Value};

use crate::calendar::Writer;
use crate::conversion::{Conversion, Datum, Fault, Scratch};
use crate::schema::{Binding, Image, Part};

/// All that the leaves of a schema can be bound to, for one message.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    pub transaction: Transaction<'a>,
    pub at: u64,
    pub row: u64,
    pub order: u64,
    pub table_order: u64,
    pub operation: &'static str,
    pub snapshot: bool,
    /// The message has a transaction block.
    pub block: bool,
    pub before: Option<Row<'a>>,
    pub after: Option<Row<'a>>,
    pub key: Option<Row<'a>>,
    /// Where a cell that the image lacks may be found.
    pub other: Option<Row<'a>>,
    /// Microseconds since 1970.
    pub now: i64,
    pub status: &'static str,
    pub end: Option<TransactionEnd<'a>>,
    /// NaN and infinities become null where null is allowed.
    pub specials_are_null: bool,
    pub tally: &'a Tally,
}

/// What was written in place of something else.
#[derive(Debug, Default)]
pub struct Tally {
    pub placeholders: Counter<u64>,
    pub specials: Counter<u64>,
}

pub(crate) fn count(counter: &Counter<u64>) {
    counter.set(counter.get() + 1);
}

impl<'a> Scope<'a> {
    pub fn image(&self, image: Image) -> Option<Row<'a>> {
        match image {
            Image::Before => self.before,
            Image::After => self.after,
            Image::Key => self.key,
        }
    }

    /// Whether a struct of this part is there.
    pub fn has(&self, part: Part) -> bool {
        match part {
            Part::Always => true,
            Part::Image(image) => self.image(image).is_some(),
            Part::Block => self.block,
        }
    }

    /// The cell of an image. A new row's cell and a key's that were not sent are looked for in the other row.
    ///
    /// # Errors
    /// [`Fault::Absent`] when there is no such image.
    #[inline]
    pub fn cell(&self, image: Image, column: usize) -> Result<Cell<'a>, Fault> {
        let cell = self.image(image).ok_or(Fault::Absent)?.cell(column);
        if !cell.is_absent() || image == Image::Before {
            return Ok(cell);
        }
        let cell = self.other.map_or(cell, |other| other.cell(column));
        if cell.is_absent() && image == Image::After {
            count(&self.tally.placeholders);
        }
        Ok(cell)
    }

    /// What is to be written for a cell, or for an element of an array.
    ///
    /// # Errors
    /// What [`Conversion::apply`] finds; [`Fault::Null`] where null is not allowed, [`Fault::Absent`] for an absent cell.
    #[inline]
    pub fn value<'s>(
        &self,
        cell: Cell<'a>,
        conversion: &Conversion,
        optional: bool,
        scratch: &'s mut Scratch,
    ) -> Result<Datum<'s>, Fault>
    where
        'a: 's,
    {
        let value = match cell {
            Cell::Value(value) => value,
            Cell::Null if optional => return Ok(Datum::Null),
            Cell::Null => return Err(Fault::Null),
            Cell::Absent => return Err(Fault::Absent),
        };
        match conversion.apply(value, scratch)? {
            Datum::Special(_) if optional && self.specials_are_null => {
                count(&self.tally.specials);
                Ok(Datum::Null)
            }
            datum => Ok(datum),
        }
    }

    /// Whether the schema has room for what an array holds; false: null stands for the whole array. PostgreSQL does not
    /// declare how many dimensions an array has, so the schema knows one only; and elements of some types cannot be
    /// null there.
    ///
    /// # Errors
    /// [`Fault::Elements`] when nothing else is asked for.
    pub fn has_room(
        &self,
        array: Elements<'_>,
        (element, null_elements): (&Conversion, bool),
        optional: bool,
    ) -> Result<bool, Fault> {
        let nested = matches!(array.iter().next(), Some(Cell::Value(Value::Array(_))));
        let fits = (!nested || element.element().is_some())
            && (null_elements || array.iter().all(|cell| cell.value().is_some()));
        if fits {
            return Ok(true);
        }
        if !optional || !self.specials_are_null {
            return Err(Fault::Elements);
        }
        count(&self.tally.specials);
        Ok(false)
    }

    /// The value of every other binding but structs and literals, which encoders resolve when they compile.
    ///
    /// # Errors
    /// As for [`cell`](Self::cell).
    pub fn leaf<'s>(
        &self,
        binding: &Binding,
        optional: bool,
        scratch: &'s mut Scratch,
    ) -> Result<Datum<'s>, Fault>
    where
        'a: 's,
    {
        let int = |value: u64| i64::try_from(value).map(Datum::Int).map_err(|_| Fault::Range);
        match binding {
            Binding::Fact { index, conversion } => {
                let facts = self.transaction.facts();
                let cell = if *index < facts.len() { facts.cell(*index) } else { Cell::Null };
                self.value(cell, conversion, optional, scratch)
            }
            Binding::At => int(self.at),
            Binding::Row => int(self.row),
            Binding::Sequence(parts) => Ok(Datum::Text(self.sequence(parts, scratch)?)),
            Binding::Operation => Ok(Datum::Text(self.operation)),
            Binding::Snapshot => Ok(Datum::Text(if self.snapshot { "true" } else { "false" })),
            Binding::Now(unit) => Ok(Datum::Int(unit.of_micros(self.now))),
            Binding::CommittedAt(unit) => {
                Ok(Datum::Int(unit.of_micros(self.transaction.committed_at())))
            }
            Binding::TransactionId => Ok(Datum::Text(self.transaction.id())),
            Binding::TotalOrder => int(self.order),
            Binding::TableOrder => int(self.table_order),
            Binding::Status => Ok(Datum::Text(self.status)),
            Binding::EventCount => match self.end {
                Some(end) => int(end.events()),
                None => Ok(Datum::Null),
            },
            Binding::Counts => Ok(self.end.map_or(Datum::Null, Datum::Counts)),
            Binding::Fields(_) | Binding::Cell { .. } | Binding::Literal(_) => Err(Fault::Kind),
        }
    }

    fn sequence<'s>(&self, parts: &[Fact], scratch: &'s mut Scratch) -> Result<&'s str, Fault> {
        let facts = self.transaction.facts();
        let mut writer = Writer::new(&mut scratch.short);
        let mut buffer = itoa::Buffer::new();
        writer.push(b'[');
        for (index, part) in parts.iter().take(4).enumerate() {
            if index > 0 {
                writer.push(b',');
            }
            let value = match part {
                Fact::At => Some(buffer.format(self.at)),
                Fact::Row => Some(buffer.format(self.row)),
                Fact::Transaction(index) if *index < facts.len() => {
                    match facts.cell(*index).value() {
                        Some(change::Value::Int(value)) => Some(buffer.format(value)),
                        Some(change::Value::UInt(value)) => Some(buffer.format(value)),
                        Some(_) => return Err(Fault::Kind),
                        None => None,
                    }
                }
                Fact::Transaction(_) | Fact::Schema | Fact::Table | Fact::Null => None,
            };
            match value {
                Some(digits) => {
                    writer.push(b'"');
                    writer.text(digits);
                    writer.push(b'"');
                }
                None => writer.text("null"),
            }
        }
        writer.push(b']');
        Ok(writer.finish())
    }
}
