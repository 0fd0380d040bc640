//! PostgreSQL as a source of changes.

pub mod client;
mod config;
mod decode;
mod origin;
mod pattern;
mod position;
mod schema;
mod split;
mod transaction;
pub mod types;

pub use config::{Config, ConfigError, Secret, TlsChoice, UnknownTypes};
pub use origin::origin;
pub use position::PostgresPosition;
