//! What a message looks like: a tree in the terms of Kafka Connect's schemas, every leaf bound to where its value is found.
//!
//! A shape builds the tree once per table version; an encoder compiles it once into a plan of its own. So a shape
//! knows no format, and a format knows no shape.

use std::sync::Arc;

use change::Fact;

use crate::conversion::Conversion;

/// The type of one value, with all that a Connect schema can say of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    pub form: Form,
    pub optional: bool,
    pub name: Option<Arc<str>>,
    pub version: Option<u32>,
    pub doc: Option<&'static str>,
    pub parameters: Vec<(&'static str, String)>,
    pub default: Option<Literal>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Boolean,
    String,
    Bytes,
    Array(Box<Schema>),
    Struct(Vec<Field>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: Arc<str>,
    pub schema: Schema,
    pub from: Binding,
}

/// Where a field's value is found.
#[derive(Debug, Clone, PartialEq)]
pub enum Binding {
    /// A struct whose fields are bound themselves; the field is null when the part is not there.
    Fields(Part),
    /// A cell of the row image that the enclosing struct stands for.
    Cell {
        column: usize,
        conversion: Conversion,
        absent: Option<Literal>,
    },
    /// A cell of the transaction's facts.
    Fact {
        index: usize,
        conversion: Conversion,
    },
    Literal(Literal),
    /// [`change::Event::at`]
    At,
    /// Index of the event among those of its log event, from 0.
    Row,
    /// Parts of the source's sequence, as the text of a JSON array of strings and nulls.
    Sequence(Box<[Fact]>),
    Operation,
    /// `true` for copied rows, else `false`, as text.
    Snapshot,
    /// When the message was made.
    Now(Unit),
    /// When the transaction was committed.
    CommittedAt(Unit),
    TransactionId,
    TotalOrder,
    TableOrder,
    /// BEGIN or END.
    Status,
    /// Events of the transaction; null but at its end.
    EventCount,
    /// An array of structs of table and count; null but at the transaction's end.
    Counts,
}

/// When a struct is there, and which row its cells are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Always,
    Image(Image),
    /// Only where transaction blocks are written and the event belongs to a transaction.
    Block,
}

/// One of the rows a message can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Image {
    Before,
    After,
    /// The row whose key the message has.
    Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    pub fn of_micros(self, micros: i64) -> i64 {
        match self {
            Unit::Millis => micros.div_euclid(1000),
            Unit::Micros => micros,
            Unit::Nanos => micros.saturating_mul(1000),
        }
    }
}

/// A value known when the schema is made: constants, defaults, placeholders.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Float32(f32),
    Float64(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    Array(Vec<Literal>),
    /// One literal a field, in order.
    Struct(Vec<Literal>),
}

impl Literal {
    pub fn text(text: &str) -> Self {
        Literal::Text(text.into())
    }

    pub fn bytes(bytes: &[u8]) -> Self {
        Literal::Bytes(bytes.into())
    }
}

impl Schema {
    pub fn new(form: Form) -> Self {
        Self {
            form,
            optional: false,
            name: None,
            version: None,
            doc: None,
            parameters: Vec::new(),
            default: None,
        }
    }

    pub fn string() -> Self {
        Self::new(Form::String)
    }

    pub fn int64() -> Self {
        Self::new(Form::Int64)
    }

    pub fn record(name: impl Into<Arc<str>>, fields: Vec<Field>) -> Self {
        Self { name: Some(name.into()), ..Self::new(Form::Struct(fields)) }
    }

    /// A type of Debezium's own: a name, and version 1.
    pub fn semantic(form: Form, name: &str) -> Self {
        Self { name: Some(name.into()), version: Some(1), ..Self::new(form) }
    }

    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    pub fn version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    pub fn parameter(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.parameters.push((name, value.into()));
        self
    }

    pub fn default(mut self, default: Literal) -> Self {
        self.default = Some(default);
        self
    }

    pub fn documented(mut self, doc: &'static str) -> Self {
        self.doc = Some(doc);
        self
    }

    /// The fields of a struct; none of anything else.
    pub fn fields(&self) -> &[Field] {
        match &self.form {
            Form::Struct(fields) => fields,
            _ => &[],
        }
    }
}

impl Field {
    pub fn new(name: impl Into<Arc<str>>, schema: Schema, from: Binding) -> Self {
        Self { name: name.into(), schema, from }
    }
}
