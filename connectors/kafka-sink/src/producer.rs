//! One librdkafka producer with a thread of its own.
//!
//! The thread runs what blocks (init, begin, commit) and empties the client's queue of delivery reports meanwhile and
//! between; messages are enqueued from the caller's task, which never blocks. After any error a producer is dropped,
//! never mended: whether what it sent counts is told by the position topic alone.
//!
//! A commit in the client polls in steps of 100 ms while anything is in flight, so everything is first brought to the
//! brokers and acknowledged by [`drain`], which keeps cutting the client's waiting for fuller requests short.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::Error;
use crate::settings::{Role, Settings};
use crate::watch::Watch;

/// How often delivery reports are collected while messages are on their way, and otherwise.
const BUSY: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(200);
/// Between two looks while a commit waits for the last acknowledgements.
const DRAIN: Duration = Duration::from_micros(200);
/// Waited for an answer beyond its own deadline before the thread counts as hung.
const GRACE: Duration = Duration::from_secs(5);

type Client = BaseProducer<Watch>;
type Job = Box<dyn FnOnce(&Client) + Send>;

/// A record ready to be enqueued: [`Record::what`] is [`crate::watch::DATA`] or [`crate::watch::POSITION`].
pub(crate) type Record<'a> = BaseRecord<'a, [u8], [u8], usize>;

pub(crate) struct Producer {
    client: Arc<Client>,
    jobs: mpsc::Sender<Job>,
    busy: Arc<AtomicBool>,
    transactional: bool,
    sent: u64,
    sent_bytes: u64,
    /// Some of its past is not known: not to be used for another transaction.
    finished: bool,
}

/// What a commit found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The client asked more than once, or may have: a copy of the request may still arrive.
    pub(crate) repeated: bool,
}

