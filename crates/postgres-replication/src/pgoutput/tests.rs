//! Recordings of a real server, and what is refused.

use std::fmt::Write;

use super::*;
use crate::lsn::Lsn;

fn recording(hex: &str) -> Vec<Vec<u8>> {
    hex.lines()
        .map(|line| {
            line.as_bytes()
                .chunks(2)
                .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap())
        })
        .map(Iterator::collect)
        .collect()
}

fn tuple(tuple: Tuple<'_>) -> String {
    assert_eq!(tuple.columns().len(), tuple.len());
    assert_eq!(tuple.columns().count(), tuple.len());
    let mut out = String::new();
    for cell in tuple {
        match cell {
            TupleCell::Null => out.push_str(" null"),
            TupleCell::Unchanged => out.push_str(" unchanged"),
            TupleCell::Text(value) | TupleCell::Binary(value) if value.len() > 100 => {
                write!(out, " '..{} bytes'", value.len()).unwrap()
            }
            TupleCell::Text(value) => {
                write!(out, " '{}'", std::str::from_utf8(value).unwrap()).unwrap()
            }
            TupleCell::Binary(value) => {
                out.push_str(" x");
                value.iter().for_each(|byte| write!(out, "{byte:02x}").unwrap());
            }
        }
    }
    out
}

fn old(old: &OldTuple<'_>) -> String {
    let kind = if matches!(old, OldTuple::Key(_)) { "key" } else { "full" };
    format!("{kind}{}", tuple(old.tuple()))
}

/// One line for a message. Positions, times and ids are the server's and differ each time, so only their order is kept.
fn line(message: &Message<'_>, relations: &mut Vec<(u32, String)>) -> String {
    let name = |relations: &[(u32, String)], id: u32| {
        relations
            .iter()
            .rev()
            .find(|(known, _)| *known == id)
            .map_or("?".to_owned(), |(_, name)| name.clone())
    };
    match message {
        Message::Begin(begin) => {
            assert!(begin.commit > Lsn::ZERO && begin.xid > 0 && begin.time_micros > 0);
            "begin".into()
        }
        Message::Commit(commit) => {
            assert!(commit.end > commit.at && commit.time_micros > 0);
            "commit".into()
        }
        Message::Origin(origin) => format!("origin {}", origin.name),
        Message::Relation(relation) => {
            let Relation { id, schema, name, replica_identity, columns } = relation;
            relations.push((*id, name.clone()));
            let columns = columns.iter().map(|column| {
                let Column { key, name, type_id, type_modifier } = column;
                // a type of the user's own has another id each time
                let type_id = if *type_id < 16384 { type_id.to_string() } else { "own".into() };
                format!("{}{name}:{type_id}:{type_modifier}", if *key { "*" } else { "" })
            });
            format!(
                "relation {schema}.{name} {replica_identity:?} {}",
                columns.collect::<Vec<_>>().join(" ")
            )
        }
        Message::Type(own) => format!("type {}.{}", own.schema, own.name),
        Message::Insert(insert) => {
            format!("insert {}:{}", name(relations, insert.relation), tuple(insert.new))
        }
        Message::Update(update) => {
            let old = update.old.as_ref().map_or("none".into(), old);
            format!("update {}: {old} ->{}", name(relations, update.relation), tuple(update.new))
        }
        Message::Delete(delete) => {
            format!("delete {}: {}", name(relations, delete.relation), old(&delete.old))
        }
        Message::Truncate(truncate) => {
            let names: Vec<_> = truncate.relations.iter().map(|id| name(relations, id)).collect();
            format!(
                "truncate {names:?} cascade={} restart={}",
                truncate.cascade, truncate.restart_identity
            )
        }
        Message::Message(message) => {
            let content = String::from_utf8_lossy(message.content);
            assert!(!format!("{message:?}").contains(&*content));
            format!(
                "message transactional={} {} '{content}'",
                message.transactional, message.prefix
            )
        }
        Message::StreamAbort(abort) => format!("stream abort {} {}", abort.xid, abort.subxid),
    }
}

fn check(hex: &str, expected: &str) {
    let mut relations = Vec::new();
    let lines: Vec<String> = recording(hex)
        .iter()
        .map(|message| line(&decode(message).unwrap(), &mut relations))
        .collect();
    let lines = lines.join("\n");
    assert_eq!(lines, expected.trim_end(), "this was decoded:\n{lines}\n");
}

#[test]
fn a_recorded_stream_in_text_decodes_to_what_was_written() {
    check(
        include_str!("../../tests/recordings/pgoutput-18-text.hex"),
        include_str!("../../tests/recordings/pgoutput-18-text.txt"),
    );
}

#[test]
fn a_recorded_stream_in_binary_decodes_to_what_was_written() {
    check(
        include_str!("../../tests/recordings/pgoutput-18-binary.hex"),
        include_str!("../../tests/recordings/pgoutput-18-binary.txt"),
    );
}

