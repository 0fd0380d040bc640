//! From what the log says of a table, and what the catalog knows of it now, to a [`Table`].
//!
//! The catalog is *ahead of* the log: it shows the table as it is, the log's rows are of the table as it was. So the
//! log decides on names, types and their order, and the catalog adds what the log does not carry (nullability, the
//! key's order, defaults) only when both speak of the same columns of the same table. Else the last known version adds
//! it, and columns that are new to it may be null: a table that is wrongly nullable loses nothing, one that is wrongly
//! required cannot carry its rows. The rest is settled by the rows: a null in a required column makes a new version of
//! the table with that column nullable ([`Captured::relax`]).

use std::collections::HashSet;
use std::sync::Arc;

use change::{Column, Kind, Table, TableId, TableName};
use postgres_replication::pgoutput::{self, Relation, ReplicaIdentity};

use crate::config::{Settings, UnknownTypes};
use crate::types::{Decoder, TypeCatalog, is_unknown};

/// A table as the catalog has it now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CatalogTable {
    pub(crate) name: TableName,
    pub(crate) id: TableId,
    pub(crate) partitioned: bool,
    pub(crate) replica_identity: ReplicaIdentity,
    pub(crate) columns: Vec<CatalogColumn>,
    /// Names in the index's order; empty: none.
    pub(crate) primary_key: Vec<String>,
    pub(crate) identity_index: Vec<String>,
    /// The first by name of the other indexes that tell rows apart: unique, valid, whole, of columns that cannot be
    /// null.
    pub(crate) unique_index: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CatalogColumn {
    pub(crate) name: String,
    pub(crate) type_id: u32,
    pub(crate) modifier: i32,
    pub(crate) not_null: bool,
    /// Not in the log.
    pub(crate) generated: bool,
    pub(crate) default: Option<change::Default>,
}

/// A captured table and how its rows are read.
#[derive(Debug, Clone)]
pub(crate) struct Captured {
    pub(crate) table: Arc<Table>,
    /// One for each column on the wire, in its order.
    pub(crate) columns: Vec<WireColumn>,
}

#[derive(Debug, Clone)]
pub(crate) struct WireColumn {
    pub(crate) name: String,
    /// Part of the replica identity: there in images of the key alone.
    pub(crate) identity: bool,
    /// Cannot be null by what is known of the table.
    required: bool,
    /// None: left out of messages.
    pub(crate) decoder: Option<Decoder>,
}

impl CatalogTable {
    /// True when the log tells which row was updated or deleted. If not, the server refuses both once the table is
    /// published.
    pub(crate) fn has_identity(&self) -> bool {
        match self.replica_identity {
            ReplicaIdentity::Full => true,
            ReplicaIdentity::Default => !self.primary_key.is_empty(),
            ReplicaIdentity::Index => !self.identity_index.is_empty(),
            ReplicaIdentity::Nothing => false,
        }
    }

    /// What the log would say of the table as it is now.
    pub(crate) fn relation(&self) -> Relation {
        let in_identity = |name: &String| match self.replica_identity {
            ReplicaIdentity::Default => self.primary_key.contains(name),
            ReplicaIdentity::Index => self.identity_index.contains(name),
            ReplicaIdentity::Full => true,
            ReplicaIdentity::Nothing => false,
        };
        Relation {
            id: u32::try_from(self.id.object).unwrap_or(0),
            schema: self.name.schema.to_string(),
            name: self.name.table.to_string(),
            replica_identity: self.replica_identity,
            columns: self
                .columns
                .iter()
                .filter(|column| !column.generated)
                .map(|column| pgoutput::Column {
                    key: in_identity(&column.name),
                    name: column.name.clone(),
                    type_id: column.type_id,
                    type_modifier: column.modifier,
                })
                .collect(),
        }
    }

    /// True when the log's columns are those of the catalog: nothing was changed in between that we could see.
    fn agrees(&self, relation: &Relation) -> bool {
        let here = self.columns.iter().filter(|column| {
            !column.generated || relation.columns.iter().any(|other| other.name == column.name)
        });
        self.id.object == u64::from(relation.id)
            && here
                .map(|column| (column.name.as_str(), column.type_id))
                .eq(relation.columns.iter().map(|column| (column.name.as_str(), column.type_id)))
    }
}

