//! The judge must be seen to fail: every kind of damage, done to a list of records that is right.

use super::*;

const P: Key = (2, 7);

/// Three keys of one table. Key 7: created before the stream begins, then updated, deleted and created again by it; key 8:
/// created, updated; key 9: came and went before.
fn ledger() -> Ledger {
    let mut ledger = Ledger::default();
    let mut entry = |key: i64, op: Op, commit: i64| {
        let entries = ledger.keys.entry((2, key)).or_default();
        let version = entries.len() + 1;
        let hash = (op != Op::Delete).then(|| hash(&row(key, version)));
        entries.push(Entry { op, hash, commit, xid: 100 + commit });
    };
    entry(7, Op::Create, 1);
    entry(9, Op::Create, 2);
    entry(9, Op::Delete, 3);
    entry(7, Op::Update, 4);
    entry(8, Op::Create, 4);
    entry(7, Op::Update, 5);
    entry(7, Op::Delete, 6);
    entry(8, Op::Update, 6);
    entry(7, Op::Create, 7);
    ledger
}

fn row(key: i64, version: usize) -> Vec<Cell> {
    let mut row = vec![Cell::Text(key.to_string()), Cell::Text(version.to_string())];
    row.extend((2..9).map(|column| Cell::Text(format!("{version}/{column}"))));
    row.push(Cell::Null);
    row
}

fn event(key: i64, kind: Kind, version: usize, commit: i64) -> Event {
    let has_row = !matches!(kind, Kind::Delete | Kind::Tombstone);
    Event {
        key: (2, key),
        kind,
        row: has_row.then(|| row(key, version)),
        partition: 0,
        offset: 0,
        stamp: Some(Stamp { incarnation: 1, sequence: commit as u64 }),
        xid: (kind != Kind::Read && kind != Kind::Tombstone).then_some(100 + commit),
    }
}

/// What an exact connector writes: pinned between commits 3 and 4.
fn exact() -> Vec<Event> {
    let events = [
        event(7, Kind::Read, 1, 0),
        event(7, Kind::Update, 2, 4),
        event(8, Kind::Create, 1, 4),
        event(7, Kind::Update, 3, 5),
        event(7, Kind::Delete, 4, 6),
        event(7, Kind::Tombstone, 4, 6),
        event(8, Kind::Update, 2, 6),
        event(7, Kind::Create, 5, 7),
    ];
    events.into_iter().zip(0..).map(|(event, offset)| Event { offset, ..event }).collect()
}

fn tables() -> Vec<Rows> {
    let mut tables = vec![Rows::new(); TABLES.len()];
    for (key, version) in [(7, 5), (8, 2)] {
        let values = row(key, version).into_iter().map(|cell| match cell {
            Cell::Text(text) => Some(text),
            _ => None,
        });
        tables[2].insert(key, values.collect());
    }
    tables
}

fn judged(events: Vec<Event>) -> Verdict {
    let mut judge = Judge::default();
    for commit in 4..=7 {
        judge.add_begin(100 + commit);
    }
    for (commit, count) in [(4, 2), (5, 1), (6, 2), (7, 1)] {
        judge.add_end(100 + commit, count);
    }
    events.into_iter().for_each(|event| judge.add(event));
    judge.verdict(&ledger(), &tables())
}

/// Every violation that `damage` leads to.
#[track_caller]
fn check(damage: impl FnOnce(&mut Vec<Event>), expected: &[Violation]) {
    let mut events = exact();
    damage(&mut events);
    let mut found = judged(events).violations;
    let mut expected = expected.to_vec();
    let order = |violation: &Violation| format!("{violation:?}");
    found.sort_by_key(order);
    expected.sort_by_key(order);
    assert_eq!(found, expected);
}

