//! The records of a table: Debezium's envelope, the plain row, and their keys.

use std::sync::Arc;

use change::{Column, Fact, Origin, Table};

use crate::schema::{Binding, Field, Form, Image, Literal, Part, Schema, Unit};
use crate::topics::is_message;
use crate::{Absent, Decimals, default, kind, names};

/// What all records of one connector share.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) prefix: Arc<str>,
    pub(crate) origin: Origin,
    pub(crate) decimals: Decimals,
    /// Names as Avro allows them.
    pub(crate) adjust: bool,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Frame {
    /// The key record; None for a table without a key.
    pub(crate) fn key(&self, table: &Table, topic: &str) -> Result<Option<Schema>, Collision> {
        if table.key.is_empty() {
            return Ok(None);
        }
        let mut fields = Vec::with_capacity(table.key.len());
        for index in &table.key {
            fields.push(self.column(&table.columns[*index], *index, None));
        }
        distinct(&fields)?;
        if is_message(&table.name) {
            return Ok(Some(self.message("MessageKey", fields)));
        }
        Ok(Some(Schema::record(self.name(topic, "Key"), fields)))
    }

    /// The plain row.
    pub(crate) fn row(
        &self,
        table: &Table,
        topic: &str,
        absent: Absent,
    ) -> Result<Schema, Collision> {
        let stand_in = |column: &Column| match absent {
            Absent::Placeholder => kind::placeholder(&column.kind),
            Absent::Stop => None,
        };
        Ok(Schema::record(self.name(topic, "Value"), self.columns(table, stand_in)?))
    }

    /// Debezium's envelope.
    pub(crate) fn envelope(&self, table: &Table, topic: &str) -> Result<Schema, Collision> {
        if is_message(&table.name) {
            return self.message_envelope(table);
        }
        let before = self.columns(table, |column| Some(self.missing_in_old(column)))?;
        let after = self.columns(table, |column| kind::placeholder(&column.kind))?;
        let image = |fields| Schema::record(self.name(topic, "Value"), fields).optional();
        let part = |image| Binding::Fields(Part::Image(image));
        let stamp = |name, unit| Field::new(name, Schema::int64().optional(), Binding::Now(unit));
        let fields = vec![
            Field::new("before", image(before), part(Image::Before)),
            Field::new("after", image(after), part(Image::After)),
            Field::new("source", self.source(table), Binding::Fields(Part::Always)),
            Field::new("transaction", block(), Binding::Fields(Part::Block)),
            Field::new("op", Schema::string(), Binding::Operation),
            stamp("ts_ms", Unit::Millis),
            stamp("ts_us", Unit::Micros),
            stamp("ts_ns", Unit::Nanos),
        ];
        Ok(Schema::record(self.name(topic, "Envelope"), fields).version(2))
    }

    /// The envelope of an application's message: its cells in a struct of their own.
    fn message_envelope(&self, table: &Table) -> Result<Schema, Collision> {
        let cells = self.message("Message", self.columns(table, |_| None)?);
        let now = Binding::Now(Unit::Millis);
        let fields = vec![
            Field::new("op", Schema::string(), Binding::Operation),
            Field::new("ts_ms", Schema::int64().optional(), now),
            Field::new("source", self.source(table), Binding::Fields(Part::Always)),
            Field::new("transaction", block(), Binding::Fields(Part::Block)),
            Field::new("message", cells, Binding::Fields(Part::Image(Image::After))),
        ];
        Ok(self.message("MessageValue", fields))
    }

    /// A record of Debezium's own for applications' messages; whatever they are made of may be null there.
    fn message(&self, name: &str, mut fields: Vec<Field>) -> Schema {
        for field in &mut fields {
            field.schema.optional |= matches!(field.from, Binding::Cell { .. });
        }
        let connector = self.origin.connector;
        Schema::record(format!("io.debezium.connector.{connector}.{name}"), fields).version(1)
    }

    /// What Debezium writes for a column that an old image of key columns does not have.
    fn missing_in_old(&self, column: &Column) -> Literal {
        match column.nullable {
            true => Literal::Null,
            false => default::of(column, self.decimals)
                .unwrap_or_else(|| kind::zero(&column.kind, self.decimals)),
        }
    }

    fn columns(
        &self,
        table: &Table,
        absent: impl Fn(&Column) -> Option<Literal>,
    ) -> Result<Vec<Field>, Collision> {
        let column = |(index, column)| self.column(column, index, absent(column));
        let fields: Vec<Field> = table.columns.iter().enumerate().map(column).collect();
        distinct(&fields)?;
        Ok(fields)
    }

    fn column(&self, column: &Column, index: usize, absent: Option<Literal>) -> Field {
        let (schema, conversion) = kind::of(&column.kind, self.decimals);
        let default = default::of(column, self.decimals);
        let schema = Schema { optional: column.nullable, default, ..schema };
        let name = if self.adjust { names::field(&column.name) } else { column.name.to_string() };
        Field::new(name, schema, Binding::Cell { column: index, conversion, absent })
    }

    fn source(&self, table: &Table) -> Schema {
        let origin = &self.origin;
        let constant = |text: &str| Binding::Literal(Literal::text(text));
        let database = origin.database.as_deref().unwrap_or(&table.name.schema);
        let sequence = match origin.sequence.is_empty() {
            true => Binding::Literal(Literal::Null),
            false => Binding::Sequence(origin.sequence.clone().into()),
        };
        let snapshot = Schema::semantic(Form::String, "io.debezium.data.Enum")
            .parameter("allowed", SNAPSHOTS)
            .optional()
            .default(Literal::text("false"));
        let optional_stamp =
            |name, unit| Field::new(name, Schema::int64().optional(), Binding::CommittedAt(unit));
        let mut fields = vec![
            Field::new("version", Schema::string(), constant(VERSION)),
            Field::new("connector", Schema::string(), constant(origin.connector)),
            Field::new("name", Schema::string(), constant(&self.prefix)),
            Field::new("ts_ms", Schema::int64(), Binding::CommittedAt(Unit::Millis)),
            Field::new("snapshot", snapshot, Binding::Snapshot),
            Field::new("db", Schema::string(), constant(database)),
            Field::new("sequence", Schema::string().optional(), sequence),
            optional_stamp("ts_us", Unit::Micros),
            optional_stamp("ts_ns", Unit::Nanos),
        ];
        for field in &origin.fields {
            let (schema, conversion) = kind::of(&field.kind, self.decimals);
            let schema = Schema { optional: field.nullable, ..schema };
            let from = match field.from {
                Fact::Transaction(index) => Binding::Fact { index, conversion },
                Fact::At => Binding::At,
                Fact::Row => Binding::Row,
                Fact::Schema => constant(&table.name.schema),
                // A message is of no table.
                Fact::Table if is_message(&table.name) => constant(""),
                Fact::Table => constant(&table.name.table),
                Fact::Null => Binding::Literal(Literal::Null),
            };
            fields.push(Field::new(field.name, schema, from));
        }
        Schema::record(format!("io.debezium.connector.{}.Source", origin.connector), fields)
            .version(1)
    }

    fn name(&self, topic: &str, record: &str) -> String {
        let name = format!("{topic}.{record}");
        if self.adjust { names::schema(&name) } else { name }
    }

    pub(crate) fn transaction_key(&self) -> Schema {
        let fields = vec![Field::new("id", Schema::string(), Binding::TransactionId)];
        Schema::record("io.debezium.connector.common.TransactionMetadataKey", fields).version(1)
    }

    pub(crate) fn transaction_value(&self) -> Schema {
        let null = || Binding::Literal(Literal::Null);
        let counts = Schema::record(
            "event.collection",
            vec![
                Field::new("data_collection", Schema::string(), null()),
                Field::new("event_count", Schema::int64(), null()),
            ],
        )
        .version(1)
        .optional();
        let counts = Schema::new(Form::Array(Box::new(counts))).optional();
        let fields = vec![
            Field::new("status", Schema::string(), Binding::Status),
            Field::new("id", Schema::string(), Binding::TransactionId),
            Field::new("event_count", Schema::int64().optional(), Binding::EventCount),
            Field::new("data_collections", counts, Binding::Counts),
            Field::new("ts_ms", Schema::int64(), Binding::CommittedAt(Unit::Millis)),
        ];
        Schema::record("io.debezium.connector.common.TransactionMetadataValue", fields).version(1)
    }
}

const SNAPSHOTS: &str =
    "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental";

/// The transaction a change belongs to, and its place there.
fn block() -> Schema {
    let fields = vec![
        Field::new("id", Schema::string(), Binding::TransactionId),
        Field::new("total_order", Schema::int64(), Binding::TotalOrder),
        Field::new("data_collection_order", Schema::int64(), Binding::TableOrder),
    ];
    Schema::record("event.block", fields).version(1).optional()
}

/// Two columns whose names become the same field name.
#[derive(Debug)]
pub(crate) struct Collision {
    pub(crate) field: Arc<str>,
}

fn distinct(fields: &[Field]) -> Result<(), Collision> {
    let mut seen = std::collections::HashSet::with_capacity(fields.len());
    match fields.iter().find(|field| !seen.insert(&field.name)) {
        None => Ok(()),
        Some(field) => Err(Collision { field: Arc::clone(&field.name) }),
    }
}
