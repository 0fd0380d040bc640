use change::{Change, Event};
use postgres_replication::pgoutput;

use super::*;
use crate::config::{Config, Settings};
use crate::schema::{CatalogColumn, CatalogTable, build};
use crate::types::TypeCatalog;

/// Bytes of pgoutput, as the server writes them.
mod wire {
    pub(super) fn begin(commit: u64, xid: u32) -> Vec<u8> {
        [&b"B"[..], &commit.to_be_bytes(), &0_i64.to_be_bytes(), &xid.to_be_bytes()].concat()
    }

    pub(super) fn commit(at: u64, end: u64) -> Vec<u8> {
        [&b"C\0"[..], &at.to_be_bytes(), &end.to_be_bytes(), &0_i64.to_be_bytes()].concat()
    }

    pub(super) fn tuple(cells: &[Option<&str>]) -> Vec<u8> {
        let mut out = (cells.len() as i16).to_be_bytes().to_vec();
        for cell in cells {
            match cell {
                None => out.push(b'n'),
                Some("<unchanged>") => out.push(b'u'),
                Some(text) => {
                    out.push(b't');
                    out.extend_from_slice(&(text.len() as i32).to_be_bytes());
                    out.extend_from_slice(text.as_bytes());
                }
            }
        }
        out
    }

    pub(super) fn insert(relation: u32, cells: &[Option<&str>]) -> Vec<u8> {
        [&b"I"[..], &relation.to_be_bytes(), b"N", &tuple(cells)].concat()
    }

    pub(super) fn update(
        relation: u32,
        kind: u8,
        old: &[Option<&str>],
        new: &[Option<&str>],
    ) -> Vec<u8> {
        [&b"U"[..], &relation.to_be_bytes(), &[kind], &tuple(old), b"N", &tuple(new)].concat()
    }

    pub(super) fn delete(relation: u32, cells: &[Option<&str>]) -> Vec<u8> {
        [&b"D"[..], &relation.to_be_bytes(), b"K", &tuple(cells)].concat()
    }

    pub(super) fn truncate(relation: u32) -> Vec<u8> {
        [&b"T"[..], &1_u32.to_be_bytes(), &[0], &relation.to_be_bytes()].concat()
    }

    pub(super) fn message(transactional: bool, at: u64, content: &str) -> Vec<u8> {
        let head = [&b"M"[..], &[transactional.into()], &at.to_be_bytes(), b"p\0"].concat();
        [&head[..], &(content.len() as u32).to_be_bytes(), content.as_bytes()].concat()
    }
}

const T: u32 = 7;
const OTHER: u32 = 8;

fn table(id: u32, name: &str) -> CatalogTable {
    let column = |name: &str, type_id, not_null| CatalogColumn {
        name: name.into(),
        type_id,
        modifier: -1,
        not_null,
        generated: false,
        default: None,
    };
    CatalogTable {
        name: TableName::new("public", name),
        id: change::TableId { object: id.into(), storage: 0 },
        partitioned: false,
        replica_identity: pgoutput::ReplicaIdentity::Default,
        columns: vec![column("id", 23, true), column("v", 25, true)],
        primary_key: vec!["id".into()],
        identity_index: vec![],
        unique_index: vec![],
    }
}

fn at(lsn: u64) -> PostgresPosition {
    PostgresPosition { lsn: Lsn(lsn), timeline: 1 }
}

fn resume(lsn: u64, open: Option<Open>) -> Resume<PostgresPosition> {
    Resume { from: at(lsn), open }
}

/// An assembler that captures table 7 and is told of table 8.
fn assembler(from: &Resume<PostgresPosition>, until: Option<u64>, messages: bool) -> Assembler {
    let mut assembler = Assembler::new(from, until.map(Lsn), messages).unwrap();
    let config = r#"{"url": "postgres://u@localhost/d", "tables": ["*.*"]}"#;
    let settings = Settings::new("t", &serde_json::from_str::<Config>(config).unwrap()).unwrap();
    let captured = table(T, "t");
    let relation = captured.relation();
    let built = build(&relation, Some(&captured), None, &TypeCatalog::default(), &settings);
    assembler.relation(&relation, Some(built));
    assembler.relation(&table(OTHER, "other").relation(), None);
    assembler
}

