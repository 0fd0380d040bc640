//! Records as Avro, in Confluent's framing, with schemas as Debezium's converters register them.
//!
//! ```text
//! message::Schema --text----> the schema's JSON, attribute by attribute in the converters' order
//!                 --compile-> Vec<Op>: one op a leaf, constants encoded already
//! Registry: (subject, text) -> id
//! message: 0x00, id as 4 bytes big-endian, body
//! ```
//! Plans write straight from the batch's cells into the messages' buffer: nothing is allocated per row, and no value
//! passes through a tree of its own.

mod encoder;
mod plan;
mod registry;
mod text;

pub use encoder::AvroEncoder;
pub use registry::{Id, Registry, RegistryError, SchemaText};
pub use text::render;
