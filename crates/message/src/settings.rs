//! What a user can choose about messages.

/// How changes become messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    pub shape: Shape,
    /// Write the topic of transactions, and a transaction block into each change.
    pub transactions: bool,
    pub truncate: Truncate,
    /// None: [`Absent::Placeholder`] for [`Shape::Debezium`], [`Absent::Stop`] for [`Shape::Row`].
    pub absent: Option<Absent>,
    pub decimals: Decimals,
    pub specials: Specials,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// Old and new row, source, operation: what Debezium's consumers read.
    #[default]
    Debezium,
    /// The new row; a delete is a tombstone.
    Row,
}

/// What a TRUNCATE gives. It is counted in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Truncate {
    #[default]
    Skip,
    /// A change without key and rows, for every partition. [`Shape::Row`] has no form for it and skips.
    Emit,
}

/// What to do where a new row lacks a value that the database did not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// Write the placeholder where the type has room for it, else stop.
    Placeholder,
    /// Stop where the placeholder would leave a row that no message tells: in [`Shape::Row`], and where the key
    /// changes.
    Stop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decimals {
    /// Connect's decimals: exact, and without NaN or infinities.
    #[default]
    Precise,
    /// Decimal digits as text.
    Text,
}

/// What NaN and infinities of decimals give with [`Decimals::Precise`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Specials {
    /// The code `unrepresentable`.
    #[default]
    Stop,
    /// Null where null is allowed, counted.
    Null,
}