impl Producer {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let client: Client =
            settings.client(Role::Producer).create_with_context(Watch::default())?;
        let client = Arc::new(client);
        let (jobs, queue) = mpsc::channel();
        let busy = Arc::new(AtomicBool::new(false));
        let (served, watched) = (Arc::clone(&client), Arc::clone(&busy));
        thread::Builder::new()
            .name("kafka-producer".to_owned())
            .spawn(move || serve(&served, &queue, &watched))
            .map_err(Error::Thread)?;
        let transactional = settings.is_exactly_once();
        Ok(Self { client, jobs, busy, transactional, sent: 0, sent_bytes: 0, finished: false })
    }

    pub(crate) fn watch(&self) -> &Arc<Watch> {
        self.client.context()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(crate) fn queued_bytes(&self) -> u64 {
        self.sent_bytes.saturating_sub(self.watch().delivered_bytes())
    }

    /// Shuts out every producer of the same name and ends what it left open.
    pub(crate) async fn init(&self, deadline: Duration) -> Result<(), Error> {
        if !self.transactional {
            return Ok(());
        }
        let ended = self.run(deadline, move |client| client.init_transactions(deadline)).await?;
        ended.map_err(|error| self.explain(error))
    }

    pub(crate) async fn begin(&self, deadline: Duration) -> Result<(), Error> {
        self.busy.store(true, Ordering::Release);
        let transactional = self.transactional;
        let begin = move |client: &Client| match transactional {
            true => client.begin_transaction(),
            false => Ok(()),
        };
        self.run(deadline, begin).await?.map_err(|error| self.explain(error))
    }

    /// Number of partitions of a topic; None when it does not exist.
    pub(crate) async fn partitions(
        &self,
        topic: &str,
        deadline: Duration,
    ) -> Result<Option<i32>, Error> {
        let topic = topic.to_owned();
        let ask = move |client: &Client| {
            let metadata = client.client().fetch_metadata(Some(&topic), deadline)?;
            crate::reader::partitions(&metadata, &topic)
        };
        self.run(deadline, ask).await?
    }

    /// Queues one record, waiting for room while the queue is full.
    pub(crate) async fn send(
        &mut self,
        mut record: Record<'_>,
        deadline: Duration,
    ) -> Result<(), Error> {
        let bytes = record.key.map_or(0, <[u8]>::len) + record.payload.map_or(0, <[u8]>::len);
        loop {
            match self.client.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    if tokio::time::timeout(deadline, self.watch().room()).await.is_err() {
                        return Err(Error::Deadline);
                    }
                }
                Err((error, _)) => return Err(self.explain(error)),
            }
        }
        self.sent += 1;
        self.sent_bytes += bytes as u64;
        Ok(())
    }

    /// Fails when a message was not taken: nothing of its transaction may be committed.
    pub(crate) fn intact(&self) -> Result<(), Error> {
        match self.watch().undelivered() {
            None => Ok(()),
            Some(undelivered) => Err(self.fatal().unwrap_or(Error::Undelivered(undelivered))),
        }
    }

    /// Returns when everything that was sent is acknowledged by all replicas.
    pub(crate) async fn settle(&mut self, deadline: Duration) -> Result<(), Error> {
        let until = Instant::now() + deadline;
        self.run(deadline, move |client| drain(client, until)).await??;
        self.intact()?;
        let (sent, delivered) = (self.sent, self.watch().delivered());
        if sent != delivered {
            return Err(Error::Miscounted { sent, delivered });
        }
        Ok(())
    }

    /// Makes all that was sent since [`begin`](Self::begin) durable, or fails without knowing.
    pub(crate) async fn commit(&mut self, deadline: Duration) -> Result<Committed, Error> {
        self.settle(deadline).await?;
        self.busy.store(false, Ordering::Release);
        if !self.transactional {
            return Ok(Committed { repeated: false });
        }
        let until = Instant::now() + deadline;
        let commit = move |client: &Client| {
            let mut attempts = 0;
            let answer = loop {
                attempts += 1;
                let left = until.saturating_duration_since(Instant::now());
                match client.commit_transaction(left) {
                    Err(KafkaError::Transaction(error))
                        if error.is_retriable() && Instant::now() < until => {}
                    answer => break answer,
                }
            };
            empty(client);
            answer.map(|()| attempts)
        };
        let attempts: u32 =
            self.run(deadline, commit).await?.map_err(|error| self.explain(error))?;
        let repeated = attempts > 1 || self.watch().troubles() > 0;
        self.finished |= repeated;
        Ok(Committed { repeated })
    }

    /// Runs `job` on the producer's thread. When it does not come back in time, whatever it waits for is left behind.
    async fn run<T: Send + 'static>(
        &self,
        deadline: Duration,
        job: impl FnOnce(&Client) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |client| {
            // Nobody listens when the caller was cancelled: then the producer is dropped too.
            let _ = answer.send(job(client));
        });
        self.jobs.send(job).map_err(|_| Error::Hung)?;
        match tokio::time::timeout(deadline + GRACE, answered).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) | Err(_) => Err(Error::Hung),
        }
    }

    fn fatal(&self) -> Option<Error> {
        let (code, _) = self.client.client().fatal_error()?;
        crate::error::is_fencing(code).then_some(Error::Fenced)
    }

    /// A fatal error hides behind a general code; what it is decides how to begin again.
    fn explain(&self, error: KafkaError) -> Error {
        match Error::from(error) {
            Error::Fenced => Error::Fenced,
            error => self.fatal().unwrap_or(error),
        }
    }
}

fn serve(client: &Client, jobs: &mpsc::Receiver<Job>, busy: &AtomicBool) {
    loop {
        let pause = if busy.load(Ordering::Acquire) { BUSY } else { IDLE };
        match jobs.recv_timeout(pause) {
            Ok(job) => job(client),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        empty(client);
    }
}

/// Takes all that the client has to tell, without waiting.
fn empty(client: &Client) {
    loop {
        let told = client.context().told();
        client.poll(Duration::ZERO);
        if client.context().told() == told {
            return;
        }
        client.context().make_room();
    }
}

/// Waits until nothing is in flight. A flush without waiting makes the client send at once what it holds back for a
/// fuller request; it must be asked again and again, since a broker's thread that wakes too late does not see it.
fn drain(client: &Client, until: Instant) -> Result<(), Error> {
    loop {
        // Fails as long as something is in flight: that is what the loop asks for itself.
        let _ = client.flush(Duration::ZERO);
        empty(client);
        if client.in_flight_count() == 0 {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(Error::Deadline);
        }
        thread::park_timeout(DRAIN);
    }
}

#[cfg(test)]
mod tests;
