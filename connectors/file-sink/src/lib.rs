//! Changes as lines of JSON, on standard output or in a file, and a position beside them.
//!
//! ```text
//! Batch --Pipeline--> messages --> {"topic":..,"key":..,"value":..}\n --> buffer --> file or stdout
//! commit:  flush (buffer written, file synced)   then   save (one SQLite transaction, synced)
//! ```
//! Data and position are two systems, so a crash between the two steps of a commit writes some lines again; because
//! the data is durable first, none is lost. [`LineSink`] says so in its type: it is an `AtLeastOnce`.
//!
//! A process that dies in the middle of a write may leave half a line at the end of the file. Its change was not
//! committed, so it comes again: [`LineWriter`] cuts the torn end off before anything is written behind it, and every
//! line of the file is whole JSON. Two processes cannot write to one file: the position's lock is held for life.

mod config;
mod line;
mod offsets;
mod output;
mod writer;

use connector::AtLeastOnce;

pub use config::{FileConfig, StdoutConfig, check};
pub use offsets::{Offsets, PositionError, SqliteOffsets, forget};
pub use output::{Output, OutputError};
pub use writer::LineWriter;

/// Lines and a position, kept apart.
pub type LineSink<P> = AtLeastOnce<LineWriter, Offsets<P>>;