fn feed(assembler: &mut Assembler, bytes: &[u8], lsn: u64) -> Result<Fed, LogError> {
    assembler.feed(pgoutput::decode(bytes).unwrap(), Lsn(lsn), 0)
}

fn feed_all(assembler: &mut Assembler, messages: &[Vec<u8>]) {
    for (index, bytes) in messages.iter().enumerate() {
        feed(assembler, bytes, 1000 + index as u64).unwrap();
    }
}

fn show_row(row: change::Row<'_>) -> String {
    row.cells()
        .map(|cell| match cell {
            change::Cell::Absent => "-".into(),
            change::Cell::Null => "null".into(),
            change::Cell::Value(change::Value::Text(text)) => text.to_owned(),
            change::Cell::Value(change::Value::Int(int)) => int.to_string(),
            change::Cell::Value(change::Value::Bytes(bytes)) => format!("{bytes:?}"),
            change::Cell::Value(value) => format!("{value:?}"),
        })
        .collect::<Vec<_>>()
        .join(",")
}

fn show_event(event: &Event<'_>) -> String {
    let change = match event.change {
        Change::Read(row) => format!("r {}", show_row(row)),
        Change::Insert(row) => format!("c {}", show_row(row)),
        Change::Update { before: None, after } => format!("u {}", show_row(after)),
        Change::Update { before: Some(before), after } => {
            format!("u {}>{}", show_row(before), show_row(after))
        }
        Change::Delete(row) => format!("d {}", show_row(row)),
        Change::Truncate => "t".into(),
        Change::Message(row) => format!("m {}", show_row(row)),
    };
    format!("{}#{}.{} {change}", event.transaction.id(), event.order, event.table_order)
}

/// Events, then ends, then the mark.
fn show(parcel: Option<Parcel>) -> String {
    let Some(parcel) = parcel else { return "nothing".into() };
    let mut out: Vec<String> = parcel.batch.events().map(|event| show_event(&event)).collect();
    for transaction in parcel.batch.transactions() {
        if let Some(end) = transaction.end() {
            out.push(format!("end {} {}", transaction.id(), end.events()));
        }
    }
    out.push(match parcel.mark {
        Mark::Commit(position) => format!("commit {}", position.lsn.0),
        Mark::Within(open) => format!("within {} {}", open.transaction, open.rows_done),
    });
    out.join("; ")
}

fn row(id: &str, value: &str) -> Vec<u8> {
    wire::insert(T, &[Some(id), Some(value)])
}

#[test]
fn a_transaction_becomes_events_and_a_commit_mark() {
    let mut assembler = assembler(&resume(100, None), None, false);
    feed_all(
        &mut assembler,
        &[
            wire::begin(200, 5),
            row("1", "a"),
            wire::insert(OTHER, &[Some("9"), Some("x")]),
            wire::update(T, b'K', &[Some("1"), None], &[Some("2"), Some("<unchanged>")]),
            wire::update(T, b'O', &[Some("2"), Some("a")], &[Some("2"), Some("<unchanged>")]),
            wire::delete(T, &[Some("2"), None]),
            wire::truncate(T),
            wire::commit(200, 210),
        ],
    );
    let expected = "5:200#1.1 c 1,a; 5:200#2.2 u 1,->2,-; 5:200#4.4 u 2,a>2,a; 5:200#5.5 d 2,-; 5:200#6.6 t; \
                    end 5:200 6; commit 210";
    assert_eq!(show(assembler.cut()), expected);
    assert_eq!(show(assembler.cut()), "nothing");
}

#[test]
fn small_transactions_share_a_batch_and_empty_ones_leave_only_their_position() {
    let mut assembler = assembler(&resume(100, None), None, false);
    feed_all(
        &mut assembler,
        &[
            wire::begin(200, 5),
            row("1", "a"),
            wire::commit(200, 210),
            wire::begin(220, 4),
            row("2", "b"),
            wire::commit(220, 230),
            wire::begin(240, 6),
            wire::insert(OTHER, &[Some("9"), Some("x")]),
            wire::commit(240, 250),
        ],
    );
    assert_eq!(
        show(assembler.cut()),
        "5:200#1.1 c 1,a; 4:220#1.1 c 2,b; end 5:200 1; end 4:220 1; commit 250"
    );
}

