//! What this source tells of itself beside every change.

use change::{Fact, Kind, Origin, OriginField};

/// Cells of [`Transaction::facts`](change::Transaction::facts), in this order.
pub(crate) mod fact {
    /// The transaction's number.
    pub(crate) const XID: usize = 0;
    /// Where the transaction committed before this one ended.
    pub(crate) const LAST_COMMIT: usize = 1;
    /// The server that the transaction came from by replication, and its commit there.
    pub(crate) const ORIGIN: usize = 2;
    pub(crate) const ORIGIN_LSN: usize = 3;
}

/// The fields of the source block of the database of this name.
pub fn origin(database: &str) -> Origin {
    let int = Kind::Int { bits: 64, signed: true };
    let field = |name, kind: &Kind, nullable, from| OriginField {
        name,
        kind: kind.clone(),
        nullable,
        from,
    };
    Origin {
        connector: "postgresql",
        database: Some(database.to_owned()),
        fields: vec![
            field("schema", &Kind::Text, false, Fact::Schema),
            field("table", &Kind::Text, false, Fact::Table),
            field("txId", &int, true, Fact::Transaction(fact::XID)),
            field("lsn", &int, true, Fact::At),
            field("xmin", &int, true, Fact::Null),
            field("origin", &Kind::Text, true, Fact::Transaction(fact::ORIGIN)),
            field("origin_lsn", &int, true, Fact::Transaction(fact::ORIGIN_LSN)),
        ],
        sequence: vec![Fact::Transaction(fact::LAST_COMMIT), Fact::At],
    }
}
