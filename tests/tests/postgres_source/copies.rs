use std::collections::BTreeMap;
use std::time::Duration;

use change::TableName;
use connector::{CopyState, Pin, Snapshot, Source, TableState};

use crate::rig::{Fixture, connect, events, first, follow, read_all};

#[tokio::test]
async fn a_copy_and_the_stream_behind_it_are_the_table() {
    let mut db = Fixture::new("copy").await;
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

/// Writers run all the time: each row is in the copy or in the stream, none in both.
#[tokio::test]
async fn the_snapshot_holds_exactly_what_committed_before_the_pin() {
    let mut db = Fixture::new("edge").await;
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

/// A crash in the copy: another pin, the stream up to it, then what is missing from there.
#[tokio::test]
async fn a_copy_goes_on_from_a_later_pin() {
    let mut db = Fixture::new("later").await;
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
