use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Kind;

/// `schema.table` in PostgreSQL, `database.table` in MySQL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    pub schema: Arc<str>,
    pub table: Arc<str>,
}

impl TableName {
    pub fn new(schema: &str, table: &str) -> Self {
        Self { schema: schema.into(), table: table.into() }
    }
}

/// Unquoted, for people and topic names: `public.orders`.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// What tells a table from a later one of the same name: the database's object number and, where a
/// rewrite of the table gives it new storage, that number too (PostgreSQL: oid, relfilenode). 0: unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct TableId {
    pub object: u64,
    pub storage: u64,
}

/// Index into [`Table::columns`].
pub type ColumnIndex = usize;

/// One version of a table's schema. Another `Arc<Table>` is another version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Table {
    pub name: TableName,
    pub columns: Vec<Column>,
    /// The columns that identify a row, in the key's order; empty: no key.
    pub key: Vec<ColumnIndex>,
}

impl Table {
    pub fn is_key(&self, column: ColumnIndex) -> bool {
        self.key.contains(&column)
    }

    pub fn column(&self, name: &str) -> Option<ColumnIndex> {
        self.columns.iter().position(|column| &*column.name == name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    pub name: Box<str>,
    pub kind: Kind,
    pub nullable: bool,
    pub default: Option<Default>,
}

impl Column {
    /// A nullable column without a default.
    pub fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.into(), kind, nullable: true, default: None }
    }

    pub fn required(mut self) -> Self {
        self.nullable = false;
        self
    }
}

/// What the database fills in when an INSERT names no value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Default {
    /// A constant, in the text form of the column's type.
    Literal(Box<str>),
    /// A sequence, an identity or a function: known only when the row is written.
    Computed,
}
