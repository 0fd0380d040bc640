//! A record's plan: what to append, leaf by leaf.

use std::ops::Range;
use std::sync::Arc;

use change::{Cell, Decimal, Row, Value};
use message::{
    Binding, Conversion, Datum, Fault, Field, FieldFault, Form, Image, Literal, Part, Schema,
    Scope, Scratch, collection, little_endian, point_wkb,
};

#[derive(Debug)]
pub(crate) struct Plan {
    ops: Vec<Op>,
    /// Bytes of constants; ops point into it.
    constants: Vec<u8>,
    /// Names of the leaves, for errors.
    fields: Vec<Arc<str>>,
    /// Constants before this op are of another struct and stay apart from what follows.
    border: usize,
}

#[derive(Debug)]
enum Op {
    Constant(Range<usize>),
    /// The union's branch, and past the next `skip` ops where the struct is not there.
    Struct {
        part: Part,
        skip: usize,
    },
    Cell {
        image: Image,
        column: usize,
        conversion: Conversion,
        union: Union,
        absent: Option<Range<usize>>,
        field: usize,
    },
    Leaf {
        binding: Binding,
        union: Union,
        field: usize,
    },
}

/// Where null stands beside a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Union {
    Required,
    NullFirst,
    NullSecond,
}

impl Union {
    fn of(schema: &Schema) -> Self {
        match (schema.optional, &schema.default) {
            (false, _) => Union::Required,
            (true, None) => Union::NullFirst,
            (true, Some(_)) => Union::NullSecond,
        }
    }

    fn optional(self) -> bool {
        self != Union::Required
    }

    #[inline]
    fn value(self, out: &mut Vec<u8>) {
        match self {
            Union::Required => {}
            Union::NullFirst => out.push(2),
            Union::NullSecond => out.push(0),
        }
    }

    #[inline]
    fn null(self, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Union::Required => return Err(Fault::Null),
            Union::NullFirst => out.push(0),
            Union::NullSecond => out.push(2),
        }
        Ok(())
    }
}

impl Plan {
    pub(crate) fn compile(schema: &Schema, part: Part) -> Self {
        let mut plan =
            Plan { ops: Vec::new(), constants: Vec::new(), fields: Vec::new(), border: 0 };
        plan.fields(schema.fields(), part);
        plan
    }

    fn fields(&mut self, fields: &[Field], part: Part) {
        for field in fields {
            self.field(field, part);
        }
    }

    fn field(&mut self, field: &Field, part: Part) {
        let union = Union::of(&field.schema);
        match (&field.from, part) {
            (Binding::Fields(part), _) => {
                let at = self.ops.len();
                if union.optional() {
                    self.ops.push(Op::Struct { part: *part, skip: 0 });
                    self.border = self.ops.len();
                }
                self.fields(field.schema.fields(), *part);
                if union.optional() {
                    let skip = self.ops.len() - at - 1;
                    self.ops[at] = Op::Struct { part: *part, skip };
                    self.border = self.ops.len();
                }
            }
            (Binding::Literal(value), _) => {
                let start = self.constants.len();
                literal(value, &field.schema, &mut self.constants);
                // Neighbours become one.
                match self.ops[self.border..].last_mut() {
                    Some(Op::Constant(range)) if range.end == start => {
                        range.end = self.constants.len();
                    }
                    _ => self.ops.push(Op::Constant(start..self.constants.len())),
                }
            }
            (Binding::Cell { column, conversion, absent }, Part::Image(image)) => {
                let absent = absent.as_ref().map(|value| {
                    let start = self.constants.len();
                    literal(value, &field.schema, &mut self.constants);
                    start..self.constants.len()
                });
                let name = self.name(field);
                self.ops.push(Op::Cell {
                    image,
                    column: *column,
                    conversion: conversion.clone(),
                    union,
                    absent,
                    field: name,
                });
            }
            (binding, _) => {
                let name = self.name(field);
                self.ops.push(Op::Leaf { binding: binding.clone(), union, field: name });
            }
        }
    }

    fn name(&mut self, field: &Field) -> usize {
        self.fields.push(Arc::clone(&field.name));
        self.fields.len() - 1
    }