#[test]
fn a_cut_inside_a_transaction_holds_nothing_before_it() {
    let mut assembler = assembler(&resume(100, None), None, false);
    feed_all(
        &mut assembler,
        &[
            wire::begin(200, 5),
            row("1", "a"),
            wire::commit(200, 210),
            wire::begin(220, 6),
            row("2", "b"),
        ],
    );
    assert_eq!(show(assembler.cut_complete()), "5:200#1.1 c 1,a; end 5:200 1; commit 210");
    assert_eq!(show(assembler.cut_complete()), "nothing");
    feed_all(&mut assembler, &[row("3", "c")]);
    assert_eq!(show(assembler.cut()), "6:220#1.1 c 2,b; 6:220#2.2 c 3,c; within 6:220 2");
    feed_all(&mut assembler, &[wire::commit(220, 230)]);
    assert_eq!(show(assembler.cut()), "end 6:220 2; commit 230");
}

#[test]
fn a_cut_transaction_goes_on_behind_the_rows_that_were_sent() {
    let messages = [
        wire::begin(220, 6),
        row("2", "b"),
        wire::insert(OTHER, &[Some("9"), Some("x")]),
        row("3", "c"),
        wire::message(true, 223, "m"),
        row("4", "d"),
        wire::commit(220, 230),
    ];
    for cut in 2..messages.len() - 1 {
        let mut first = assembler(&resume(100, None), None, false);
        feed_all(&mut first, &messages[..cut]);
        let sent = first.cut().unwrap();
        let Mark::Within(open) = sent.mark.clone() else { panic!("within") };
        assert_eq!(open.rows_done, cut as u64 - 1);
        let mut second = assembler(&resume(100, Some(open.clone())), None, false);
        feed_all(&mut second, &messages);
        let first = show(Some(sent));
        let events = |text: &str| {
            text.split("; ").filter(|part| part.contains('#')).map(str::to_owned).collect()
        };
        let mut all: Vec<String> = events(&first);
        let rest = show(second.cut());
        all.extend::<Vec<String>>(events(&rest));
        assert_eq!(all, ["6:220#1.1 c 2,b", "6:220#2.2 c 3,c", "6:220#3.3 c 4,d"], "cut at {cut}");
        assert!(rest.ends_with("end 6:220 3; commit 230"), "{rest}");

        // anything else in its place is noticed
        let wrong = |open: Open, messages: &[Vec<u8>]| {
            let mut assembler = assembler(&resume(100, Some(open)), None, false);
            messages.iter().find_map(|bytes| feed(&mut assembler, bytes, 1).err())
        };
        let hash = Open { hash: open.hash ^ 1, ..open.clone() };
        assert!(matches!(wrong(hash, &messages), Some(LogError::OtherRows { .. })));
        let longer = Open { rows_done: 6, ..open.clone() };
        assert!(matches!(wrong(longer, &messages), Some(LogError::OtherRows { .. })));
        let other = Open { transaction: "7:220".into(), ..open.clone() };
        assert!(matches!(wrong(other, &messages), Some(LogError::OtherTransaction { .. })));
        let mut changed = messages.clone();
        changed[1] = row("22", "b");
        assert!(matches!(wrong(open, &changed), Some(LogError::OtherRows { .. })));
    }
}

#[test]
fn the_log_ahead_is_a_position_only_between_transactions() {
    let mut assembler = assembler(&resume(100, None), None, false);
    assembler.keepalive(Lsn(150), false).unwrap();
    assert_eq!(assembler.idle_bytes(), Some(50));
    let quiet = assembler.cut().unwrap();
    assert!(!quiet.urgent);
    assert_eq!(show(Some(quiet)), "commit 150");
    assembler.keepalive(Lsn(140), true).unwrap();
    assert_eq!(show(assembler.cut()), "nothing", "never back");
    assembler.keepalive(Lsn(160), true).unwrap();
    assert!(assembler.cut().unwrap().urgent);
    feed_all(&mut assembler, &[wire::begin(200, 5), row("1", "a")]);
    assembler.keepalive(Lsn(190), true).unwrap();
    assert_eq!(show(assembler.cut()), "5:200#1.1 c 1,a; within 5:200 1");
    let open = Open { transaction: "5:200".into(), rows_done: 1, hash: 0 };
    let mut resumed = self::assembler(&resume(100, Some(open)), None, false);
    resumed.keepalive(Lsn(190), true).unwrap();
    assert_eq!(show(resumed.cut()), "nothing", "the open transaction is still to come");
    assert!(resumed.keepalive(Lsn(300), true).is_err(), "and it has not");
}

