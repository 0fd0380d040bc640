//! Copy, then follow: the only place where a source and a sink meet.
//!
//! ```text
//! run.rs       attempts, one after another, each from what is stored; commit; proof of ownership
//! start.rs     recovered state -> pin -> catch up -> copy -> follow
//! tables.rs    which tables are followed, which are to be copied                              pure
//! copy.rs      readers' rows and progress into the same transactions
//! follow.rs    the stream's batches, in order
//! cadence.rs   when a transaction is closed                                                    pure
//! progress.rs  what the next commit makes durable                                              pure
//! stream.rs, readers.rs                                  the source's tasks and their queues
//! ```
//! The engine knows no database and no broker, keeps nothing on disk, and reads no clock but tokio's: the simulation
//! runs this code, not a model of it.

mod backoff;
mod cadence;
mod copy;
mod follow;
mod halt;
mod mutant;
mod progress;
mod readers;
mod run;
mod settings;
mod start;
mod status;
mod stop;
mod stream;
mod tables;
mod tally;

#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use run::{Ended, run};
pub use settings::{Backoff, CopyMode, Limits, Readd, Settings};
pub use status::{Copying, Counters, Doing, Phase, Status, StatusReceiver, StatusSender, status};
pub use stop::{Stop, StopSender, stop};
