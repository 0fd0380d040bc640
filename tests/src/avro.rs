//! Avro in Confluent's framing, decoded without the connector's code.
//!
//! Two readers must agree: `apache-avro`, which parses the schema and reads the datum to its last byte, and the short one here,
//! which walks the schema's own JSON and so keeps what a library would interpret: it shows the wire. Bytes become
//! `"0x.."`, decimals their digits with exactly the schema's scale, floats that JSON cannot hold their names.

use serde_json::{Map, Number, Value};

use crate::Result;

/// A schema as the registry gave it.
#[derive(Debug, Clone)]
pub struct Schema {
    pub text: String,
    pub json: Value,
    parsed: apache_avro::Schema,
}

impl Schema {
    pub fn parse(text: &str) -> Result<Self> {
        let json = serde_json::from_str(text)?;
        let parsed = apache_avro::Schema::parse_str(text)
            .map_err(|error| format!("apache-avro refuses the schema: {error}\n  {text}"))?;
        Ok(Self { text: text.to_owned(), json, parsed })
    }

    /// Decodes one datum; both readers must use all of the bytes.
    pub fn decode(&self, datum: &[u8]) -> Result<Value> {
        let mut rest = datum;
        apache_avro::reader::datum::GenericDatumReader::builder(&self.parsed)
            .build()?
            .read_value(&mut rest)
            .map_err(|error| format!("apache-avro cannot read the datum: {error}"))?;
        if !rest.is_empty() {
            return Err(format!("apache-avro leaves {} bytes over", rest.len()).into());
        }
        self.decode_quickly(datum)
    }

    /// Only with the reader of this module: for large numbers of records of a schema that both have read before.
    pub fn decode_quickly(&self, datum: &[u8]) -> Result<Value> {
        let mut reader = Reader { bytes: datum, names: Vec::new() };
        reader.learn(&self.json, "");
        let value = reader.read(&self.json, "")?;
        if reader.bytes.is_empty() {
            Ok(value)
        } else {
            Err(format!("{} bytes are left over", reader.bytes.len()).into())
        }
    }
}

/// The schema's number and the datum.
pub fn unframe(bytes: &[u8]) -> Result<(u32, &[u8])> {
    match bytes {
        [0, a, b, c, d, datum @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), datum)),
        _ => Err("no Confluent framing: a zero byte and four bytes of a number".into()),
    }
}

struct Reader<'a, 'b> {
    bytes: &'b [u8],
    /// Full name, namespace, definition.
    names: Vec<(String, String, &'a Value)>,
}

impl<'a> Reader<'a, '_> {
    /// Finds the named types of a schema.
    fn learn(&mut self, schema: &'a Value, namespace: &str) {
        match schema {
            Value::Array(branches) => {
                branches.iter().for_each(|branch| self.learn(branch, namespace))
            }
            Value::Object(object) => match object.get("type").and_then(Value::as_str) {
                Some("record") => {
                    let namespace = namespace_of(object, namespace).to_owned();
                    let name = text(object, "name");
                    self.names.push((format!("{namespace}.{name}"), namespace.clone(), schema));
                    for field in fields(object) {
                        self.learn(&field["type"], &namespace);
                    }
                }
                Some("array") => self.learn(&object["items"], namespace),
                Some("map") => self.learn(&object["values"], namespace),
                _ => {}
            },
            _ => {}
        }
    }

    fn read(&mut self, schema: &'a Value, namespace: &str) -> Result<Value> {
        match schema {
            Value::Array(branches) => {
                let branch = usize::try_from(self.long()?)?;
                let branch = branches.get(branch).ok_or("a union has no such branch")?;
                self.read(branch, namespace)
            }
            Value::String(name) => self.read_type(name, None, namespace),
            Value::Object(object) => match object.get("type") {
                Some(Value::String(name)) => self.read_type(name, Some(object), namespace),
                Some(inner) => self.read(inner, namespace),
                None => Err("a schema without a type".into()),
            },
            _ => Err("a schema that is neither text, object nor union".into()),
        }
    }

    fn read_type(
        &mut self,
        name: &'a str,
        object: Option<&'a Map<String, Value>>,
        namespace: &str,
    ) -> Result<Value> {
        Ok(match name {
            "null" => Value::Null,
            "boolean" => Value::Bool(self.take(1)?[0] != 0),
            "int" | "long" => self.long()?.into(),
            "float" => {
                let bytes = self.take(4)?.try_into()?;
                float(f32::from_le_bytes(bytes).into(), || f32::from_le_bytes(bytes).to_string())
            }
            "double" => {
                let bytes = self.take(8)?.try_into()?;
                float(f64::from_le_bytes(bytes), || f64::from_le_bytes(bytes).to_string())
            }
            "string" => String::from_utf8(self.counted()?.to_vec())?.into(),
            "bytes" => {
                let bytes = self.counted()?;
                match object.filter(|object| object.get("logicalType") == Some(&"decimal".into())) {
                    Some(object) => decimal(bytes, object["scale"].as_i64().unwrap_or(0)).into(),
                    None => hex(bytes).into(),
                }
            }
            "array" => {
                let items = &object.ok_or("an array without items")?["items"];
                let mut values = Vec::new();
                while let Some(count) = self.block()? {
                    for _ in 0..count {
                        values.push(self.read(items, namespace)?);
                    }
                }
                Value::Array(values)
            }
            "map" => {
                let items = &object.ok_or("a map without values")?["values"];
                let mut map = Map::new();
                while let Some(count) = self.block()? {
                    for _ in 0..count {
                        let key = String::from_utf8(self.counted()?.to_vec())?;
                        map.insert(key, self.read(items, namespace)?);
                    }
                }
                Value::Object(map)
            }
            "record" => {
                let object = object.ok_or("a record without fields")?;
                let namespace = namespace_of(object, namespace);
                let mut map = Map::new();
                for field in fields(object) {
                    map.insert(
                        text(field, "name").to_owned(),
                        self.read(&field["type"], namespace)?,
                    );
                }
                Value::Object(map)
            }
            name => {
                let full = format!("{namespace}.{name}");
                let known = |wanted: &str| self.names.iter().find(|(name, ..)| name == wanted);
                let (_, namespace, schema) = known(&full)
                    .or_else(|| known(name))
                    .ok_or_else(|| format!("no type {name}"))?;
                let (namespace, schema) = (namespace.clone(), *schema);
                self.read(schema, &namespace)?
            }
        })
    }

