//! Types that a database has defined: domains, enums, arrays, what extensions bring.

use std::collections::HashMap;
use std::sync::Arc;

use change::Kind;

use super::{ColumnType, Decoder, builtin};

/// How deep domains and arrays may be nested before a catalog is taken for damaged.
const DEPTH_MAX: usize = 32;

/// What the catalog says of one type.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeInfo {
    pub name: Box<str>,
    pub class: TypeClass,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TypeClass {
    Base,
    /// `modifier` is the domain's own, as in `numeric(5,2)`; -1: none.
    Domain {
        base: u32,
        modifier: i32,
    },
    Array {
        element: u32,
        delimiter: u8,
    },
    /// Labels in their sort order.
    Enum(Arc<[Box<str>]>),
    /// Ranges, composites and all else.
    Other,
}

/// The types of a database that were asked for so far.
#[derive(Debug, Clone, Default)]
pub struct TypeCatalog {
    types: HashMap<u32, TypeInfo>,
}

impl TypeCatalog {
    pub fn insert(&mut self, oid: u32, info: TypeInfo) {
        self.types.insert(oid, info);
    }

    /// True for types that need no look-up in the database.
    pub fn knows(&self, oid: u32) -> bool {
        let built_in = |oid| builtin::resolve(oid, -1).is_some();
        built_in(oid)
            || builtin::element(oid).is_some_and(built_in)
            || self.types.contains_key(&oid)
    }

    /// The meaning of a column of this type and modifier. A type that nobody knows any more is read as its text.
    pub fn resolve(&self, oid: u32, modifier: i32) -> ColumnType {
        self.resolve_within(oid, modifier, DEPTH_MAX)
    }

    fn resolve_within(&self, oid: u32, modifier: i32, depth: usize) -> ColumnType {
        if let Some(known) = builtin::resolve(oid, modifier) {
            return known;
        }
        if let Some(element) = builtin::element(oid).and_then(|oid| builtin::resolve(oid, modifier))
        {
            return builtin::array_of(element, b',');
        }
        let Some(info) = self.types.get(&oid) else {
            return builtin::other(&format!("type {oid}"));
        };
        if depth == 0 {
            return builtin::other(&info.name);
        }
        match &info.class {
            TypeClass::Domain { base, modifier } => {
                self.resolve_within(*base, *modifier, depth - 1)
            }
            TypeClass::Array { element, delimiter } => {
                // vectors of the catalog are arrays to the catalog, but their text is no array's
                if matches!(&*info.name, "int2vector" | "oidvector") {
                    return builtin::other(&info.name);
                }
                builtin::array_of(self.resolve_within(*element, modifier, depth - 1), *delimiter)
            }
            TypeClass::Enum(labels) => {
                ColumnType { kind: Kind::Enum(Arc::clone(labels)), decoder: Decoder::Text }
            }
            TypeClass::Base => {
                builtin::by_name(&info.name).unwrap_or_else(|| builtin::other(&info.name))
            }
            TypeClass::Other => builtin::other(&info.name),
        }
    }
}

/// True when a column of this kind is carried as a text that only the database understands.
pub fn is_unknown(kind: &Kind) -> bool {
    match kind {
        Kind::Other(_) => true,
        Kind::Array(element) => is_unknown(element),
        _ => false,
    }
}