/// The table that the rows behind `relation` belong to. `known`: its last version, which is kept when nothing differs.
pub(crate) fn build(
    relation: &Relation,
    catalog: Option<&CatalogTable>,
    known: Option<&Arc<Table>>,
    types: &TypeCatalog,
    settings: &Settings,
) -> Captured {
    let catalog = catalog.filter(|catalog| catalog.agrees(relation));
    let key = key(relation, catalog, known);
    let identity_is_required =
        matches!(relation.replica_identity, ReplicaIdentity::Default | ReplicaIdentity::Index);
    let mut columns = Vec::with_capacity(relation.columns.len());
    let mut wire = Vec::with_capacity(relation.columns.len());
    for column in &relation.columns {
        let resolved = types.resolve(column.type_id, column.type_modifier);
        let before = known.and_then(|known| Some(&known.columns[known.column(&column.name)?]));
        // a type that was dropped meanwhile is still the text that it was
        let kind = match (&resolved.kind, before) {
            (Kind::Other(_), Some(before))
                if !types.knows(column.type_id) && is_text(&before.kind) =>
            {
                before.kind.clone()
            }
            (kind, _) => kind.clone(),
        };
        let is_key = key.contains(&column.name);
        let excluded = settings.excludes(&relation.schema, &relation.name, &column.name)
            || (settings.unknown_types == UnknownTypes::Omit && is_unknown(&kind));
        let left_out = excluded && !is_key;
        let mut required = false;
        if !left_out {
            let now = catalog
                .and_then(|catalog| catalog.columns.iter().find(|other| other.name == column.name));
            let nullable = match (now, before) {
                _ if column.key && identity_is_required => false,
                (Some(now), _) => !now.not_null,
                (None, Some(before)) => before.nullable,
                (None, None) => true,
            };
            let default = match (now, before) {
                (Some(now), _) => {
                    now.default.clone().filter(|_| shows_default(column.type_id, &kind))
                }
                (None, Some(before)) if before.kind == kind => before.default.clone(),
                (None, _) => None,
            };
            required = !nullable;
            columns.push(Column { name: column.name.as_str().into(), kind, nullable, default });
        }
        wire.push(WireColumn {
            name: column.name.clone(),
            identity: column.key,
            required,
            decoder: (!left_out).then_some(resolved.decoder),
        });
    }
    let key = key
        .iter()
        .filter_map(|name| columns.iter().position(|column| *column.name == **name))
        .collect();
    let table = Table { name: TableName::new(&relation.schema, &relation.name), columns, key };
    let table = match known {
        Some(known) if **known == table => Arc::clone(known),
        _ => Arc::new(table),
    };
    Captured { table, columns: wire }
}

fn is_text(kind: &Kind) -> bool {
    matches!(kind, Kind::Enum(_) | Kind::Other(_) | Kind::Text)
}

