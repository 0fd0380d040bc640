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

const ALL_TYPES: &str = "
    CREATE EXTENSION hstore SCHEMA public; CREATE EXTENSION citext SCHEMA public; CREATE EXTENSION ltree SCHEMA public;
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'a \"quoted\" one');
    CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN price AS numeric(8,3) CHECK (VALUE >= 0);
    CREATE DOMAIN special AS price;
    CREATE TABLE all_types (id int PRIMARY KEY,
      c1 bool, c2 int2, c3 int8, c4 oid, c5 float4, c6 float8, c7 money, c8 numeric(20,4), c9 numeric, c10 numeric(5,-2),
      c11 date, c12 time, c13 time(3), c14 timetz, c15 timestamp, c16 timestamptz(0), c17 interval, c18 uuid, c19 bytea,
      c20 bit(1), c21 bit(12), c22 varbit, c23 point, c24 json, c25 jsonb, c26 xml, c27 tsvector, c28 name, c29 char(6),
      c30 varchar(20), c31 text, c32 \"char\", c33 inet, c34 cidr, c35 macaddr, c36 macaddr8, c37 int4range, c38 tstzrange,
      c39 box, c40 circle, c41 path, c42 pg_lsn, c43 xid, c44 tsquery, c45 mood, c46 pair, c47 special, c48 hstore,
      c49 citext, c50 ltree, c51 int4multirange, c52 regclass, c53 jsonpath, c54 int2vector,
      a1 int[], a2 text[], a3 numeric(6,2)[], a4 timestamptz[], a5 mood[], a6 bool[], a7 box[], a8 inet[], a9 special[],
      a10 uuid[], a11 bytea[], a12 jsonb[], a13 interval[], a14 date[][], a15 float8[], a16 money[], a17 hstore[])";

const COLUMNS: &str = "id,c1,c2,c3,c4,c5,c6,c7,c8,c9,c10,c11,c12,c13,c14,c15,c16,c17,c18,c19,c20,c21,c22,c23,c24,c25,c26,c27,\
    c28,c29,c30,c31,c32,c33,c34,c35,c36,c37,c38,c39,c40,c41,c42,c43,c44,c45,c46,c47,c48,c49,c50,c51,c52,c53,c54,\
    a1,a2,a3,a4,a5,a6,a7,a8,a9,a10,a11,a12,a13,a14,a15,a16,a17";

const VALUES: [&str; 3] = [
    "1, true, -32768, 9223372036854775807, 4294967295, 1.1, 1e-300, -1234.5, 1234567890123456.7891, 0.00012300, 12345,
     '2024-02-29', '23:59:59.999999', '01:02:03.4567', '12:00:00.5+05:30', '1999-12-31 23:59:59.999999',
     '2024-03-10 02:30:00-05', '1 year -2 mons 3 days -04:05:06.7', '0190e6a8-0000-7000-8000-0000000000ff', '\\x00ff10',
     B'1', B'101010101010', B'', '(1.5,-2e10)', '{\"a\" : [1,  2]}', '{\"a\" : [1,  2], \"b\": 1.50}', '<a>&amp;</a>',
     to_tsvector('english', 'the fat cats'), 'a name', 'pad', 'var', E'tab\\t \"q\" \\\\ é 🎉', 'x', '10.0.0.1/8', '10.0.0.0/8',
     '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '[1,10)', '[2024-01-01 00:00+01,)', '(1,1),(0,0)', '<(0,0),1>',
     '[(0,0),(1,1)]', '16/B374D848', '123', 'fat & rat', 'a \"quoted\" one', ROW(1, 'x,y'), 12.5,
     'a=>1, \"b c\"=>NULL, d=>\"\\\"\"', 'MiXed', 'Top.Science', '{[1,2),[5,6)}', 'pg_class', '$.a[*]', '1 2 3',
     '{1,NULL,-3}', ARRAY['a,b', 'NULL', NULL, '', E'\\\\ \"'], '{1.5,NULL,-0.01}', '{2024-01-01 00:00+01,infinity}',
     '{ok,\"a \\\"quoted\\\" one\"}', '{t,f,NULL}', '{(1,1),(0,0);(2,2),(1,1)}', '{10.0.0.1,::1/64}', '{1.5,2.25}',
     '{0190e6a8-0000-7000-8000-0000000000ff}', ARRAY['\\x00'::bytea, '\\xff22'], ARRAY['{\"a\": \"b, c\"}'::jsonb],
     ARRAY['1 day 02:00'::interval, '-3 mons'], '{{2024-01-01,infinity},{NULL,2000-01-01}}', '{1.5,NaN,-Infinity}',
     '{1.25,-3}', ARRAY['a=>\"b,c\"'::hstore]",
    "2, false, 0, 0, 0, 'NaN', '-Infinity', 92233720368547758.07, 'NaN', 'Infinity', 0, 'infinity', '24:00:00', '00:00:00',
     '00:00:00-15:59', '-infinity', '4713-01-01 00:00:00+00 BC', '-178000000 years', '00000000-0000-0000-0000-000000000000',
     '', B'0', B'000000000000', B'1111111101', '(0,0)', 'null', 'null', '', '', '', '', '', '', '', '::ffff:1.2.3.4', '::/0',
     '00:00:00:00:00:00', '00:00:00:00:00:00:00:00', 'empty', 'empty', '(2,2),(1,1)', '<(1,2),0>', '((0,0),(1,1))', '0/0', '0',
     '', 'sad', ROW(NULL, NULL), 0, '', '', '', '{}', '-', '$', '', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
     '{}', '{}', '{}', '{}', '{}', '[0:1]={1,2}', '{}', '{}'",
    "3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, -0.0001, 1e130, NULL, '4713-01-01 BC', NULL, NULL, NULL,
     '294276-12-31 23:59:59.999999', 'infinity', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL",
];

