use message::Message;

/// Appends one message as a line. Key and value are JSON already and are taken as they are.
pub(crate) fn push(out: &mut Vec<u8>, topic: &str, message: &Message<'_>) {
    out.extend_from_slice(b"{\"topic\":");
    push_string(out, topic);
    out.extend_from_slice(b",\"key\":");
    out.extend_from_slice(message.key.unwrap_or(b"null"));
    out.extend_from_slice(b",\"value\":");
    out.extend_from_slice(message.value.unwrap_or(b"null"));
    out.extend_from_slice(b"}\n");
}

fn push_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is always JSON, and memory takes all bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(topic: &str, key: Option<&str>, value: Option<&str>, expected: &str) {
        let mut out = b"before\n".to_vec();
        let message = Message {
            topic: 0,
            key: key.map(str::as_bytes),
            value: value.map(str::as_bytes),
            header: None,
            every_partition: false,
        };
        push(&mut out, topic, &message);
        let line = String::from_utf8(out).expect("lines are UTF-8");
        assert_eq!(line, format!("before\n{expected}\n"));
        let line = line.lines().next_back().expect("there is a line");
        serde_json::from_str::<serde_json::Value>(line).expect("each line is JSON");
    }

    #[test]
    fn a_message_is_one_line_of_json() {
        check(
            "shop.public.orders",
            Some(r#"{"id":1}"#),
            Some(r#"{"op":"c"}"#),
            r#"{"topic":"shop.public.orders","key":{"id":1},"value":{"op":"c"}}"#,
        );
        check("a", None, Some("{}"), r#"{"topic":"a","key":null,"value":{}}"#);
        check("a", Some("{}"), None, r#"{"topic":"a","key":{},"value":null}"#);
        check("a\"\n", None, None, r#"{"topic":"a\"\n","key":null,"value":null}"#);
    }
}
