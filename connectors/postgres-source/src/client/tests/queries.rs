use super::*;

fn described(columns: &[&str]) -> Vec<u8> {
    let mut body = (columns.len() as u16).to_be_bytes().to_vec();
    for column in columns {
        body.extend_from_slice(column.as_bytes());
        body.extend_from_slice(&[0; 19]);
    }
    message(b'T', &body)
}

fn row(values: &[Option<&str>]) -> Vec<u8> {
    let mut body = (values.len() as u16).to_be_bytes().to_vec();
    for value in values {
        body.extend_from_slice(&value.map_or(-1, |value| value.len() as i32).to_be_bytes());
        body.extend_from_slice(value.unwrap_or("").as_bytes());
    }
    message(b'D', &body)
}

fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

#[tokio::test]
async fn each_statement_gets_its_rows() {
    let (mut client, mut server) = session(1 << 16);
    let answer = [
        described(&["a", "b"]),
        row(&[Some("1"), None]),
        message(b'N', b"SNOTICE\0Mnote\0\0"),
        row(&[Some(""), Some("zwölf")]),
        complete("SELECT 2"),
        message(b'S', b"in_hot_standby\0on\0"),
        complete("SET"),
        message(b'I', b""),
        ready_for_query(),
    ];
    server.write_all(&answer.concat()).await.unwrap();
    let results = client.simple("select; set; ").await.unwrap();
    assert_eq!(client_message(&mut server).await, (b'Q', b"select; set; \0".to_vec()));
    assert_eq!(results.iter().map(Rows::tag).collect::<Vec<_>>(), ["SELECT 2", "SET", ""]);
    let rows = &results[0];
    assert_eq!((rows.len(), rows.columns()), (2, &["a".to_owned(), "b".to_owned()][..]));
    assert_eq!((rows.get(0, "a"), rows.get(0, "b"), rows.get(0, "c")), (Some("1"), None, None));
    assert_eq!(
        (rows.get(1, "a"), rows.get(1, "b"), rows.get(2, "a")),
        (Some(""), Some("zwölf"), None)
    );
    assert_eq!((rows.first().unwrap().at(0), rows.first().unwrap().at(2)), (Some("1"), None));
    assert!(matches!(rows.row(0).unwrap().value("b"), Err(SessionError::NoValue(_))));
    assert_eq!(rows.iter().filter_map(|row| row.get("b")).collect::<Vec<_>>(), ["zwölf"]);
    assert!(!format!("{rows:?}").contains("zw"));
    assert_eq!(client.parameter("in_hot_standby"), Some("on"));
}

#[tokio::test]
async fn parameters_travel_as_text_and_are_not_part_of_the_statement() {
    let (mut client, mut server) = session(1 << 16);
    let answer = [
        message(b'1', b""),
        message(b'2', b""),
        described(&["a"]),
        row(&[Some("x")]),
        complete("SELECT 1"),
        ready_for_query(),
    ];
    server.write_all(&answer.concat()).await.unwrap();
    let rows = client.query("select $1, $2", &[Some("it's"), None]).await.unwrap();
    assert_eq!(rows.get(0, "a"), Some("x"));
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.push(client_message(&mut server).await);
    }
    let tags: Vec<u8> = sent.iter().map(|(tag, _)| *tag).collect();
    assert_eq!(tags, *b"PBDES");
    assert_eq!(sent[0].1, b"\0select $1, $2\0\0\0");
    assert_eq!(sent[1].1, b"\0\0\0\0\0\x02\0\0\0\x04it's\xff\xff\xff\xff\0\0");
    // what cannot be sent leaves the session as it was
    assert!(matches!(client.query("select $1", &[Some("\0")]).await, Err(SessionError::ZeroByte)));
    assert!(matches!(client.simple("\0").await, Err(SessionError::ZeroByte)));
    server.write_all(&[complete("X"), ready_for_query()].concat()).await.unwrap();
    assert_eq!(client.simple_one("x").await.unwrap().tag(), "X");
}

#[tokio::test]
async fn a_refused_statement_leaves_the_session_usable() {
    let (mut client, mut server) = session(1 << 16);
    server.write_all(&[complete("SET"), error("42P01"), ready_for_query()].concat()).await.unwrap();
    let refused = client.simple("select").await.unwrap_err();
    assert_eq!((refused.code(), refused.is_transient()), (Some("42P01"), false));
    server.write_all(&[complete("X"), ready_for_query()].concat()).await.unwrap();
    assert_eq!(client.simple_one("x").await.unwrap().tag(), "X");
    // what the server says last is what is told, not that it hung up
    server.write_all(&error("57P01")).await.unwrap();
    drop(server);
    let refused = client.simple("select").await.unwrap_err();
    assert_eq!((refused.code(), refused.is_transient()), (Some("57P01"), true));
    assert!(matches!(client.simple("select").await, Err(SessionError::Abandoned)));
}

#[tokio::test]
async fn after_a_statement_given_up_half_way_nothing_more_is_asked() {
    let (mut client, mut server) = session(1 << 16);
    assert!(at_once(client.simple("select 1")).await.is_none());
    server.write_all(&[complete("SELECT 1"), ready_for_query()].concat()).await.unwrap();
    assert!(matches!(client.simple("select 2").await, Err(SessionError::Abandoned)));
    assert!(matches!(client.query("select 2", &[]).await, Err(SessionError::Abandoned)));
    assert!(matches!(client.copy_out("copy").await, Err(SessionError::Abandoned)));
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_an_error() {
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (message(b'T', b"\0\x01a"), "malformed message 'T'"),
        (message(b'T', b"\0\x01a\0short"), "malformed message 'T'"),
        (row(&[Some("a value and no column")]), "malformed message 'D'"),
        (
            [described(&["a"]), message(b'D', b"\0\x01\0\0\0\x09short")].concat(),
            "malformed message 'D'",
        ),
        (
            [described(&["a"]), message(b'D', b"\0\x01\0\0\0\x01\xff")].concat(),
            "malformed message 'D'",
        ),
        (
            [described(&["a"]), message(b'D', b"\0\x01\xff\xff\xff\xfe")].concat(),
            "malformed message 'D'",
        ),
        (message(b'H', b"\0\0\0"), "message 'H' does not belong"),
        (message(b'?', b""), "message '?' does not belong"),
        (b"Z\0\0\0\x03".to_vec(), "no sense"),
        (b"D\x7f\xff\xff\xff".to_vec(), "no sense"),
        (message(b'E', b"unterminated"), "malformed message 'E'"),
        (message(b'S', b"name"), "parameters make no sense"),
        (described(&["a"])[..4].to_vec(), "closed the connection during a statement"),
    ];
    for (answer, expected) in cases {
        let (mut client, mut server) = session(1 << 16);
        server.write_all(&answer).await.unwrap();
        drop(server);
        let error = client.simple("select").await.unwrap_err().to_string();
        assert!(error.contains(expected), "{answer:?} gave {error:?}");
    }
}

#[tokio::test]
async fn an_answer_too_large_to_be_collected_is_refused() {
    let (mut client, mut server) = session(1 << 16);
    let value = "x".repeat(8 << 20);
    let serve = async move {
        server.write_all(&described(&["a"])).await.unwrap();
        // until the client hangs up
        while server.write_all(&row(&[Some(&value)])).await.is_ok() {}
    };
    let ask = async move { client.simple("select").await.unwrap_err() };
    let (_, error) = tokio::join!(serve, ask);
    assert!(matches!(error, SessionError::ResultTooLarge(_)), "{error}");
}