#[test]
fn a_message_that_is_cut_or_too_long_is_refused() {
    for mut message in recording(include_str!("../../tests/recordings/pgoutput-18-text.hex")) {
        for cut in 1..message.len() {
            assert!(
                matches!(decode(&message[..cut]), Err(DecodeError::Malformed { .. })),
                "{message:?} cut at {cut}"
            );
        }
        message.push(0);
        let error = decode(&message).unwrap_err();
        assert!(
            matches!(error, DecodeError::Malformed { source: Malformed::Trailing(1), .. }),
            "{error:?}"
        );
    }
}

#[test]
fn what_version_1_does_not_have_is_refused_by_its_name() {
    let malformed = |message, source| Err(DecodeError::Malformed { message, source });
    let value = |what, value| Malformed::Value { what, value };
    let abort = Message::StreamAbort(StreamAbort { xid: 7, subxid: 8 });
    let cases: Vec<(Vec<u8>, Result<Message<'_>, DecodeError>)> = vec![
        (b"".to_vec(), Err(DecodeError::Empty)),
        // stream start, stop, commit; prepare
        (b"S\0\0\0\x01\x01".to_vec(), Err(DecodeError::UnexpectedMessage { tag: b'S' })),
        (b"E".to_vec(), Err(DecodeError::UnexpectedMessage { tag: b'E' })),
        (b"c".to_vec(), Err(DecodeError::UnexpectedMessage { tag: b'c' })),
        (b"P".to_vec(), Err(DecodeError::UnexpectedMessage { tag: b'P' })),
        (b"A\0\0\0\x07\0\0\0\x08".to_vec(), Ok(abort.clone())),
        ([&b"A\0\0\0\x07\0\0\0\x08"[..], &[1; 16]].concat(), Ok(abort)),
        (b"I\0\0\0\x01K\0\0".to_vec(), malformed("Insert", value("the row's kind", b'K'.into()))),
        (b"I\0\0\0\x01N\xff\xff".to_vec(), malformed("Insert", value("the number of columns", -1))),
        (
            b"I\0\0\0\x01N\0\x01z".to_vec(),
            malformed("Insert", value("a column's kind", b'z'.into())),
        ),
        (
            b"I\0\0\0\x01N\0\x01t\xff\xff\xff\xff".to_vec(),
            malformed("Insert", value("a column's length", -1)),
        ),
        (
            b"I\0\0\0\x01N\0\x01t\x7f\xff\xff\xffx".to_vec(),
            malformed("Insert", Malformed::Short("a column's value")),
        ),
        (
            b"U\0\0\0\x01O\0\0O\0\0".to_vec(),
            malformed("Update", value("the row's kind", b'O'.into())),
        ),
        (b"D\0\0\0\x01N\0\0".to_vec(), malformed("Delete", value("the row's kind", b'N'.into()))),
        (
            b"T\xff\xff\xff\xff\0".to_vec(),
            malformed("Truncate", Malformed::Short("the relations' ids")),
        ),
        (b"T\0\0\0\0\x04".to_vec(), malformed("Truncate", value("the options", 4))),
        (
            b"R\0\0\0\x01\xff\0".to_vec(),
            malformed("Relation", Malformed::Utf8("the schema's name")),
        ),
        (
            b"R\0\0\0\x01\0t\0q".to_vec(),
            malformed("Relation", value("the replica identity", b'q'.into())),
        ),
        ([&b"C\x01"[..], &[0; 24]].concat(), malformed("Commit", value("the flags", 1))),
        ([&b"M\x02"[..], &[0; 13]].concat(), malformed("Message", value("the flags", 2))),
    ];
    for (message, expected) in cases {
        assert_eq!(decode(&message), expected, "{message:?}");
    }
}

#[test]
fn a_count_of_columns_reserves_no_more_than_the_message_can_hold() {
    assert_eq!(relation::columns_possible(u16::MAX, 99), 9);
    assert_eq!(relation::columns_possible(2, 99), 2);
    let Ok(Message::Relation(relation)) = decode(b"R\0\0\0\x01\0t\0d\0\0") else {
        panic!("a relation")
    };
    assert_eq!(relation.schema, "pg_catalog");
    // 65,535 announced, one there
    let error = decode(b"R\0\0\0\x01\0t\0d\xff\xff\0a\0\0\0\0\0\0\0\0\0").unwrap_err();
    assert!(matches!(error, DecodeError::Malformed { source: Malformed::Short(_), .. }));
}

#[test]
fn debugging_shows_shapes_and_no_values() {
    for message in recording(include_str!("../../tests/recordings/pgoutput-18-text.hex")) {
        let shown = format!("{:?}", decode(&message).unwrap());
        let log = crate::replication::XLogData {
            start: Lsn::ZERO,
            end: Lsn::ZERO,
            clock_micros: 0,
            data: &message,
        };
        for value in ["Ada", "a note", "in a transaction", "65, 100, 97"] {
            assert!(!shown.contains(value) && !format!("{log:?}").contains(value), "{shown}");
        }
    }
}
