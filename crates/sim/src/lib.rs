//! The engine between a model database and a model broker, under seeded faults.
//!
//! ```text
//! world.rs      chance, steps, processes that sleep or end
//! database.rs   tables, log, slots        source.rs, snapshot.rs   the source over it
//! broker.rs     one log, epochs           sink.rs                  the sink over it
//! run.rs        a workload, faults, then quiet                     check.rs   what must be true
//! mutant.rs     rules left out, each of which must be caught
//! ```
//! The engine is the real one; the source and the sink follow the rules that the real ones follow. A rule that is put
//! back to its careless reading must break something here, or this proves nothing.

#[cfg(test)]
mod behaviour;
mod broker;
mod check;
#[cfg(test)]
mod conformance;
mod database;
mod mutant;
mod run;
mod sink;
mod snapshot;
mod source;
mod world;

pub use database::Lsn;
pub use mutant::Mutant;
pub use run::{Report, simulate};
pub use sink::ModelSink;
pub use source::ModelSource;
pub use world::World;