#[test]
fn what_is_exact_passes() {
    let verdict = judged(exact());
    assert_eq!(verdict.violations, []);
    let expected =
        Figures { copied: 1, streamed: 6, tombstones: 1, hashes: 6, rows: 2, ..Figures::default() };
    assert_eq!(verdict.figures, expected);
}

#[test]
fn a_copied_row_may_come_again_with_the_version_of_then() {
    check(|events| events.insert(1, event(7, Kind::Read, 1, 0)), &[]);
    check(
        |events| {
            let again = event(7, Kind::Read, 3, 5);
            events.insert(4, again);
        },
        &[],
    );
}

#[test]
fn a_lost_change_is_found() {
    // In the middle of a key's changes; its END counts it too.
    check(
        |events| drop(events.remove(3)),
        &[Violation::Lost { key: P, version: 3 }, Violation::Torn { xid: 105, told: 1, found: 0 }],
    );
    // The last one of a key.
    check(
        |events| drop(events.pop()),
        &[
            Violation::Lost { key: P, version: 5 },
            Violation::Torn { xid: 107, told: 1, found: 0 },
            Violation::Fold { key: P },
        ],
    );
    // All of a key.
    check(
        |events| events.retain(|event| event.key != (2, 8)),
        &[
            Violation::Lost { key: (2, 8), version: 1 },
            Violation::Lost { key: (2, 8), version: 2 },
            Violation::Torn { xid: 104, told: 2, found: 1 },
            Violation::Torn { xid: 106, told: 2, found: 1 },
            Violation::Fold { key: (2, 8) },
        ],
    );
}

#[test]
fn a_row_that_was_never_copied_is_found() {
    // Its first change of the stream is an update: the row itself is told, so nothing of it is missing.
    check(|events| drop(events.remove(0)), &[]);
    let mut judge = Judge::default();
    judge.add(event(8, Kind::Create, 1, 4));
    judge.add(event(8, Kind::Update, 2, 6));
    let mut ledger = ledger();
    ledger.keys.get_mut(&P).unwrap().truncate(1);
    let mut tables = tables();
    tables[2].insert(7, vec![None; 10]);
    let found = judge.verdict(&ledger, &tables).violations;
    assert_eq!(found, [Violation::Lost { key: P, version: 1 }, Violation::Fold { key: P }]);
}

#[test]
fn a_doubled_change_is_found() {
    check(
        |events| events.insert(4, exact()[3].clone()),
        &[
            Violation::Doubled { key: P, version: 3 },
            Violation::Torn { xid: 105, told: 1, found: 2 },
        ],
    );
    // A delete with its tombstone.
    check(
        |events| {
            events.insert(6, exact()[4].clone());
            events.insert(7, exact()[5].clone());
        },
        &[
            Violation::Doubled { key: P, version: 4 },
            Violation::StrayTombstone { key: P, offset: 5 },
            Violation::Torn { xid: 106, told: 2, found: 3 },
        ],
    );
}

#[test]
fn changes_in_the_wrong_order_are_found() {
    check(
        |events| events.swap(1, 3),
        &[
            Violation::Lost { key: P, version: 2 },
            Violation::Doubled { key: P, version: 2 },
            Violation::Descended { table: 2, partition: 0, offset: 2 },
        ],
    );
}

#[test]
fn a_torn_transaction_is_found() {
    // Half of a transaction that was aborted and begun again stayed.
    check(
        |events| events.insert(2, exact()[1].clone()),
        &[
            Violation::Doubled { key: P, version: 2 },
            Violation::Torn { xid: 104, told: 2, found: 3 },
        ],
    );
}

#[test]
fn a_stale_copied_row_is_found() {
    check(
        |events| {
            let stale = event(7, Kind::Read, 1, 5);
            events.insert(4, stale);
        },
        &[Violation::Stale { key: P, said: 3, copied: 1 }],
    );
    // The key was deleted meanwhile.
    check(
        |events| {
            let stale = event(7, Kind::Read, 3, 6);
            events.insert(6, stale);
        },
        &[Violation::Stale { key: P, said: 4, copied: 3 }],
    );
}