#[test]
fn the_stream_ends_exactly_where_it_was_told() {
    let first = [wire::begin(200, 5), row("1", "a"), wire::commit(200, 210)];
    // a commit above the end
    let mut above = assembler(&resume(100, None), Some(215), false);
    feed_all(&mut above, &first);
    assert!(matches!(feed(&mut above, &wire::begin(215, 6), 1), Ok(Fed::Reached)));
    assert_eq!(show(Some(above.cut_reached(Lsn(215)))), "5:200#1.1 c 1,a; end 5:200 1; commit 215");
    // nothing but log
    let mut idle = assembler(&resume(100, None), Some(215), false);
    assert!(matches!(idle.keepalive(Lsn(214), false), Ok(Fed::Taken)));
    assert!(matches!(idle.keepalive(Lsn(220), false), Ok(Fed::Reached)));
    // a commit that ends there
    let mut exact = assembler(&resume(100, None), Some(210), false);
    feed_all(&mut exact, &first[..2]);
    assert!(matches!(feed(&mut exact, &first[2], 1), Ok(Fed::Reached)));
}

#[test]
fn messages_are_counted_always_and_emitted_when_asked_for() {
    let messages = [
        wire::message(false, 150, "x"),
        wire::begin(200, 5),
        wire::message(true, 160, "y"),
        row("1", "a"),
        wire::commit(200, 210),
    ];
    let mut without = assembler(&resume(100, None), None, false);
    feed_all(&mut without, &messages);
    assert_eq!(show(without.cut()), "5:200#1.1 c 1,a; end 5:200 1; commit 210");
    let mut with = assembler(&resume(100, None), None, true);
    feed_all(&mut with, &messages[..1]);
    assert_eq!(show(with.cut()), ":150#1.1 m p,[120]; end :150 1; commit 151");
    feed_all(&mut with, &messages);
    assert_eq!(
        show(with.cut()),
        "5:200#1.1 m p,[121]; 5:200#2.1 c 1,a; end 5:200 2; commit 210",
        "the first is not sent twice"
    );
}

#[test]
fn a_null_in_a_required_column_makes_a_new_version_of_the_table() {
    let mut assembler = assembler(&resume(100, None), None, false);
    feed_all(
        &mut assembler,
        &[
            wire::begin(200, 5),
            row("1", "a"),
            wire::insert(T, &[Some("2"), None]),
            wire::commit(200, 210),
        ],
    );
    let parcel = assembler.cut().unwrap();
    let versions: Vec<bool> =
        parcel.batch.tables().iter().map(|table| table.columns[1].nullable).collect();
    assert_eq!(versions, [false, true]);
    let counts: Vec<u64> = {
        let transaction = parcel.batch.transactions().next().unwrap();
        transaction.end().unwrap().tables().map(|(_, count)| count).collect()
    };
    assert_eq!(counts, [2]);
    assert_eq!(show(Some(parcel)), "5:200#1.1 c 1,a; 5:200#2.2 c 2,null; end 5:200 2; commit 210");
}

#[test]
fn what_the_protocol_does_not_allow_stops() {
    let check = |messages: &[Vec<u8>], expected: &str| {
        let mut assembler = assembler(&resume(100, None), None, false);
        let error = messages.iter().find_map(|bytes| feed(&mut assembler, bytes, 1).err());
        assert_eq!(error.expect("an error").to_string(), expected);
    };
    check(&[row("1", "a")], "a row where the protocol has none");
    check(&[wire::commit(1, 2)], "a Commit where the protocol has none");
    check(&[wire::begin(200, 5), wire::begin(201, 6)], "a Begin where the protocol has none");
    check(
        &[wire::begin(99, 5)],
        "a transaction that committed at 0/63, before the stored position 0/64",
    );
    check(
        &[wire::begin(200, 5), wire::insert(99, &[Some("1")])],
        "a row of relation 99, which was not announced",
    );
    check(
        &[wire::begin(200, 5), wire::insert(T, &[Some("1")])],
        "a row of table public.t cannot be read",
    );
    check(&[wire::begin(200, 5), row("one", "a")], "a row of table public.t cannot be read");
}
