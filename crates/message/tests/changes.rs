//! Which messages a change gives.

mod support;

use std::sync::Arc;

use change::{Batch, Column, Kind, Operation, Place, Table, TableName};
use message::{Absent, Counts, Settings, Shape, TopicKind, Truncate};
use support::{Step, V, batch, json, lines, problem, ready, table, text};

fn people() -> Arc<Table> {
    let id = Column::new("id", Kind::Int { bits: 32, signed: true }).required();
    table(vec![id, Column::new("name", Kind::Text)], &[0])
}

fn keyless() -> Arc<Table> {
    table(vec![Column::new("name", Kind::Text)], &[])
}

fn person(id: i64, name: &str) -> Vec<V> {
    vec![V::Int(id), text(name)]
}

/// Leaves of an envelope what differs between changes.
fn brief(line: &str) -> String {
    let source = line.find("\"source\":").map(|at| {
        let end = line[at..].find("},").expect("the source block ends") + at + 2;
        (at, end)
    });
    let line = match source {
        Some((start, end)) => format!("{}{}", &line[..start], &line[end..]),
        None => line.to_owned(),
    };
    line.replace(
        ",\"ts_ms\":1700000000123,\"ts_us\":1700000000123456,\"ts_ns\":1700000000123456000",
        "",
    )
    .replace("shop.public.orders ", "")
    .replace("\"transaction\":null,", "")
}

fn check(settings: Settings, table: &Arc<Table>, steps: &[Step], expected: &[&str]) -> Counts {
    let mut pipeline = json(settings);
    let batch = batch(table, steps);
    let whole = lines(&mut pipeline, &batch, usize::MAX).map_err(|error| problem(&error));
    let counts = pipeline.counts();
    let whole = whole.expect("the batch can be encoded");
    let found: Vec<String> = whole.iter().map(|line| brief(line)).collect();
    assert_eq!(found, expected);
    // Cut at any place, the messages are the same.
    for limit in [1, 100, 500] {
        let cut = lines(&mut json(settings), &batch, limit).expect("the batch can be encoded");
        assert_eq!(cut, whole);
    }
    counts
}

fn refused(settings: Settings, table: &Arc<Table>, steps: &[Step], expected: &str) {
    let error = lines(&mut json(settings), &batch(table, steps), 1).expect_err("it is refused");
    assert_eq!(problem(&error), expected);
    assert!(!error.transient);
}

#[test]
fn an_insert_in_full() {
    let lines = lines(
        &mut json(Settings::default()),
        &batch(&people(), &[Step::Insert(person(1, "Ada"))]),
        1,
    )
    .unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        lines,
        [format!(
            r#"shop.public.orders {{"id":1}} {{"before":null,"after":{{"id":1,"name":"Ada"}},"source":{{"version":"{version}","connector":"postgresql","name":"shop","ts_ms":1600000000654,"snapshot":"false","db":"cdc","sequence":"[\"97500059720\",\"1001\"]","ts_us":1600000000654321,"ts_ns":1600000000654321000,"schema":"public","table":"orders","txId":601,"lsn":1001,"xmin":null}},"transaction":null,"op":"c","ts_ms":1700000000123,"ts_us":1700000000123456,"ts_ns":1700000000123456000}}"#
        )]
    );
}

