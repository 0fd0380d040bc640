//! Broken setups: what is wrong is named before the start, with what mends it, and that really does. At run time a position that
//! cannot be gone on from stops with its code and changes nothing.
//!
//! Everything runs with all logging on, and no output may hold a secret or the words of a panic.

mod broken;
mod rig;
mod setups;
mod sinks;
mod stops;
