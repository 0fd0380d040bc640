use postgres_replication::Lsn;
use postgres_replication::replication::StandbyStatusUpdate;

use super::*;

async fn stream(pipe_bytes: usize) -> (CopyBoth, DuplexStream) {
    let (client, mut server) = session(pipe_bytes);
    let serve = async {
        let asked = client_message(&mut server).await;
        assert_eq!(asked, (b'Q', b"START_REPLICATION\0".to_vec()));
        server.write_all(&message(b'W', b"\0\0\0")).await.unwrap();
    };
    let (stream, ()) = tokio::join!(client.copy_both("START_REPLICATION"), serve);
    (stream.unwrap(), server)
}

fn update(flush: u64) -> StandbyStatusUpdate {
    StandbyStatusUpdate { write: Lsn(flush), flush: Lsn(flush), ..Default::default() }
}

/// Reads a status update: what it says is durable, and whether it asks for an answer.
async fn status_update(server: &mut DuplexStream) -> (u64, bool) {
    let (tag, body) = client_message(server).await;
    assert_eq!((tag, body[0], body.len()), (b'd', b'r', 34));
    (u64::from_be_bytes(body[9..17].try_into().unwrap()), body[33] != 0)
}

#[tokio::test]
async fn what_arrives_together_is_handed_out_together() {
    let (mut stream, mut server) = stream(1 << 16).await;
    let run = [
        message(b'd', b"one"),
        message(b'd', b"two"),
        message(b'N', b"\0"),
        message(b'd', b"three"),
    ]
    .concat();
    server.write_all(&[&run[..], b"d\0\0\0\x09part"].concat()).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(first.payloads().collect::<Vec<_>>(), [&b"one"[..], b"two"]);
    let second = stream.next().await.unwrap().unwrap();
    assert_eq!(second.payloads().collect::<Vec<_>>(), [b"three"]);
    assert!(at_once(stream.next()).await.is_none());
    server.write_all(b"!").await.unwrap();
    let third = stream.next().await.unwrap().unwrap();
    assert_eq!(third.payloads().collect::<Vec<_>>(), [b"part!"]);
    // frames outlive later reads: they own their bytes
    assert_eq!(first.payloads().count(), 2);
}

#[tokio::test]
async fn the_server_is_answered_while_nothing_is_read_from_it() {
    let (mut stream, mut server) = stream(1024).await;
    // the server sends until the pipe is full: the reader is held back
    let flood = message(b'd', &[b'x'; 100]).repeat(20);
    assert!(at_once(server.write_all(&flood)).await.is_none());
    for flush in 1..=100 {
        stream.status(update(flush)).await.unwrap();
        assert_eq!(status_update(&mut server).await, (flush, false));
    }
}

#[tokio::test]
async fn a_status_update_whose_future_is_dropped_still_arrives_whole() {
    // the pipe holds 16 bytes: an update takes three turns
    let (mut stream, mut server) = stream(16).await;
    assert!(at_once(stream.status(update(1))).await.is_none());
    // it goes out with the next read, though that waits for data
    let read = async {
        assert_eq!(status_update(&mut server).await, (1, false));
        server.write_all(&message(b'd', b"data")).await.unwrap();
    };
    let (frames, ()) = tokio::join!(stream.next(), read);
    assert_eq!(frames.unwrap().unwrap().payloads().collect::<Vec<_>>(), [b"data"]);
}

#[tokio::test]
async fn updates_that_cannot_be_sent_are_overtaken_and_do_not_pile_up() {
    let (mut stream, mut server) = stream(16).await;
    let asked = StandbyStatusUpdate { reply: true, ..update(500) };
    for flush in 1..=1000 {
        let update = if flush == 500 { asked } else { update(flush) };
        assert!(at_once(stream.status(update)).await.is_none());
    }
    let read = async {
        let mut seen = vec![status_update(&mut server).await];
        while seen.last().is_none_or(|(flush, _)| *flush < 1000) {
            seen.push(status_update(&mut server).await);
        }
        seen
    };
    // the latest goes out though nobody calls for it again, and nothing is there to be read
    let seen = tokio::select! {
        _ = stream.next() => unreachable!("the server sends nothing"),
        seen = read => seen,
    };
    assert!(seen.is_sorted_by_key(|(flush, _)| *flush), "never back");
    assert!(seen.len() < 200, "{} of 1000 were kept", seen.len());
    assert!(
        seen.iter().any(|(_, reply)| *reply),
        "a wish for an answer is not lost with the update that had it"
    );
}

