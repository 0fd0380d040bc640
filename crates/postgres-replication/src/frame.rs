//! Cutting the server's messages out of a growing buffer.
//!
//! A message is a tag byte, a length of 32 bits that counts itself, and a body. A length is judged before anything is
//! reserved for it: [`head`] refuses what is larger than the caller's limit, and says how many bytes are missing, so
//! that the reader can grow its buffer with what arrives and not with what is announced.

use bytes::{Buf, Bytes, BytesMut};

/// The largest message accepted unless the caller says otherwise: a field holds up to 1 GiB, and its row a little more.
pub const MESSAGE_BYTES_MAX: usize = (1 << 30) + (64 << 20);

/// Tag and length, before the body.
pub const HEAD_BYTES: usize = 5;

/// The tags of the server's messages.
pub mod tag {
    pub const AUTHENTICATION: u8 = b'R';
    pub const BACKEND_KEY_DATA: u8 = b'K';
    pub const BIND_COMPLETE: u8 = b'2';
    pub const CLOSE_COMPLETE: u8 = b'3';
    pub const COMMAND_COMPLETE: u8 = b'C';
    pub const COPY_BOTH_RESPONSE: u8 = b'W';
    pub const COPY_DATA: u8 = b'd';
    pub const COPY_DONE: u8 = b'c';
    pub const COPY_IN_RESPONSE: u8 = b'G';
    pub const COPY_OUT_RESPONSE: u8 = b'H';
    pub const DATA_ROW: u8 = b'D';
    pub const EMPTY_QUERY_RESPONSE: u8 = b'I';
    pub const ERROR_RESPONSE: u8 = b'E';
    pub const NO_DATA: u8 = b'n';
    pub const NOTICE_RESPONSE: u8 = b'N';
    pub const NOTIFICATION_RESPONSE: u8 = b'A';
    pub const PARAMETER_DESCRIPTION: u8 = b't';
    pub const PARAMETER_STATUS: u8 = b'S';
    pub const PARSE_COMPLETE: u8 = b'1';
    pub const READY_FOR_QUERY: u8 = b'Z';
    pub const ROW_DESCRIPTION: u8 = b'T';
}

/// The head of a message whose body may not be here yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub tag: u8,
    /// Bytes of the whole message, tag and length included.
    pub bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("message {:?} claims a length of {length}, which is no length", *tag as char)]
    Length { tag: u8, length: i32 },
    #[error("message {:?} claims {bytes} bytes, more than the {max} accepted", *tag as char)]
    TooLarge { tag: u8, bytes: usize, max: usize },
}

/// The head of the first message in `buffer`; `None` while fewer than five bytes are there.
pub fn head(buffer: &[u8], max: usize) -> Result<Option<Head>, FrameError> {
    let Some([tag, length @ ..]) = buffer.first_chunk::<HEAD_BYTES>() else {
        return Ok(None);
    };
    let (tag, length) = (*tag, i32::from_be_bytes(*length));
    let bytes = match usize::try_from(length) {
        Ok(length @ 4..) => length + 1,
        _ => return Err(FrameError::Length { tag, length }),
    };
    if bytes > max {
        return Err(FrameError::TooLarge { tag, bytes, max });
    }
    Ok(Some(Head { tag, bytes }))
}

/// Takes the first message off `buffer` when it is there whole: its tag and its body, which shares the buffer's memory.
pub fn take(buffer: &mut BytesMut, max: usize) -> Result<Option<(u8, Bytes)>, FrameError> {
    match head(buffer, max)? {
        Some(Head { tag, bytes }) if buffer.len() >= bytes => {
            let mut message = buffer.split_to(bytes);
            message.advance(HEAD_BYTES);
            Ok(Some((tag, message.freeze())))
        }
        _ => Ok(None),
    }
}

/// Whole CopyData messages that arrived together, still one piece of memory.
///
/// Made by [`CopyFrames::take`] at the cost of one reference count for all of them; each payload is borrowed.
#[derive(Clone, Default)]
pub struct CopyFrames {
    bytes: Bytes,
    /// Bytes of the messages already returned.
    done: usize,
}

impl std::fmt::Debug for CopyFrames {
    /// The size, never the content: it holds values of rows.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CopyFrames({} bytes)", self.len())
    }
}

