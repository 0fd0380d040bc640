//! What the Kafka client tells of itself while it works: deliveries, lost connections, errors, log lines.
//!
//! ```text
//! broker thread --FAIL, REQTMOUT--> client's queue --poll--> Watch.troubles
//!               --EndTxn again----> answer ----------------> commit returns
//! ```
//! The client repeats requests by itself when a connection is lost or an answer does not come in time, and says so in
//! log lines only. They are queued before the request is repeated, so whoever empties the queue after a commit has
//! returned has seen all of them: that is how a commit's first, perhaps delayed, copy is noticed. The client holds back
//! a line that is equal to the last one for 30 s; therefore one trouble finishes a producer for good, whenever in
//! its life it came.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use tokio::sync::Notify;

/// What a message is, for its delivery report.
pub(crate) const DATA: usize = 0;
pub(crate) const POSITION: usize = 1;

/// Counts and last words of one client.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Whatever was told, so that a reader of the queue sees that it was not empty.
    told: AtomicU64,
    troubles: AtomicU64,
    delivered: AtomicU64,
    delivered_bytes: AtomicU64,
    position_offset: AtomicI64,
    undelivered: Mutex<Option<Undelivered>>,
    problem: Mutex<Option<Problem>>,
    room: Notify,
}

/// The first message that was not taken.
#[derive(Debug, Clone, thiserror::Error)]
#[error("a message to {topic} was not taken: {code}")]
pub(crate) struct Undelivered {
    pub(crate) topic: String,
    pub(crate) code: RDKafkaErrorCode,
}

/// The last error that the client told outside of any call.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) reason: String,
}

impl Problem {
    /// The documented code.
    pub(crate) fn name(&self) -> &'static str {
        match self.code {
            RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::UnsupportedSASLMechanism
            | RDKafkaErrorCode::IllegalSASLState => "not-authenticated",
            RDKafkaErrorCode::SSL => "tls-failed",
            // A handshake that ends with the connection counts as a connection lost.
            _ if self.reason.contains("SSL handshake failed") => "tls-failed",
            _ => "brokers-unreachable",
        }
    }

    /// Trying again with the same settings gives the same.
    pub(crate) fn is_lasting(&self) -> bool {
        self.name() != "brokers-unreachable"
    }
}

impl Watch {
    pub(crate) fn told(&self) -> u64 {
        self.told.load(Ordering::Acquire)
    }

    /// Connections lost and requests timed out so far.
    pub(crate) fn troubles(&self) -> u64 {
        self.troubles.load(Ordering::Acquire)
    }

    /// Messages taken so far.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }

    /// Bytes of keys and values no longer held, taken or not.
    pub(crate) fn delivered_bytes(&self) -> u64 {
        self.delivered_bytes.load(Ordering::Acquire)
    }

    /// The highest offset in the position topic that was given to a record of ours.
    pub(crate) fn position_offset(&self) -> i64 {
        self.position_offset.load(Ordering::Acquire)
    }

    pub(crate) fn undelivered(&self) -> Option<Undelivered> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn problem(&self) -> Option<Problem> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something that was queued is no longer. A report's messages leave the queue only when the report is dropped,
    /// which is after [`delivery`](ProducerContext::delivery) has been called for them.
    pub(crate) fn make_room(&self) {
        self.room.notify_one();
    }

    /// Waits until something that was queued is no longer. May return once too often.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    fn tell(&self) {
        self.told.fetch_add(1, Ordering::AcqRel);
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.tell();
        match facility {
            "FAIL" | "REQTMOUT" => {
                self.troubles.fetch_add(1, Ordering::AcqRel);
                tracing::info!(target: "kafka_client", facility, "{message}");
                return;
            }
            // Settings of the producer are given to the readers too, which say that they do not need them.
            "CONFWARN" => {
                tracing::debug!(target: "kafka_client", facility, "{message}");
                return;
            }
            _ => {}
        }
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => {
                tracing::warn!(target: "kafka_client", facility, "{message}");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "kafka_client", facility, "{message}");
            }
            RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "kafka_client", facility, "{message}");
            }
        }
    }

    fn stats_raw(&self, _: &[u8]) {
        self.tell();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.tell();
        let Some(code) = error.rdkafka_error_code() else { return };
        if code == RDKafkaErrorCode::PartitionEOF {
            return;
        }
        tracing::debug!(target: "kafka_client", ?code, "{reason}");
        let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down says less than why the last one is.
        if code != RDKafkaErrorCode::AllBrokersDown || problem.is_none() {
            *problem = Some(Problem { code, reason: reason.to_owned() });
        }
    }
}

impl ConsumerContext for Watch {}

impl ProducerContext for Watch {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, what: usize) {
        let message = match result {
            Ok(message) => {
                if what == POSITION {
                    self.position_offset.fetch_max(message.offset(), Ordering::AcqRel);
                }
                self.delivered.fetch_add(1, Ordering::AcqRel);
                message
            }
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                let mut first = self.undelivered.lock().unwrap_or_else(PoisonError::into_inner);
                if first.is_none() {
                    *first = Some(Undelivered { topic: message.topic().to_owned(), code });
                }
                message
            }
        };
        let bytes = message.payload_len() + message.key_len();
        self.delivered_bytes.fetch_add(bytes as u64, Ordering::AcqRel);
        self.tell();
    }
}