/// The names of the key's columns: the primary key; where an index stands in for it as the replica identity and does
/// not hold it, that index, since old images have nothing else; without either a unique index.
fn key(
    relation: &Relation,
    catalog: Option<&CatalogTable>,
    known: Option<&Arc<Table>>,
) -> Vec<String> {
    let flagged: Vec<String> = relation
        .columns
        .iter()
        .filter(|column| column.key)
        .map(|column| column.name.clone())
        .collect();
    let set = |names: &[String]| names.iter().cloned().collect::<HashSet<_>>();
    let known: Vec<String> = known
        .map(|known| known.key.iter().map(|index| known.columns[*index].name.to_string()).collect())
        .filter(|names: &Vec<String>| {
            names.iter().all(|name| relation.columns.iter().any(|column| column.name == *name))
        })
        .unwrap_or_default();
    // the flags say which columns; only an index says in which order
    let ordered = |candidates: &[&Vec<String>]| {
        let same = candidates.iter().find(|names| set(names) == set(&flagged));
        same.map_or_else(|| flagged.clone(), |names| (*names).clone())
    };
    match relation.replica_identity {
        ReplicaIdentity::Default if !flagged.is_empty() => {
            let primary = catalog.map(|catalog| &catalog.primary_key);
            ordered(&primary.into_iter().chain([&known]).collect::<Vec<_>>())
        }
        ReplicaIdentity::Index if !flagged.is_empty() => match catalog {
            Some(catalog)
                if !catalog.primary_key.is_empty()
                    && catalog.primary_key.iter().all(|name| flagged.contains(name)) =>
            {
                catalog.primary_key.clone()
            }
            Some(catalog) => ordered(&[&catalog.identity_index, &known]),
            None if !known.is_empty() && known.iter().all(|name| flagged.contains(name)) => known,
            None => ordered(&[&known]),
        },
        _ => match catalog {
            Some(catalog) if !catalog.primary_key.is_empty() => catalog.primary_key.clone(),
            Some(catalog) if !catalog.identity_index.is_empty() => catalog.identity_index.clone(),
            Some(catalog) => catalog.unique_index.clone(),
            None => known,
        },
    }
}

impl Captured {
    /// True when the column on the wire cannot be null by what is known of the table.
    pub(crate) fn is_required(&self, wire_column: usize) -> bool {
        self.columns[wire_column].required
    }

    /// A new version of the table in which the column on the wire may be null.
    pub(crate) fn relax(&mut self, wire_column: usize) {
        let name = &self.columns[wire_column].name;
        let mut table = Table::clone(&self.table);
        if let Some(index) = table.column(name) {
            table.columns[index].nullable = true;
        }
        self.columns[wire_column].required = false;
        self.table = Arc::new(table);
    }
}