impl CopyFrames {
    /// Takes the longest run of whole CopyData messages off the front of `buffer`; empty when it begins otherwise.
    ///
    /// Messages behind a malformed or oversized head stay in the buffer, so the error comes with the next call.
    pub fn take(buffer: &mut BytesMut, max: usize) -> Result<CopyFrames, FrameError> {
        let mut end = 0;
        loop {
            match head(&buffer[end..], max) {
                Ok(Some(Head { tag: tag::COPY_DATA, bytes })) if buffer.len() - end >= bytes => {
                    end += bytes
                }
                Err(error) if end == 0 => return Err(error),
                _ => break,
            }
        }
        let bytes = if end == 0 { Bytes::new() } else { buffer.split_to(end).freeze() };
        Ok(CopyFrames { bytes, done: 0 })
    }

    /// The payload of the next message; what has been returned is gone, so a reader may stop anywhere and come back.
    pub fn next_payload(&mut self) -> Option<&[u8]> {
        let start = self.done;
        self.done += first_of(&self.bytes[start..])?;
        self.bytes.get(start + HEAD_BYTES..self.done)
    }

    /// Borrows all payloads that are left.
    pub fn payloads(&self) -> Payloads<'_> {
        Payloads { rest: &self.bytes[self.done..] }
    }

    pub fn is_empty(&self) -> bool {
        self.done == self.bytes.len()
    }

    /// Bytes of the messages that are left, heads included.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.done
    }
}

/// The size of the first message of a run that `take` has already judged.
fn first_of(run: &[u8]) -> Option<usize> {
    head(run, usize::MAX).ok().flatten().map(|head| head.bytes)
}

/// The payloads of [`CopyFrames`], borrowed.
#[derive(Clone)]
pub struct Payloads<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Payloads<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (message, rest) = self.rest.split_at_checked(first_of(self.rest)?)?;
        self.rest = rest;
        message.get(HEAD_BYTES..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        out.extend_from_slice(body);
        out
    }

    #[test]
    fn a_length_is_judged_before_the_body_is_there() {
        type Case<'a> = (&'a [u8], Result<Option<Head>, FrameError>);
        let cases: &[Case<'_>] = &[
            (b"", Ok(None)),
            (b"d\0\0\0", Ok(None)),
            (b"d\0\0\0\x04", Ok(Some(Head { tag: b'd', bytes: 5 }))),
            (b"d\0\0\0\x64", Ok(Some(Head { tag: b'd', bytes: 101 }))),
            (b"d\0\0\0\x65", Err(FrameError::TooLarge { tag: b'd', bytes: 102, max: 101 })),
            (b"d\0\0\0\x03", Err(FrameError::Length { tag: b'd', length: 3 })),
            (b"d\xff\xff\xff\xff", Err(FrameError::Length { tag: b'd', length: -1 })),
        ];
        for (bytes, expected) in cases {
            assert_eq!(head(bytes, 101), *expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_message_is_taken_only_when_it_is_whole() {
        let whole = [message(b'Z', b"I"), message(b'C', b"SELECT 1\0")].concat();
        for cut in 0..whole.len() {
            let mut buffer = BytesMut::from(&whole[..cut]);
            let mut taken = Vec::new();
            while let Some((tag, body)) = take(&mut buffer, 100).unwrap() {
                taken.push((tag, body.to_vec()));
            }
            assert_eq!(taken.len(), usize::from(cut >= 6), "cut at {cut}");
        }
    }

    #[test]
    fn a_run_of_copy_data_ends_at_another_message_and_at_a_part() {
        let run = [message(b'd', b"one"), message(b'd', b""), message(b'd', b"three")].concat();
        let cases: &[(&[u8], &[u8], usize)] = &[
            (&run, b"", 3),
            (&run, &message(b'N', b"x\0"), 3),
            (&run, b"d\0\0\0\x09half", 3),
            (&run, b"d\0\0", 3),
            (&run, b"d\0\0\0\0", 3),
            (b"", &message(b'E', b"\0"), 0),
        ];
        for (run, tail, count) in cases {
            let mut buffer = BytesMut::from(&[*run, *tail].concat()[..]);
            let mut frames = CopyFrames::take(&mut buffer, 100).unwrap();
            assert_eq!(&buffer[..], *tail);
            assert_eq!(frames.payloads().count(), *count);
            for left in (0..*count).rev() {
                assert!(frames.next_payload().is_some());
                assert_eq!(frames.payloads().count(), left);
            }
            assert_eq!(frames.next_payload(), None);
            assert!(frames.is_empty());
        }
    }
}
