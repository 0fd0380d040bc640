//! Rows of the wire become rows of a batch.

use std::sync::Arc;

use change::{Batch, Operation, Place, RowWriter};
use postgres_replication::copy::CopyRow;
use postgres_replication::pgoutput::{OldTuple, Tuple, TupleCell};

use crate::schema::Captured;
use crate::types::{CellError, Decoder};

/// Why a row cannot be read. Never holds values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    #[error("a row of {got} columns where {expected} are announced")]
    Columns { expected: usize, got: usize },
    #[error("column {column:?}")]
    Cell { column: String, source: CellError },
    #[error("a value in a form that was not asked for in column {column:?}")]
    Form { column: String },
}

/// A row could not be written, or the table's version forbids it.
enum Stop {
    Error(RowError),
    /// The column on the wire of this index is required and null.
    Required(usize),
}

impl From<RowError> for Stop {
    fn from(error: RowError) -> Self {
        Stop::Error(error)
    }
}

/// What the log says of one row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LogRow<'a> {
    Insert(Tuple<'a>),
    Update { old: Option<OldTuple<'a>>, new: Tuple<'a> },
    Delete(OldTuple<'a>),
}

/// Whether an update gives the row another key, as far as the log tells both.
pub(crate) fn changes_key(captured: &Captured, row: LogRow<'_>) -> bool {
    let LogRow::Update { old: Some(old), new } = row else { return false };
    let key = captured.table.key.iter().map(|index| &captured.table.columns[*index].name);
    let columns: Option<Vec<usize>> = key
        .map(|name| captured.columns.iter().position(|column| column.name.as_str() == &**name))
        .collect();
    let Some(columns) = columns else { return false };
    let told = |column: &usize| match old {
        OldTuple::Full(_) => true,
        OldTuple::Key(_) => captured.columns[*column].identity,
    };
    let (before, after): (Vec<_>, Vec<_>) =
        (old.tuple().columns().collect(), new.columns().collect());
    let differs = |column: &usize| match (before.get(*column), after.get(*column)) {
        (_, None | Some(TupleCell::Unchanged)) | (None | Some(TupleCell::Unchanged), _) => false,
        (before, after) => before != after,
    };
    columns.iter().all(told) && columns.iter().any(differs)
}

/// Appends the row. When a required column is null, `captured` becomes a version in which it may be.
pub(crate) fn log_row(
    captured: &mut Captured,
    row: LogRow<'_>,
    place: Place,
    batch: &mut Batch,
) -> Result<(), RowError> {
    // each round makes one more column nullable
    for _ in 0..=captured.columns.len() {
        match try_log_row(captured, row, place, batch) {
            Ok(()) => return Ok(()),
            Err(Stop::Required(column)) => captured.relax(column),
            Err(Stop::Error(error)) => return Err(error),
        }
    }
    Err(RowError::Columns { expected: captured.columns.len(), got: 0 })
}

fn try_log_row(
    captured: &Captured,
    row: LogRow<'_>,
    place: Place,
    batch: &mut Batch,
) -> Result<(), Stop> {
    let table = &captured.table;
    let mut writer = match row {
        LogRow::Insert(_) => batch.row(table, Operation::Insert, place),
        LogRow::Update { old: None, .. } => batch.row(table, Operation::Update, place),
        LogRow::Update { old: Some(_), .. } => batch.update(table, place),
        LogRow::Delete(_) => batch.row(table, Operation::Delete, place),
    };
    match row {
        LogRow::Insert(new) => image(captured, new, None, &mut writer)?,
        LogRow::Delete(old) => old_image(captured, old, &mut writer)?,
        LogRow::Update { old, new } => {
            if let Some(old) = old {
                old_image(captured, old, &mut writer)?;
            }
            let whole = match old {
                Some(OldTuple::Full(whole)) => Some(whole),
                _ => None,
            };
            image(captured, new, whole, &mut writer)?;
        }
    }
    writer.finish();
    Ok(())
}

fn old_image(captured: &Captured, old: OldTuple<'_>, row: &mut RowWriter<'_>) -> Result<(), Stop> {
    match old {
        OldTuple::Full(tuple) => image(captured, tuple, None, row),
        OldTuple::Key(tuple) => {
            check_columns(captured, tuple.len())?;
            for (index, cell) in tuple.columns().enumerate() {
                let Some(decoder) = &captured.columns[index].decoder else { continue };
                if captured.columns[index].identity {
                    write(captured, index, decoder, cell, row)?;
                } else {
                    // not sent: a null here is no NULL
                    row.absent();
                }
            }
            Ok(())
        }
    }
}

/// `whole`: the row before the change, which holds what the change left as it was.
fn image(
    captured: &Captured,
    tuple: Tuple<'_>,
    whole: Option<Tuple<'_>>,
    row: &mut RowWriter<'_>,
) -> Result<(), Stop> {
    check_columns(captured, tuple.len())?;
    let mut before = whole.map(|whole| whole.columns());
    for (index, cell) in tuple.columns().enumerate() {
        let unchanged = before.as_mut().and_then(Iterator::next);
        let Some(decoder) = &captured.columns[index].decoder else { continue };
        let cell = match (cell, unchanged) {
            (TupleCell::Unchanged, Some(before)) => before,
            (cell, _) => cell,
        };
        write(captured, index, decoder, cell, row)?;
    }
    Ok(())
}

fn check_columns(captured: &Captured, got: usize) -> Result<(), RowError> {
    let expected = captured.columns.len();
    if got == expected { Ok(()) } else { Err(RowError::Columns { expected, got }) }
}

fn write(
    captured: &Captured,
    index: usize,
    decoder: &Decoder,
    cell: TupleCell<'_>,
    row: &mut RowWriter<'_>,
) -> Result<(), Stop> {
    match cell {
        TupleCell::Text(value) => {
            decoder.text(value, row).map_err(|source| cell_error(captured, index, source))?
        }
        TupleCell::Null => null(captured, index, row)?,
        TupleCell::Unchanged => row.absent(),
        TupleCell::Binary(_) => {
            return Err(RowError::Form { column: captured.columns[index].name.clone() }.into());
        }
    }
    Ok(())
}

fn null(captured: &Captured, index: usize, row: &mut RowWriter<'_>) -> Result<(), Stop> {
    if captured.is_required(index) {
        return Err(Stop::Required(index));
    }
    row.null();
    Ok(())
}

fn cell_error(captured: &Captured, index: usize, source: CellError) -> RowError {
    RowError::Cell { column: captured.columns[index].name.clone(), source }
}

/// Appends a copied row: columns with a binary form in it, the others as text, those left out not at all.
pub(crate) fn copied_row(
    captured: &mut Captured,
    row: CopyRow<'_>,
    place: Place,
    batch: &mut Batch,
) -> Result<(), RowError> {
    for _ in 0..=captured.columns.len() {
        match try_copied_row(captured, row, place, batch) {
            Ok(()) => return Ok(()),
            Err(Stop::Required(column)) => captured.relax(column),
            Err(Stop::Error(error)) => return Err(error),
        }
    }
    Err(RowError::Columns { expected: captured.columns.len(), got: 0 })
}

fn try_copied_row(
    captured: &Captured,
    row: CopyRow<'_>,
    place: Place,
    batch: &mut Batch,
) -> Result<(), Stop> {
    let expected = captured.table.columns.len();
    if row.len() != expected {
        return Err(RowError::Columns { expected, got: row.len() }.into());
    }
    let mut cells = row.cells();
    let table = Arc::clone(&captured.table);
    let mut writer = batch.row(&table, Operation::Read, place);
    for (index, column) in captured.columns.iter().enumerate() {
        let Some(decoder) = &column.decoder else { continue };
        match cells.next() {
            Some(Some(value)) => {
                let read = if decoder.has_binary() {
                    decoder.binary(value, &mut writer)
                } else {
                    decoder.text(value, &mut writer)
                };
                read.map_err(|source| cell_error(captured, index, source))?;
            }
            Some(None) => null(captured, index, &mut writer)?,
            None => return Err(RowError::Columns { expected, got: index }.into()),
        }
    }
    writer.finish();
    Ok(())
}
