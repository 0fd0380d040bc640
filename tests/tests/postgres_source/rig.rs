//! A database of one test, its source, and what one life of the connector keeps.

use std::time::Duration;

use change::{Batch, Cell, Change, Row, TableName, Value};
use connector::{
    CopyId, Durable, Failure, Mark, Pin, Pinned, Resume, Snapshot, Source, Stopped, Stored,
    TableState, durable, outlet,
};
use postgres_replication::Lsn;
use postgres_source::client::{Client, Mode, Target};
use postgres_source::{Config, PostgresPosition, PostgresSnapshot, PostgresSource};
use tokio::time::timeout;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A database of one test, and its source.
pub(crate) struct Fixture {
    pub(crate) admin: Client,
    pub(crate) sql: Client,
    pub(crate) database: String,
    pub(crate) url: String,
}

impl Fixture {
    pub(crate) async fn new(name: &str) -> Fixture {
        let url = std::env::var("AFTERIMAGE_STACK_POSTGRES_ADMIN")
            .expect("AFTERIMAGE_STACK_POSTGRES_ADMIN is set: run `cargo xtask test`");
        let database = format!("source_{name}_{:08x}", rand::random::<u32>());
        let mut admin = connect(&url).await;
        admin.simple(&format!("CREATE DATABASE {database}")).await.unwrap();
        let (server, _) = url.rsplit_once('/').unwrap();
        let url = format!("{server}/{database}");
        let mut sql = connect(&url).await;
        sql.simple("SET search_path = public").await.unwrap();
        Fixture { admin, sql, database, url }
    }

    pub(crate) async fn run(&mut self, sql: &str) {
        self.sql.simple(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    pub(crate) async fn value(&mut self, sql: &str) -> String {
        self.sql.simple_one(sql).await.unwrap().first().unwrap().at(0).unwrap().to_owned()
    }

    pub(crate) async fn end_of_log(&mut self) -> Lsn {
        self.value("SELECT pg_current_wal_insert_lsn()").await.parse().unwrap()
    }

    pub(crate) fn config(&self, extra: &str) -> Config {
        let text = format!(r#"{{"url": "{}", "tables": ["public.*"]{extra}}}"#, self.url);
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) fn source(&self, extra: &str) -> PostgresSource {
        // slots are the server's, so their names are too
        PostgresSource::new(&self.database, &self.config(extra)).unwrap()
    }

    pub(crate) async fn finish(mut self) {
        let sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()";
        let _ = self.sql.simple(sql).await;
        drop(self.sql);
        let _ = self.admin.simple(&format!("DROP DATABASE {} WITH (FORCE)", self.database)).await;
    }
}

pub(crate) async fn connect(url: &str) -> Client {
    Client::connect(&Target::parse(url).unwrap(), Mode::Query).await.unwrap()
}

/// What one life of the connector keeps.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) stored: Stored<PostgresPosition>,
}

impl Kept {
    pub(crate) fn at(&self) -> Resume<PostgresPosition> {
        self.stored.resume().unwrap()
    }

    pub(crate) fn tables(&self) -> Vec<TableState> {
        self.stored.tables.values().cloned().collect()
    }
}

/// Opens, and takes the first pin of all tables.
pub(crate) async fn first(
    source: &mut PostgresSource,
    copied: bool,
) -> (Kept, Pinned<PostgresPosition, PostgresSnapshot>) {
    let mut kept = Kept::default();
    kept.stored.identity = source.open(None).await.unwrap();
    let tables = source.tables().await.unwrap();
    let names: Vec<TableName> = tables.keys().cloned().collect();
    let states: Vec<TableState> =
        tables.iter().map(|(name, id)| TableState::new(name.clone(), *id)).collect();
    let copy = CopyId(uuid::Uuid::from_u128(rand::random()));
    kept.stored.intent = Some(copy);
    let pinned =
        source.pin(Pin::First(copy), &names, if copied { &states } else { &[] }).await.unwrap();
    kept.stored.at = Some(pinned.at);
    let states = if copied { pinned.tables.clone() } else { states };
    kept.stored.tables = states.into_iter().map(|state| (state.name.clone(), state)).collect();
    (kept, pinned)
}

pub(crate) fn show(row: Row<'_>) -> String {
    row.cells().map(show_cell).collect::<Vec<_>>().join("|")
}

pub(crate) fn show_cell(cell: Cell<'_>) -> String {
    match cell {
        Cell::Absent => "-".into(),
        Cell::Null => "null".into(),
        Cell::Value(Value::Text(text)) => text.to_owned(),
        Cell::Value(Value::Int(int)) => int.to_string(),
        Cell::Value(Value::Array(elements)) => {
            format!("[{}]", elements.iter().map(show_cell).collect::<Vec<_>>().join(","))
        }
        Cell::Value(value) => format!("{value:?}"),
    }
}

pub(crate) fn events(batch: &Batch) -> Vec<String> {
    batch
        .events()
        .map(|event| {
            let change = match event.change {
                Change::Read(row) => format!("r {}", show(row)),
                Change::Insert(row) => format!("c {}", show(row)),
                Change::Update { before: None, after } => format!("u {}", show(after)),
                Change::Update { before: Some(before), after } => {
                    format!("u {} > {}", show(before), show(after))
                }
                Change::Delete(row) => format!("d {}", show(row)),
                Change::Truncate => "t".into(),
                Change::Message(row) => format!("m {}", show(row)),
            };
            format!("{} {change}", event.table.name.table)
        })
        .collect()
}

pub(crate) struct Streamed {
    pub(crate) events: Vec<String>,
    pub(crate) batches: Vec<(Batch, Mark<PostgresPosition>)>,
    pub(crate) stopped: Result<Stopped, Failure>,
}

/// Follows the log from what is kept to `until`.
pub(crate) async fn follow(
    source: &mut PostgresSource,
    kept: &Kept,
    from: Resume<PostgresPosition>,
    until: Option<Lsn>,
) -> Streamed {
    let until = until.map(|lsn| PostgresPosition { lsn, timeline: from.from.timeline });
    let (out, mut queue) = outlet(1 << 20);
    let (_sender, durable): (_, Durable<PostgresPosition>) = durable(from.from);
    let tables = kept.tables();
    let mut streamed = Streamed { events: vec![], batches: vec![], stopped: Ok(Stopped::Reached) };
    let stream = source.stream(from, &tables, until, out, durable);
    let collect = async {
        let mut batches = Vec::new();
        while let Some(item) = queue.recv().await {
            batches.push((item.batch.clone(), item.mark.clone()));
        }
        batches
    };
    let (stopped, batches) =
        timeout(PATIENCE, async { tokio::join!(stream, collect) }).await.expect("in time");
    streamed.stopped = stopped;
    streamed.events = batches.iter().flat_map(|(batch, _)| events(batch)).collect();
    streamed.batches = batches;
    streamed
}

pub(crate) async fn read_all(readers: Vec<PostgresSnapshot>) -> Vec<String> {
    let mut rows = Vec::new();
    for mut reader in readers {
        while let Some((batch, _)) =
            timeout(PATIENCE, reader.next()).await.expect("in time").unwrap()
        {
            rows.extend(events(&batch));
        }
    }
    rows.sort();
    rows
}

pub(crate) fn code<T>(result: &Result<T, Failure>) -> Option<&'static str> {
    result.as_ref().err().map(|failure| failure.code)
}

pub(crate) async fn wait_active(db: &mut Fixture) {
    for _ in 0..200 {
        let active = db.value("SELECT bool_or(active) FROM pg_replication_slots WHERE database = current_database()").await;
        if active == "t" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the slot is not in use");
}