#[test]
fn a_copied_row_that_is_ahead_of_its_stream_is_found() {
    // The copy shows version 3, then the stream tells version 3 again.
    check(
        |events| {
            let ahead = event(7, Kind::Read, 3, 4);
            events.insert(3, ahead);
        },
        &[Violation::Lost { key: P, version: 3 }, Violation::Doubled { key: P, version: 3 }],
    );
}

#[test]
fn a_change_that_was_rolled_back_is_found() {
    check(
        |events| {
            let mut phantom = event(8, Kind::Update, 3, 7);
            phantom.xid = None;
            events.push(phantom);
        },
        &[Violation::Phantom { key: (2, 8), version: Some(3) }],
    );
    check(
        |events| {
            let mut phantom = event(77, Kind::Create, 1, 7);
            phantom.xid = None;
            events.push(phantom);
        },
        &[Violation::Phantom { key: (2, 77), version: Some(1) }],
    );
}

#[test]
fn a_wrong_value_is_found() {
    check(
        |events| events[6].row.as_mut().unwrap()[4] = Cell::Text("other".to_owned()),
        &[Violation::Different { key: (2, 8), version: 2 }, Violation::Fold { key: (2, 8) }],
    );
    // A large value that was not touched must not become null.
    check(
        |events| events[3].row.as_mut().unwrap()[5] = Cell::Null,
        &[Violation::Different { key: P, version: 3 }],
    );
}

#[test]
fn an_absent_cell_keeps_what_the_key_said_before() {
    let verdict = judged_with_body(Cell::Absent);
    assert_eq!(verdict.violations, []);
    let verdict = judged_with_body(Cell::Null);
    assert_eq!(verdict.violations.len(), 2, "{verdict:?}");
}

/// A row whose last column is set by its create and not touched by its update.
fn judged_with_body(in_update: Cell) -> Verdict {
    let body = |version: usize, cell: Cell| {
        let mut row = row(7, version);
        row[9] = cell;
        row
    };
    let large = Cell::Text("large".to_owned());
    let mut ledger = Ledger::default();
    let entries = [(Op::Create, 1), (Op::Update, 2)].map(|(op, commit)| Entry {
        op,
        hash: Some(hash(&body(commit as usize, large.clone()))),
        commit,
        xid: commit,
    });
    ledger.keys.insert(P, entries.to_vec());
    let mut judge = Judge::default();
    for (kind, version, cell) in [(Kind::Create, 1, large.clone()), (Kind::Update, 2, in_update)] {
        let mut event = event(7, kind, version, version as i64);
        event.row = Some(body(version, cell));
        judge.add(event);
    }
    let mut tables = vec![Rows::new(); TABLES.len()];
    let values = body(2, large).into_iter().map(|cell| match cell {
        Cell::Text(text) => Some(text),
        _ => None,
    });
    tables[2].insert(7, values.collect());
    judge.verdict(&ledger, &tables)
}

#[test]
fn tombstones_follow_deletes_and_nothing_else() {
    check(|events| drop(events.remove(5)), &[Violation::NoTombstone { key: P, version: 4 }]);
    check(
        |events| {
            let tombstone = Event { offset: 9, ..event(8, Kind::Tombstone, 2, 7) };
            events.push(tombstone);
        },
        &[Violation::StrayTombstone { key: (2, 8), offset: 9 }],
    );
}

#[test]
fn a_key_that_moves_to_another_partition_is_found() {
    check(|events| events[6].partition = 1, &[Violation::Split { key: (2, 8) }]);
}

#[test]
fn a_header_that_goes_back_is_found() {
    check(
        |events| events[7].stamp = Some(Stamp { incarnation: 1, sequence: 3 }),
        &[Violation::Descended { table: 2, partition: 0, offset: 7 }],
    );
}
