#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use change::{Column, Kind, Table, TableId, TableName};
use connector::{
    Checkpoint, Chunk, CopyId, CopyState, Failure, FailureKind, Identity, OffsetStore, Open,
    Position, Resume, Stored, TableCopy, TableState,
};
use file_sink::{Offsets, SqliteOffsets, check, forget};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct At(u64);

impl Position for At {
    fn covers(&self, other: &Self) -> bool {
        self.0 >= other.0
    }
}

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("offsets-{}-{next}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn position(&self) -> PathBuf {
        self.0.join("out.jsonl.position")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn store(path: &Path) -> Offsets<At> {
    Offsets::Sqlite(SqliteOffsets::new(path))
}

fn table(name: &str, state: CopyState) -> TableState {
    let name = TableName::new("public", name);
    TableState {
        schema: Some(Arc::new(Table {
            name: name.clone(),
            columns: vec![
                Column::new("id", Kind::Int { bits: 64, signed: true }).required(),
                Column::new("kind", Kind::Enum(["a".into(), "b".into()].into())),
            ],
            key: vec![0],
        })),
        id: TableId { object: 17, storage: 18 },
        copy: TableCopy {
            state,
            chunks: vec![Chunk { from: None, to: Some("7".to_owned()), done: true }],
            holes: true,
        },
        name,
    }
}

fn checkpoints() -> Vec<Checkpoint<At>> {
    let identity =
        Arc::new(Identity([("system".to_owned(), "7\"1".to_owned())].into_iter().collect()));
    let intent = Some(CopyId(uuid()));
    let open = Open { transaction: "1/2".to_owned(), rows_done: 3, hash: u64::MAX };
    let begun = table("orders", CopyState::Begun);
    vec![
        Checkpoint { identity: identity.clone(), intent, at: None, changed: vec![] },
        Checkpoint {
            identity: identity.clone(),
            intent,
            at: Some(Resume { from: At(u64::MAX), open: None }),
            changed: vec![begun.clone(), table("users", CopyState::Waiting)],
        },
        Checkpoint {
            identity,
            intent: None,
            at: Some(Resume { from: At(9), open: Some(open) }),
            changed: vec![TableState { copy: TableCopy::default(), ..begun }],
        },
    ]
}

fn uuid() -> uuid::Uuid {
    uuid::Uuid::from_u128(0x1234)
}

#[tokio::test]
async fn what_was_saved_is_loaded_by_the_next_process() {
    let scratch = Scratch::new();
    let mut expected = Stored::default();
    assert_eq!(store(&scratch.position()).load().await.unwrap(), None);
    for checkpoint in checkpoints() {
        let mut offsets = store(&scratch.position());
        offsets.load().await.unwrap();
        offsets.save(&checkpoint).await.unwrap();
        expected.apply(&checkpoint);
        assert_eq!(offsets.load().await.unwrap().as_ref(), Some(&expected), "in this process");
        drop(offsets);
        let loaded = store(&scratch.position()).load().await.unwrap();
        assert_eq!(loaded.as_ref(), Some(&expected), "in the next one");
    }
}

#[tokio::test]
async fn a_position_in_memory_is_kept_for_the_life_of_the_process() {
    let mut offsets = Offsets::<At>::Memory(None);
    let mut expected = Stored::default();
    assert_eq!(offsets.load().await.unwrap(), None);
    for checkpoint in checkpoints() {
        offsets.save(&checkpoint).await.unwrap();
        expected.apply(&checkpoint);
        assert_eq!(offsets.load().await.unwrap().as_ref(), Some(&expected));
    }
}

#[tokio::test]
async fn a_second_holder_of_a_position_is_refused_at_once() {
    let scratch = Scratch::new();
    let mut first = store(&scratch.position());
    first.load().await.unwrap();
    refused(store(&scratch.position()).load().await, "position-in-use");
    let findings = check(None, &scratch.position());
    assert_eq!(findings.iter().map(|f| f.code).collect::<Vec<_>>(), ["position-in-use"]);
    assert_eq!(forget(&scratch.position()).unwrap_err().code(), "position-in-use");
    first.save(&checkpoints()[0]).await.unwrap();
    drop(first);
    assert!(store(&scratch.position()).load().await.unwrap().is_some());
    assert_eq!(check(None, &scratch.position()), []);
}

#[tokio::test]
async fn another_file_in_the_position_s_place_is_refused_and_left_alone() {
    type Damage = fn(&Path);
    let cases: &[(&str, Damage)] = &[
        ("text", |path| std::fs::write(path, "no database, but long enough to look at").unwrap()),
        ("another database", |path| {
            Connection::open(path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        }),
        ("a later format", |path| {
            Connection::open(path)
                .unwrap()
                .execute_batch("PRAGMA application_id = 1097230701; PRAGMA user_version = 2;")
                .unwrap();
        }),
    ];
    for (name, make) in cases {
        let scratch = Scratch::new();
        make(&scratch.position());
        let before = std::fs::read(scratch.position()).unwrap();
        let codes: Vec<_> = check(None, &scratch.position()).iter().map(|f| f.code).collect();
        assert_eq!(codes, ["position-corrupt"], "{name}");
        refused(store(&scratch.position()).load().await, "position-corrupt");
        assert!(forget(&scratch.position()).is_err(), "{name}");
        assert_eq!(std::fs::read(scratch.position()).unwrap(), before, "{name}");
    }
}

#[tokio::test]
async fn a_damaged_position_is_never_taken_for_none() {
    for damage in [
        "UPDATE position SET at = '{'",
        "UPDATE position SET identity = '[]'",
        "UPDATE tables SET state = '{}'",
    ] {
        let scratch = Scratch::new();
        let mut offsets = store(&scratch.position());
        offsets.load().await.unwrap();
        offsets.save(&checkpoints()[1]).await.unwrap();
        drop(offsets);
        Connection::open(scratch.position()).unwrap().execute_batch(damage).unwrap();
        refused(store(&scratch.position()).load().await, "position-corrupt");
    }
}

#[tokio::test]
async fn a_forgotten_position_leaves_no_file() {
    let scratch = Scratch::new();
    assert!(!forget(&scratch.position()).unwrap());
    let mut offsets = store(&scratch.position());
    offsets.load().await.unwrap();
    offsets.save(&checkpoints()[1]).await.unwrap();
    drop(offsets);
    assert!(forget(&scratch.position()).unwrap());
    assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 0);
    assert_eq!(store(&scratch.position()).load().await.unwrap(), None);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named_before_the_start() {
    let scratch = Scratch::new();
    let missing = scratch.0.join("none").join("out.jsonl");
    let codes: Vec<_> = check(Some(&missing), &missing).iter().map(|f| f.code).collect();
    assert_eq!(codes, ["output-unwritable", "position-unwritable"]);
    let directory = scratch.0.clone();
    let codes: Vec<_> =
        check(Some(&directory), &scratch.position()).iter().map(|f| f.code).collect();
    assert_eq!(codes, ["output-unwritable"]);
    assert_eq!(check(Some(&scratch.0.join("out.jsonl")), &scratch.position()), []);
    assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 0, "a check makes no file");
}

fn refused(result: Result<Option<Stored<At>>, Failure>, code: &str) {
    let failure = result.expect_err("it is refused");
    assert_eq!((failure.code, failure.kind), (code, FailureKind::Definite));
}
