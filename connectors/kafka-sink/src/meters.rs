use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// Handles made once; counting is an atomic addition.
pub(crate) struct Meters {
    pub(crate) transactions: Counter,
    pub(crate) commit_seconds: Histogram,
    pub(crate) renewals: Counter,
    /// Messages on their way, by keys and values.
    pub(crate) queue_bytes: Gauge,
}

pub(crate) struct TopicMeters {
    messages: Counter,
    bytes: Counter,
}

impl Meters {
    pub(crate) fn new() -> Self {
        Self {
            transactions: counter!("afterimage_sink_transactions_total"),
            commit_seconds: histogram!("afterimage_sink_commit_seconds"),
            renewals: counter!("afterimage_sink_producer_renewals_total"),
            queue_bytes: gauge!("afterimage_sink_queue_bytes"),
        }
    }
}

impl TopicMeters {
    pub(crate) fn new(topic: &str) -> Self {
        Self {
            messages: counter!("afterimage_sink_messages_total", "topic" => topic.to_owned()),
            bytes: counter!("afterimage_sink_bytes_total", "topic" => topic.to_owned()),
        }
    }

    pub(crate) fn count(&self, bytes: usize) {
        self.messages.increment(1);
        self.bytes.increment(bytes as u64);
    }
}
