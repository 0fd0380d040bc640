//! SIGTERM and SIGINT: the first ends behind the running commit, the second at once. Ending at once is safe too, as the
//! stored position decides what is sent again; it only takes longer to start.

use std::io;

use engine::StopSender;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from now on, so that no signal finds the default action any more.
pub(crate) fn listen(stop: StopSender) -> io::Result<()> {
    let terminate = signal(SignalKind::terminate())?;
    let interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let (mut terminate, mut interrupt) = (terminate, interrupt);
        let name = next(&mut terminate, &mut interrupt).await.0;
        tracing::info!(
            signal = name,
            "ending behind the running commit; a second signal ends at once"
        );
        stop.stop();
        let (name, number) = next(&mut terminate, &mut interrupt).await;
        tracing::warn!(signal = name, "ending at once");
        std::process::exit(128 + number);
    });
    Ok(())
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> (&'static str, i32) {
    tokio::select! {
        _ = terminate.recv() => ("SIGTERM", SignalKind::terminate().as_raw_value()),
        _ = interrupt.recv() => ("SIGINT", SignalKind::interrupt().as_raw_value()),
    }
}