#[test]
fn each_operation_gives_debeziums_messages() {
    let check = |table: &Arc<Table>, steps: &[Step], expected: &[&str]| {
        check(Settings::default(), table, steps, expected);
    };
    check(
        &people(),
        &[Step::Read(person(1, "Ada"))],
        &[r#"{"id":1} {"before":null,"after":{"id":1,"name":"Ada"},"op":"r"}"#],
    );
    check(
        &people(),
        &[Step::Update(person(1, "Ada"))],
        &[r#"{"id":1} {"before":null,"after":{"id":1,"name":"Ada"},"op":"u"}"#],
    );
    check(
        &people(),
        &[Step::UpdateFrom(person(1, "Ada"), person(1, "Bob"))],
        &[r#"{"id":1} {"before":{"id":1,"name":"Ada"},"after":{"id":1,"name":"Bob"},"op":"u"}"#],
    );
    check(
        &people(),
        &[Step::Delete(vec![V::Int(1), V::Absent])],
        &[r#"{"id":1} {"before":{"id":1,"name":null},"after":null,"op":"d"}"#, r#"{"id":1} -"#],
    );
    check(
        &people(),
        &[Step::UpdateFrom(vec![V::Int(1), V::Absent], person(2, "Ada"))],
        &[
            r#"{"id":1} {"before":{"id":1,"name":null},"after":null,"op":"d"} [__debezium.newkey: {"id":2}]"#,
            r#"{"id":1} - [__debezium.newkey: {"id":2}]"#,
            r#"{"id":2} {"before":null,"after":{"id":2,"name":"Ada"},"op":"c"} [__debezium.oldkey: {"id":1}]"#,
        ],
    );
    check(
        &keyless(),
        &[
            Step::Insert(vec![text("Ada")]),
            Step::UpdateFrom(vec![text("Ada")], vec![text("Bob")]),
            Step::Delete(vec![text("Bob")]),
        ],
        &[
            r#"- {"before":null,"after":{"name":"Ada"},"op":"c"}"#,
            r#"- {"before":{"name":"Ada"},"after":{"name":"Bob"},"op":"u"}"#,
            r#"- {"before":{"name":"Bob"},"after":null,"op":"d"}"#,
            "- -",
        ],
    );
}

#[test]
fn a_key_in_a_header_is_text_with_plain_decimals() {
    let price = Kind::Decimal { precision: 10, scale: 2 };
    let columns = [price, Kind::Number, Kind::Bytes, Kind::Text]
        .map(|kind| Column::new(&format!("{kind:?}")[..4], kind).required());
    let table = table(columns.to_vec(), &[0, 1, 2, 3]);
    let row =
        |price| vec![V::Decimal(price, 2), V::Decimal(15, 1), V::Bytes(vec![1]), text("a\"b")];
    check(
        Settings { shape: Shape::Row, ..Settings::default() },
        &table,
        &[Step::UpdateFrom(row(150), row(200))],
        &[
            r#"{"Deci":"AJY=","Numb":{"scale":1,"value":"Dw=="},"Byte":"AQ==","Text":"a\"b"} - [__debezium.newkey: {"Deci":2.00,"Numb":{"scale":1,"value":"Dw=="},"Byte":"AQ==","Text":"a\"b"}]"#,
            r#"{"Deci":"AMg=","Numb":{"scale":1,"value":"Dw=="},"Byte":"AQ==","Text":"a\"b"} {"Deci":"AMg=","Numb":{"scale":1,"value":"Dw=="},"Byte":"AQ==","Text":"a\"b"} [__debezium.oldkey: {"Deci":1.50,"Numb":{"scale":1,"value":"Dw=="},"Byte":"AQ==","Text":"a\"b"}]"#,
        ],
    );
}

#[test]
fn a_truncate_is_counted_and_told_only_when_wanted() {
    let steps = [Step::Truncate, Step::Insert(person(1, "Ada"))];
    let insert = r#"{"id":1} {"before":null,"after":{"id":1,"name":"Ada"},"op":"c"}"#;
    let counts = check(Settings::default(), &people(), &steps, &[insert]);
    assert_eq!(counts.truncates, 1);
    let emit = Settings { truncate: Truncate::Emit, ..Settings::default() };
    let told = r#"- {"before":null,"after":null,"op":"t"} [every partition]"#;
    let counts = check(emit, &people(), &steps, &[told, insert]);
    assert_eq!(counts.truncates, 1);
    let row = Settings { shape: Shape::Row, ..emit };
    let counts = check(row, &people(), &steps, &[r#"{"id":1} {"id":1,"name":"Ada"}"#]);
    assert_eq!(counts.truncates, 1);
}

#[test]
fn a_plain_row_is_the_new_one_and_a_delete_its_tombstone() {
    let row = Settings { shape: Shape::Row, ..Settings::default() };
    check(
        row,
        &people(),
        &[
            Step::Read(person(1, "Ada")),
            Step::UpdateFrom(person(1, "Ada"), person(2, "Ada")),
            Step::Delete(vec![V::Int(2), V::Absent]),
        ],
        &[
            r#"{"id":1} {"id":1,"name":"Ada"}"#,
            r#"{"id":1} - [__debezium.newkey: {"id":2}]"#,
            r#"{"id":2} {"id":2,"name":"Ada"} [__debezium.oldkey: {"id":1}]"#,
            r#"{"id":2} -"#,
        ],
    );
    check(row, &keyless(), &[Step::Insert(vec![text("Ada")])], &[r#"- {"name":"Ada"}"#]);
    refused(
        row,
        &keyless(),
        &[Step::Delete(vec![text("Ada")])],
        "row-without-key: encoding a change: public.orders: a deleted row of a table without a key cannot be told as a plain row",
    );
    refused(
        row,
        &people(),
        &[Step::Update(vec![V::Int(1), V::Absent])],
        "absent-value: encoding a change: public.orders, column name: the database did not send this value, and nothing stands for it",
    );
    let placeholder = Settings { absent: Some(Absent::Placeholder), ..row };
    let counts = check(
        placeholder,
        &people(),
        &[Step::Update(vec![V::Int(1), V::Absent])],
        &[r#"{"id":1} {"id":1,"name":"__debezium_unavailable_value"}"#],
    );
    assert_eq!(counts.placeholders, 1);
}

#[test]
fn what_was_not_sent_is_taken_from_the_old_row_where_that_has_it() {
    let counts = check(
        Settings::default(),
        &people(),
        &[
            Step::Update(vec![V::Int(1), V::Absent]),
            Step::UpdateFrom(person(1, "Ada"), vec![V::Int(1), V::Absent]),
            Step::UpdateFrom(person(1, "Ada"), vec![V::Absent, text("Bob")]),
            Step::UpdateFrom(vec![V::Absent, V::Null], person(5, "Eve")),
        ],
        &[
            r#"{"id":1} {"before":null,"after":{"id":1,"name":"__debezium_unavailable_value"},"op":"u"}"#,
            r#"{"id":1} {"before":{"id":1,"name":"Ada"},"after":{"id":1,"name":"Ada"},"op":"u"}"#,
            r#"{"id":1} {"before":{"id":1,"name":"Ada"},"after":{"id":1,"name":"Bob"},"op":"u"}"#,
            r#"{"id":5} {"before":{"id":0,"name":null},"after":{"id":5,"name":"Eve"},"op":"u"}"#,
        ],
    );
    assert_eq!(counts, Counts { placeholders: 1, ..Counts::default() });
    refused(
        Settings::default(),
        &people(),
        &[Step::Delete(vec![V::Absent, text("Ada")])],
        "absent-value: encoding a change: public.orders, column id: the database did not send this value, and nothing stands for it",
    );
}

#[test]
fn a_key_change_without_the_whole_row_is_counted_or_refused() {
    let steps = [Step::UpdateFrom(vec![V::Int(1), V::Absent], vec![V::Int(2), V::Absent])];
    let counts = check(
        Settings::default(),
        &people(),
        &steps,
        &[
            r#"{"id":1} {"before":{"id":1,"name":null},"after":null,"op":"d"} [__debezium.newkey: {"id":2}]"#,
            r#"{"id":1} - [__debezium.newkey: {"id":2}]"#,
            r#"{"id":2} {"before":null,"after":{"id":2,"name":"__debezium_unavailable_value"},"op":"c"} [__debezium.oldkey: {"id":1}]"#,
        ],
    );
    assert_eq!((counts.incomplete_key_changes, counts.placeholders), (1, 1));
    refused(
        Settings { absent: Some(Absent::Stop), ..Settings::default() },
        &people(),
        &steps,
        "absent-value: encoding a change: public.orders: the key changed, and the database did not send all of the new row; REPLICA IDENTITY FULL, or its like, sends it",
    );
}

#[test]
fn transactions_are_told_with_their_counts() {
    let settings = Settings { transactions: true, ..Settings::default() };
    let mut pipeline = json(settings);
    let table = people();
    let steps = [
        Step::Begin("5:10"),
        Step::Insert(person(1, "Ada")),
        Step::Insert(person(2, "Bob")),
        Step::End(2),
        Step::Begin("6:20"),
        Step::End(0),
        Step::Begin("7:30"),
        Step::Insert(person(3, "Eve")),
    ];
    let found = lines(&mut pipeline, &batch(&table, &steps), 1).unwrap();
    let found: Vec<String> = found.iter().map(|line| brief(line)).collect();
    assert_eq!(
        found,
        [
            r#"shop.transaction {"id":"5:10"} {"status":"BEGIN","id":"5:10","event_count":null,"data_collections":null,"ts_ms":1600000000654}"#,
            r#"{"id":1} {"before":null,"after":{"id":1,"name":"Ada"},"transaction":{"id":"5:10","total_order":1,"data_collection_order":1},"op":"c"}"#,
            r#"{"id":2} {"before":null,"after":{"id":2,"name":"Bob"},"transaction":{"id":"5:10","total_order":2,"data_collection_order":2},"op":"c"}"#,
            r#"shop.transaction {"id":"5:10"} {"status":"END","id":"5:10","event_count":2,"data_collections":[{"data_collection":"public.orders","event_count":2}],"ts_ms":1600000000654}"#,
            r#"shop.transaction {"id":"7:30"} {"status":"BEGIN","id":"7:30","event_count":null,"data_collections":null,"ts_ms":1600000000654}"#,
            r#"{"id":3} {"before":null,"after":{"id":3,"name":"Eve"},"transaction":{"id":"7:30","total_order":1,"data_collection_order":1},"op":"c"}"#,
        ]
    );

    // The transaction goes on in the next batch, where only its end is left.
    let mut rest = Batch::new();
    support::begin(&mut rest, "7:30");
    rest.end(1, [(&table, 1)]);
    let found = lines(&mut pipeline, &rest, 1).unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with(r#"shop.transaction {"id":"7:30"} {"status":"END""#));

    // Copied rows belong to no transaction.
    let copied = batch(&table, &[Step::Read(person(1, "Ada")), Step::Read(person(2, "Bob"))]);
    let found = lines(&mut pipeline, &copied, 1).unwrap();
    assert_eq!(found.len(), 2);
    assert!(
        found[0].contains(r#""snapshot":"true""#) && found[0].contains(r#""transaction":null"#)
    );
    let topics: Vec<_> =
        pipeline.topics().iter().map(|topic| (&*topic.name, topic.keyed)).collect();
    assert_eq!(topics, [("shop.public.orders", true), ("shop.transaction", false)]);
}

#[test]
fn a_changed_key_takes_two_places_of_its_transaction() {
    let settings = Settings { transactions: true, ..Settings::default() };
    let steps = [Step::UpdateFrom(person(1, "Ada"), person(2, "Ada"))];
    let found = lines(&mut json(settings), &batch(&people(), &steps), 1).unwrap();
    let places = found.iter().filter_map(|line| {
        let (_, place) = line.split_once("\"total_order\":")?;
        place.split_once('}').map(|(place, _)| place)
    });
    assert_eq!(
        places.collect::<Vec<_>>(),
        ["1,\"data_collection_order\":1", "2,\"data_collection_order\":2"]
    );
}

/// As the PostgreSQL source describes it.
fn messages() -> Arc<Table> {
    Arc::new(Table {
        name: TableName::new("", "message"),
        columns: vec![
            Column::new("prefix", Kind::Text).required(),
            Column::new("content", Kind::Bytes).required(),
        ],
        key: vec![0],
    })
}

#[test]
fn an_applications_message_has_a_topic_of_its_own() {
    let settings = Settings { transactions: true, ..Settings::default() };
    let mut pipeline = json(settings);
    let messages = messages();
    let mut batch = Batch::new();
    support::begin(&mut batch, "5:10");
    let place = Place { at: 1001, order: 1, table_order: 1 };
    let mut row = batch.row(&messages, Operation::Message, place);
    row.text("audit");
    row.bytes(b"hello");
    row.finish();
    batch.end(1, [(&messages, 1)]);
    let found = lines(&mut pipeline, &batch, 1).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        found[1..],
        [
            format!(
                r#"shop.message {{"prefix":"audit"}} {{"op":"m","ts_ms":1700000000123,"source":{{"version":"{version}","connector":"postgresql","name":"shop","ts_ms":1600000000654,"snapshot":"false","db":"cdc","sequence":"[\"97500059720\",\"1001\"]","ts_us":1600000000654321,"ts_ns":1600000000654321000,"schema":"","table":"","txId":601,"lsn":1001,"xmin":null}},"transaction":{{"id":"5:10","total_order":1,"data_collection_order":1}},"message":{{"prefix":"audit","content":"aGVsbG8="}}}}"#
            ),
            r#"shop.transaction {"id":"5:10"} {"status":"END","id":"5:10","event_count":1,"data_collections":[{"data_collection":"LOGICAL_DECODING_MESSAGE","event_count":1}],"ts_ms":1600000000654}"#.to_owned(),
        ]
    );
    let topic = &pipeline.topics()[0];
    assert_eq!(
        (&*topic.name, &topic.kind, topic.keyed),
        ("shop.message", &TopicKind::Message, false)
    );
    let row = Settings { shape: Shape::Row, ..Settings::default() };
    let found = lines(&mut json(row), &batch, 1).unwrap();
    assert_eq!(
        found,
        [r#"shop.message {"prefix":"audit"} {"prefix":"audit","content":"aGVsbG8="}"#]
    );
}

#[test]
fn a_new_version_of_a_table_is_a_new_plan() {
    let mut pipeline = json(Settings::default());
    let old = people();
    let mut wider = (*old).clone();
    wider.columns.push(Column::new("age", Kind::Int { bits: 16, signed: true }));
    let (same, wider) = (Arc::new((*old).clone()), Arc::new(wider));
    let mut batch = Batch::new();
    support::begin(&mut batch, "1");
    for (order, table, values) in [
        (1, &old, person(1, "a")),
        (2, &wider, [person(2, "b"), vec![V::Int(7)]].concat()),
        (3, &same, person(3, "c")),
    ] {
        let mut row =
            batch.row(table, Operation::Insert, Place { at: order, order, table_order: order });
        values.iter().for_each(|value| support::write(&mut row, value));
        row.finish();
    }
    let found = lines(&mut pipeline, &batch, usize::MAX).unwrap();
    assert!(found[0].contains(r#""after":{"id":1,"name":"a"}"#));
    assert!(found[1].contains(r#""after":{"id":2,"name":"b","age":7}"#));
    assert!(found[2].contains(r#""after":{"id":3,"name":"c"}"#));
    assert_eq!(pipeline.topics().len(), 1);
}

#[test]
fn a_table_that_loses_its_key_is_no_longer_keyed() {
    let mut pipeline = json(Settings::default());
    let keyed = |table: &Table, pipeline: &mut message::Pipeline| {
        let table = Arc::new(table.clone());
        lines(pipeline, &batch(&table, &[Step::Insert(person(1, "a"))]), 1).unwrap();
        assert_eq!(pipeline.topics()[0].kind, TopicKind::Table(table.name.clone()));
        pipeline.topics()[0].keyed
    };
    let mut table = (*people()).clone();
    assert!(keyed(&table, &mut pipeline));
    table.key.clear();
    assert!(!keyed(&table, &mut pipeline));
}

#[test]
fn tables_that_would_share_a_topic_are_refused() {
    let named = |schema: &str, name: &str| {
        let mut table = (*people()).clone();
        table.name = TableName::new(schema, name);
        Arc::new(table)
    };
    let check = |one: Arc<Table>, other: Arc<Table>, expected: &str| {
        let mut pipeline = json(Settings::default());
        let prepare = |pipeline: &mut message::Pipeline, table| {
            ready(pipeline.prepare(&batch(table, &[Step::Truncate])))
        };
        prepare(&mut pipeline, &one).expect("the first table has the name for itself");
        let error = prepare(&mut pipeline, &other).expect_err("the name is taken");
        assert_eq!(problem(&error), expected);
    };
    check(
        named("public", "a b"),
        named("public", "a+b"),
        "topic-collision: naming topics: the table public.a b and the table public.a+b would both be called shop.public.a_b",
    );
    check(
        named("a", "b.c"),
        named("a.b", "c"),
        "topic-collision: naming topics: the table a.b.c and the table a.b.c would both be called shop.a.b.c",
    );
}

#[test]
fn encoding_before_preparing_is_refused() {
    let mut pipeline = json(Settings::default());
    let batch = batch(&people(), &[Step::Insert(person(1, "a"))]);
    let (mut cursor, mut out) = Default::default();
    let error = pipeline.encode(&batch, &mut cursor, 0, 1, &mut out).expect_err("nothing is known");
    assert_eq!(problem(&error), "unprepared: encoding a change: public.orders was not prepared");
}
