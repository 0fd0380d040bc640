//! The judges: everything here sees the connector from outside only, through a real database, broker and registry.
//!
//! ```text
//!   Database --SQL--> PostgreSQL --> afterimage run (Connector) --> Kafka --> Topics --> avro::decode --> verdict
//!      |                                                                                    ^
//!      +-- the tables, the ledger of what was committed ------------------------------------+
//! ```
//! No crate of the connector is used, and no decision of it is trusted: the database is asked with another client, bytes
//! are decoded here again, and quiescence is told by a row of a table of our own ([`sentinel`]), not by the connector.

pub mod avro;
pub mod connector;
pub mod database;
pub mod debezium;
pub mod files;
pub mod gate;
pub mod kills;
pub mod ledger;
pub mod proxy;
pub mod registry;
pub mod scenario;
pub mod secure;
pub mod sentinel;
pub mod server;
pub mod shop;
pub mod stack;
pub mod topics;
pub mod viewer;

/// Failures of a judge are told to a person; nobody decides anything by their kind.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with all that led to it, in one line.
pub fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
