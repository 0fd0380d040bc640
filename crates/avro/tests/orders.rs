//! The schemas of one table, as Debezium 3.6.1 registers them.
//!
//! ```sql
//! create table orders(id bigserial primary key, customer_id int not null, status varchar(16) not null,
//!   amount numeric(12,2) not null, qty int, created_at timestamp(6) not null, updated_at timestamptz(3),
//!   note varchar(200), is_paid boolean, payload jsonb);
//! ```

mod oracle;

use std::sync::Arc;

use change::{Column, Default, Fact, Kind, Origin, OriginField, Table, TableName};
use message::Settings;
use oracle::{Notes, pipeline, prepared};

fn orders() -> Table {
    let int = |bits| Kind::Int { bits, signed: true };
    let mut id = Column::new("id", int(64)).required();
    id.default = Some(Default::Computed);
    Table {
        name: TableName::new("public", "orders"),
        columns: vec![
            id,
            Column::new("customer_id", int(32)).required(),
            Column::new("status", Kind::Text).required(),
            Column::new("amount", Kind::Decimal { precision: 12, scale: 2 }).required(),
            Column::new("qty", int(32)),
            Column::new("created_at", Kind::DateTime { digits: 6 }).required(),
            Column::new("updated_at", Kind::Instant { digits: 3 }),
            Column::new("note", Kind::Text),
            Column::new("is_paid", Kind::Bool),
            Column::new("payload", Kind::Json),
        ],
        key: vec![0],
    }
}

fn origin() -> Origin {
    let int = Kind::Int { bits: 64, signed: true };
    let field = |name, kind: &Kind, nullable, from| OriginField {
        name,
        kind: kind.clone(),
        nullable,
        from,
    };
    Origin {
        connector: "postgresql",
        database: Some("cdc".into()),
        fields: vec![
            field("schema", &Kind::Text, false, Fact::Schema),
            field("table", &Kind::Text, false, Fact::Table),
            field("txId", &int, true, Fact::Transaction(0)),
            field("lsn", &int, true, Fact::At),
            field("xmin", &int, true, Fact::Null),
            field("origin", &Kind::Text, true, Fact::Null),
            field("origin_lsn", &int, true, Fact::Null),
        ],
        sequence: vec![Fact::Transaction(1), Fact::At],
    }
}

#[test]
fn the_schemas_of_orders_are_those_that_debezium_registers() {
    let notes = Arc::new(Notes::default());
    let mut pipeline = pipeline("shop", origin(), Settings::default(), &notes);
    prepared(&mut pipeline, &oracle::batch_of(&Arc::new(orders())));
    let check = |subject: &str, expected: &str| {
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        // Keeps the order of attributes, so equal texts are equal in everything but white space.
        assert_eq!(notes.text(subject), serde_json::to_string(&expected).unwrap(), "{subject}");
    };
    check("shop.public.orders-key", include_str!("expected/orders-key.json"));
    check("shop.public.orders-value", include_str!("expected/orders-value.json"));
}
