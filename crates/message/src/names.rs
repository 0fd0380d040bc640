//! Names that topics, schemas and fields may have, made of what databases allow.

/// Kafka's limit on a topic's name.
const TOPIC_MAX: usize = 249;

/// `prefix.schema.table`, with an underscore for each character that a topic's name cannot have.
///
/// Characters are UTF-16 units, as in Debezium: one outside the basic plane gives two underscores.
pub(crate) fn topic(parts: &[&str]) -> String {
    let joined = parts.iter().filter(|part| !part.trim().is_empty()).copied();
    let mut name = String::new();
    for part in joined {
        if !name.is_empty() {
            name.push('.');
        }
        for char in part.chars() {
            match char {
                '.' | '_' | '-' | 'A'..='Z' | 'a'..='z' | '0'..='9' => name.push(char),
                other => replace(&mut name, other),
            }
        }
    }
    name.truncate(TOPIC_MAX);
    match name.as_str() {
        "." => "_".to_owned(),
        ".." => "__".to_owned(),
        _ => name,
    }
}

/// A name that Avro takes for a schema, dots kept.
pub(crate) fn schema(name: &str) -> String {
    adjust(name, true)
}

/// A name that Avro takes for a field.
pub(crate) fn field(name: &str) -> String {
    adjust(name, false)
}

fn adjust(name: &str, dots: bool) -> String {
    let mut adjusted = String::with_capacity(name.len());
    for (index, char) in name.chars().enumerate() {
        match char {
            'A'..='Z' | 'a'..='z' | '_' => adjusted.push(char),
            '0'..='9' if index > 0 => adjusted.push(char),
            '.' if dots && index > 0 => adjusted.push(char),
            '0'..='9' => {
                adjusted.push('_');
                adjusted.push(char);
            }
            other => replace(&mut adjusted, other),
        }
    }
    adjusted
}

fn replace(name: &mut String, char: char) {
    for _ in 0..char.len_utf16() {
        name.push('_');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_only_what_kafka_allows() {
        let check = |parts: &[&str], expected: &str| assert_eq!(topic(parts), expected);
        check(&["shop", "public", "orders"], "shop.public.orders");
        check(&["shop", "public", "Order Lines"], "shop.public.Order_Lines");
        check(&["shop", "public", "größe"], "shop.public.gr__e");
        check(&["shop", "public", "a😀"], "shop.public.a__");
        check(&["shop", "", "message"], "shop.message");
        check(&["shop", "public", "a-b.c"], "shop.public.a-b.c");
        check(&["p", "s", &"x".repeat(400)], &format!("p.s.{}", "x".repeat(245)));
        check(&["."], "_");
        check(&[".."], "__");
    }

    #[test]
    fn a_schema_has_only_what_avro_allows() {
        let check = |name: &str, expected: &str| assert_eq!(schema(name), expected);
        check("shop.public.orders.Value", "shop.public.orders.Value");
        check("my-shop.public.a-b.Key", "my_shop.public.a_b.Key");
        check("1shop.public.x.Key", "_1shop.public.x.Key");
        check("shop.public.1x.Key", "shop.public.1x.Key");
    }

    #[test]
    fn a_field_has_only_what_avro_allows() {
        let check = |name: &str, expected: &str| assert_eq!(field(name), expected);
        check("id", "id");
        check("order.id", "order_id");
        check("1st", "_1st");
        check("größe", "gr__e");
    }
}
