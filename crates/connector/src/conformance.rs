//! What every source and every sink must do, as checks that run against a real one.
//!
//! A crate that implements the contract says in its tests how to make one and how to look behind it ([`SinkBench`],
//! [`SourceBench`]) and calls [`check_sink`] or [`check_source`]. The checks panic with the sentence that does not hold.

mod sink;
mod source;

pub use sink::{SinkBench, check_sink, sample_batch};
pub use source::{SourceBench, Step, check_source};
