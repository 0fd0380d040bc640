//! A client of schema registries that speak Confluent's REST interface.
//!
//! One question matters: which id has this schema under this subject. Registering is that question: the registry
//! answers the id it has or makes one. Answers are kept, since a subject's schema never changes its id.
//!
//! ```text
//! 200                                  the id
//! 409, 422                             stop: schema-incompatible, with the registry's words
//! 401, 403                             stop: registry-unauthorized
//! 3xx, 404, other 4xx, no JSON         stop: registry-redirect, registry-not-found, registry-refused, registry-answer
//! a certificate we do not trust        stop: registry-tls
//! 408, 429, 5xx, time-out, no link     again, with growing pauses, until the patience ends: then transient
//! ```
//! While it waits the sink has nothing of the batch on its way, so the position stays where it is.

mod answer;
mod cache;
mod check;
mod client;
mod config;

pub use check::check;
pub use client::RegistryClient;
pub use config::{Config, ConfigError, Tls};
