//! A change becomes keyed messages: which topic, which key, which shape, which bytes.
//!
//! ```text
//! Batch --prepare--> schemas known to the encoder (the registry may be asked: the only waiting)
//!       --encode---> Encoded: messages over one buffer, ready for a sink
//! ```
//! A sink that suspends in [`Pipeline::prepare`] has nothing of the batch on its way yet, so a registry that is down
//! holds back data and position alike.

mod encoder;
mod pipeline;

pub use encoder::Encoder;
pub use pipeline::{
    Cursor, Encoded, Message, Pipeline, PipelineError, Topic, TopicIndex, TopicKind,
};
