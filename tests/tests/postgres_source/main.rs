//! The PostgreSQL source against a real server: what is copied and followed is what was written, wherever it is cut.
//!
//! Every test has a database of its own on the server behind `AFTERIMAGE_STACK_POSTGRES_ADMIN`, a superuser's URL.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod checks;
mod contract;
mod copies;
mod cuts;
mod follow;
mod rig;
mod types;
