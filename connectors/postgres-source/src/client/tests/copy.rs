use super::*;

const PAYLOADS: [&[u8]; 3] = [b"head and one", b"two", b"end"];

fn data() -> Vec<u8> {
    [message(b'H', b"\x01\0\x01\0\x01"), PAYLOADS.map(|payload| message(b'd', payload)).concat()]
        .concat()
}

fn end() -> Vec<u8> {
    [message(b'c', b""), message(b'C', b"COPY 1\0"), ready_for_query()].concat()
}

/// The payloads up to the end or the error.
async fn collect(client: &mut Client) -> (Vec<Vec<u8>>, Result<(), SessionError>) {
    let mut payloads = Vec::new();
    let mut copy = match client.copy_out("copy").await {
        Ok(copy) => copy,
        Err(error) => return (payloads, Err(error)),
    };
    loop {
        match copy.next().await {
            Ok(Some(frames)) => {
                assert!(!frames.is_empty());
                payloads.extend(frames.payloads().map(<[u8]>::to_vec));
            }
            Ok(None) => {
                assert!(matches!(copy.next().await, Ok(None)), "an end stays an end");
                return (payloads, Ok(()));
            }
            Err(error) => return (payloads, Err(error)),
        }
    }
}

#[tokio::test]
async fn a_copy_that_is_cut_at_any_byte_never_looks_complete() {
    let whole = [data(), end()].concat();
    for cut in 0..=whole.len() {
        let (mut client, mut server) = session(1 << 16);
        server.write_all(&whole[..cut]).await.unwrap();
        drop(server);
        let (payloads, result) = collect(&mut client).await;
        assert!(payloads.iter().zip(PAYLOADS).all(|(got, sent)| got == sent));
        if cut == whole.len() {
            assert_eq!(payloads.len(), PAYLOADS.len());
            result.unwrap();
        } else {
            assert!(matches!(result, Err(SessionError::Closed { .. })), "cut at {cut}: {result:?}");
        }
    }
}

#[tokio::test]
async fn an_error_in_a_copy_ends_it_and_not_the_session() {
    for (answer, expected) in [
        (error("42501"), 0),
        ([data(), error("22012")].concat(), PAYLOADS.len()),
        // after CopyDone too
        ([data(), message(b'c', b""), error("57014")].concat(), PAYLOADS.len()),
    ] {
        let (mut client, mut server) = session(1 << 16);
        server.write_all(&[answer, ready_for_query(), data(), end()].concat()).await.unwrap();
        let (payloads, result) = collect(&mut client).await;
        assert_eq!(payloads.len(), expected);
        assert!(matches!(result, Err(SessionError::Server(_))), "{result:?}");
        // the next copy on the same session
        let (payloads, result) = collect(&mut client).await;
        assert_eq!(payloads.len(), PAYLOADS.len());
        result.unwrap();
    }
}

#[tokio::test]
async fn a_copy_without_its_proper_end_is_an_error() {
    for (answer, tag) in [
        ([data(), ready_for_query()].concat(), b'Z'),
        ([data(), message(b'C', b"COPY 1\0"), ready_for_query()].concat(), b'C'),
        ([data(), message(b'c', b""), ready_for_query()].concat(), b'Z'),
        ([data(), message(b'c', b""), message(b'd', b"late")].concat(), b'd'),
        (message(b'C', b"SELECT 1\0"), b'C'),
    ] {
        let (mut client, mut server) = session(1 << 16);
        server.write_all(&answer).await.unwrap();
        let (_, result) = collect(&mut client).await;
        assert!(
            matches!(result, Err(SessionError::Unexpected { tag: found, .. }) if found == tag),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn a_copy_dropped_before_its_end_finishes_the_session() {
    let (mut client, mut server) = session(1 << 16);
    server.write_all(&[data(), end()].concat()).await.unwrap();
    let mut copy = client.copy_out("copy").await.unwrap();
    assert!(copy.next().await.unwrap().is_some());
    drop(copy);
    assert!(matches!(client.simple("select").await, Err(SessionError::Abandoned)));
}

#[tokio::test]
async fn waiting_for_data_may_be_given_up_and_taken_up_again() {
    let (mut client, mut server) = session(1 << 16);
    let whole = [data(), end()].concat();
    let (first, rest) = whole.split_at(20);
    server.write_all(first).await.unwrap();
    let mut copy = client.copy_out("copy").await.unwrap();
    let mut count = 0;
    for byte in rest {
        if let Some(result) = at_once(copy.next()).await {
            count += result.unwrap().unwrap().payloads().count();
        }
        server.write_all(&[*byte]).await.unwrap();
    }
    while let Some(frames) = copy.next().await.unwrap() {
        count += frames.payloads().count();
    }
    assert_eq!(count, PAYLOADS.len());
}
