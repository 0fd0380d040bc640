use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970 UTC: the one look at the wall clock, for times that people and messages are told. Nothing
/// is ordered or decided by it.
#[expect(clippy::disallowed_methods, reason = "the edge of the process, where time comes in")]
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
