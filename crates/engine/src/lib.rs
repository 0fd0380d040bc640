//! Copy, then follow: the only place where a source and a sink meet.

mod run;
mod settings;
mod status;
mod stop;

pub use run::{Ended, run};
pub use settings::{Backoff, CopyMode, Limits, Readd, Settings};
pub use status::{Copying, Counters, Doing, Phase, Status, StatusReceiver, StatusSender, status};
pub use stop::{Stop, StopSender, stop};