#[tokio::test]
async fn the_end_is_told_from_a_broken_stream() {
    let data = message(b'd', b"data");
    let ends: [(Vec<u8>, &str); 6] = [
        (message(b'C', b"COPY 0\0"), "end"),
        ([message(b'c', b""), message(b'C', b"COPY 0\0")].concat(), "end"),
        (message(b'c', b""), "the server closed the connection during replication"),
        (b"d\0\0\0\x09part".to_vec(), "the server closed the connection during replication"),
        (error("55000"), "the server refused"),
        (message(b'T', b""), "message 'T' does not belong during replication"),
    ];
    for (end, expected) in ends {
        let (mut stream, mut server) = stream(1 << 16).await;
        server.write_all(&[data.clone(), end].concat()).await.unwrap();
        drop(server);
        assert_eq!(
            stream.next().await.unwrap().unwrap().payloads().count(),
            1,
            "data before the end are not lost"
        );
        let end = match stream.next().await {
            Ok(None) => "end".to_owned(),
            Ok(Some(_)) => "more".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(end, expected);
    }
}

#[tokio::test]
async fn a_refused_stream_says_why() {
    let (client, mut server) = session(1 << 16);
    server.write_all(&[error("55006"), ready_for_query()].concat()).await.unwrap();
    let refused = client.copy_both("START_REPLICATION").await.unwrap_err();
    assert_eq!((refused.code(), refused.is_transient()), (Some("55006"), true));
}

#[tokio::test]
async fn what_the_server_said_before_it_hung_up_is_read_though_sending_fails() {
    let (mut stream, mut server) = stream(1 << 16).await;
    server.write_all(&error("57P01")).await.unwrap();
    drop(server);
    assert!(stream.status(update(1)).await.is_err());
    let refused = stream.next().await.unwrap_err();
    assert_eq!(refused.code(), Some("57P01"));
}

#[tokio::test]
async fn an_announced_size_reserves_nothing_and_a_large_message_is_let_go() {
    const SIZE: usize = 24 << 20;
    let (mut stream, mut server) = stream(1 << 16).await;
    let mut head = vec![b'd'];
    head.extend_from_slice(&(SIZE as u32 + 4).to_be_bytes());
    server.write_all(&head).await.unwrap();
    assert!(at_once(stream.next()).await.is_none());
    assert!(stream.wire.input_capacity() <= 1 << 20, "{}", stream.wire.input_capacity());
    // nor does a message that has begun to arrive: what is reserved grows with what is there
    const BEGUN: usize = 600 << 10;
    let serve = async { server.write_all(&vec![7; BEGUN]).await.unwrap() };
    tokio::select! {
        biased;
        _ = stream.next() => unreachable!("the message is not whole"),
        () = serve => {}
    }
    assert!(at_once(stream.next()).await.is_none());
    assert!(stream.wire.input_capacity() <= 2 << 20, "{}", stream.wire.input_capacity());
    let rest = vec![7; SIZE - BEGUN];
    let (written, large) = tokio::join!(server.write_all(&rest), stream.next());
    written.unwrap();
    let large = large.unwrap().unwrap();
    assert_eq!(large.payloads().map(<[u8]>::len).collect::<Vec<_>>(), [SIZE]);
    drop(large);
    assert!(stream.wire.input_capacity() <= 1 << 20, "{}", stream.wire.input_capacity());
    server.write_all(&message(b'd', b"small")).await.unwrap();
    let small = stream.next().await.unwrap().unwrap();
    assert_eq!(small.payloads().collect::<Vec<_>>(), [b"small"]);
}

#[tokio::test]
async fn taking_leave_says_so() {
    let (mut stream, mut server) = stream(1 << 16).await;
    assert!(at_once(stream.next()).await.is_none());
    stream.wire.update = Some(update(7));
    stream.close().await.unwrap();
    assert_eq!(status_update(&mut server).await, (7, false));
    assert_eq!(client_message(&mut server).await, (b'c', vec![]));
    assert_eq!(client_message(&mut server).await, (b'X', vec![]));
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
}
