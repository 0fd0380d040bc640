//! What the rows that follow look like.

use crate::cursor::{Cursor, Malformed};

/// The columns of a table as they were when the rows that follow were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    pub id: u32,
    pub schema: String,
    pub name: String,
    pub replica_identity: ReplicaIdentity,
    /// The published columns; generated ones are absent unless the publication asks for them.
    pub columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Part of the replica identity; with FULL, every column is.
    pub key: bool,
    pub name: String,
    pub type_id: u32,
    /// `atttypmod`: -1 when the type has none.
    pub type_modifier: i32,
}

/// What the log holds of a row before an update or a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// The primary key.
    Default,
    /// Nothing: updates and deletes are refused by the server while the table is published.
    Nothing,
    Full,
    Index,
}

/// A type that is not built in, named before the first row that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type<'a> {
    pub id: u32,
    pub schema: &'a str,
    pub name: &'a str,
}

/// The least that a column takes: flags, an empty name, type and modifier.
const COLUMN_BYTES_MIN: usize = 1 + 1 + 4 + 4;

impl Relation {
    pub(super) fn decode(cursor: &mut Cursor<'_>) -> Result<Relation, Malformed> {
        let id = cursor.u32("the relation's id")?;
        let schema = schema_name(cursor.text("the schema's name")?).to_owned();
        let name = cursor.text("the table's name")?.to_owned();
        let replica_identity = match cursor.u8("the replica identity")? {
            b'd' => ReplicaIdentity::Default,
            b'n' => ReplicaIdentity::Nothing,
            b'f' => ReplicaIdentity::Full,
            b'i' => ReplicaIdentity::Index,
            other => {
                return Err(Malformed::Value { what: "the replica identity", value: other.into() });
            }
        };
        let count = cursor.u16("the number of columns")?;
        let mut columns = Vec::with_capacity(columns_possible(count, cursor.remaining()));
        for _ in 0..count {
            columns.push(Column {
                key: cursor.u8("a column's flags")? & 1 != 0,
                name: cursor.text("a column's name")?.to_owned(),
                type_id: cursor.u32("a column's type")?,
                type_modifier: cursor.i32("a column's type modifier")?,
            });
        }
        Ok(Relation { id, schema, name, replica_identity, columns })
    }
}

impl<'a> Type<'a> {
    pub(super) fn decode(cursor: &mut Cursor<'a>) -> Result<Type<'a>, Malformed> {
        Ok(Type {
            id: cursor.u32("the type's id")?,
            schema: schema_name(cursor.text("the schema's name")?),
            name: cursor.text("the type's name")?,
        })
    }
}

/// How many columns to make room for: no more than the bytes that are there can hold.
pub(super) fn columns_possible(announced: u16, bytes: usize) -> usize {
    usize::from(announced).min(bytes / COLUMN_BYTES_MIN)
}

/// On this wire the empty name stands for the system's own schema.
fn schema_name(name: &str) -> &str {
    if name.is_empty() { "pg_catalog" } else { name }
}