    pub(crate) fn write(
        &self,
        scope: &Scope<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), FieldFault> {
        let mut ops = self.ops.iter();
        let mut row: Option<(Image, Row<'_>)> = None;
        while let Some(op) = ops.next() {
            let (written, field) = match op {
                Op::Constant(range) => {
                    out.extend_from_slice(&self.constants[range.clone()]);
                    continue;
                }
                Op::Struct { part, skip } => {
                    if scope.has(*part) {
                        out.push(2);
                    } else {
                        out.push(0);
                        ops = ops.as_slice()[*skip..].iter();
                    }
                    continue;
                }
                Op::Cell { image, column, conversion, union, absent, field } => {
                    if row.is_none_or(|(of, _)| of != *image) {
                        row = scope.image(*image).map(|row| (*image, row));
                    }
                    // Most cells are there and of a plain kind; the rest is left to the scope.
                    let cell = row.map_or(Cell::Absent, |(_, row)| row.cell(*column));
                    match cell {
                        Cell::Value(value) if write_plain(value, conversion, *union, out) => {
                            continue;
                        }
                        Cell::Null if union.optional() => {
                            out.push(if *union == Union::NullFirst { 0 } else { 2 });
                            continue;
                        }
                        _ => {}
                    }
                    let written = match scope.cell(*image, *column) {
                        Ok(Cell::Absent) => match absent {
                            Some(range) => {
                                out.extend_from_slice(&self.constants[range.clone()]);
                                Ok(())
                            }
                            None => Err(Fault::Absent),
                        },
                        Ok(cell) => write_cell(cell, conversion, *union, scope, scratch, out),
                        Err(fault) => Err(fault),
                    };
                    (written, field)
                }
                Op::Leaf { binding, union, field } => {
                    let datum = scope.leaf(binding, union.optional(), scratch);
                    (datum.and_then(|datum| write_datum(datum, *union, out)), field)
                }
            };
            if let Err(fault) = written {
                return Err(FieldFault { fault, field: Arc::clone(&self.fields[*field]) });
            }
        }
        Ok(())
    }
}

/// Writes what needs no scratch and cannot fail, the same bytes as [`write_cell`] would; false: nothing was written.
#[inline(always)]
fn write_plain(value: Value<'_>, conversion: &Conversion, union: Union, out: &mut Vec<u8>) -> bool {
    match (conversion, value) {
        (Conversion::Int { bits: 64 }, Value::Int(value)) => {
            union.value(out);
            long(value, out);
        }
        (Conversion::Int { bits: 32 }, Value::Int(value)) if i32::try_from(value).is_ok() => {
            union.value(out);
            long(value, out);
        }
        (Conversion::Text, Value::Text(text)) => {
            union.value(out);
            bytes(text.as_bytes(), out);
        }
        (Conversion::Bytes, Value::Bytes(value)) => {
            union.value(out);
            bytes(value, out);
        }
        (Conversion::Bool, Value::Bool(value)) => {
            union.value(out);
            out.push(u8::from(value));
        }
        (Conversion::Float64, Value::Float64(value)) => {
            union.value(out);
            out.extend_from_slice(&value.to_le_bytes());
        }
        (
            Conversion::Decimal { scale: declared },
            Value::Decimal(Decimal::Finite { unscaled, scale }),
        ) if *declared == scale => {
            union.value(out);
            bytes(unscaled, out);
        }
        (Conversion::StampMicros, Value::DateTime(micros))
            if micros != i64::MAX && micros != i64::MIN =>
        {
            union.value(out);
            long(micros, out);
        }
        _ => return false,
    }
    true
}

fn write_cell<'a>(
    cell: Cell<'a>,
    conversion: &Conversion,
    union: Union,
    scope: &Scope<'a>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    if let (Cell::Value(Value::Array(array)), Some((element, optional))) =
        (cell, conversion.element())
    {
        if !scope.has_room(array, (element, optional), union.optional())? {
            return union.null(out);
        }
        union.value(out);
        if !array.is_empty() {
            long(array.len() as i64, out);
            let union = if optional { Union::NullFirst } else { Union::Required };
            for cell in array.iter() {
                write_cell(cell, element, union, scope, scratch, out)?;
            }
        }
        out.push(0);
        return Ok(());
    }
    let datum = scope.value(cell, conversion, union.optional(), scratch)?;
    write_datum(datum, union, out)
}

