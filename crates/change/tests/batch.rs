//! A batch gives back what was written into it, for every kind of value and every operation.

use std::sync::Arc;

use change::{
    Batch, Cell, Change, Column, Decimal, Interval, Kind, Operation, Place, RowWriter, Table,
    TableName, Value,
};

fn table(columns: usize) -> Arc<Table> {
    let columns = (0..columns).map(|n| Column::new(&format!("c{n}"), Kind::Text)).collect();
    Arc::new(Table { name: TableName::new("public", "t"), columns, key: vec![0] })
}

fn check(write: impl Fn(&mut RowWriter<'_>), expected: Cell<'_>) {
    let table = table(1);
    let mut batch = Batch::new();
    batch.begin("1", 0).finish();
    let mut row = batch.row(&table, Operation::Insert, Place::default());
    write(&mut row);
    row.finish();
    let event = batch.events().next().expect("one event");
    let Change::Insert(row) = event.change else { panic!("{:?}", event.change) };
    assert_eq!(row.cell(0), expected);
    assert_eq!(row.cells().collect::<Vec<_>>(), [expected]);
}

#[test]
fn a_cell_reads_as_it_was_written() {
    check(|row| row.absent(), Cell::Absent);
    check(|row| row.null(), Cell::Null);
    check(|row| row.bool(true), Cell::Value(Value::Bool(true)));
    check(|row| row.int(i64::MIN), Cell::Value(Value::Int(i64::MIN)));
    check(|row| row.uint(u64::MAX), Cell::Value(Value::UInt(u64::MAX)));
    check(|row| row.float32(-0.5), Cell::Value(Value::Float32(-0.5)));
    check(|row| row.float64(f64::MAX), Cell::Value(Value::Float64(f64::MAX)));
    let decimal = Decimal::Finite { unscaled: &[0xff, 0x01], scale: -3 };
    check(|row| row.decimal(decimal), Cell::Value(Value::Decimal(decimal)));
    for special in [Decimal::NotANumber, Decimal::Infinity, Decimal::MinusInfinity] {
        check(|row| row.decimal(special), Cell::Value(Value::Decimal(special)));
    }
    check(|row| row.date(i32::MIN), Cell::Value(Value::Date(i32::MIN)));
    check(|row| row.time(-1), Cell::Value(Value::Time(-1)));
    check(
        |row| row.time_tz(86_400_000_000, -50_400),
        Cell::Value(Value::TimeTz { micros: 86_400_000_000, offset: -50_400 }),
    );
    check(|row| row.date_time(i64::MAX), Cell::Value(Value::DateTime(i64::MAX)));
    check(|row| row.instant(i64::MIN), Cell::Value(Value::Instant(i64::MIN)));
    let interval = Interval { months: -1, days: i32::MAX, micros: i64::MIN };
    check(|row| row.interval(interval), Cell::Value(Value::Interval(interval)));
    check(|row| row.uuid([7; 16]), Cell::Value(Value::Uuid([7; 16])));
    check(|row| row.text("grüße"), Cell::Value(Value::Text("grüße")));
    check(|row| row.bytes(&[0, 255]), Cell::Value(Value::Bytes(&[0, 255])));
    check(
        |row| row.bits(9, &[0xff, 0x80]),
        Cell::Value(Value::Bits { length: 9, bytes: &[0xff, 0x80] }),
    );
    check(|row| row.point(1.5, -2.0), Cell::Value(Value::Point { x: 1.5, y: -2.0 }));
}

#[test]
fn an_array_keeps_its_nesting_and_its_nulls() {
    let table = table(2);
    let mut batch = Batch::new();
    batch.begin("1", 0).finish();
    let mut row = batch.row(&table, Operation::Insert, Place::default());
    row.begin_array();
    row.begin_array();
    row.text("a");
    row.null();
    row.end_array();
    row.begin_array();
    row.end_array();
    row.end_array();
    row.int(3);
    row.finish();

    let event = batch.events().next().expect("one event");
    let Change::Insert(row) = event.change else { panic!("{:?}", event.change) };
    let Cell::Value(Value::Array(outer)) = row.cell(0) else { panic!("{:?}", row.cell(0)) };
    let nested: Vec<Vec<Cell<'_>>> = outer
        .iter()
        .map(|cell| match cell {
            Cell::Value(Value::Array(inner)) => inner.iter().collect(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(nested, [vec![Cell::Value(Value::Text("a")), Cell::Null], vec![]]);
    assert_eq!(row.cell(1), Cell::Value(Value::Int(3)));
}

#[test]
fn transactions_and_their_ends_stand_beside_their_rows() {
    let table = table(1);
    let mut batch = Batch::new();
    let mut facts = batch.begin("571", 42);
    facts.int(9);
    facts.finish();
    let place = Place { at: 100, order: 1, table_order: 1 };
    let mut row = batch.update(&table, place);
    row.text("old");
    row.text("new");
    row.finish();
    batch.row(&table, Operation::Truncate, Place { at: 101, order: 2, table_order: 2 }).finish();
    batch.end(2, [(&table, 2)]);
    batch.begin("572", 43).finish();

    let seen: Vec<_> = batch
        .events()
        .map(|event| (event.transaction.id(), event.at, event.order, event.change.operation()))
        .collect();
    assert_eq!(seen, [("571", 100, 1, Operation::Update), ("571", 101, 2, Operation::Truncate)]);
    let first = batch.transactions().next().expect("two transactions");
    assert_eq!(first.committed_at(), 42);
    assert_eq!(first.facts().cell(0), Cell::Value(Value::Int(9)));
    let end = first.end().expect("it ended here");
    assert_eq!(end.events(), 2);
    assert_eq!(end.tables().collect::<Vec<_>>(), [(&table.name, 2)]);
    assert!(batch.transactions().last().expect("two transactions").end().is_none());
    assert_eq!(batch.tables().len(), 1);
}

#[test]
fn an_unfinished_row_does_not_become_part_of_the_batch() {
    let table = table(2);
    let mut batch = Batch::new();
    batch.begin("1", 0).finish();
    let mut half = batch.row(&table, Operation::Insert, Place::default());
    half.begin_array();
    half.text("half");
    drop(half);
    let mut row = batch.row(&table, Operation::Insert, Place::default());
    row.int(1);
    row.int(2);
    row.finish();
    assert_eq!(batch.len(), 1);
    let event = batch.events().next().expect("one event");
    let Change::Insert(row) = event.change else { panic!("{:?}", event.change) };
    assert_eq!(
        row.cells().collect::<Vec<_>>(),
        [Cell::Value(Value::Int(1)), Cell::Value(Value::Int(2))]
    );
}

#[test]
fn a_cleared_batch_is_empty() {
    let table = table(1);
    let mut batch = Batch::new();
    batch.begin("1", 0).finish();
    let mut row = batch.row(&table, Operation::Insert, Place::default());
    row.bytes(&[1; 100]);
    row.finish();
    assert!(batch.size() >= 100);
    batch.clear();
    assert_eq!((batch.len(), batch.size(), batch.tables().len()), (0, 0, 0));
}
