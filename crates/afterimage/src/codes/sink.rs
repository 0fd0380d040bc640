//! Codes of Kafka and of files.

use super::{BY_ITSELF, Code, code};

pub(super) const CODES: &[Code] = &[
    code(
        "brokers-unreachable",
        "No broker answers.",
        "nothing, if it passes; else see that sink.brokers, sink.tls and sink.sasl are right",
    ),
    code("kafka", "Kafka reported an error that may pass.", BY_ITSELF),
    code("kafka-deadline", "A request to Kafka took longer than sink.deadline_ms.", BY_ITSELF),
    code("producer-hung", "The Kafka client did not answer. A new one takes its place.", BY_ITSELF),
    code(
        "producer-fenced",
        "The producer's epoch is no longer the newest. Whether somebody took over is looked at before anything else.",
        BY_ITSELF,
    ),
    code(
        "delivery-failed",
        "A message was not acknowledged. Its transaction is thrown away and sent again.",
        BY_ITSELF,
    ),
    code(
        "not-recovered",
        "The sink was used before it had recovered: a defect of this program.",
        "report it to the project",
    ),
    code(
        "not-authorized",
        "Kafka's access rules forbid what is needed; the resource is in the message.",
        "`afterimage check FILE` prints the rules that are missing",
    ),
    code(
        "not-authenticated",
        "The brokers refuse the credentials.",
        "correct sink.sasl: mechanism, username, password",
    ),
    code(
        "tls-failed",
        "No encrypted connection to a broker came about.",
        "correct sink.tls: ca, cert, key; or the brokers' names",
    ),
    code(
        "topic-missing",
        "A topic does not exist and may not be made, or the broker refuses to make it.",
        "make the topic, set sink.topics.create = true, or give the right to create it",
    ),
    code(
        "partitions-changed",
        "A topic has another number of partitions than before: keys would move and lose their order.",
        "make it again with the number in the message; or `afterimage reset FILE`, which copies all tables again",
    ),
    code(
        "key-schema-changed",
        "The registry gives an unchanged key another schema number, which stands in the key's bytes and would move it \
         to another partition.",
        "restore the registry's number, or set sink.partitioner = \"stable\" and `afterimage reset FILE`",
    ),
    code(
        "record-too-large",
        "A record is larger than allowed; its table and key are in the message.",
        "raise sink.record_bytes_max and the topic's max.message.bytes, or leave the column out",
    ),
    code(
        "record-refused",
        "A broker refuses a record for good; the reason is in the message.",
        "see the topic's settings, such as its cleanup policy and validation",
    ),
    code(
        "broker-version",
        "The brokers are older than Kafka 3.6, which exactly-once needs: a late request can open a transaction that \
         never ends.",
        "upgrade the brokers, or set sink.delivery = \"at-least-once\"",
    ),
    code(
        "verification-off",
        "The brokers do not verify transactions' partitions: a late request can open a transaction that never ends.",
        "set transaction.partition.verification.enable = true on every broker",
    ),
    code(
        "transaction-timeout",
        "The brokers do not allow transactions as long as sink.transaction_timeout_ms.",
        "lower sink.transaction_timeout_ms, or raise transaction.max.timeout.ms on the brokers",
    ),
    code(
        "few-copies",
        "Losing one broker can lose what was written: fewer than three copies, or fewer than two in sync.",
        "three brokers, replication.factor = 3 and min.insync.replicas = 2",
    ),
    code(
        "keyless-compacted",
        "A topic is compacted, but its table has no key: all records but the last would go.",
        "set cleanup.policy=delete on the topic, or give the table a primary key",
    ),
    code(
        "position-policy",
        "The position topic is not only compacted: the position would be forgotten after a while.",
        "set cleanup.policy=compact on the position topic",
    ),
    code("tls-file", "A file of sink.tls cannot be read.", "correct the path in [sink.tls]"),
    code(
        "topics-will-be-made",
        "Some topics do not exist yet; the first run makes them.",
        "nothing",
    ),
    code(
        "output-unwritable",
        "The output file cannot be opened or written.",
        "see that its directory exists, that this user may write there and that the disk has room",
    ),
    code(
        "output-closed",
        "Whoever read the output has gone. The process ends in peace.",
        "nothing",
    ),
];
