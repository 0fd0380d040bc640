//! Batches written by hand, messages read as text.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use change::{
    Batch, Column, Decimal, Fact, Interval, Kind, Operation, Origin, OriginField, Place, RowWriter,
    Table, TableName,
};
use message::{Cursor, Encoded, JsonEncoder, JsonNumbers, Pipeline, PipelineError, Settings};

pub const NOW: i64 = 1_700_000_000_123_456;
pub const COMMITTED: i64 = 1_600_000_000_654_321;

/// A cell that can be written down.
#[derive(Debug, Clone)]
pub enum V {
    Absent,
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float32(f32),
    Float64(f64),
    /// Unscaled value and scale.
    Decimal(i128, i16),
    Digits(Vec<u8>, i16),
    NaN,
    Infinity,
    MinusInfinity,
    Date(i32),
    Time(i64),
    TimeTz(i64, i32),
    DateTime(i64),
    Instant(i64),
    Interval(i32, i32, i64),
    Uuid([u8; 16]),
    Text(String),
    Bytes(Vec<u8>),
    /// Zeroes and ones.
    Bits(String),
    Point(f64, f64),
    Array(Vec<V>),
}

pub fn text(text: &str) -> V {
    V::Text(text.to_owned())
}

pub fn write(row: &mut RowWriter<'_>, value: &V) {
    match value {
        V::Absent => row.absent(),
        V::Null => row.null(),
        V::Bool(value) => row.bool(*value),
        V::Int(value) => row.int(*value),
        V::UInt(value) => row.uint(*value),
        V::Float32(value) => row.float32(*value),
        V::Float64(value) => row.float64(*value),
        V::Decimal(value, scale) => {
            let bytes = value.to_be_bytes();
            let redundant = bytes
                .windows(2)
                .take_while(|pair| {
                    (pair[0] == 0 && pair[1] < 0x80) || (pair[0] == 0xFF && pair[1] >= 0x80)
                })
                .count();
            row.decimal(Decimal::Finite { unscaled: &bytes[redundant..], scale: *scale });
        }
        V::Digits(bytes, scale) => {
            row.decimal(Decimal::Finite { unscaled: bytes, scale: *scale });
        }
        V::NaN => row.decimal(Decimal::NotANumber),
        V::Infinity => row.decimal(Decimal::Infinity),
        V::MinusInfinity => row.decimal(Decimal::MinusInfinity),
        V::Date(days) => row.date(*days),
        V::Time(micros) => row.time(*micros),
        V::TimeTz(micros, offset) => row.time_tz(*micros, *offset),
        V::DateTime(micros) => row.date_time(*micros),
        V::Instant(micros) => row.instant(*micros),
        V::Interval(months, days, micros) => {
            row.interval(Interval { months: *months, days: *days, micros: *micros });
        }
        V::Uuid(value) => row.uuid(*value),
        V::Text(text) => row.text(text),
        V::Bytes(bytes) => row.bytes(bytes),
        V::Bits(bits) => {
            let mut bytes = vec![0_u8; bits.len().div_ceil(8)];
            for (index, _) in bits.bytes().enumerate().filter(|(_, bit)| *bit == b'1') {
                bytes[index / 8] |= 0x80 >> (index % 8);
            }
            row.bits(u32::try_from(bits.len()).unwrap(), &bytes);
        }
        V::Point(x, y) => row.point(*x, *y),
        V::Array(elements) => {
            row.begin_array();
            elements.iter().for_each(|element| write(row, element));
            row.end_array();
        }
    }
}