fn write_datum(datum: Datum<'_>, union: Union, out: &mut Vec<u8>) -> Result<(), Fault> {
    if let Datum::Null = datum {
        return union.null(out);
    }
    union.value(out);
    match datum {
        Datum::Null => {}
        Datum::Bool(value) => out.push(u8::from(value)),
        Datum::Int(value) => long(value, out),
        Datum::Float32(value) => out.extend_from_slice(&value.to_le_bytes()),
        Datum::Float64(value) => out.extend_from_slice(&value.to_le_bytes()),
        Datum::Text(text) => bytes(text.as_bytes(), out),
        Datum::Bytes(value) => bytes(value, out),
        Datum::Bits { length, bytes } => {
            let number = little_endian(length, bytes);
            long(number.len() as i64, out);
            out.extend(number);
        }
        Datum::Decimal { unscaled, .. } => bytes(unscaled, out),
        Datum::Number { unscaled, scale } => {
            long(i64::from(scale), out);
            bytes(unscaled, out);
        }
        Datum::Point { x, y } => {
            out.extend_from_slice(&x.to_le_bytes());
            out.extend_from_slice(&y.to_le_bytes());
            out.push(2);
            bytes(&point_wkb(x, y), out);
            out.push(0);
        }
        Datum::Counts(end) => {
            let tables = end.tables();
            if tables.len() > 0 {
                long(tables.len() as i64, out);
            }
            for (table, count) in tables {
                out.push(2);
                let name = collection(table);
                long(name.iter().map(|part| part.len()).sum::<usize>() as i64, out);
                name.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
                long(i64::try_from(count).map_err(|_| Fault::Range)?, out);
            }
            out.push(0);
        }
        Datum::Array(_) => return Err(Fault::Kind),
        Datum::Special(_) => return Err(Fault::Special),
    }
    Ok(())
}

/// Zig-zag, then seven bits a byte, lowest first.
#[inline]
fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    // One and two bytes are most of what is written; a known length is one check of the room.
    if rest < 0x80 {
        return out.push(rest as u8);
    }
    if rest < 0x4000 {
        return out.extend_from_slice(&[rest as u8 | 0x80, (rest >> 7) as u8]);
    }
    let (mut buffer, mut len) = ([0; 10], 0);
    while rest >= 0x80 {
        buffer[len] = rest as u8 | 0x80;
        rest >>= 7;
        len += 1;
    }
    buffer[len] = rest as u8;
    out.extend_from_slice(&buffer[..=len]);
}

#[inline]
fn bytes(value: &[u8], out: &mut Vec<u8>) {
    long(value.len() as i64, out);
    out.extend_from_slice(value);
}

fn literal(value: &Literal, schema: &Schema, out: &mut Vec<u8>) {
    let union = Union::of(schema);
    if let Literal::Null = value {
        union.null(out).expect("shapes give null to optional fields only");
        return;
    }
    union.value(out);
    match value {
        Literal::Null => {}
        Literal::Bool(value) => out.push(u8::from(*value)),
        Literal::Int(value) => long(*value, out),
        Literal::Float32(value) => out.extend_from_slice(&value.to_le_bytes()),
        Literal::Float64(value) => out.extend_from_slice(&value.to_le_bytes()),
        Literal::Text(text) => bytes(text.as_bytes(), out),
        Literal::Bytes(value) => bytes(value, out),
        Literal::Array(elements) => {
            if let (Form::Array(element), false) = (&schema.form, elements.is_empty()) {
                long(elements.len() as i64, out);
                for value in elements {
                    literal(value, element, out);
                }
            }
            out.push(0);
        }
        Literal::Struct(values) => {
            for (field, value) in schema.fields().iter().zip(values) {
                literal(value, &field.schema, out);
            }
        }
    }
}
