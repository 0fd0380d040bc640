//! What travels inside CopyData while the server streams: log data and keepalives down, status updates up.
//!
//! Manual: "Streaming Replication Protocol". All times are microseconds since 2000-01-01 00:00 UTC.

use bytes::{BufMut, BytesMut};

use crate::cursor::Cursor;
pub use crate::cursor::Malformed;
use crate::frame::tag;
use crate::lsn::Lsn;

/// Seconds from 1970-01-01 to 2000-01-01, where the server's clock begins.
pub const EPOCH_UNIX_SECONDS: i64 = 946_684_800;

/// The payload of one CopyData message of a replication stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicationMessage<'a> {
    XLogData(XLogData<'a>),
    Keepalive(Keepalive),
}

/// One message of the output plug-in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct XLogData<'a> {
    /// Where this message stands in the log; zero for messages without a place of their own (Relation, Type).
    pub start: Lsn,
    /// The end of the log on the server, as far as it knew.
    pub end: Lsn,
    pub clock_micros: i64,
    pub data: &'a [u8],
}

impl std::fmt::Debug for XLogData<'_> {
    /// With the size of the data only: it holds values of rows.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "XLogData({}, end {}, {} bytes)", self.start, self.end, self.data.len())
    }
}

/// The server is alive and has sent everything up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    pub end: Lsn,
    pub clock_micros: i64,
    /// The server wants a status update at once, or will take this client for dead.
    pub reply: bool,
}

/// Decodes the payload of a CopyData message.
pub fn decode(payload: &[u8]) -> Result<ReplicationMessage<'_>, Malformed> {
    let mut cursor = Cursor::new(payload);
    match cursor.u8("the kind of a replication message")? {
        b'w' => Ok(ReplicationMessage::XLogData(XLogData {
            start: Lsn(cursor.u64("a log position")?),
            end: Lsn(cursor.u64("a log position")?),
            clock_micros: cursor.i64("the server's clock")?,
            data: cursor.rest(),
        })),
        b'k' => {
            let keepalive = Keepalive {
                end: Lsn(cursor.u64("a log position")?),
                clock_micros: cursor.i64("the server's clock")?,
                reply: cursor.u8("the wish for a reply")? != 0,
            };
            cursor.end()?;
            Ok(ReplicationMessage::Keepalive(keepalive))
        }
        other => {
            Err(Malformed::Value { what: "the kind of a replication message", value: other.into() })
        }
    }
}

/// What this client has got, and from where on the server must keep the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StandbyStatusUpdate {
    /// Received up to here.
    pub write: Lsn,
    /// Durable up to here: the server may forget what lies before and never sends it again.
    pub flush: Lsn,
    /// Visible up to here.
    pub apply: Lsn,
    /// The client's clock; the server only shows it.
    pub clock_micros: i64,
    /// Asks the server for a keepalive.
    pub reply: bool,
}

impl StandbyStatusUpdate {
    /// Bytes of the whole message.
    pub const BYTES: usize = 39;

    /// Appends the whole CopyData message.
    pub fn encode(&self, out: &mut BytesMut) {
        out.reserve(Self::BYTES);
        out.put_u8(tag::COPY_DATA);
        out.put_u32(Self::BYTES as u32 - 1);
        out.put_u8(b'r');
        out.put_u64(self.write.0);
        out.put_u64(self.flush.0);
        out.put_u64(self.apply.0);
        out.put_i64(self.clock_micros);
        out.put_u8(self.reply.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_decode_to_their_fields() {
        let head = |kind: u8| [&[kind][..], &[0, 0, 0, 1, 0, 0, 0, 2]].concat();
        let clock = 7_i64.to_be_bytes();
        let end = [0, 0, 0, 3, 0, 0, 0, 4];
        let data = [&head(b'w')[..], &end, &clock, b"payload"].concat();
        let keepalive = [&head(b'k')[..], &clock, &[1]].concat();
        let cases: &[(&[u8], Result<ReplicationMessage<'_>, Malformed>)] = &[
            (
                &data,
                Ok(ReplicationMessage::XLogData(XLogData {
                    start: Lsn(0x1_0000_0002),
                    end: Lsn(0x3_0000_0004),
                    clock_micros: 7,
                    data: b"payload",
                })),
            ),
            (
                &keepalive,
                Ok(ReplicationMessage::Keepalive(Keepalive {
                    end: Lsn(0x1_0000_0002),
                    clock_micros: 7,
                    reply: true,
                })),
            ),
            (&data[..24], Err(Malformed::Short("the server's clock"))),
            (&keepalive[..17], Err(Malformed::Short("the wish for a reply"))),
            (b"", Err(Malformed::Short("the kind of a replication message"))),
            (b"z", Err(Malformed::Value { what: "the kind of a replication message", value: 122 })),
        ];
        for (payload, expected) in cases {
            assert_eq!(decode(payload), *expected, "{payload:?}");
        }
        assert_eq!(decode(&[&keepalive[..], b"x"].concat()), Err(Malformed::Trailing(1)));
    }

    #[test]
    fn a_status_update_is_one_copy_data_message() {
        let update = StandbyStatusUpdate {
            write: Lsn(1),
            flush: Lsn(2),
            apply: Lsn(3),
            clock_micros: -1,
            reply: true,
        };
        let mut out = BytesMut::new();
        update.encode(&mut out);
        assert_eq!(out.len(), StandbyStatusUpdate::BYTES);
        let mut expected = b"d\0\0\0\x26r".to_vec();
        for lsn in [1_u64, 2, 3] {
            expected.extend_from_slice(&lsn.to_be_bytes());
        }
        expected.extend_from_slice(&[0xFF; 8]);
        expected.push(1);
        assert_eq!(&out[..], &expected[..]);
    }
}
