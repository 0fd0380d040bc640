//! Records as JSON, as Kafka Connect's converter writes them without schemas.
//!
//! Bytes and decimals are base64 (a decimal: of its unscaled value), as there; [`JsonNumbers::Plain`] writes decimals
//! as numbers, for people.

use std::sync::Arc;

use change::Cell;

use crate::conversion::{Conversion, Datum, Fault, Scratch, little_endian};
use crate::encoder::{Encoder, FieldFault, PlanId, Prepare, Prepared, Request};
use crate::kind::point_wkb;
use crate::schema::{Binding, Field, Form, Image, Literal, Part, Schema};
use crate::scope::Scope;
use crate::topics::collection;

/// How decimals look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JsonNumbers {
    /// Base64 of the unscaled value; a decimal with a scale of its own as `{"scale":1,"value":"Dw=="}`.
    #[default]
    Connect,
    /// `1.50`; NaN and infinities as text.
    Plain,
    /// As Connect writes headers: decimals with a declared scale as numbers, the others as [`JsonNumbers::Connect`].
    Header,
}

#[derive(Debug, Default)]
pub struct JsonEncoder {
    numbers: JsonNumbers,
    plans: Vec<Vec<Op>>,
}

/// Every op writes all that stands between its value and the one before it first.
#[derive(Debug)]
enum Op {
    Text(Box<str>),
    /// `{` and on, or `null` and past the next `skip` ops.
    Struct {
        part: Part,
        skip: usize,
    },
    Cell {
        image: Image,
        column: usize,
        conversion: Conversion,
        optional: bool,
        absent: Option<Box<str>>,
        field: Arc<str>,
    },
    Leaf {
        binding: Binding,
        optional: bool,
        field: Arc<str>,
    },
}

impl JsonEncoder {
    pub fn new(numbers: JsonNumbers) -> Self {
        Self { numbers, plans: Vec::new() }
    }

    /// Compiles a record's plan.
    pub fn add(&mut self, schema: &Schema, part: Part) -> PlanId {
        let mut compiler = Compiler { ops: Vec::new(), text: String::new() };
        compiler.fields(schema.fields(), part);
        compiler.flush();
        self.plans.push(compiler.ops);
        PlanId(self.plans.len() - 1)
    }
}

struct Compiler {
    ops: Vec<Op>,
    text: String,
}

impl Compiler {
    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.ops.push(Op::Text(std::mem::take(&mut self.text).into()));
        }
    }

    fn fields(&mut self, fields: &[Field], part: Part) {
        self.text.push('{');
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            push_quoted(&field.name, &mut self.text);
            self.text.push(':');
            self.field(field, part);
        }
        self.text.push('}');
    }

    fn field(&mut self, field: &Field, part: Part) {
        let optional = field.schema.optional;
        match (&field.from, part) {
            (Binding::Fields(part), _) => {
                self.flush();
                let at = self.ops.len();
                self.ops.push(Op::Struct { part: *part, skip: 0 });
                self.fields(field.schema.fields(), *part);
                self.flush();
                let skip = self.ops.len() - at - 1;
                self.ops[at] = Op::Struct { part: *part, skip };
            }
            (Binding::Literal(literal), _) => literal_text(literal, &field.schema, &mut self.text),
            (Binding::Cell { column, conversion, absent }, Part::Image(image)) => {
                self.flush();
                let absent = absent.as_ref().map(|literal| {
                    let mut text = String::new();
                    literal_text(literal, &field.schema, &mut text);
                    text.into()
                });
                self.ops.push(Op::Cell {
                    image,
                    column: *column,
                    conversion: conversion.clone(),
                    optional,
                    absent,
                    field: Arc::clone(&field.name),
                });
            }
            (binding, _) => {
                self.flush();
                let (binding, field) = (binding.clone(), Arc::clone(&field.name));
                self.ops.push(Op::Leaf { binding, optional, field });
            }
        }
    }
}

impl Encoder for JsonEncoder {
    fn prepare<'a>(&'a mut self, request: Request<'a>) -> Prepare<'a> {
        let plan = self.add(request.schema, request.part);
        Box::pin(std::future::ready(Ok(Prepared { plan, schema_id: None })))
    }

