//! PostgreSQL's wire as far as a change reader needs it, without IO: bytes in, messages out.
//!
//! ```text
//!  socket bytes ── frame ──> tag + body ─┬─ handshake    start-up, SCRAM, parameters, key
//!                                        ├─ error        ErrorResponse -> ServerError
//!                                        ├─ replication  XLogData | Keepalive ── pgoutput ──> Begin .. Commit
//!                                        └─ copy         binary rows of COPY .. TO STDOUT
//!  command, channel_binding: what goes the other way
//! ```
//!
//! Nothing here opens a socket, reads a clock or waits. Three rules hold for every decoder and are tested on mutated
//! recordings: no input makes it panic; it allocates no more than a small multiple of the bytes that have arrived (never
//! of a length that a server merely claims); and what it does not know it refuses, because an event that is skipped is
//! an event that is lost. Decoding a row allocates nothing: a [`pgoutput::Tuple`] borrows the frame, its lengths are
//! checked once, so that reading its cells cannot fail.

pub mod channel_binding;
pub mod command;
pub mod copy;
mod cursor;
pub mod error;
pub mod frame;
pub mod handshake;
mod lsn;
pub mod pgoutput;
pub mod quote;
pub mod replication;
mod version;

pub use lsn::{Lsn, ParseLsnError};
pub use version::server_version_number;
