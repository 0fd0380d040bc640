//! What changed: the one model that every source fills and every sink reads.
//!
//! A [`Table`] says what the cells mean, a [`Batch`] holds the cells of many rows of many tables, an
//! [`Event`] is a view of one row change inside a batch. A new `Arc<Table>` is a new schema version and
//! rides in the batch beside its rows, so there is no schema event that a reader could miss.
//!
//! Nothing here knows a database, a broker or a format; nothing here does IO.

mod batch;
mod kind;
mod origin;
mod table;
mod value;

pub use batch::{
    Batch, Change, Elements, Event, Operation, Place, Row, RowWriter, Transaction, TransactionEnd,
};
pub use kind::Kind;
pub use origin::{Fact, Origin, OriginField};
pub use table::{Column, ColumnIndex, Default, Table, TableId, TableName};
pub use value::{Cell, Decimal, Interval, Value};
