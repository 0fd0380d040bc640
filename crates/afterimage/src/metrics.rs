//! The metrics' names, units and buckets in one place, and those that are told from the engine's status.
//!
//! Engine and connectors count where things happen; what they count is described here, so that `/metrics` says what
//! each number means before it is first counted.

use engine::{Phase, Status};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::Instant;

/// Seconds: from a commit without a wait to one that waits for a broker's time-out.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

enum Form {
    Counter,
    Gauge,
    Histogram,
}

struct Described {
    name: &'static str,
    form: Form,
    unit: Unit,
    text: &'static str,
}

const fn counter(name: &'static str, text: &'static str) -> Described {
    Described { name, form: Form::Counter, unit: Unit::Count, text }
}

const fn measured(name: &'static str, unit: Unit, text: &'static str) -> Described {
    Described { name, form: Form::Gauge, unit, text }
}

const fn seconds(name: &'static str, text: &'static str) -> Described {
    Described { name, form: Form::Histogram, unit: Unit::Seconds, text }
}

const DESCRIBED: &[Described] = &[
    measured("afterimage_info", Unit::Count, "1; the version is a label"),
    measured(
        "afterimage_up",
        Unit::Count,
        "1 while rows move or would; 0 while starting, pausing before another attempt, or ended",
    ),
    measured("afterimage_hung", Unit::Count, "1 while one step takes far longer than its deadline"),
    measured(
        "afterimage_lag_seconds",
        Unit::Seconds,
        "wall clock minus the commit time of the last transaction made durable; 0 while the source is quiet",
    ),
    measured(
        "afterimage_since_commit_seconds",
        Unit::Seconds,
        "time since something was last made durable",
    ),
    measured("afterimage_copy_tables", Unit::Count, "tables of the running copy"),
    measured(
        "afterimage_copy_tables_done",
        Unit::Count,
        "tables of the running copy that are finished",
    ),
    measured("afterimage_copy_chunks", Unit::Count, "chunks of the running copy"),
    measured(
        "afterimage_copy_chunks_done",
        Unit::Count,
        "chunks of the running copy that are finished",
    ),
    measured("afterimage_copy_bytes", Unit::Bytes, "bytes read by the running copy"),
    measured(
        "afterimage_copy_expected_bytes",
        Unit::Bytes,
        "bytes that the running copy expects to read in all; 0: unknown",
    ),
    counter("afterimage_rows_total", "rows given to the sink, by table and operation"),
    counter("afterimage_rows_copied_total", "copied rows given to the sink"),
    counter("afterimage_changes_total", "changes given to the sink"),
    counter("afterimage_transactions_total", "source transactions given to the sink"),
    counter(
        "afterimage_bytes_total",
        "bytes of rows given to the sink, as they are held in memory",
    ),
    counter(
        "afterimage_schema_versions_total",
        "schemas of a table that were new at their first row, by table",
    ),
    counter("afterimage_commits_total", "commits of the sink"),
    counter("afterimage_cuts_total", "source transactions cut by the time limit"),
    counter("afterimage_retries_total", "attempts that ended in a failure that may pass, by code"),
    seconds("afterimage_commit_seconds", "duration of a commit of the sink"),
    seconds(
        "afterimage_transaction_seconds",
        "age of a transaction of the sink when its commit begins",
    ),
];

/// From now on all counting goes to the handle's pages.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
    for Described { name, form, unit, text } in DESCRIBED {
        match form {
            Form::Counter => describe_counter!(*name, *unit, *text),
            Form::Gauge => describe_gauge!(*name, *unit, *text),
            Form::Histogram => describe_histogram!(*name, *unit, *text),
        }
    }
    gauge!("afterimage_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// Sets what the status says, just before a page is made. `wall`: microseconds since 1970.
pub(crate) fn tell(status: &Status, health: &crate::health::Health, now: Instant, wall: i64) {
    let flag = |name, on: bool| gauge!(name).set(if on { 1.0 } else { 0.0 });
    flag("afterimage_up", health.ready);
    flag("afterimage_hung", !health.alive);
    let lag = match status.committed_at {
        Some(committed) if !health.is_quiet() => {
            (wall.saturating_sub(committed)).max(0) as f64 / 1e6
        }
        _ => 0.0,
    };
    gauge!("afterimage_lag_seconds").set(lag);
    if let Some(commit) = status.last_commit {
        let since = now.saturating_duration_since(commit).as_secs_f64();
        gauge!("afterimage_since_commit_seconds").set(since);
    }
    let copying = match &status.phase {
        Phase::Copying(copying) => copying.clone(),
        _ => engine::Copying::default(),
    };
    gauge!("afterimage_copy_tables").set(copying.tables as f64);
    gauge!("afterimage_copy_tables_done").set(copying.tables_done as f64);
    gauge!("afterimage_copy_chunks").set(copying.chunks as f64);
    gauge!("afterimage_copy_chunks_done").set(copying.chunks_done as f64);
    gauge!("afterimage_copy_bytes").set(copying.bytes as f64);
    gauge!("afterimage_copy_expected_bytes").set(copying.of_bytes.unwrap_or(0) as f64);
    let counters = &status.counters;
    let count = |name, value| metrics::counter!(name).absolute(value);
    count("afterimage_rows_copied_total", counters.rows_copied);
    count("afterimage_changes_total", counters.changes);
    count("afterimage_transactions_total", counters.transactions);
    count("afterimage_bytes_total", counters.bytes);
    count("afterimage_cuts_total", counters.cuts);
}
