//! Every decoder on damaged recordings: it answers or refuses, and neither panics nor believes an announced length.
//!
//! The number of cases is `AFTERIMAGE_FUZZ_CASES` (20,000 when it is not set); they are the same in every run.

use bytes::BytesMut;
use postgres_replication::channel_binding::tls_server_end_point;
use postgres_replication::copy::{CopyDecoder, CopyError};
use postgres_replication::error::ServerError;
use postgres_replication::frame::{self, CopyFrames};
use postgres_replication::handshake::{Handshake, Policy, Startup, Transport};
use postgres_replication::pgoutput::{self, Message, Tuple, TupleCell};
use postgres_replication::{Lsn, replication, server_version_number};

/// splitmix64: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Numbers at which lengths and counts go wrong.
const EDGES: [u32; 10] = [0, 1, 3, 4, 5, 0x7F, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF];

fn mutate(chance: &mut Chance, bytes: &mut Vec<u8>) {
    for _ in 0..=chance.below(3) {
        let at = chance.below(bytes.len());
        match chance.below(7) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << chance.below(8),
            1 if !bytes.is_empty() => bytes[at] = chance.next() as u8,
            2 => bytes.truncate(at),
            3 => bytes.insert(at, chance.next() as u8),
            4 if bytes.len() >= 4 => {
                let at = chance.below(bytes.len() - 3);
                bytes[at..at + 4].copy_from_slice(&EDGES[chance.below(EDGES.len())].to_be_bytes());
            }
            5 if bytes.len() >= 2 => {
                let at = chance.below(bytes.len() - 1);
                bytes[at..at + 2]
                    .copy_from_slice(&(EDGES[chance.below(EDGES.len())] as u16).to_be_bytes());
            }
            _ => {
                let piece = bytes[at..(at + chance.below(20)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    for recording in [
        include_str!("recordings/pgoutput-18-text.hex"),
        include_str!("recordings/pgoutput-18-binary.hex"),
    ] {
        for line in recording.lines() {
            let digits =
                line.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
            corpus.push(
                digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect(),
            );
        }
    }
    let messages = corpus.clone();
    let framed =
        |tag: u8, body: &[u8]| [&[tag][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat();
    let mut stream = Vec::new();
    for message in &messages[..8] {
        let payload = [&b"w"[..], &[0; 24], message].concat();
        stream.extend(framed(b'd', &payload));
        corpus.push(payload);
    }
    stream.extend(framed(b'd', b"k\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\x01"));
    corpus.push(stream);
    corpus.push(b"k\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\x01".to_vec());
    let rows = b"\0\x02\0\0\0\x011\xff\xff\xff\xff\0\x02\0\0\0\0\0\0\0\x03two\xff\xff";
    corpus.push([&b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"[..], rows].concat());
    corpus.push(b"SERROR\0VERROR\0C23505\0Mmessage\0Ddetail\0Hhint\0P17\0\0".to_vec());
    corpus.push(b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0".to_vec());
    corpus.push(b"\0\0\0\x0br=abc,s=c2FsdA==,i=4096".to_vec());
    corpus.push(b"\0\0\0\x05salt".to_vec());
    corpus.push(b"server_version\x0018.6 (Debian)\0".to_vec());
    corpus.push(vec![
        0x30, 0x14, 0x30, 3, 2, 1, 5, 0x30, 13, 6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 11,
        5, 0,
    ]);
    corpus
}

fn look_at(tuple: Tuple<'_>, within: usize) {
    let mut bytes = 0;
    let mut count = 0;
    for cell in tuple.columns() {
        count += 1;
        bytes += 1;
        if let TupleCell::Text(value) | TupleCell::Binary(value) = cell {
            bytes += 4 + value.len();
        }
    }
    assert_eq!(
        (count, bytes),
        (tuple.len(), tuple.bytes()),
        "iteration reaches exactly what was checked"
    );
    assert!(bytes <= within);
}

fn decode_message(bytes: &[u8]) {
    match pgoutput::decode(bytes) {
        Ok(Message::Insert(insert)) => look_at(insert.new, bytes.len()),
        Ok(Message::Update(update)) => {
            look_at(update.new, bytes.len());
            if let Some(old) = update.old {
                look_at(old.tuple(), bytes.len());
            }
        }
        Ok(Message::Delete(delete)) => look_at(delete.old.tuple(), bytes.len()),
        Ok(Message::Truncate(truncate)) => {
            assert!(truncate.relations.iter().count() * 4 <= bytes.len())
        }
        Ok(Message::Relation(relation)) => assert!(relation.columns.capacity() * 10 <= bytes.len()),
        Ok(_) | Err(_) => {}
    }
}

fn decode_stream(bytes: &[u8]) {
    const MAX: usize = 1 << 16;
    let mut buffer = BytesMut::from(bytes);
    loop {
        match CopyFrames::take(&mut buffer, MAX) {
            Ok(frames) if !frames.is_empty() => {
                let mut owned = frames.clone();
                for payload in frames.payloads() {
                    assert_eq!(owned.next_payload(), Some(payload));
                    if let Ok(replication::ReplicationMessage::XLogData(log)) =
                        replication::decode(payload)
                    {
                        decode_message(log.data);
                    }
                }
                assert!(owned.is_empty() && owned.next_payload().is_none());
                continue;
            }
            Ok(_) => {}
            Err(_) => break,
        }
        match frame::take(&mut buffer, MAX) {
            Ok(Some((_, body))) => assert!(body.len() <= MAX),
            Ok(None) | Err(_) => break,
        }
    }
}

fn decode_copy(chance: &mut Chance, bytes: &[u8]) {
    let whole = copy_rows(std::iter::once(bytes));
    let size = 1 + chance.below(bytes.len());
    let cut = copy_rows(bytes.chunks(size));
    // however it is cut, the same rows come out before the end or the error
    assert_eq!(whole, cut);
}

fn copy_rows<'a>(
    payloads: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Vec<u8>>, Result<(), CopyError>) {
    let mut decoder = CopyDecoder::new(1 << 16);
    let mut rows = Vec::new();
    for payload in payloads {
        let fed = decoder.feed(payload, |row| {
            assert_eq!(row.cells().count(), row.len());
            rows.push(row.cells().flat_map(|cell| cell.unwrap_or(b"null").to_vec()).collect());
            Ok::<_, CopyError>(())
        });
        if let Err(error) = fed {
            return (rows, Err(error));
        }
    }
    (rows, decoder.finish())
}

fn shake_hands(chance: &mut Chance, bytes: &[u8]) {
    let startup = Startup {
        user: "u".into(),
        database: "d".into(),
        replication: true,
        application_name: String::new(),
    };
    let transport = match chance.below(3) {
        0 => Transport::Plain,
        1 => Transport::Tls { end_point: None },
        _ => Transport::Tls { end_point: Some(vec![1; 32]) },
    };
    let policy = Policy {
        allow_md5: true,
        allow_cleartext: true,
        require_channel_binding: chance.below(4) == 0,
    };
    let mut out = BytesMut::new();
    let mut handshake = Handshake::start(&startup, Some(b"secret"), transport, policy, &mut out)
        .expect("no zero byte");
    for _ in 0..3 {
        let tag = b"RRRRKSZEN"[chance.below(9)];
        if handshake.message(tag, bytes, &mut out).is_err() {
            break;
        }
    }
    assert!(out.len() < 4096);
}

#[test]
fn no_damage_makes_a_decoder_panic() {
    let cases = std::env::var("AFTERIMAGE_FUZZ_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(20_000);
    let corpus = corpus();
    for case in 0..cases {
        let mut chance = Chance(case);
        let mut bytes = corpus[chance.below(corpus.len())].clone();
        mutate(&mut chance, &mut bytes);
        decode_message(&bytes);
        decode_stream(&bytes);
        decode_copy(&mut chance, &bytes);
        shake_hands(&mut chance, &bytes);
        let _ = ServerError::decode(&bytes).map(|error| error.to_string());
        let _ = tls_server_end_point(&bytes);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let _ = server_version_number(text);
            let _ = text.parse::<Lsn>();
        }
    }
}
