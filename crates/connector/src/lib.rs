//! The contract between the engine and everything that speaks to the outside.
//!
//! ```text
//!            Outlet<P>: (Batch, Mark<P>) and room in bytes             Batch            Checkpoint<P>
//! Source ------------------------------------------------> engine ----------> Sink <----------------+
//!    ^                                                        |                                     |
//!    +------------------- Durable<P>: what may be confirmed --+---------- commit: data and position +
//! ```
//! A [`Source`] turns a log into batches and says with a [`Mark`] where a restart may begin; a [`Sink`] makes
//! data and [`Checkpoint`] durable *together*. There is no other store of positions, so data and position cannot
//! disagree, and after any fault everything in memory is thrown away: [`Sink::recover`] decides what happened.
//!
//! A position is an associated type, not a trait object: a source and its stored positions meet in one generic
//! `run`, and the binary's one `match` over the configured kinds is the only place that names both.

mod at_least_once;
mod checkpoint;
#[cfg(feature = "conformance")]
pub mod conformance;
mod copy;
mod failure;
mod finding;
mod outlet;
mod position;
mod sink;
mod source;

pub use at_least_once::{AtLeastOnce, OffsetStore, Writer};
pub use checkpoint::{Checkpoint, Identity, Stored, TableState};
pub use copy::{Chunk, ChunkMark, CopyState, TableCopy};
pub use failure::{Failure, FailureKind};
pub use finding::{Finding, Severity};
pub use outlet::{Durable, DurableSender, Item, Outlet, OutletReceiver, Room, durable, outlet};
pub use position::{Mark, Open, Position, Resume};
pub use sink::Sink;
pub use source::{CopyId, Pin, Pinned, Snapshot, Source, Stopped};