/// What a test writes into a batch.
#[derive(Debug, Clone)]
pub enum Step {
    Begin(&'static str),
    Read(Vec<V>),
    Insert(Vec<V>),
    Update(Vec<V>),
    UpdateFrom(Vec<V>, Vec<V>),
    Delete(Vec<V>),
    Truncate,
    /// Events in all, those of the table.
    End(u64),
}

pub const COMMIT_LSN: i64 = 0x16_B374_D848;

pub fn begin(batch: &mut Batch, id: &str) {
    let mut facts = batch.begin(id, COMMITTED);
    facts.int(601);
    facts.int(COMMIT_LSN);
    facts.finish();
}

pub fn batch(table: &Arc<Table>, steps: &[Step]) -> Batch {
    let mut batch = Batch::new();
    if !matches!(steps.first(), Some(Step::Begin(_))) {
        begin(&mut batch, "601:97500059720");
    }
    let mut order = 0;
    for step in steps {
        order += 1;
        let place = Place { at: 1000 + order, order, table_order: order };
        let all = |mut row: RowWriter<'_>, values: &[V]| {
            values.iter().for_each(|value| write(&mut row, value));
            row.finish();
        };
        match step {
            Step::Begin(id) => {
                begin(&mut batch, id);
                order = 0;
            }
            Step::Read(values) => all(batch.row(table, Operation::Read, place), values),
            Step::Insert(values) => all(batch.row(table, Operation::Insert, place), values),
            Step::Update(values) => all(batch.row(table, Operation::Update, place), values),
            Step::UpdateFrom(old, new) => {
                all(batch.update(table, place), &[old.clone(), new.clone()].concat());
            }
            Step::Delete(values) => all(batch.row(table, Operation::Delete, place), values),
            Step::Truncate => batch.row(table, Operation::Truncate, place).finish(),
            Step::End(events) => batch.end(*events, [(table, *events)]),
        }
    }
    batch
}

pub fn origin() -> Origin {
    let int = Kind::Int { bits: 64, signed: true };
    let field = |name, kind: &Kind, nullable, from| OriginField {
        name,
        kind: kind.clone(),
        nullable,
        from,
    };
    Origin {
        connector: "postgresql",
        database: Some("cdc".into()),
        fields: vec![
            field("schema", &Kind::Text, false, Fact::Schema),
            field("table", &Kind::Text, false, Fact::Table),
            field("txId", &int, true, Fact::Transaction(0)),
            field("lsn", &int, true, Fact::At),
            field("xmin", &int, true, Fact::Null),
        ],
        sequence: vec![Fact::Transaction(1), Fact::At],
    }
}

pub fn table(columns: Vec<Column>, key: &[usize]) -> Arc<Table> {
    Arc::new(Table { name: TableName::new("public", "orders"), columns, key: key.to_vec() })
}

pub fn json(settings: Settings) -> Pipeline {
    let encoder = Box::new(JsonEncoder::new(JsonNumbers::Connect));
    Pipeline::new("shop", origin(), settings, encoder)
}

/// Runs a future that never waits.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

/// Messages, one a line: topic, key, value; header and `every partition` where they are set.
pub fn lines(
    pipeline: &mut Pipeline,
    batch: &Batch,
    limit: usize,
) -> Result<Vec<String>, PipelineError> {
    ready(pipeline.prepare(batch))?;
    let (mut cursor, mut out) = (Cursor::default(), Encoded::default());
    let mut lines = Vec::new();
    loop {
        let more = pipeline.encode(batch, &mut cursor, NOW, limit, &mut out)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        for message in out.messages() {
            let topic = &pipeline.topics()[message.topic].name;
            let part = |bytes: Option<&[u8]>| bytes.map_or_else(|| "-".to_owned(), text);
            let mut line = format!("{topic} {} {}", part(message.key), part(message.value));
            if let Some((name, value)) = message.header {
                line.push_str(&format!(" [{name}: {}]", text(value)));
            }
            if message.every_partition {
                line.push_str(" [every partition]");
            }
            lines.push(line);
        }
        if !more {
            return Ok(lines);
        }
    }
}

/// Code and text of an error.
pub fn problem(error: &PipelineError) -> String {
    format!("{}: {}: {}", error.code, error.doing, error.source)
}
