use crate::Kind;

/// What a source tells of itself beside every change: a description, made once, of where each field's value is found.
/// Shapes with a source block compile it into their plan, so that a new source needs no word in any shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The source's kind as consumers know it: `postgresql`, `mysql`.
    pub connector: &'static str,
    /// The database's name, where a connector reads one database; None: the table's schema is the database.
    pub database: Option<String>,
    /// Fields of the source block behind those that all sources share, in order.
    pub fields: Vec<OriginField>,
    /// Parts of the `sequence` field, a JSON array of decimal strings or nulls; empty: no sequence.
    pub sequence: Vec<Fact>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginField {
    pub name: &'static str,
    pub kind: Kind,
    pub nullable: bool,
    pub from: Fact,
}

/// Where the value of an origin's field is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// The cell of this index of [`Transaction::facts`](crate::Transaction::facts).
    Transaction(usize),
    /// [`Event::at`](crate::Event::at)
    At,
    /// Index of the event among those of its log event, from 0.
    Row,
    Schema,
    Table,
    Null,
}
