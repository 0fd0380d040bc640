//! An operator's hands: signals while it is busy, health, metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::Result;
use e2e::connector::Running;
use e2e::gate::Gate;
use e2e::stack::Stack;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::rig::{Rig, passed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_connector_ends_in_peace_and_goes_on_where_it_was() {
    passed(busy().await);
}

async fn busy() -> Result<()> {
    const STOPS: i64 = 4;
    let mut rig = Rig::new("busy", "").await?;
    // The copy is interrupted too: enough rows for a while.
    rig.database
        .run("INSERT INTO orders SELECT n, 'copied' FROM generate_series(1000, 60000) n;")
        .await?;
    let writer = rig.database.session().await?;
    let writing = tokio::spawn(async move {
        let mut id = 1_000_000;
        loop {
            let sql = format!(
                "INSERT INTO orders SELECT n, 'busy' FROM generate_series({id}, {id} + 99) n"
            );
            if writer.batch_execute(&sql).await.is_err() {
                return id;
            }
            id += 100;
            sleep(Duration::from_millis(5)).await;
        }
    });
    for stop in 0..STOPS {
        let running = rig.connector.start()?;
        sleep(Duration::from_millis(700 + 400 * stop as u64)).await;
        let asked = Instant::now();
        // Exit status 0, or an error.
        running.stop().await?;
        assert!(
            asked.elapsed() < Duration::from_secs(20),
            "stop {stop} took {:?}",
            asked.elapsed()
        );
    }
    writing.abort();
    let mut running = rig.connector.start()?;
    rig.sentinel.streaming(&rig.database, &mut running).await?;
    rig.sentinel.caught_up(&rig.database, &mut running).await?;
    running.stop().await?;
    let rows = rig.database.text_rows("SELECT id FROM orders").await?;
    let told = rig.told().await?;
    let doubled: Vec<_> =
        told.iter().filter(|(what, count)| what.starts_with("c ") && **count > 1).collect();
    assert!(doubled.is_empty(), "told twice: {doubled:?}");
    for row in rows {
        let id = row[0].as_deref().unwrap_or_default();
        let (read, made) = (format!("r {id}"), format!("c {id}"));
        assert!(told.contains_key(&read) || told.contains_key(&made), "row {id} is missing");
    }
    rig.clean().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_metrics_tell_what_goes_on() {
    passed(pages().await);
}

async fn pages() -> Result<()> {
    let registry = Stack::from_environment()?.registry;
    let (server, path) =
        registry.trim_start_matches("http://").split_once('/').ok_or("a registry with a path")?;
    let gate = Gate::to(server, None).await?;
    let url = format!("http://127.0.0.1:{}/{path}", gate.port);
    let options = format!(
        "http = {{ listen = '127.0.0.1:0', token = '${{env:E2E_TOKEN}}' }}\nformat.registry = '{url}'"
    );
    let mut rig = Rig::new("pages", &options).await?;
    let mut running = rig.connector.start_with(&[("E2E_TOKEN", "sesame".to_owned())])?;
    let line = running.logged("address", |line| line["address"].is_string()).await?;
    let pages = Pages(format!("http://{}", line["address"].as_str().unwrap_or_default()));
    rig.sentinel.streaming(&rig.database, &mut running).await?;
    rig.database.run("INSERT INTO orders VALUES (4, 'd');\nUPDATE orders SET note = 'x' WHERE id = 1;\nDELETE FROM orders WHERE id = 2;").await?;
    rig.sentinel.caught_up(&rig.database, &mut running).await?;

    // Quiet is healthy.
    let quiet =
        pages.until("/healthz", |status, page| status == 200 && page["state"] == "quiet").await?;
    assert_eq!(quiet["doing"], "listening", "{quiet}");
    assert_eq!(pages.get("/readyz", None).await?.0, 200);

    // Metrics are for who has the token.
    assert_eq!(pages.get("/metrics", None).await?.0, 401);
    assert_eq!(pages.get("/metrics", Some("wrong")).await?.0, 401);
    let metrics = pages.metrics().await?;
    let rows = |operation: &str| {
        let found = metrics.iter().find(|(name, _)| {
            name.starts_with("afterimage_rows_total{")
                && name.contains("table=\"public.orders\"")
                && name.contains(&format!("operation=\"{operation}\""))
        });
        found.map(|(_, value)| *value)
    };
    for (operation, count) in [("read", 3.0), ("insert", 1.0), ("update", 1.0), ("delete", 1.0)] {
        assert_eq!(rows(operation), Some(count), "{operation}: {metrics:#?}");
    }
    let value = |name: &str| {
        let found = metrics.iter().find(|(known, _)| known.split('{').next() == Some(name));
        found.map(|(_, value)| *value)
    };
    for (name, is_right) in [
        ("afterimage_info", (|value| value == 1.0) as fn(f64) -> bool),
        ("afterimage_up", |value| value == 1.0),
        ("afterimage_hung", |value| value == 0.0),
        ("afterimage_lag_seconds", |value| (0.0..60.0).contains(&value)),
        ("afterimage_source_lag_bytes", |value| (0.0..1e9).contains(&value)),
        ("afterimage_source_retained_bytes", |value| (0.0..1e12).contains(&value)),
        ("afterimage_rows_copied_total", |value| value >= 3.0),
        ("afterimage_changes_total", |value| value >= 3.0),
        ("afterimage_transactions_total", |value| value >= 3.0),
        ("afterimage_bytes_total", |value| value > 0.0),
        ("afterimage_commits_total", |value| value > 0.0),
        ("afterimage_commit_seconds_count", |value| value > 0.0),
        ("afterimage_transaction_seconds_count", |value| value > 0.0),
        ("afterimage_copy_tables_done", |value| value >= 0.0),
        ("afterimage_sink_queue_bytes", |value| value >= 0.0),
    ] {
        assert!(value(name).is_some_and(is_right), "{name} is {:?}: {metrics:#?}", value(name));
    }

    // A registry that is away: alive, as a restart would not help, but not ready once it waits.
    gate.answer(Some("503 Service Unavailable"));
    rig.database
        .run("ALTER TABLE orders ADD COLUMN b int;\nINSERT INTO orders VALUES (5, 'e');")
        .await?;
    let waiting =
        pages.until("/readyz", |status, page| status == 503 && page["state"] == "waiting").await?;
    assert_eq!(waiting["code"], "registry-unavailable", "{waiting}");
    assert_eq!(pages.get("/healthz", None).await?.0, 200);
    let retries = pages.metrics().await?;
    assert!(
        retries.keys().any(|name| name.contains("afterimage_retries_total")
            && name.contains("registry-unavailable")),
        "{retries:#?}"
    );
    gate.answer(None);
    rig.sentinel.caught_up(&rig.database, &mut running).await?;
    pages.until("/readyz", |status, _| status == 200).await?;
    let name = "afterimage_schema_versions_total{table=\"public.orders\"}";
    assert_eq!(pages.metrics().await?.get(name), Some(&1.0), "the added column");
    stopped(running).await?;
    rig.clean().await
}

async fn stopped(running: Running) -> Result<()> {
    running.stop().await
}

struct Pages(String);

impl Pages {
    async fn get(&self, page: &str, token: Option<&str>) -> Result<(u16, String)> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let mut request = client.get(format!("{}{page}", self.0));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    async fn until(&self, page: &str, is_so: impl Fn(u16, &Value) -> bool) -> Result<Value> {
        let mut last = String::new();
        for _ in 0..600 {
            let (status, text) = self.get(page, None).await?;
            let value = serde_json::from_str(&text).unwrap_or_default();
            if is_so(status, &value) {
                return Ok(value);
            }
            last = format!("{status} {text}");
            sleep(Duration::from_millis(100)).await;
        }
        Err(format!("{page} says {last}").into())
    }

    /// Names with their labels, and values.
    async fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        let (status, text) = self.get("/metrics", Some("sesame")).await?;
        assert_eq!(status, 200, "{text}");
        assert!(!text.contains("sesame") && !text.contains("'x'"), "{text}");
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').ok_or("a line without a value")?;
                Ok((name.to_owned(), value.parse()?))
            })
            .collect()
    }
}
