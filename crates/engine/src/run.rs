use connector::{Failure, Sink, Source};

use crate::{Settings, StatusSender, Stop};

/// Why a run ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Asked to, through [`Stop`].
    Stopped,
    /// [`CopyMode::Only`](crate::CopyMode::Only), and the copy is done.
    Copied,
}

/// Copies and follows until asked to stop or until going on would be wrong.
pub async fn run<S, K>(
    _source: S,
    _sink: K,
    _settings: Settings,
    _status: StatusSender,
    _stop: Stop,
) -> Result<Ended, Failure>
where
    S: Source + 'static,
    K: Sink<Position = S::Position> + 'static,
{
    Err(Failure::definite("unfinished", "running", "the engine's loop is not written yet"))
}