#[tokio::test]
async fn a_row_has_equal_cells_whether_it_was_copied_or_followed() {
    let Some(mut db) = Fixture::new("types").await else { return };
    db.run(ALL_TYPES).await;
    db.run("ALTER TABLE all_types REPLICA IDENTITY FULL").await;
    for values in VALUES {
        db.run(&format!("INSERT INTO all_types ({COLUMNS}) VALUES ({values})")).await;
    }
    let mut source = db.source("");
    let (kept, pinned) = first(&mut source, true).await;
    let copied = read_all(pinned.readers).await;
    assert_eq!(copied.len(), 3);
    db.run("DELETE FROM all_types").await;
    for values in VALUES {
        db.run(&format!("INSERT INTO all_types ({COLUMNS}) VALUES ({values})")).await;
    }
    let end = db.end_of_log().await;
    let streamed = follow(&mut source, &kept, kept.at(), Some(end)).await;
    assert!(streamed.stopped.is_ok(), "{:?}", streamed.stopped);
    let plain = |events: &[String], operation: &str| {
        let mut rows: Vec<String> = events
            .iter()
            .filter_map(|event| event.strip_prefix(&format!("all_types {operation} ")))
            .map(str::to_owned)
            .collect();
        rows.sort();
        rows
    };
    let read = plain(&copied, "r");
    for operation in ["d", "c"] {
        let followed = plain(&streamed.events, operation);
        assert_eq!(followed.len(), 3);
        for (copied, followed) in read.iter().zip(&followed) {
            for (a, b) in copied.split('|').zip(followed.split('|')) {
                assert_eq!(a, b, "of {operation}");
            }
            assert_eq!(copied, followed);
        }
    }
    // and the table is one version: nothing in it depends on the way
    let table = &kept.stored.tables.values().next().unwrap().schema.clone().unwrap();
    assert!(
        streamed
            .batches
            .iter()
            .flat_map(|(batch, _)| batch.tables().to_vec())
            .all(|other| other == *table)
    );
    db.finish().await;
}

