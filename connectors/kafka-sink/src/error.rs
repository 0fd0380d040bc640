use std::fmt;

use connector::{Failure, FailureKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::watch::{Problem, Undelivered};

/// Why the sink cannot go on. Never holds a row's values or a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Kafka(Cause),
    #[error("no broker of {brokers} answers{}", reason(.problem))]
    Unreachable { brokers: String, problem: Option<Problem> },
    #[error("the client did not answer within its deadline")]
    Hung,
    #[error("nothing can be written before what is stored was read")]
    Lost,
    #[error("there was no answer within the deadline")]
    Deadline,
    #[error(transparent)]
    Undelivered(#[from] Undelivered),
    #[error("{sent} messages were sent and {delivered} acknowledged")]
    Miscounted { sent: u64, delivered: u64 },
    #[error("another writer has taken over this connector")]
    Fenced,
    #[error("{0} was written by another instance; this one stops")]
    TakenOver(String),
    #[error(
        "the end of {topic} was not reached: its last {missing} offsets belong to a transaction that has not ended"
    )]
    Unreadable { topic: String, missing: i64 },
    #[error("{topic}: {problem}")]
    Corrupt { topic: String, problem: String },
    #[error(
        "{topic} partition {partition} holds records of this connector (incarnation {incarnation}), but no position \
         is stored; `afterimage reset` begins a new incarnation and copies again"
    )]
    Orphan { topic: String, partition: i32, incarnation: u64 },
    #[error(
        "{topic} partition {partition} holds a record with sequence {found}, but the position is stored with sequence \
         {stored}: the position topic has lost its end; `afterimage reset` begins a new incarnation and copies again"
    )]
    Behind { topic: String, partition: i32, found: u64, stored: u64 },
    #[error(
        "{topic} has {found} partitions and had {stored}: keys would move to other partitions and lose their order; \
         recreate it with {stored}, or begin anew with `afterimage reset`"
    )]
    PartitionsChanged { topic: String, found: i32, stored: i32 },
    #[error(
        "topic {topic} does not exist and may not be made; make it, or set topics.create = true"
    )]
    TopicMissing { topic: String },
    #[error("topic {topic} cannot be made: {code}")]
    TopicRefused { topic: String, code: RDKafkaErrorCode },
    #[error(
        "a record of {subject} takes {bytes} bytes and {limit} are allowed; its key is {key}; raise record_bytes_max \
         and the topic's max.message.bytes"
    )]
    RecordTooLarge { subject: String, bytes: usize, limit: usize, key: Key },
    #[error("{0} could not be written as JSON: {1}")]
    Encoding(&'static str, serde_json::Error),
    #[error("{0}")]
    Config(String),
    #[error("{0}")]
    Thread(std::io::Error),
}

/// A client's error without what it may quote of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Cause {
    pub(crate) code: Option<RDKafkaErrorCode>,
    text: String,
}

/// The start of a record's key in hexadecimal, or as text where it is text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    pub(crate) fn new(key: Option<&[u8]>) -> Self {
        const SHOWN: usize = 128;
        let Some(key) = key else { return Self("none".to_owned()) };
        let shown = &key[..key.len().min(SHOWN)];
        let dots = if key.len() > SHOWN { ".." } else { "" };
        let text = match std::str::from_utf8(shown) {
            Ok(text) if text.chars().all(|c| !c.is_control()) => format!("{text}{dots}"),
            _ => {
                let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("0x{hex}{dots}")
            }
        };
        Self(text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn reason(problem: &Option<Problem>) -> String {
    problem.as_ref().map(|problem| format!(": {}", problem.reason)).unwrap_or_default()
}

impl From<KafkaError> for Error {
    fn from(error: KafkaError) -> Self {
        let code = error.rdkafka_error_code();
        let text = match &error {
            KafkaError::ClientConfig(_, _, key, _) => format!("the setting {key} is not accepted"),
            KafkaError::Transaction(cause) => cause.string(),
            error => error.to_string(),
        };
        match code {
            Some(code) if is_fencing(code) => Error::Fenced,
            _ => Error::Kafka(Cause { code, text }),
        }
    }
}

/// Codes that say that a newer producer of the same name was made, by another instance or after a time-out by the
/// coordinator itself.
pub(crate) fn is_fencing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch
    )
}

fn is_denied(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
    )
}

impl Error {
    pub(crate) fn is_fenced(&self) -> bool {
        match self {
            Error::Fenced => true,
            Error::Undelivered(undelivered) => is_fencing(undelivered.code),
            _ => false,
        }
    }

    /// The documented code, and whether trying again may help.
    fn kind(&self) -> (FailureKind, &'static str) {
        use FailureKind::{Definite, Transient};
        match self {
            Error::Kafka(Cause { code: Some(code), .. }) if is_denied(*code) => {
                (Definite, "not-authorized")
            }
            Error::Undelivered(Undelivered { code, .. }) if is_denied(*code) => {
                (Definite, "not-authorized")
            }
            Error::Undelivered(Undelivered {
                code: RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize,
                ..
            }) => (Definite, "record-too-large"),
            Error::Undelivered(Undelivered { code: RDKafkaErrorCode::InvalidRecord, .. }) => {
                (Definite, "record-refused")
            }
            Error::Undelivered(undelivered) if is_fencing(undelivered.code) => {
                (Transient, "producer-fenced")
            }
            Error::Kafka(_) => (Transient, "kafka"),
            Error::Unreachable { problem, .. } => {
                (Transient, problem.as_ref().map_or("brokers-unreachable", Problem::name))
            }
            Error::Hung => (Transient, "producer-hung"),
            Error::Lost => (Transient, "not-recovered"),
            Error::Deadline => (Transient, "kafka-deadline"),
            Error::Undelivered(_) | Error::Miscounted { .. } => (Transient, "delivery-failed"),
            Error::Fenced => (Transient, "producer-fenced"),
            Error::TakenOver(_) => (Definite, "fenced"),
            Error::Unreadable { .. } => (Transient, "position-unreadable"),
            Error::Corrupt { .. } => (Definite, "position-corrupt"),
            Error::Orphan { .. } => (Definite, "orphan"),
            Error::Behind { .. } => (Definite, "position-behind"),
            Error::PartitionsChanged { .. } => (Definite, "partitions-changed"),
            Error::TopicMissing { .. } | Error::TopicRefused { .. } => (Definite, "topic-missing"),
            Error::RecordTooLarge { .. } => (Definite, "record-too-large"),
            Error::Encoding(..) => (Definite, "position-unwritable"),
            Error::Config(_) => (Definite, "config"),
            Error::Thread(_) => (Transient, "no-thread"),
        }
    }

    pub(crate) fn failing(self, doing: &'static str) -> Failure {
        let (kind, code) = self.kind();
        Failure { kind, code, doing, source: Box::new(self) }
    }
}
