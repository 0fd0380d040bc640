use tokio::sync::watch;

/// Asks a running engine to end behind the running commit. Dropping it asks for nothing.
#[derive(Debug, Clone)]
pub struct StopSender(watch::Sender<bool>);

#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

pub fn stop() -> (StopSender, Stop) {
    let (sender, receiver) = watch::channel(false);
    (StopSender(sender), Stop(receiver))
}

impl StopSender {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Never a signal.
    pub fn never() -> Self {
        stop().1
    }

    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when asked to stop; never, when nobody can ask any more. Cancel safe.
    pub async fn asked(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