/// Types whose defaults Debezium puts into schemas: built-in ones by number, and enums. Of domains and of types of extensions
/// it shows none.
fn shows_default(type_id: u32, kind: &Kind) -> bool {
    const BOOL_TO_TEXT: [u32; 6] = [16, 18, 20, 21, 23, 25];
    const JSON_XML_FLOAT: [u32; 5] = [114, 142, 700, 701, 3802];
    const CHAR_AND_TIME: [u32; 7] = [1042, 1043, 1082, 1083, 1114, 1184, 1186];
    const BITS_NUMERIC_UUID: [u32; 4] = [1560, 1562, 1700, 2950];
    matches!(kind, Kind::Enum(_))
        || BOOL_TO_TEXT.contains(&type_id)
        || JSON_XML_FLOAT.contains(&type_id)
        || CHAR_AND_TIME.contains(&type_id)
        || BITS_NUMERIC_UUID.contains(&type_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const INT: u32 = 23;
    const TEXT: u32 = 25;

    fn settings(extra: &str) -> Settings {
        let text = format!(r#"{{"url": "postgres://u@localhost/d", "tables": ["*.*"]{extra}}}"#);
        Settings::new("t", &serde_json::from_str::<Config>(&text).unwrap()).unwrap()
    }

    fn column(name: &str, type_id: u32, not_null: bool) -> CatalogColumn {
        CatalogColumn {
            name: name.into(),
            type_id,
            modifier: -1,
            not_null,
            generated: false,
            default: None,
        }
    }

    fn catalog() -> CatalogTable {
        CatalogTable {
            name: TableName::new("public", "t"),
            id: TableId { object: 7, storage: 7 },
            partitioned: false,
            replica_identity: ReplicaIdentity::Default,
            columns: vec![column("a", INT, true), column("b", INT, true), column("c", TEXT, true)],
            primary_key: vec!["b".into(), "a".into()],
            identity_index: vec![],
            unique_index: vec![],
        }
    }

    fn built(
        relation: &Relation,
        catalog: Option<&CatalogTable>,
        known: Option<&Arc<Table>>,
    ) -> String {
        let table = build(relation, catalog, known, &TypeCatalog::default(), &settings("")).table;
        show(&table)
    }

    /// `a! b c | b`: required columns with a mark, then the key.
    fn show(table: &Table) -> String {
        let columns = table
            .columns
            .iter()
            .map(|c| format!("{}{}", c.name, if c.nullable { "" } else { "!" }));
        let key = table.key.iter().map(|index| table.columns[*index].name.to_string());
        format!("{} | {}", columns.collect::<Vec<_>>().join(" "), key.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_catalog_speaks_only_of_the_columns_it_shares_with_the_log() {
        let now = catalog();
        let relation = now.relation();
        assert_eq!(built(&relation, Some(&now), None), "a! b! c! | b a");
        assert_eq!(built(&relation, None, None), "a! b! c | a b");
        // the catalog is ahead: a column was added since
        let mut later = now.clone();
        later.columns.push(column("d", INT, true));
        assert_eq!(built(&relation, Some(&later), None), "a! b! c | a b");
        // .. and then the last known version speaks
        let known =
            build(&relation, Some(&now), None, &TypeCatalog::default(), &settings("")).table;
        assert_eq!(built(&relation, Some(&later), Some(&known)), "a! b! c! | b a");
        // a column that no version knows may be null
        let mut added = relation.clone();
        added.columns.push(pgoutput::Column {
            key: false,
            name: "x".into(),
            type_id: INT,
            type_modifier: -1,
        });
        assert_eq!(built(&added, Some(&now), Some(&known)), "a! b! c! x | b a");
        // another table of the same name
        let mut other = now.clone();
        other.id.object = 8;
        assert_eq!(built(&relation, Some(&other), None), "a! b! c | a b");
        let again =
            build(&relation, Some(&now), Some(&known), &TypeCatalog::default(), &settings(""));
        assert!(Arc::ptr_eq(&again.table, &known), "nothing differs: the same version");
    }

    #[test]
    fn the_key_is_what_old_images_hold() {
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let check =
            |identity, primary: &[&str], index: &[&str], unique: &[&str], expected: &str| {
                let table = CatalogTable {
                    replica_identity: identity,
                    primary_key: names(primary),
                    identity_index: names(index),
                    unique_index: names(unique),
                    ..catalog()
                };
                let shown = built(&table.relation(), Some(&table), None);
                assert_eq!(
                    shown,
                    format!("a! b! c! | {expected}"),
                    "{identity:?} {primary:?} {index:?}"
                );
            };
        check(ReplicaIdentity::Default, &["a"], &[], &["b"], "a");
        check(ReplicaIdentity::Default, &[], &[], &["b"], "b");
        check(ReplicaIdentity::Full, &["b", "a"], &[], &[], "b a");
        check(ReplicaIdentity::Full, &[], &[], &[], "");
        check(ReplicaIdentity::Index, &["a"], &["b"], &[], "b");
        check(ReplicaIdentity::Index, &["a"], &["b", "a"], &[], "a");
        check(ReplicaIdentity::Index, &[], &["c", "a"], &[], "c a");
        check(ReplicaIdentity::Nothing, &["a"], &[], &[], "a");
    }

    #[test]
    fn columns_are_left_out_but_never_the_key() {
        let mut now = catalog();
        now.columns.push(column("odd", 99_999, false));
        now.columns.push(CatalogColumn { generated: true, ..column("sum", INT, false) });
        let relation = now.relation();
        assert_eq!(relation.columns.len(), 4, "generated columns are not in the log");
        let settings =
            settings(r#", "unknown_types": "omit", "exclude": ["public.t.a", "public.t.c"]"#);
        let captured = build(&relation, Some(&now), None, &TypeCatalog::default(), &settings);
        assert_eq!(show(&captured.table), "a! b! | b a");
        let read: Vec<bool> =
            captured.columns.iter().map(|column| column.decoder.is_some()).collect();
        assert_eq!(read, [true, true, false, false]);
    }

    #[test]
    fn a_relaxed_column_makes_a_new_version() {
        let now = catalog();
        let mut captured =
            build(&now.relation(), Some(&now), None, &TypeCatalog::default(), &settings(""));
        let before = Arc::clone(&captured.table);
        captured.relax(2);
        assert_eq!(show(&captured.table), "a! b! c | b a");
        assert_eq!(show(&before), "a! b! c! | b a");
    }
}
