//! A change becomes keyed messages: which topic, which key, which shape, which bytes.
//!
//! ```text
//! Table ----shape----> Schema: a tree, every leaf bound to where its value is found    once a table version
//! Schema ---encoder--> a flat plan of the encoder's own; the registry may be asked
//!
//! Batch --prepare----> plans for all its tables (the only waiting)                     once a batch
//!       --encode-----> Encoded: messages over one buffer, ready for a sink             per row, no allocation
//! ```
//! A sink that suspends in [`Pipeline::prepare`] has nothing of the batch on its way yet, so a registry that is down
//! holds back data and position alike.
//!
//! Shapes, names and types are those of Debezium 3.6.1, so that what reads its topics reads these. Where that would
//! lose something it is not followed, each place says so: a null in a column with a default stays null here (Connect's
//! converters write the default), NaN in a decimal stops, intervals are exact.

mod calendar;
mod conversion;
mod decimal;
mod default;
mod encoded;
mod encoder;
mod error;
mod json;
mod kind;
mod names;
mod pipeline;
mod schema;
mod scope;
mod settings;
mod shape;
mod task;
mod topics;

pub use conversion::{Conversion, Datum, Fault, Scratch, little_endian};
pub use encoded::{Cursor, Encoded, Message};
pub use encoder::{Encoder, FieldFault, PlanId, Prepare, Prepared, Request, Role};
pub use error::PipelineError;
pub use json::{JsonEncoder, JsonNumbers};
pub use kind::{DECIMAL, PLACEHOLDER, point_wkb};
pub use pipeline::{Counts, Pipeline};
pub use schema::{Binding, Field, Form, Image, Literal, Part, Schema, Unit};
pub use scope::{Scope, Tally};
pub use settings::{Absent, Decimals, Settings, Shape, Specials, Truncate};
pub use topics::{Topic, TopicIndex, TopicKind, collection};
