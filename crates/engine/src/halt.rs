use std::future::Future;

use connector::Failure;

use crate::Stop;

/// What ends an attempt before its end.
#[derive(Debug)]
pub(crate) enum Halt {
    Stopped,
    /// Begin again from what is stored, without a pause.
    Again,
    Failed(Failure),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Halt::Failed(failure)
    }
}

/// Waits for what may take long and can be dropped half way.
pub(crate) async fn unless_stopped<T>(
    stop: &mut Stop,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Halt> {
    tokio::select! {
        biased;
        () = stop.asked() => Err(Halt::Stopped),
        done = work => Ok(done?),
    }
}
