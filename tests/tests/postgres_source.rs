//! The PostgreSQL source against a real server: what is copied and followed is what was written, wherever it is cut.
//!
//! Needs a server of ours: `AFTERIMAGE_STACK_POSTGRES_ADMIN`, else `AFTERIMAGE_STACK_POSTGRES`, is the URL of a superuser.
//! Every test has a database of its own. Without a server the tests say so and pass.

use std::collections::BTreeMap;
use std::time::Duration;

use change::{Batch, Cell, Change, Row, TableName, Value};
use connector::{
    CopyId, CopyState, Durable, Failure, Mark, Open, Pin, Pinned, Resume, Snapshot, Source,
    Stopped, Stored, TableState, durable, outlet,
};
use postgres_replication::Lsn;
use postgres_source::client::{Client, Mode, Target};
use postgres_source::{Config, PostgresPosition, PostgresSnapshot, PostgresSource};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// A database of one test, and its source.
struct Fixture {
    admin: Client,
    sql: Client,
    database: String,
    url: String,
}

impl Fixture {
    async fn new(name: &str) -> Option<Fixture> {
        let url = std::env::var("AFTERIMAGE_STACK_POSTGRES_ADMIN")
            .or_else(|_| std::env::var("AFTERIMAGE_STACK_POSTGRES"));
        let Ok(url) = url else {
            eprintln!("no AFTERIMAGE_STACK_POSTGRES: nothing was tested");
            return None;
        };
        let database = format!("source_{name}_{:08x}", rand::random::<u32>());
        let mut admin = connect(&url).await;
        admin.simple(&format!("CREATE DATABASE {database}")).await.unwrap();
        let (server, _) = url.rsplit_once('/').unwrap();
        let url = format!("{server}/{database}");
        let mut sql = connect(&url).await;
        sql.simple("SET search_path = public").await.unwrap();
        Some(Fixture { admin, sql, database, url })
    }

    async fn run(&mut self, sql: &str) {
        self.sql.simple(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    async fn value(&mut self, sql: &str) -> String {
        self.sql.simple_one(sql).await.unwrap().first().unwrap().at(0).unwrap().to_owned()
    }

    async fn end_of_log(&mut self) -> Lsn {
        self.value("SELECT pg_current_wal_insert_lsn()").await.parse().unwrap()
    }

    fn config(&self, extra: &str) -> Config {
        let text = format!(r#"{{"url": "{}", "tables": ["public.*"]{extra}}}"#, self.url);
        serde_json::from_str(&text).unwrap()
    }

    fn source(&self, extra: &str) -> PostgresSource {
        // slots are the server's, so their names are too
        PostgresSource::new(&self.database, &self.config(extra)).unwrap()
    }

    async fn finish(mut self) {
        let sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()";
        let _ = self.sql.simple(sql).await;
        drop(self.sql);
        let _ = self.admin.simple(&format!("DROP DATABASE {} WITH (FORCE)", self.database)).await;
    }
}

async fn connect(url: &str) -> Client {
    Client::connect(&Target::parse(url).unwrap(), Mode::Query).await.unwrap()
}

/// What one life of the connector keeps.
#[derive(Default)]
struct Kept {
    stored: Stored<PostgresPosition>,
}

impl Kept {
    fn at(&self) -> Resume<PostgresPosition> {
        self.stored.resume().unwrap()
    }

    fn tables(&self) -> Vec<TableState> {
        self.stored.tables.values().cloned().collect()
    }
}

/// Opens, and takes the first pin of all tables.
async fn first(
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

fn show(row: Row<'_>) -> String {
    row.cells().map(show_cell).collect::<Vec<_>>().join("|")
}

fn show_cell(cell: Cell<'_>) -> String {
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

fn events(batch: &Batch) -> Vec<String> {
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

struct Streamed {
    events: Vec<String>,
    batches: Vec<(Batch, Mark<PostgresPosition>)>,
    stopped: Result<Stopped, Failure>,
}

/// Follows the log from what is kept to `until`.
async fn follow(
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

async fn read_all(readers: Vec<PostgresSnapshot>) -> Vec<String> {
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

#[tokio::test]
async fn changes_arrive_as_they_were_committed() {
    let Some(mut db) = Fixture::new("changes").await else { return };
    db.run("CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL, n numeric(10,2)); CREATE TABLE keyless (a int)").await;
    let mut source = db.source("");
    let (kept, pinned) = first(&mut source, false).await;
    db.run("INSERT INTO t VALUES (1, 'a', 1.5), (2, 'b', NULL)").await;
    db.run("BEGIN; UPDATE t SET v = 'c' WHERE id = 1; UPDATE t SET id = 3 WHERE id = 2; DELETE FROM t WHERE id = 1; COMMIT").await;
    db.run("BEGIN; INSERT INTO t VALUES (9, 'gone', 0); ROLLBACK").await;
    db.run("INSERT INTO keyless VALUES (7); TRUNCATE t").await;
    let end = db.end_of_log().await;
    let streamed = follow(&mut source, &kept, kept.at(), Some(end)).await;
    assert!(matches!(streamed.stopped, Ok(Stopped::Reached)), "{:?}", streamed.stopped);
    let decimal = |cents: &[u8]| format!("Decimal(Finite {{ unscaled: {cents:?}, scale: 2 }})");
    let expected = [
        format!("t c 1|a|{}", decimal(&[0, 150])),
        "t c 2|b|null".to_owned(),
        format!("t u 1|c|{}", decimal(&[0, 150])),
        "t u 2|-|- > 3|b|null".to_owned(),
        "t d 1|-|-".to_owned(),
        "keyless c 7".to_owned(),
        "t t".to_owned(),
    ];
    assert_eq!(streamed.events, expected);
    let (_, last) = streamed.batches.last().unwrap();
    assert_eq!(*last, Mark::Commit(PostgresPosition { lsn: end, timeline: 1 }));
    assert!(pinned.at.lsn < end);
    // nothing was confirmed beyond what is durable
    let confirmed: Lsn = db.value("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE database = current_database()").await.parse().unwrap();
    assert_eq!(confirmed, pinned.at.lsn);
    db.finish().await;
}
