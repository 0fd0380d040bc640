//! The messages of the `pgoutput` plug-in, protocol version 1.
//!
//! ```text
//!   Begin  Origin?  ( Relation | Type | Insert | Update | Delete | Truncate | Message )*  Commit
//!   Message outside of a transaction, when it was written as not transactional
//! ```
//!
//! A transaction arrives whole, after its commit, and transactions arrive in the order of their commits. A Relation comes
//! before the first row of a table in a session and again after the table has changed.
//!
//! Only version 1 is asked for, so a message of a later version (streamed or prepared transactions) is an error, with one
//! exception: PostgreSQL 18 can send a Stream Abort for a transaction that was rolled back while it was being decoded,
//! although nothing was streamed. It has no rows and changes nothing; it decodes to [`Message::StreamAbort`].
//!
//! Manual: "Logical Replication Message Formats". Each decoded message is checked to its last byte.

mod relation;
mod row;
mod transaction;
mod tuple;

pub use relation::{Column, Relation, ReplicaIdentity, Type};
pub use row::{Delete, Insert, OldTuple, RelationIds, Truncate, Update};
pub use transaction::{Begin, Commit, LogicalMessage, Origin, StreamAbort};
pub use tuple::{Tuple, TupleCell, TupleCells};

use crate::cursor::Cursor;
pub use crate::cursor::Malformed;

/// One message of the plug-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Begin(Begin),
    Commit(Commit),
    Origin(Origin<'a>),
    Relation(Relation),
    Type(Type<'a>),
    Insert(Insert<'a>),
    Update(Update<'a>),
    Delete(Delete<'a>),
    Truncate(Truncate<'a>),
    Message(LogicalMessage<'a>),
    StreamAbort(StreamAbort),
}

/// A message that cannot be decoded; nothing of it may be taken for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the empty message")]
    Empty,
    #[error("a message {:?}, which protocol version 1 does not have", *tag as char)]
    UnexpectedMessage { tag: u8 },
    #[error("a malformed {message}")]
    Malformed { message: &'static str, source: Malformed },
}

/// Decodes one message, the `data` of an [`XLogData`](crate::replication::XLogData).
#[inline]
pub fn decode(data: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (tag, body) = data.split_first().ok_or(DecodeError::Empty)?;
    let mut cursor = Cursor::new(body);
    let cursor = &mut cursor;
    let (message, decoded) = match tag {
        b'I' => ("Insert", Insert::decode(cursor).map(Message::Insert)),
        b'U' => ("Update", Update::decode(cursor).map(Message::Update)),
        b'D' => ("Delete", Delete::decode(cursor).map(Message::Delete)),
        b'B' => ("Begin", Begin::decode(cursor).map(Message::Begin)),
        b'C' => ("Commit", Commit::decode(cursor).map(Message::Commit)),
        b'R' => ("Relation", Relation::decode(cursor).map(Message::Relation)),
        b'Y' => ("Type", Type::decode(cursor).map(Message::Type)),
        b'O' => ("Origin", Origin::decode(cursor).map(Message::Origin)),
        b'T' => ("Truncate", Truncate::decode(cursor).map(Message::Truncate)),
        b'M' => ("Message", LogicalMessage::decode(cursor).map(Message::Message)),
        b'A' => ("Stream Abort", StreamAbort::decode(cursor).map(Message::StreamAbort)),
        _ => return Err(DecodeError::UnexpectedMessage { tag: *tag }),
    };
    decoded
        .and_then(|decoded| cursor.end().map(|()| decoded))
        .map_err(|source| DecodeError::Malformed { message, source })
}

#[cfg(test)]
mod tests;
