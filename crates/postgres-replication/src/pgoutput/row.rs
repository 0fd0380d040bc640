//! Messages that carry rows, and Truncate.

use super::tuple::Tuple;
use crate::cursor::{Cursor, Malformed};

/// A new row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insert<'a> {
    pub relation: u32,
    pub new: Tuple<'a>,
}

/// A changed row. `old` is there when the replica identity is FULL, or when the key changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    pub relation: u32,
    pub old: Option<OldTuple<'a>>,
    pub new: Tuple<'a>,
}

/// A deleted row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete<'a> {
    pub relation: u32,
    pub old: OldTuple<'a>,
}

/// What the log holds of a row before its change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldTuple<'a> {
    /// The columns of the replica identity; a null elsewhere says "not sent", not NULL.
    Key(Tuple<'a>),
    /// All columns: the replica identity is FULL.
    Full(Tuple<'a>),
}

/// All rows of these tables are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncate<'a> {
    pub cascade: bool,
    pub restart_identity: bool,
    pub relations: RelationIds<'a>,
}

/// The relation ids of a [`Truncate`], borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelationIds<'a> {
    ids: &'a [u8],
}

impl RelationIds<'_> {
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> {
        self.ids.as_chunks().0.iter().map(|id| u32::from_be_bytes(*id))
    }
}

impl<'a> Insert<'a> {
    #[inline]
    pub(super) fn decode(cursor: &mut Cursor<'a>) -> Result<Insert<'a>, Malformed> {
        let relation = cursor.u32("the relation's id")?;
        match cursor.u8("the row's kind")? {
            b'N' => Ok(Insert { relation, new: Tuple::decode(cursor)? }),
            kind => Err(unknown_kind(kind)),
        }
    }
}

impl<'a> Update<'a> {
    #[inline]
    pub(super) fn decode(cursor: &mut Cursor<'a>) -> Result<Update<'a>, Malformed> {
        let relation = cursor.u32("the relation's id")?;
        let old = match cursor.u8("the row's kind")? {
            b'N' => return Ok(Update { relation, old: None, new: Tuple::decode(cursor)? }),
            kind => OldTuple::decode(kind, cursor)?,
        };
        match cursor.u8("the row's kind")? {
            b'N' => Ok(Update { relation, old: Some(old), new: Tuple::decode(cursor)? }),
            kind => Err(unknown_kind(kind)),
        }
    }
}

impl<'a> Delete<'a> {
    #[inline]
    pub(super) fn decode(cursor: &mut Cursor<'a>) -> Result<Delete<'a>, Malformed> {
        let relation = cursor.u32("the relation's id")?;
        let kind = cursor.u8("the row's kind")?;
        Ok(Delete { relation, old: OldTuple::decode(kind, cursor)? })
    }
}

impl<'a> OldTuple<'a> {
    #[inline]
    fn decode(kind: u8, cursor: &mut Cursor<'a>) -> Result<OldTuple<'a>, Malformed> {
        match kind {
            b'K' => Tuple::decode(cursor).map(OldTuple::Key),
            b'O' => Tuple::decode(cursor).map(OldTuple::Full),
            kind => Err(unknown_kind(kind)),
        }
    }

    /// The cells, whichever kind they are.
    pub fn tuple(&self) -> Tuple<'a> {
        match self {
            OldTuple::Key(tuple) | OldTuple::Full(tuple) => *tuple,
        }
    }
}

fn unknown_kind(kind: u8) -> Malformed {
    Malformed::Value { what: "the row's kind", value: kind.into() }
}

impl<'a> Truncate<'a> {
    pub(super) fn decode(cursor: &mut Cursor<'a>) -> Result<Truncate<'a>, Malformed> {
        let count = cursor.u32("the number of relations")?;
        let options = cursor.u8("the options")?;
        if options & !3 != 0 {
            return Err(Malformed::Value { what: "the options", value: options.into() });
        }
        let bytes = usize::try_from(u64::from(count) * 4)
            .map_err(|_| Malformed::Short("the relations' ids"))?;
        let ids = cursor.bytes(bytes, "the relations' ids")?;
        Ok(Truncate {
            cascade: options & 1 != 0,
            restart_identity: options & 2 != 0,
            relations: RelationIds { ids },
        })
    }
}