    fn encode(
        &self,
        plan: PlanId,
        scope: &Scope<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), FieldFault> {
        let mut ops = self.plans[plan.0].iter();
        while let Some(op) = ops.next() {
            match op {
                Op::Text(text) => out.extend_from_slice(text.as_bytes()),
                Op::Struct { part, skip } => {
                    if !scope.has(*part) {
                        out.extend_from_slice(b"null");
                        ops = ops.as_slice()[*skip..].iter();
                    }
                }
                Op::Cell { image, column, conversion, optional, absent, field } => {
                    let cell = scope.cell(*image, *column);
                    let written =
                        cell.and_then(|cell| match (cell, absent, conversion.element()) {
                            (Cell::Absent, Some(text), _) => {
                                out.extend_from_slice(text.as_bytes());
                                Ok(())
                            }
                            (Cell::Value(change::Value::Array(elements)), _, Some(element)) => {
                                if !scope.has_room(elements, element, *optional)? {
                                    return self.datum(Datum::Null, out);
                                }
                                let cells = elements.iter();
                                self.array(cells, element, scope, scratch, out)
                            }
                            _ => scope
                                .value(cell, conversion, *optional, scratch)
                                .and_then(|datum| self.datum(datum, out)),
                        });
                    written.map_err(|fault| FieldFault { fault, field: Arc::clone(field) })?;
                }
                Op::Leaf { binding, optional, field } => scope
                    .leaf(binding, *optional, scratch)
                    .and_then(|datum| self.datum(datum, out))
                    .map_err(|fault| FieldFault { fault, field: Arc::clone(field) })?,
            }
        }
        Ok(())
    }
}

impl JsonEncoder {
    fn array<'a>(
        &self,
        elements: impl Iterator<Item = Cell<'a>>,
        (conversion, optional): (&Conversion, bool),
        scope: &Scope<'a>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        out.push(b'[');
        for (index, cell) in elements.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            if let (Cell::Value(change::Value::Array(inner)), Some(element)) =
                (cell, conversion.element())
            {
                if scope.has_room(inner, element, optional)? {
                    self.array(inner.iter(), element, scope, scratch, out)?;
                } else {
                    self.datum(Datum::Null, out)?;
                }
                continue;
            }
            let datum = scope.value(cell, conversion, optional, scratch)?;
            self.datum(datum, out)?;
        }
        out.push(b']');
        Ok(())
    }

    fn datum(&self, datum: Datum<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        match datum {
            Datum::Null => out.extend_from_slice(b"null"),
            Datum::Bool(value) => {
                out.extend_from_slice(if value { b"true" as &[u8] } else { b"false" });
            }
            Datum::Int(value) => int(value, out),
            Datum::Float32(value) => float(f64::from(value), ryu::Buffer::new().format(value), out),
            Datum::Float64(value) => float(value, ryu::Buffer::new().format(value), out),
            Datum::Text(text) => quoted(text, out),
            Datum::Bytes(bytes) => base64(bytes.iter().copied(), out),
            Datum::Bits { length, bytes } => base64(little_endian(length, bytes), out),
            Datum::Decimal { unscaled, scale } => match self.numbers {
                JsonNumbers::Connect => base64(unscaled.iter().copied(), out),
                JsonNumbers::Plain | JsonNumbers::Header => {
                    number(unscaled, i32::from(scale), out);
                }
            },
            Datum::Number { unscaled, scale } => match self.numbers {
                JsonNumbers::Connect | JsonNumbers::Header => {
                    out.extend_from_slice(b"{\"scale\":");
                    int(i64::from(scale), out);
                    out.extend_from_slice(b",\"value\":");
                    base64(unscaled.iter().copied(), out);
                    out.push(b'}');
                }
                JsonNumbers::Plain => number(unscaled, scale, out),
            },
            Datum::Special(text) => match self.numbers {
                JsonNumbers::Connect | JsonNumbers::Header => return Err(Fault::Special),
                JsonNumbers::Plain => quoted(text, out),
            },
            Datum::Point { x, y } => {
                out.extend_from_slice(b"{\"x\":");
                float(x, ryu::Buffer::new().format(x), out);
                out.extend_from_slice(b",\"y\":");
                float(y, ryu::Buffer::new().format(y), out);
                out.extend_from_slice(b",\"wkb\":");
                base64(point_wkb(x, y).into_iter(), out);
                out.extend_from_slice(b",\"srid\":null}");
            }
            Datum::Counts(end) => {
                out.push(b'[');
                for (index, (table, count)) in end.tables().enumerate() {
                    out.extend_from_slice(if index > 0 { b",{" } else { b"{" as &[u8] });
                    out.extend_from_slice(b"\"data_collection\":\"");
                    collection(table).iter().for_each(|part| escaped(part, out));
                    out.extend_from_slice(b"\",\"event_count\":");
                    int(i64::try_from(count).map_err(|_| Fault::Range)?, out);
                    out.push(b'}');
                }
                out.push(b']');
            }
            Datum::Array(_) => return Err(Fault::Kind),
        }
        Ok(())
    }
}

