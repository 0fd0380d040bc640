//! PostgreSQL as a source of changes.

pub mod client;
