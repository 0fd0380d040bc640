//! PostgreSQL as a source of changes: a logical replication slot is followed, tables are copied at a place of its log.
//!
//! ```text
//!   source    what the engine calls: open, tables, pin, forget, stream
//!   pin       publication, locks, slot and snapshot: one place in the log      snapshot   its tables, chunk by chunk
//!   stream    the loop that owns the connection                                transaction, split   messages -> batches, pure
//!   schema    the log's columns and the catalog's facts -> a table, pure       decode, types        cells, pure
//!   slot, timeline, publication, catalog, session   what the server says and is told
//!   check, cleanup, tail    before, after, and beside a run
//! ```
//!
//! **Nothing is confirmed that is not stored.** The only place of the log that the server is ever told as flushed is
//! what [`connector::Durable`] holds; so the server keeps all that may be needed again, and a restart begins at the
//! stored position. It begins nowhere else: the server would silently go on from the slot's own position when that is
//! later, so the two are compared first, and a slot that is ahead is a stop.
//!
//! # Codes
//!
//! | code | what happened | what mends it |
//! |---|---|---|
//! | `connection` (again) | the connection broke, or the server takes none now | nothing: it is tried again |
//! | `server-stopping` (again) | the server shuts down and waits for what is not stored yet | nothing |
//! | `stream-ended` (again) | the server ended the stream, as it does when it shuts down | nothing |
//! | `connect` | no session: credentials, TLS, `pg_hba.conf`, the database's name | what the message names |
//! | `config` | the configuration is wrong | what the message names |
//! | `server-too-old` | before version 14 | a newer server |
//! | `rights` | a statement was refused for want of rights, or row security would hide rows | the `GRANT` that `check` prints; `ALTER ROLE .. BYPASSRLS` |
//! | `refused`, `protocol` | the server refused a statement, or answered what it never should | a report with the message |
//! | `publication` | it lacks tables or options and may not be changed by us | the statement in the message |
//! | `table-missing` | a table was dropped between two looks | `run` again |
//! | `table-has-history` | another table has taken the name of one that was captured | empty the topic, or `readd = "truncate"` |
//! | `orphan` | slots of our name exist and no position is stored | `afterimage drop` |
//! | `slot-renamed` | option `slot` was changed | set it back, or `afterimage reset` |
//! | `slot-in-use` | another client reads our slot | end it; or another name for one of the two |
//! | `slot-unusable` | the slot is of another plug-in, database or kind | drop it, `afterimage reset` |
//! | `gap` | the slot is gone, invalidated, or was moved on by somebody; or tables were taken out of the publication | `afterimage reset`: a new copy |
//! | `diverged` | the server never had the stored position: restored, promoted too early, another one | the right server; else `afterimage reset` |
//! | `replay-mismatch` | a transaction that was cut is not what it was | `afterimage reset`, and a report |
//! | `undecodable` | a message or value that cannot be read; it is never skipped | a report with the message |
//! | `temporary-slot` | the session of a look has ended, and its slot with it | begin again |

mod catalog;
mod check;
mod cleanup;
pub mod client;
mod config;
mod decode;
mod failure;
mod gauges;
mod origin;
mod pattern;
mod pin;
mod position;
mod publication;
mod schema;
mod session;
mod slot;
mod snapshot;
mod source;
mod split;
mod stream;
mod tail;
mod timeline;
mod transaction;
pub mod types;

pub use check::check;
pub use cleanup::{Leavings, drop_all, drop_slots, leavings};
pub use config::{Config, ConfigError, Secret, TlsChoice, UnknownTypes};
pub use decode::RowError;
pub use failure::Stop;
pub use origin::origin;
pub use position::PostgresPosition;
pub use snapshot::PostgresSnapshot;
pub use source::PostgresSource;
pub use transaction::LogError;
