//! A record of the workload's topics, as the judge needs it.

use serde_json::Value;

use super::{COLUMNS, Key, table_index};
use crate::Result;
use crate::registry::Decoded;

/// How a column that the log did not tell is shown in messages.
const UNAVAILABLE: &str = "__debezium_unavailable_value";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub key: Key,
    pub kind: Kind,
    /// The row after the change, as PostgreSQL would print it; of creates, updates and copied rows.
    pub row: Option<Vec<Cell>>,
    pub partition: i32,
    pub offset: i64,
    pub stamp: Option<Stamp>,
    /// Number of the source transaction, where the message tells it.
    pub xid: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A copied row.
    Read,
    Create,
    Update,
    Delete,
    Tombstone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    Null,
    Text(String),
    /// Unchanged and not in the log.
    Absent,
}

/// The header `afterimage`: which transaction of the connector wrote a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    pub incarnation: u64,
    pub sequence: u64,
}

impl Event {
    /// The version that the row says it has.
    pub fn version(&self) -> Option<usize> {
        match self.row.as_ref()?.get(1)? {
            Cell::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}

/// None: a record of another topic than the workload's.
pub fn read_event(prefix: &str, decoded: &Decoded) -> Result<Option<Event>> {
    let record = &decoded.record;
    let place = || format!("{} {}@{}", record.topic, record.partition, record.offset);
    let table = record.topic.strip_prefix(prefix).and_then(|name| name.strip_prefix(".public."));
    let Some(table) = table.and_then(table_index) else { return Ok(None) };
    let id = decoded.key.as_ref().and_then(|key| key["id"].as_i64());
    let id = id.ok_or_else(|| format!("{}: the key has no id", place()))?;
    let stamp = record.header("afterimage").map(read_stamp).transpose();
    let stamp = stamp.map_err(|error| format!("{}: {error}", place()))?;
    let mut event = Event {
        key: (table, id),
        kind: Kind::Tombstone,
        row: None,
        partition: record.partition,
        offset: record.offset,
        stamp,
        xid: None,
    };
    if let Some(value) = &decoded.value {
        event.kind = match value["op"].as_str() {
            Some("r") => Kind::Read,
            Some("c") => Kind::Create,
            Some("u") => Kind::Update,
            Some("d") => Kind::Delete,
            op => return Err(format!("{}: the operation is {op:?}", place()).into()),
        };
        event.xid = value["source"]["txId"].as_i64();
        if event.kind == Kind::Delete {
            let before = value["before"]["id"].as_i64();
            if before != Some(id) || !value["after"].is_null() {
                return Err(format!("{}: a delete of another row than its key's", place()).into());
            }
        } else {
            let row = row(&value["after"]).map_err(|error| format!("{}: {error}", place()))?;
            if row[0] != Cell::Text(id.to_string()) {
                return Err(format!("{}: the row has another id than the key", place()).into());
            }
            event.row = Some(row);
        }
    }
    Ok(Some(event))
}

/// The values of a decoded row as PostgreSQL prints them in UTC.
fn row(after: &Value) -> Result<Vec<Cell>> {
    COLUMNS
        .iter()
        .map(|column| {
            let value = after.get(column).ok_or_else(|| format!("no field {column}"))?;
            Ok(match value {
                Value::Null => Cell::Null,
                Value::String(text) if text == UNAVAILABLE => Cell::Absent,
                Value::String(text) if *column == "at" => Cell::Text(instant(text)?),
                Value::String(text) if *column == "raw" => {
                    Cell::Text(text.replacen("0x", "\\x", 1))
                }
                Value::String(text) => Cell::Text(text.clone()),
                value => Cell::Text(value.to_string()),
            })
        })
        .collect()
}

/// `2026-11-24T03:12:16.120000Z` as `2026-11-24 03:12:16.12+00`.
fn instant(text: &str) -> Result<String> {
    let inner =
        text.strip_suffix('Z').ok_or("an instant that is not in UTC")?.replacen('T', " ", 1);
    let inner = match inner.split_once('.') {
        Some((seconds, fraction)) => match fraction.trim_end_matches('0') {
            "" => seconds.to_owned(),
            fraction => format!("{seconds}.{fraction}"),
        },
        None => inner,
    };
    Ok(format!("{inner}+00"))
}

/// `name;incarnation;sequence;epoch`
fn read_stamp(header: &[u8]) -> Result<Stamp> {
    let text = std::str::from_utf8(header)?;
    let mut parts = text.split(';').skip(1);
    let mut number = || -> Result<u64> { Ok(parts.next().ok_or("a short stamp")?.parse()?) };
    Ok(Stamp { incarnation: number()?, sequence: number()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_printed_as_postgresql_does() {
        let check = |text: &str, expected: &str| assert_eq!(instant(text).unwrap(), expected);
        check("2026-11-24T03:12:16.125999Z", "2026-11-24 03:12:16.125999+00");
        check("2026-11-24T03:12:16.120000Z", "2026-11-24 03:12:16.12+00");
        check("2026-11-24T03:12:16.000000Z", "2026-11-24 03:12:16+00");
        assert!(instant("2026-11-24T03:12:16+02:00").is_err());
    }

    #[test]
    fn a_stamp_has_incarnation_and_sequence() {
        let stamp = read_stamp(b"shop;2;42;7").unwrap();
        assert_eq!(stamp, Stamp { incarnation: 2, sequence: 42 });
        assert!(read_stamp(b"shop").is_err());
    }
}
