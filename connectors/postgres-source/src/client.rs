//! The one client of PostgreSQL: replication, catalog queries and COPY out over the same wire.
//!
//! ```text
//!   Target ──connect──> Client ──simple, query──> Rows
//!                         │  └────copy_out──────> CopyOut ──next──> CopyFrames      (borrows the client)
//!                         └───────copy_both─────> CopyBoth ──next──> CopyFrames     (takes the client)
//!                                                     └──status──> server
//! ```
//!
//! The protocol itself is decided in `postgres_replication`; here are sockets, TLS, time-outs and buffers.
//!
//! **One reader, no hidden task.** A session is driven by whoever awaits it, so nothing is read ahead of the reader's
//! will: a reader that does not call `next` leaves bytes in the socket, the server's send blocks, and back-pressure
//! reaches the database without a queue in between. A server that waits so still reads status updates, so
//! [`CopyBoth::status`] on a timer keeps a held-back stream alive without reading from it.
//!
//! **Cancel safety.** [`CopyOut::next`], [`CopyBoth::next`] and [`CopyBoth::status`] may be dropped at any await and
//! called again: bytes that were read stay in the buffer, bytes that are to be sent stay queued and go out with the next
//! call of either. [`Client::simple`], [`Client::query`] and [`Client::copy_out`] are not: when one is dropped half way,
//! or a [`CopyOut`] before its end, every later statement of that session is refused with
//! [`SessionError::Abandoned`], because the answer on the wire would be another statement's.
//!
//! **Memory.** One read buffer of 256 KiB a session. It grows with the bytes that have arrived of a message that is
//! larger, at most doubling, never by what the server announces, and goes back to its size after that message.

mod connect;
mod copy_both;
mod copy_out;
mod error;
mod query;
mod rows;
mod target;
mod tls;
mod wire;

use std::sync::Arc;

use postgres_replication::handshake::{BackendKey, Session};

pub use copy_both::CopyBoth;
pub use copy_out::CopyOut;
pub use error::{Address, Attempt, ConnectError, SessionError, TlsSetupError};
pub use rows::{Row, Rows};
pub use target::{Host, Target, TargetError};
pub use tls::{Identity, Tls, TlsMode};
use wire::Wire;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// An ordinary session.
    Query,
    /// A walsender of the target's database: replication commands, and SQL by [`Client::simple`] alone.
    Replication,
}

/// A session that takes statements.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    session: Session,
    target: Arc<Target>,
    address: Address,
    /// A statement has been sent and its ReadyForQuery not been read.
    answering: bool,
}

impl Client {
    /// The server's version, as `server_version_num`: 180006.
    pub fn server_version(&self) -> u32 {
        self.session.server_version
    }

    /// A parameter that the server reports, such as `server_version` or `in_hot_standby`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.session.parameter(name)
    }

    /// The process at the other end, as in `pg_stat_activity.pid`.
    pub fn process_id(&self) -> Option<u32> {
        self.session.key.as_ref().map(|key| key.process_id)
    }

    /// Where the session goes.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What interrupts this session's statement from elsewhere; `None` behind poolers that give no key.
    pub fn canceller(&self) -> Option<Canceller> {
        let key = self.session.key.clone()?;
        Some(Canceller { target: Arc::clone(&self.target), address: self.address.clone(), key })
    }

    /// Takes leave of the server. Dropping a client closes the connection too, only without saying so.
    pub async fn close(mut self) -> Result<(), SessionError> {
        self.wire.terminate().await
    }
}

/// Interrupts the running statement of a session, over a connection of its own.
#[derive(Clone, Debug)]
pub struct Canceller {
    target: Arc<Target>,
    address: Address,
    key: BackendKey,
}

#[cfg(test)]
mod tests;