fn int(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// NaN and infinities are texts, as the converter's JSON library writes them.
fn float(value: f64, digits: &str, out: &mut Vec<u8>) {
    let text: &[u8] = if value.is_nan() {
        b"\"NaN\""
    } else if value == f64::INFINITY {
        b"\"Infinity\""
    } else if value == f64::NEG_INFINITY {
        b"\"-Infinity\""
    } else {
        digits.as_bytes()
    };
    out.extend_from_slice(text);
}

/// Kept out of line: only people read these.
#[cold]
fn number(unscaled: &[u8], scale: i32, out: &mut Vec<u8>) {
    let mut digits = Vec::new();
    out.extend_from_slice(crate::decimal::plain(unscaled, scale, &mut digits).as_bytes());
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escaped(text, out);
    out.push(b'"');
}

fn escaped(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut start = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            8 => b'b',
            12 => b'f',
            0..0x20 => 0,
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..index]);
        start = index + 1;
        match short {
            0 => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            short => out.extend_from_slice(&[b'\\', short]),
        }
    }
    out.extend_from_slice(&bytes[start..]);
}

fn base64(bytes: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = bytes.fuse();
    out.push(b'"');
    while let Some(first) = bytes.next() {
        let (second, third) = (bytes.next(), bytes.next());
        let group = u32::from(first) << 16
            | u32::from(second.unwrap_or(0)) << 8
            | u32::from(third.unwrap_or(0));
        let digit = |shift: u32| DIGITS[(group >> shift & 63) as usize];
        out.push(digit(18));
        out.push(digit(12));
        out.push(if second.is_some() { digit(6) } else { b'=' });
        out.push(if third.is_some() { digit(0) } else { b'=' });
    }
    out.push(b'"');
}

fn push_quoted(text: &str, out: &mut String) {
    let mut bytes = Vec::new();
    quoted(text, &mut bytes);
    out.push_str(std::str::from_utf8(&bytes).expect("escaped text is text"));
}

fn literal_text(literal: &Literal, schema: &Schema, out: &mut String) {
    let mut bytes = Vec::new();
    write_literal(literal, schema, &mut bytes);
    out.push_str(std::str::from_utf8(&bytes).expect("JSON is text"));
}

fn write_literal(literal: &Literal, schema: &Schema, out: &mut Vec<u8>) {
    match literal {
        Literal::Null => out.extend_from_slice(b"null"),
        Literal::Bool(value) => {
            out.extend_from_slice(if *value { b"true" as &[u8] } else { b"false" });
        }
        Literal::Int(value) => int(*value, out),
        Literal::Float32(value) => float(f64::from(*value), ryu::Buffer::new().format(*value), out),
        Literal::Float64(value) => float(*value, ryu::Buffer::new().format(*value), out),
        Literal::Text(text) => quoted(text, out),
        Literal::Bytes(bytes) => base64(bytes.iter().copied(), out),
        Literal::Array(elements) => {
            let Form::Array(element) = &schema.form else { return };
            out.push(b'[');
            for (index, literal) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_literal(literal, element, out);
            }
            out.push(b']');
        }
        Literal::Struct(values) => {
            out.push(b'{');
            for (index, (field, literal)) in schema.fields().iter().zip(values).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                quoted(&field.name, out);
                out.push(b':');
                write_literal(literal, &field.schema, out);
            }
            out.push(b'}');
        }
    }
}
