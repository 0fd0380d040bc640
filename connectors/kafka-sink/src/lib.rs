//! The Kafka sink: messages and the position behind them become visible together, or neither does.
//!
//! ```text
//! sink.rs      batch -> messages (message::Pipeline) -> log.rs
//! log.rs       transactions: begin, send, position last, commit
//! recover.rs   init, read, claim, compare: the only way back after any error
//! owner.rs     who may write
//! position.rs  what stands in the position topic
//! producer.rs  librdkafka's producer on a thread of its own; watch.rs: what it tells
//! reader.rs    reading topics; topics.rs: making them
//! ```
//! The position topic `__afterimage.<name>` is written in the transaction of the data that it covers, under the
//! transactional id `afterimage.<name>`, whose epoch is the only lock there is.

mod check;
mod config;
mod error;
mod log;
mod manage;
mod meters;
mod owner;
mod partition;
mod position;
mod producer;
mod reader;
mod recover;
mod settings;
mod sink;
mod stamp;
mod topics;
mod watch;

pub use check::{Target, check};
pub use config::{
    CleanupPolicy, Compression, Config, Delivery, Mechanism, Partitioner, Sasl, Tls, TopicRules,
};
pub use manage::{Listing, Reset, drop_topics, list_topics, peek, reset};
pub use settings::ConfigError;
pub use sink::{Clock, KafkaSink};
