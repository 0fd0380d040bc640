//! A batch in two, between transactions.
//!
//! Needed only when a transaction grows large behind others in the same batch, so it may copy.

use change::{Batch, Cell, Change, Event, Place, Row, RowWriter, Transaction, Value};

/// The first `complete` transactions, and the rest.
pub(crate) fn split(batch: &Batch, complete: usize) -> (Batch, Batch) {
    let (mut before, mut rest) = (Batch::new(), Batch::new());
    let mut events = batch.events().peekable();
    for (index, transaction) in batch.transactions().enumerate() {
        let part = if index < complete { &mut before } else { &mut rest };
        let mut head = part.begin(transaction.id(), transaction.committed_at());
        write_row(transaction.facts(), &mut head);
        head.finish();
        while let Some(event) = events.next_if(|event| same(&event.transaction, &transaction)) {
            write_event(&event, part);
        }
        if let Some(end) = transaction.end() {
            let counts: Vec<_> = end
                .tables()
                .filter_map(|(name, count)| {
                    // the last version of the name is the one that was counted
                    let table = batch.tables().iter().rev().find(|table| table.name == *name)?;
                    Some((table, count))
                })
                .collect();
            part.end(end.events(), counts);
        }
    }
    (before, rest)
}

fn same(a: &Transaction<'_>, b: &Transaction<'_>) -> bool {
    a.id() == b.id()
}

fn write_event(event: &Event<'_>, part: &mut Batch) {
    let place = Place { at: event.at, order: event.order, table_order: event.table_order };
    let operation = event.change.operation();
    match event.change {
        Change::Update { before: Some(before), after } => {
            let mut row = part.update(event.table, place);
            write_row(before, &mut row);
            write_row(after, &mut row);
            row.finish();
        }
        Change::Truncate => part.row(event.table, operation, place).finish(),
        Change::Read(cells)
        | Change::Insert(cells)
        | Change::Update { before: None, after: cells }
        | Change::Delete(cells)
        | Change::Message(cells) => {
            let mut row = part.row(event.table, operation, place);
            write_row(cells, &mut row);
            row.finish();
        }
    }
}

fn write_row(cells: Row<'_>, row: &mut RowWriter<'_>) {
    for cell in cells.cells() {
        write_cell(cell, row);
    }
}

fn write_cell(cell: Cell<'_>, row: &mut RowWriter<'_>) {
    let value = match cell {
        Cell::Absent => return row.absent(),
        Cell::Null => return row.null(),
        Cell::Value(value) => value,
    };
    match value {
        Value::Bool(value) => row.bool(value),
        Value::Int(value) => row.int(value),
        Value::UInt(value) => row.uint(value),
        Value::Float32(value) => row.float32(value),
        Value::Float64(value) => row.float64(value),
        Value::Decimal(value) => row.decimal(value),
        Value::Date(value) => row.date(value),
        Value::Time(value) => row.time(value),
        Value::TimeTz { micros, offset } => row.time_tz(micros, offset),
        Value::DateTime(value) => row.date_time(value),
        Value::Instant(value) => row.instant(value),
        Value::Interval(value) => row.interval(value),
        Value::Uuid(value) => row.uuid(value),
        Value::Text(value) => row.text(value),
        Value::Bytes(value) => row.bytes(value),
        Value::Bits { length, bytes } => row.bits(length, bytes),
        Value::Point { x, y } => row.point(x, y),
        Value::Array(elements) => {
            row.begin_array();
            for element in elements.iter() {
                write_cell(element, row);
            }
            row.end_array();
        }
    }
}
