//! The frame around the rows of a transaction, and messages written by the application.

use crate::cursor::{Cursor, Malformed};
use crate::lsn::Lsn;

/// A transaction's rows follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Where the transaction's commit record begins: the `at` of the [`Commit`] to come.
    pub commit: Lsn,
    /// Microseconds since 2000-01-01 UTC.
    pub time_micros: i64,
    pub xid: u32,
}

/// The transaction is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Where the commit record begins.
    pub at: Lsn,
    /// Where it ends: the position to confirm and to start from again.
    pub end: Lsn,
    /// Microseconds since 2000-01-01 UTC.
    pub time_micros: i64,
}

/// The transaction came to this server from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    pub commit: Lsn,
    pub name: &'a str,
}

/// What `pg_logical_emit_message` wrote.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LogicalMessage<'a> {
    /// Part of the transaction around it; if false it stands alone and is sent even when its transaction rolled back.
    pub transactional: bool,
    pub at: Lsn,
    pub prefix: &'a str,
    pub content: &'a [u8],
}

/// A transaction was rolled back while it was decoded; see the module's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamAbort {
    pub xid: u32,
    /// The subtransaction; the same as `xid` for the whole transaction.
    pub subxid: u32,
}

impl std::fmt::Debug for LogicalMessage<'_> {
    /// Without the content, which is the application's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogicalMessage")
            .field("transactional", &self.transactional)
            .field("at", &self.at)
            .field("prefix", &self.prefix)
            .field("content_bytes", &self.content.len())
            .finish()
    }
}

impl Begin {
    pub(super) fn decode(cursor: &mut Cursor<'_>) -> Result<Begin, Malformed> {
        Ok(Begin {
            commit: Lsn(cursor.u64("the commit's position")?),
            time_micros: cursor.i64("the commit's time")?,
            xid: cursor.u32("the transaction's id")?,
        })
    }
}

impl Commit {
    pub(super) fn decode(cursor: &mut Cursor<'_>) -> Result<Commit, Malformed> {
        let flags = cursor.u8("the flags")?;
        if flags != 0 {
            return Err(Malformed::Value { what: "the flags", value: flags.into() });
        }
        Ok(Commit {
            at: Lsn(cursor.u64("the commit's position")?),
            end: Lsn(cursor.u64("the commit's end")?),
            time_micros: cursor.i64("the commit's time")?,
        })
    }
}

impl<'a> Origin<'a> {
    pub(super) fn decode(cursor: &mut Cursor<'a>) -> Result<Origin<'a>, Malformed> {
        Ok(Origin {
            commit: Lsn(cursor.u64("the commit's position")?),
            name: cursor.text("the origin's name")?,
        })
    }
}

impl<'a> LogicalMessage<'a> {
    pub(super) fn decode(cursor: &mut Cursor<'a>) -> Result<LogicalMessage<'a>, Malformed> {
        let flags = cursor.u8("the flags")?;
        if flags & !1 != 0 {
            return Err(Malformed::Value { what: "the flags", value: flags.into() });
        }
        let at = Lsn(cursor.u64("the message's position")?);
        let prefix = cursor.text("the prefix")?;
        let length = cursor.u32("the content's length")?;
        let content = cursor.bytes(length as usize, "the content")?;
        Ok(LogicalMessage { transactional: flags & 1 != 0, at, prefix, content })
    }
}

impl StreamAbort {
    pub(super) fn decode(cursor: &mut Cursor<'_>) -> Result<StreamAbort, Malformed> {
        let abort = StreamAbort {
            xid: cursor.u32("the transaction's id")?,
            subxid: cursor.u32("the subtransaction's id")?,
        };
        // with parallel streaming a position and a time follow
        if cursor.remaining() == 16 {
            cursor.bytes(16, "the abort's position and time")?;
        }
        Ok(abort)
    }
}
