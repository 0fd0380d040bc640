//! What an operator watches of the log: how far we are behind it, and how much of it the server keeps for us.

use metrics::{Unit, describe_gauge, gauge};
use postgres_replication::Lsn;

use crate::client::{Client, SessionError};

const LAG: &str = "afterimage_source_lag_bytes";
const RETAINED: &str = "afterimage_source_retained_bytes";

pub(crate) fn describe() {
    describe_gauge!(LAG, Unit::Bytes, "log received and not yet stored");
    describe_gauge!(RETAINED, Unit::Bytes, "log that the server keeps because of our slot");
}

/// `received`: the end of the log as the server last told it.
pub(crate) fn lag(received: Lsn, durable: Lsn) {
    gauge!(LAG).set(received.0.saturating_sub(durable.0) as f64);
}

/// Asks the server what it keeps for the active slot of this prefix.
pub(crate) async fn retained(client: &mut Client, prefix: &str) -> Result<(), SessionError> {
    const SQL: &str = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) AS retained \
        FROM pg_replication_slots WHERE active AND starts_with(slot_name, $1) \
        AND database = current_database() AND restart_lsn IS NOT NULL";
    let rows = client.query(SQL, &[Some(prefix)]).await?;
    if let Some(bytes) = rows.get(0, "retained").and_then(|text| text.parse::<f64>().ok()) {
        gauge!(RETAINED).set(bytes.max(0.0));
    }
    Ok(())
}