    fn take(&mut self, count: usize) -> Result<&[u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or("the datum is cut off")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn counted(&mut self) -> Result<&[u8]> {
        let count = usize::try_from(self.long()?)?;
        self.take(count)
    }

    /// Zigzag in groups of seven bits.
    fn long(&mut self) -> Result<i64> {
        let mut bits = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            bits |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
            }
        }
        Err("a number of more than 64 bits".into())
    }

    /// How many items follow in the next block of an array or map.
    fn block(&mut self) -> Result<Option<i64>> {
        let count = self.long()?;
        if count < 0 {
            self.long()?;
        }
        Ok((count != 0).then_some(count.abs()))
    }
}

fn namespace_of<'a>(object: &'a Map<String, Value>, outer: &'a str) -> &'a str {
    object.get("namespace").and_then(Value::as_str).unwrap_or(outer)
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn fields(record: &Map<String, Value>) -> impl Iterator<Item = &Map<String, Value>> {
    let fields = record.get("fields").and_then(Value::as_array);
    fields.into_iter().flatten().filter_map(Value::as_object)
}

/// JSON has no word for some; `shortest` keeps a 32-bit float's own digits.
fn float(value: f64, shortest: impl Fn() -> String) -> Value {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        let value = shortest().parse().unwrap_or(value);
        Number::from_f64(value).map_or(Value::Null, Value::Number)
    }
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

/// Big-endian two's complement of any length as decimal digits with `scale` of them behind the point.
pub fn decimal(bytes: &[u8], scale: i64) -> String {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let mut magnitude: Vec<u8> = bytes.to_vec();
    if negative {
        magnitude.iter_mut().for_each(|byte| *byte = !*byte);
        for byte in magnitude.iter_mut().rev() {
            let (sum, carry) = byte.overflowing_add(1);
            *byte = sum;
            if !carry {
                break;
            }
        }
        if magnitude.iter().all(|byte| *byte == 0) {
            magnitude.insert(0, 1);
        }
    }
    let mut digits = Vec::new();
    while magnitude.iter().any(|byte| *byte != 0) {
        let mut remainder = 0_u32;
        for byte in &mut magnitude {
            let value = remainder << 8 | u32::from(*byte);
            *byte = u8::try_from(value / 10)
                .expect("a remainder below ten keeps the quotient in a byte");
            remainder = value % 10;
        }
        digits.push(char::from(b'0' + u8::try_from(remainder).expect("below ten")));
    }
    let scale_digits = usize::try_from(scale).unwrap_or(0);
    while digits.len() <= scale_digits {
        digits.push('0');
    }
    if scale < 0 {
        let zeros = usize::try_from(-scale).unwrap_or(0);
        if digits != ['0'] {
            digits.splice(0..0, std::iter::repeat_n('0', zeros));
        }
    }
    let mut text = String::new();
    if negative {
        text.push('-');
    }
    for (place, digit) in digits.iter().enumerate().rev() {
        text.push(*digit);
        if place == scale_digits && place > 0 {
            text.push('.');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_show_exactly_their_scale() {
        let check =
            |bytes: &[u8], scale, expected: &str| assert_eq!(decimal(bytes, scale), expected);
        check(&[0], 0, "0");
        check(&[0], 2, "0.00");
        check(&[0x04, 0xd2], 2, "12.34");
        check(&[0xfd, 0xda], 2, "-5.50");
        check(&[0xff], 10, "-0.0000000001");
        check(&[0x80], 0, "-128");
        check(&[0x00, 0xc8], 1, "20.0");
        check(&[0x0c], -2, "1200");
        check(&[0x5c, 0xe0, 0xe9, 0xa5, 0x60, 0x15, 0xfe, 0xc5], 0, "6692605942763486917");
    }

    #[test]
    fn a_datum_is_read_by_its_schema_to_the_last_byte() {
        let schema = Schema::parse(
            r#"{"type":"record","name":"Envelope","namespace":"a.b","fields":[
                {"name":"before","type":["null",{"type":"record","name":"Value","fields":[
                    {"name":"id","type":"int"},{"name":"d","type":["double","null"],"default":1.5}]}],"default":null},
                {"name":"after","type":["null","Value"],"default":null},
                {"name":"list","type":{"type":"array","items":["null","string"]}},
                {"name":"raw","type":"bytes"}]}"#,
        )
        .unwrap();
        let mut datum = vec![0, 2, 84, 0];
        datum.extend(f64::INFINITY.to_le_bytes());
        datum.extend([4, 2, 2, b'x', 0, 0, 4, 0xab, 0xcd]);
        assert_eq!(
            schema.decode(&datum).unwrap().to_string(),
            r#"{"before":null,"after":{"id":42,"d":"Infinity"},"list":["x",null],"raw":"0xabcd"}"#
        );
        datum.push(0);
        assert!(schema.decode(&datum).is_err());
        assert!(schema.decode(&datum[..5]).is_err());
    }
}