#[tokio::test]
async fn a_copy_and_the_stream_behind_it_are_the_table() {
    let Some(mut db) = Fixture::new("copy").await else { return };
    db.run("CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    db.run("CREATE TABLE p (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)")
        .await;
    db.run("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2024-07-01')").await;
    db.run("CREATE TABLE p2 PARTITION OF p DEFAULT").await;
    db.run("CREATE TABLE empty (id int, g int GENERATED ALWAYS AS (id * 2) STORED)").await;
    db.run("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 40000) i").await;
    db.run("INSERT INTO p VALUES (1, '2024-02-01'), (2, '2025-01-01')").await;
    let mut source = db.source("");
    let (kept, pinned) = first(&mut source, true).await;
    let chunks: BTreeMap<String, usize> = pinned
        .tables
        .iter()
        .map(|state| (state.name.table.to_string(), state.copy.chunks.len()))
        .collect();
    assert_eq!(chunks, [("empty".into(), 1), ("p".into(), 2), ("t".into(), 2)].into());
    assert!(
        pinned
            .tables
            .iter()
            .all(|state| state.copy.state == CopyState::Waiting && state.schema.is_some())
    );
    // what is written behind the pin is not in the view
    db.run("UPDATE t SET v = 'later' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO p VALUES (3, '2024-03-01')").await;
    let empty = pinned.tables.iter().find(|state| &*state.name.table == "empty").unwrap();
    assert_eq!(empty.schema.as_ref().unwrap().columns.len(), 1, "generated columns are left out");
    let mut lasts = BTreeMap::new();
    let mut rows = Vec::new();
    for mut reader in pinned.readers {
        while let Some((batch, mark)) = reader.next().await.unwrap() {
            assert_eq!(batch.len() as u64, mark.rows);
            rows.extend(events(&batch));
            if mark.last {
                *lasts.entry((mark.table.table.to_string(), mark.chunk)).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(lasts.len(), 5, "every chunk ends");
    assert!(lasts.values().all(|count| *count == 1), "once");
    assert_eq!(rows.iter().filter(|row| row.starts_with("t r ")).count(), 40_000);
    assert!(!rows.iter().any(|row| row.contains("later")));
    assert_eq!(rows.iter().filter(|row| row.starts_with("p r ")).count(), 2);
    let end = db.end_of_log().await;
    let streamed = follow(&mut source, &kept, kept.at(), Some(end)).await;
    assert_eq!(streamed.events, ["t u 1|later", "t d 2|-", "p c 3|Date(19783)"]);
    db.finish().await;
}

fn code<T>(result: &Result<T, Failure>) -> Option<&'static str> {
    result.as_ref().err().map(|failure| failure.code)
}

/// A cut at every mark of a large transaction: what was sent before and what is sent after are the transaction.
#[tokio::test]
async fn a_transaction_cut_anywhere_goes_on_behind_what_was_sent() {
    let Some(mut db) = Fixture::new("cut").await else { return };
    db.run("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE other (id int PRIMARY KEY)")
        .await;
    let mut source = db.source(r#", "exclude": ["public.other"], "manage_publication": false"#);
    let publication = format!("afterimage_{}", db.database);
    db.run(&format!(
        "CREATE PUBLICATION {publication} FOR ALL TABLES WITH (publish_via_partition_root = true)"
    ))
    .await;
    let (mut kept, _) = first(&mut source, false).await;
    db.run("INSERT INTO t VALUES (-1, 'before')").await;
    db.run(
        "BEGIN; INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 2000) i; INSERT INTO other VALUES (1); \
         UPDATE t SET id = -id - 10 WHERE id % 7 = 0; DELETE FROM t WHERE id % 11 = 0; COMMIT",
    )
    .await;
    db.run("INSERT INTO t VALUES (-2, 'after')").await;
    let end = db.end_of_log().await;
    let whole = follow(&mut source, &kept, kept.at(), Some(end)).await;
    assert!(whole.stopped.is_ok(), "{:?}", whole.stopped);
    assert!(whole.events.len() > 2400, "{}", whole.events.len());
    let mut from = kept.at().from;
    let mut sent = 0;
    let mut cuts = 0;
    for (batch, mark) in &whole.batches {
        sent += batch.len();
        let open = match mark {
            Mark::Commit(position) => {
                from = *position;
                continue;
            }
            Mark::Within(open) => open.clone(),
        };
        cuts += 1;
        kept.stored.at = Some(from);
        kept.stored.open = Some(open.clone());
        let mut source = db.source(r#", "exclude": ["public.other"], "manage_publication": false"#);
        source.open(Some(&kept.stored)).await.unwrap();
        let rest = follow(&mut source, &kept, kept.at(), Some(end)).await;
        assert!(rest.stopped.is_ok(), "{:?}", rest.stopped);
        assert_eq!(rest.events, whole.events[sent..], "cut {open:?}");
        // a hash that does not fit stops before anything is sent
        let wrong = Open { hash: open.hash ^ 1, ..open };
        let stopped =
            follow(&mut source, &kept, Resume { from, open: Some(wrong) }, Some(end)).await;
        assert_eq!(code(&stopped.stopped), Some("replay-mismatch"));
        assert!(stopped.events.is_empty());
    }
    assert!(cuts > 2, "{cuts}");
    db.finish().await;
}

#[tokio::test]
async fn only_what_is_durable_is_confirmed() {
    let Some(mut db) = Fixture::new("durable").await else { return };
    db.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut source = db.source("");
    let (kept, pinned) = first(&mut source, false).await;
    let confirmed =
        "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE database = current_database()";
    let (out, mut queue) = outlet(1 << 20);
    let (sender, durable) = durable(pinned.at);
    let tables = kept.tables();
    db.run("INSERT INTO t VALUES (1)").await;
    let body = async {
        let item = queue.recv().await.unwrap();
        assert_eq!(events(&item.batch), ["t c 1"]);
        let Mark::Commit(first) = item.mark else { panic!("a commit") };
        tokio::time::sleep(Duration::from_secs(7)).await;
        let now: Lsn = db.value(confirmed).await.parse().unwrap();
        assert_eq!(now, pinned.at.lsn, "nothing is durable yet");
        sender.set(first);
        tokio::time::sleep(Duration::from_secs(7)).await;
        let now: Lsn = db.value(confirmed).await.parse().unwrap();
        assert_eq!(now, first.lsn);
        // an idle stretch of log is told too
        db.run(
            "CREATE TABLE elsewhere (id int); INSERT INTO elsewhere SELECT generate_series(1, 100)",
        )
        .await;
        let end = db.end_of_log().await;
        loop {
            let item = queue.recv().await.unwrap();
            assert!(item.batch.is_empty());
            let Mark::Commit(position) = item.mark else { panic!("a commit") };
            if position.lsn >= end {
                break;
            }
        }
    };
    tokio::select! {
        stopped = source.stream(kept.at(), &tables, None, out, durable) => panic!("{stopped:?}"),
        done = timeout(PATIENCE, body) => done.expect("in time"),
    }
    db.finish().await;
}

#[tokio::test]
async fn a_position_that_the_server_cannot_serve_is_refused() {
    let Some(mut db) = Fixture::new("gap").await else { return };
    db.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut source = db.source("");
    let (kept, pinned) = first(&mut source, false).await;
    drop(source);
    let mut source = db.source("");
    let opened = source.open(Some(&kept.stored)).await;
    assert!(opened.is_ok(), "{opened:?}");
    // no position, but a slot
    assert_eq!(code(&source.open(None).await), Some("orphan"));
    let mut intent = kept.stored.clone();
    intent.at = None;
    assert!(
        source.open(Some(&intent)).await.is_ok(),
        "the slot of a stored intent is none of a stranger"
    );
    // a position of another server, of another time
    let mut other = kept.stored.clone();
    other.identity.0.insert("system_identifier".into(), "1".into());
    assert_eq!(code(&source.open(Some(&other)).await), Some("diverged"));
    let mut ahead = kept.stored.clone();
    ahead.at = Some(PostgresPosition { lsn: Lsn(pinned.at.lsn.0 + (1 << 40)), timeline: 1 });
    assert_eq!(code(&source.open(Some(&ahead)).await), Some("diverged"));
    let mut line = kept.stored.clone();
    line.at = Some(PostgresPosition { timeline: 9, ..pinned.at });
    assert_eq!(code(&source.open(Some(&line)).await), Some("diverged"));
    let mut renamed = db.source(r#", "slot": "another""#);
    assert_eq!(code(&renamed.open(Some(&kept.stored)).await), Some("slot-renamed"));
    // somebody else moved the slot
    db.run("INSERT INTO t VALUES (1)").await;
    let slot = db
        .value("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
        .await;
    db.run(&format!("SELECT pg_replication_slot_advance('{slot}', pg_current_wal_insert_lsn())"))
        .await;
    assert_eq!(code(&source.open(Some(&kept.stored)).await), Some("gap"));
    // it is gone
    source.forget(kept.stored.intent.unwrap()).await.unwrap();
    assert_eq!(code(&source.open(Some(&kept.stored)).await), Some("gap"));
    assert!(source.open(None).await.is_ok());
    db.finish().await;
}

#[tokio::test]
async fn an_old_session_of_ours_gives_way_and_a_strangers_does_not() {
    let Some(mut db) = Fixture::new("busy").await else { return };
    db.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut old = db.source("");
    let (kept, pinned) = first(&mut old, false).await;
    let tables = kept.tables();
    let hold =
        |mut source: PostgresSource, kept: Resume<PostgresPosition>, tables: Vec<TableState>| {
            tokio::spawn(async move {
                let (out, _queue) = outlet(1 << 20);
                let (_sender, durable) = durable(kept.from);
                source.stream(kept, &tables, None, out, durable).await
            })
        };
    let held = hold(old, kept.at(), tables.clone());
    wait_active(&mut db).await;
    let mut new = db.source("");
    new.open(Some(&kept.stored)).await.unwrap();
    db.run("INSERT INTO t VALUES (1)").await;
    let end = db.end_of_log().await;
    let streamed = follow(&mut new, &kept, kept.at(), Some(end)).await;
    assert_eq!(streamed.events, ["t c 1"]);
    let ended = timeout(PATIENCE, held).await.expect("in time").unwrap();
    assert!(ended.is_err_and(|failure| !failure.is_definite()));
    // a connector of another name with the same slot
    let slot = format!("afterimage_{}", db.database);
    let publication = slot.clone();
    let config = db.config(&format!(r#", "slot": "{slot}", "publication": "{publication}""#));
    let mut stranger = PostgresSource::new("stranger", &config).unwrap();
    stranger.open(Some(&kept.stored)).await.unwrap();
    let held = hold(stranger, Resume { from: pinned.at, open: None }, tables);
    wait_active(&mut db).await;
    let streamed = follow(&mut new, &kept, kept.at(), Some(end)).await;
    assert_eq!(code(&streamed.stopped), Some("slot-in-use"));
    held.abort();
    db.finish().await;
}

async fn wait_active(db: &mut Fixture) {
    for _ in 0..200 {
        let active = db.value("SELECT bool_or(active) FROM pg_replication_slots WHERE database = current_database()").await;
        if active == "t" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the slot is not in use");
}

/// Writers run all the time: each row is in the copy or in the stream, none in both.
#[tokio::test]
async fn the_snapshot_holds_exactly_what_committed_before_the_pin() {
    let Some(mut db) = Fixture::new("edge").await else { return };
    db.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..3 {
        let (url, stop) = (db.url.clone(), stop.clone());
        writers.push(tokio::spawn(async move {
            let mut client = connect(&url).await;
            let mut id = writer;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                client.simple(&format!("INSERT INTO public.t VALUES ({id})")).await.unwrap();
                id += 3;
            }
        }));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut source = db.source("");
    let (kept, pinned) = first(&mut source, true).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let copied = read_all(pinned.readers).await;
    let end = db.end_of_log().await;
    let streamed = follow(&mut source, &kept, kept.at(), Some(end)).await;
    let count: usize = db.value("SELECT count(*) FROM t").await.parse().unwrap();
    assert!(
        !copied.is_empty() && !streamed.events.is_empty(),
        "{} {}",
        copied.len(),
        streamed.events.len()
    );
    let mut all: Vec<&str> = copied
        .iter()
        .chain(&streamed.events)
        .map(|event| event.split_whitespace().last().unwrap())
        .collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
    assert_eq!(copied.len() + streamed.events.len(), count);
    db.finish().await;
}

#[tokio::test]
async fn the_catalog_ahead_of_the_log_loses_no_row() {
    let Some(mut db) = Fixture::new("schema").await else { return };
    db.run("CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL DEFAULT 'x', n int)").await;
    let mut source = db.source("");
    let (kept, _) = first(&mut source, false).await;
    db.run("INSERT INTO t VALUES (1, 'a', NULL)").await;
    db.run("ALTER TABLE t ADD COLUMN w int NOT NULL DEFAULT 5").await;
    db.run("INSERT INTO t VALUES (2, 'b', NULL)").await;
    db.run("ALTER TABLE t DROP COLUMN v").await;
    db.run("INSERT INTO t VALUES (3, NULL, 6)").await;
    db.run("ALTER TABLE t RENAME COLUMN w TO ww; ALTER TABLE t ALTER COLUMN ww TYPE text USING 'seven'").await;
    db.run("UPDATE t SET n = 1; ALTER TABLE t ALTER COLUMN n SET NOT NULL").await;
    db.run("INSERT INTO t VALUES (4, 2, 'eight')").await;
    let end = db.end_of_log().await;
    let streamed = follow(&mut source, &kept, kept.at(), Some(end)).await;
    let expected = [
        "t c 1|a|null",
        "t c 2|b|null|5",
        "t c 3|null|6",
        "t u 1|1|seven",
        "t u 2|1|seven",
        "t u 3|1|seven",
        "t c 4|2|eight",
    ];
    assert!(streamed.stopped.is_ok(), "{:?}", streamed.stopped);
    assert_eq!(streamed.events, expected);
    // versions as the log had them: what the catalog says later is required only where both agree
    let mut versions = Vec::new();
    for (batch, _) in &streamed.batches {
        for table in batch.tables() {
            let columns: Vec<String> = table
                .columns
                .iter()
                .map(|c| format!("{}{}", c.name, if c.nullable { "" } else { "!" }))
                .collect();
            if versions.last() != Some(&columns.join(" ")) {
                versions.push(columns.join(" "));
            }
        }
    }
    assert_eq!(versions.first().map(String::as_str), Some("id! v n"));
    assert_eq!(versions.last().map(String::as_str), Some("id! n! ww!"));
    db.finish().await;
}

#[tokio::test]
async fn large_values_that_did_not_change_are_absent_unless_the_identity_is_full() {
    let Some(mut db) = Fixture::new("toast").await else { return };
    db.run("CREATE TABLE t (id int PRIMARY KEY, big text, n int); ALTER TABLE t ALTER big SET STORAGE EXTERNAL").await;
    let mut source = db.source("");
    let (kept, _) = first(&mut source, false).await;
    db.run("INSERT INTO t VALUES (1, repeat('x', 9000), 1); UPDATE t SET n = 2").await;
    db.run("ALTER TABLE t REPLICA IDENTITY FULL; UPDATE t SET n = 3").await;
    let end = db.end_of_log().await;
    let streamed = follow(&mut source, &kept, kept.at(), Some(end)).await;
    let big = "x".repeat(9000);
    let expected =
        [format!("t c 1|{big}|1"), "t u 1|-|2".into(), format!("t u 1|{big}|2 > 1|{big}|3")];
    assert!(streamed.events == expected, "{} events", streamed.events.len());
    db.finish().await;
}

/// A crash in the copy: another pin, the stream up to it, then what is missing from there.
#[tokio::test]
async fn a_copy_goes_on_from_a_later_pin() {
    let Some(mut db) = Fixture::new("later").await else { return };
    db.run("CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    db.run("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 40000) i").await;
    let mut source = db.source("");
    let (mut kept, pinned) = first(&mut source, true).await;
    drop(pinned.readers);
    let name = TableName::new("public", "t");
    let state = kept.stored.tables.get_mut(&name).unwrap();
    state.copy.state = CopyState::Begun;
    state.copy.chunks[0].done = true;
    drop(source);
    db.run("UPDATE t SET v = 'changed' WHERE id IN (1, 40000)").await;
    let mut source = db.source("");
    source.open(Some(&kept.stored)).await.unwrap();
    source.tables().await.unwrap();
    let copy: Vec<TableState> = kept.tables();
    let later = source.pin(Pin::Later, std::slice::from_ref(&name), &copy).await.unwrap();
    assert!(later.at.lsn > pinned.at.lsn);
    assert_eq!(later.tables[0].copy, copy[0].copy, "the chunks are those that were stored");
    db.run("UPDATE t SET v = 'after the pin' WHERE id = 2").await;
    let streamed = follow(&mut source, &kept, kept.at(), Some(later.at.lsn)).await;
    assert!(streamed.stopped.is_ok(), "{:?}", streamed.stopped);
    assert_eq!(streamed.events, ["t u 1|changed", "t u 40000|changed"]);
    let rows = read_all(later.readers).await;
    let first_rest: i32 = db
        .value("SELECT min(id) FROM t WHERE ctid >= '(4096,0)' AND id > 2")
        .await
        .parse()
        .unwrap();
    assert_eq!(rows.len() as i32, 40_000 - first_rest + 1, "the second chunk");
    assert!(rows.contains(&"t r 40000|changed".to_owned()));
    // nothing of the later pin stays
    let slots = db
        .value("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()")
        .await;
    assert_eq!(slots, "1");
    // a rewritten table begins again
    db.run("TRUNCATE t; INSERT INTO t VALUES (1, 'new')").await;
    let again = source.pin(Pin::Later, std::slice::from_ref(&name), &copy).await.unwrap();
    assert!(again.tables[0].copy.chunks.iter().all(|chunk| !chunk.done));
    assert_eq!(again.tables[0].copy.state, CopyState::Begun);
    assert_eq!(read_all(again.readers).await, ["t r 1|new"]);
    db.finish().await;
}

#[tokio::test]
async fn a_new_table_ends_the_stream_between_transactions() {
    let Some(mut db) = Fixture::new("added").await else { return };
    db.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut source = db.source("");
    let (kept, _) = first(&mut source, false).await;
    db.run("INSERT INTO t VALUES (1); CREATE TABLE u (id int PRIMARY KEY)").await;
    let streamed = follow(&mut source, &kept, kept.at(), None).await;
    assert!(matches!(streamed.stopped, Ok(Stopped::TablesChanged)), "{:?}", streamed.stopped);
    assert_eq!(streamed.events, ["t c 1"]);
    db.finish().await;
}

#[tokio::test]
async fn a_look_at_changes_leaves_nothing_behind() {
    let Some(mut db) = Fixture::new("tail").await else { return };
    db.run("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE keyless (id int)").await;
    let mut source = PostgresSource::tail(&db.config(""), None).unwrap();
    let (kept, pinned) = first(&mut source, false).await;
    assert_eq!(kept.stored.tables.len(), 1, "a table without identity would refuse updates");
    db.run("INSERT INTO t VALUES (1); INSERT INTO keyless VALUES (1); UPDATE keyless SET id = 2")
        .await;
    let end = db.end_of_log().await;
    let streamed =
        follow(&mut source, &kept, Resume { from: pinned.at, open: None }, Some(end)).await;
    assert_eq!(streamed.events, ["t c 1"]);
    source.end_tail().await.unwrap();
    drop(source);
    let left = "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())";
    for _ in 0..100 {
        if db.value(left).await == "0" {
            db.finish().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("something stayed");
}

#[tokio::test]
async fn a_check_names_what_is_missing_with_what_mends_it() {
    let Some(mut db) = Fixture::new("check").await else { return };
    db.run("CREATE TABLE good (id int PRIMARY KEY); CREATE TABLE keyless (id int); CREATE VIEW v AS SELECT 1 AS a").await;
    db.run("CREATE TABLE g (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)")
        .await;
    let role = format!("poor_{}", db.database);
    db.run(&format!("CREATE ROLE {role} LOGIN PASSWORD 'poor'")).await;
    let as_poor = {
        let (_, rest) = db.url.split_once('@').unwrap();
        format!("postgres://{role}:poor@{rest}")
    };
    let codes = |findings: &[connector::Finding]| -> Vec<String> {
        let mut codes: Vec<String> =
            findings.iter().map(|f| format!("{} {}", f.severity, f.code)).collect();
        codes.sort();
        codes.dedup();
        codes
    };
    let poor = Config::new(&as_poor, &["public.*", "nothing.*"]);
    let findings = postgres_source::check(&poor, "check").await;
    let found = codes(&findings);
    for expected in [
        "error rights",
        "error publication",
        "warning no-identity",
        "warning no-tables",
        "note generated-columns",
        "note not-logged",
    ] {
        assert!(found.contains(&expected.to_owned()), "{expected} of {findings:#?}");
    }
    assert!(
        findings.iter().any(|f| f.mend == format!("ALTER ROLE {role} REPLICATION;")),
        "{findings:#?}"
    );
    assert!(findings.iter().any(|f| f.mend.starts_with("GRANT SELECT ON")), "{findings:#?}");
    // what the check says mends it, and run begins
    db.run(&format!(
        "ALTER ROLE {role} REPLICATION; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    ))
    .await;
    let statement = findings.iter().find(|f| f.code == "publication").unwrap().mend.clone();
    db.run(statement.strip_prefix("as the owner of the tables: ").unwrap()).await;
    let findings = postgres_source::check(&poor, "check").await;
    assert!(!codes(&findings).iter().any(|code| code.starts_with("error")), "{findings:#?}");
    let poor = Config::new(&as_poor, &["public.*"]);
    let mut source = PostgresSource::new("check", &poor).unwrap();
    let (kept, pinned) = first(&mut source, true).await;
    db.run("INSERT INTO good VALUES (1)").await;
    assert!(read_all(pinned.readers).await.is_empty());
    let end = db.end_of_log().await;
    let streamed = follow(&mut source, &kept, kept.at(), Some(end)).await;
    assert_eq!(streamed.events, ["good c 1"]);
    drop(source);
    let left = postgres_source::drop_all(&poor, "check").await.unwrap();
    assert_eq!((left.slots.len(), left.publication), (1, None), "the publication is not ours");
    db.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    db.finish().await;
}

/// The contract that every source keeps.
struct Bench {
    db: Fixture,
}

impl connector::conformance::SourceBench for Bench {
    type Source = PostgresSource;

    async fn fresh(&mut self) -> [TableName; 2] {
        let drop_slots = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
            WHERE database = current_database() AND active";
        self.db.run(drop_slots).await;
        for _ in 0..100 {
            let sql = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database() AND active";
            if self.db.value(sql).await == "0" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let drop_slots = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
            WHERE database = current_database()";
        self.db.run(drop_slots).await;
        self.db.run("DROP TABLE IF EXISTS first, second").await;
        for table in ["first", "second"] {
            self.db
                .run(&format!(
                    "CREATE TABLE {table} (id bigint PRIMARY KEY, n int NOT NULL, v text)"
                ))
                .await;
        }
        [TableName::new("public", "first"), TableName::new("public", "second")]
    }

    async fn source(&mut self) -> PostgresSource {
        self.db.source("")
    }

    async fn commit(&mut self, steps: &[connector::conformance::Step]) {
        use connector::conformance::Step;
        let name = |table: &usize| ["first", "second"][*table];
        let mut sql = String::from("BEGIN; ");
        for step in steps {
            let statement = match step {
                Step::Insert(table, keys) => format!(
                    "INSERT INTO {} SELECT i, i, 'v' || i FROM generate_series({}, {}) i; ",
                    name(table),
                    keys.start,
                    keys.end as i64 - 1
                ),
                Step::Update(table, keys) => format!(
                    "UPDATE {} SET n = n + 1 WHERE id >= {} AND id < {}; ",
                    name(table),
                    keys.start,
                    keys.end
                ),
                Step::Delete(table, keys) => {
                    format!(
                        "DELETE FROM {} WHERE id >= {} AND id < {}; ",
                        name(table),
                        keys.start,
                        keys.end
                    )
                }
            };
            sql.push_str(&statement);
        }
        sql.push_str("COMMIT");
        self.db.run(&sql).await;
    }
}

#[tokio::test]
async fn the_contract_of_a_source_is_kept() {
    let Some(db) = Fixture::new("contract").await else { return };
    let mut bench = Bench { db };
    connector::conformance::check_source(&mut bench).await;
    bench.db.finish().await;
}

/// What is taken out of the publication is noticed: a newer server says nothing.
#[tokio::test]
async fn a_table_taken_out_of_the_publication_stops_the_stream() {
    let Some(mut db) = Fixture::new("publication").await else { return };
    db.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut source = db.source("");
    let (mut kept, _) = first(&mut source, false).await;
    kept.stored.tables.values_mut().for_each(|state| state.copy.state = CopyState::Finished);
    db.run(&format!("ALTER PUBLICATION afterimage_{} DROP TABLE t", db.database)).await;
    db.run("INSERT INTO t VALUES (1)").await;
    let streamed = follow(&mut source, &kept, kept.at(), None).await;
    assert_eq!(code(&streamed.stopped), Some("gap"));
    assert!(streamed.batches.is_empty());
    db.finish().await;
}

/// A policy must not make a copy shorter.
#[tokio::test]
async fn row_security_is_an_error_and_not_a_shorter_copy() {
    let Some(mut db) = Fixture::new("policy").await else { return };
    let role = format!("seen_{}", db.database);
    db.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)").await;
    db.run("ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (id = 1)").await;
    db.run(&format!(
        "CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'x'; GRANT SELECT ON t TO {role}"
    ))
    .await;
    db.run("CREATE PUBLICATION p FOR TABLE t WITH (publish_via_partition_root = true)").await;
    let (_, rest) = db.url.split_once('@').unwrap();
    let text = format!(
        r#"{{"url": "postgres://{role}:x@{rest}", "tables": ["public.*"], "publication": "p"}}"#
    );
    let config: Config = serde_json::from_str(&text).unwrap();
    let mut source = PostgresSource::new(&db.database, &config).unwrap();
    let (_, pinned) = first(&mut source, true).await;
    let mut stopped = None;
    for mut reader in pinned.readers {
        loop {
            match reader.next().await {
                Ok(Some((batch, _))) => assert!(batch.is_empty(), "nothing of the table"),
                Ok(None) => break,
                Err(failure) => {
                    stopped = Some(failure.code);
                    break;
                }
            }
        }
    }
    assert_eq!(stopped, Some("rights"));
    drop(source);
    db.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    db.finish().await;
}
