//! PostgreSQL as a source of changes.

mod catalog;
mod check;
mod cleanup;
pub mod client;
mod config;
mod decode;
mod failure;
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
