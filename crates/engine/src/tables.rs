//! Which tables are followed, which are still to be copied. Pure decisions over the stored states.
//!
//! ```text
//!            first chunk's rows           last chunk done
//!   Waiting ---------------------> Begun ------------------> Finished      a table that was never begun has sent
//!      |  (left out of the stream)   |  (streamed from now on)  |          nothing and has no past
//!      +- no longer captured: kept   +------ no longer ---------+
//!                                            captured ----------> Removed  captured again: its topic has a past
//! ```
//! `Begun` is never taken back while the table is captured, also when its copy starts again: rows of it were sent, so
//! every change of them must be, or a row deleted meanwhile would live in the topic for ever.

use std::collections::{BTreeMap, BTreeSet};

use change::{TableId, TableName};
use connector::{CopyState, Failure, Position, TableCopy, TableState};

use crate::mutant::Mutant;
use crate::progress::Progress;
use crate::{CopyMode, Readd, Settings};

/// What is to be done for the captured tables.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// All captured tables, whether copied yet or not.
    pub(crate) captured: Vec<TableName>,
    /// Those whose copy is not finished, as the source is to see them.
    pub(crate) missing: Vec<TableState>,
    /// Captured now but not stored, and not to be copied: followed from the pin on.
    pub(crate) uncopied: Vec<TableState>,
    /// No longer captured, with rows in their topics.
    pub(crate) removed: Vec<TableName>,
    /// Captured again: their first copied rows come behind a truncate.
    pub(crate) truncated: BTreeSet<TableName>,
}

impl Plan {
    /// A place in the log must be found before these tables can be followed.
    pub(crate) fn needs_pin(&self) -> bool {
        !self.missing.is_empty() || !self.uncopied.is_empty()
    }
}

pub(crate) fn plan<P: Position>(
    progress: &Progress<P>,
    captured: &BTreeMap<TableName, TableId>,
    settings: &Settings,
) -> Result<Plan, Failure> {
    let mut plan = Plan { captured: captured.keys().cloned().collect(), ..Plan::default() };
    for (name, id) in captured {
        let fresh = || TableState::new(name.clone(), *id);
        match progress.table(name) {
            Some(known) if has_past(known, *id) && !settings.is(Mutant::ReaddedSilently) => {
                if settings.readd == Readd::Stop {
                    return Err(table_has_history(name));
                }
                plan.truncated.insert(name.clone());
                plan.missing.push(TableState { schema: known.schema.clone(), ..fresh() });
            }
            Some(known) if known.copy.state == CopyState::Finished => {}
            Some(known) if known.copy.state == CopyState::Begun => {
                plan.missing.push(without_holes(known));
            }
            Some(known) if settings.is(Mutant::BegunByRows) => plan.missing.push(known.clone()),
            // Waiting, or never seen: nothing was sent.
            _ if settings.copy == CopyMode::Never => plan.uncopied.push(finished(fresh())),
            _ => plan.missing.push(fresh()),
        }
    }
    plan.removed = progress
        .tables()
        .values()
        .filter(|table| is_followed(table) && !captured.contains_key(&table.name))
        .map(|table| table.name.clone())
        .collect();
    Ok(plan)
}

/// Rows were sent for a table that is another one now, or whose changes were not sent for a while.
fn has_past(known: &TableState, now: TableId) -> bool {
    let recreated = known.id.object != 0 && now.object != 0 && known.id.object != now.object;
    known.copy.state == CopyState::Removed || (recreated && is_followed(known))
}

/// A table with holes starts its copy again: its chunks are forgotten, `Begun` stays.
fn without_holes(known: &TableState) -> TableState {
    let mut table = known.clone();
    if table.copy.holes {
        table.copy.chunks.clear();
    }
    table
}

pub(crate) fn finished(mut table: TableState) -> TableState {
    table.copy = TableCopy { state: CopyState::Finished, ..TableCopy::default() };
    table
}

/// Rows of it were sent and its changes are.
pub(crate) fn is_followed(table: &TableState) -> bool {
    matches!(table.copy.state, CopyState::Begun | CopyState::Finished)
}

/// The tables that the stream emits, in their stored states.
pub(crate) fn followed<P: Position>(progress: &Progress<P>) -> Vec<TableState> {
    progress.tables().values().filter(|table| is_followed(table)).cloned().collect()
}

fn table_has_history(name: &TableName) -> Failure {
    Failure::definite(
        "table-has-history",
        "comparing the captured tables with the stored ones",
        format!(
            "{name} was captured before and its topic holds rows that may have been deleted since; \
             empty the topic and forget the table, or set readd = \"truncate\""
        ),
    )
}

/// Holds the source to its word: what was sent stays as it was cut, unless the table starts again whole.
///
/// Returns the tables in the order of the answer, each as it will be stored with its first rows.
pub(crate) fn check_pinned(
    asked: &[TableState],
    pinned: Vec<TableState>,
) -> Result<Vec<TableState>, Failure> {
    let mut left: BTreeMap<&TableName, &TableState> =
        asked.iter().map(|table| (&table.name, table)).collect();
    let mut checked = Vec::with_capacity(pinned.len());
    for mut table in pinned {
        let Some(known) = left.remove(&table.name) else {
            return Err(broken(&table.name, "was pinned without being asked for, or twice"));
        };
        if table.copy.chunks.iter().any(|chunk| chunk.done) {
            if table.copy.chunks != known.copy.chunks {
                return Err(broken(&table.name, "keeps a done chunk but not the chunks' bounds"));
            }
            if table.id != known.id {
                return Err(broken(&table.name, "keeps a done chunk of other storage"));
            }
        }
        table.copy.state = known.copy.state;
        table.schema = table.schema.or_else(|| known.schema.clone());
        table.copy.holes = false;
        checked.push(table);
    }
    match left.into_keys().next() {
        // Dropped between the question and the answer: ask again.
        Some(gone) => Err(Failure::transient(
            "tables-changed",
            "pinning the tables to be copied",
            format!("{gone} is gone"),
        )),
        None => Ok(checked),
    }
}

fn broken(name: &TableName, what: &str) -> Failure {
    Failure::definite("source-fault", "checking the plan of the copy", format!("{name} {what}"))
}

#[cfg(test)]
mod tests {
    use connector::{Chunk, Identity, Stored};
    use rand::SeedableRng;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct At(u64);

    impl Position for At {
        fn covers(&self, other: &Self) -> bool {
            self.0 >= other.0
        }
    }

    fn name(table: &str) -> TableName {
        TableName::new("public", table)
    }

    fn state(table: &str, object: u64, state: CopyState) -> TableState {
        let mut new = TableState::new(name(table), TableId { object, storage: 1 });
        new.copy.state = state;
        new
    }

    /// Missing, uncopied, removed; or the code of the stop.
    type Expected<'a> = Result<(&'a [&'a str], &'a [&'a str], &'a [&'a str]), &'a str>;

    fn check(
        stored: &[TableState],
        captured: &[(&str, u64)],
        (copy, readd): (CopyMode, Readd),
        expected: Expected<'_>,
    ) {
        let tables = stored.iter().map(|table| (table.name.clone(), table.clone())).collect();
        let stored = Stored { at: Some(At(1)), tables, ..Stored::default() };
        let progress = Progress::new(stored, Identity::default());
        let captured = captured
            .iter()
            .map(|(table, object)| (name(table), TableId { object: *object, storage: 1 }))
            .collect();
        let names = |list: &[&str]| list.iter().map(|table| name(table)).collect::<Vec<_>>();
        let mut settings = Settings::new(rand::rngs::StdRng::seed_from_u64(1));
        (settings.copy, settings.readd) = (copy, readd);
        match (plan(&progress, &captured, &settings), expected) {
            (Ok(plan), Ok((missing, uncopied, removed))) => {
                let of = |list: &[TableState]| {
                    list.iter().map(|table| table.name.clone()).collect::<Vec<_>>()
                };
                assert_eq!(of(&plan.missing), names(missing), "missing");
                assert_eq!(of(&plan.uncopied), names(uncopied), "uncopied");
                assert_eq!(plan.removed, names(removed), "removed");
            }
            (Err(failure), Err(code)) => assert_eq!(failure.code, code),
            (plan, expected) => panic!("{plan:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn every_captured_table_is_copied_once() {
        use CopyState::{Begun, Finished, Removed, Waiting};
        let initial = (CopyMode::Initial, Readd::Stop);
        let never = (CopyMode::Never, Readd::Stop);
        let truncate = (CopyMode::Initial, Readd::Truncate);
        check(&[], &[("a", 1)], initial, Ok((&["a"], &[], &[])));
        check(&[], &[("a", 1)], never, Ok((&[], &["a"], &[])));
        check(&[state("a", 1, Waiting)], &[("a", 1)], initial, Ok((&["a"], &[], &[])));
        check(&[state("a", 1, Waiting)], &[("a", 1)], never, Ok((&[], &["a"], &[])));
        check(&[state("a", 1, Begun)], &[("a", 1)], never, Ok((&["a"], &[], &[])));
        check(&[state("a", 1, Finished)], &[("a", 1)], initial, Ok((&[], &[], &[])));
        check(&[state("a", 1, Finished)], &[], initial, Ok((&[], &[], &["a"])));
        check(&[state("a", 1, Begun)], &[], initial, Ok((&[], &[], &["a"])));
        check(&[state("a", 1, Waiting)], &[], initial, Ok((&[], &[], &[])));
        check(&[state("a", 1, Removed)], &[], initial, Ok((&[], &[], &[])));
        check(&[state("a", 1, Removed)], &[("a", 1)], initial, Err("table-has-history"));
        check(&[state("a", 1, Removed)], &[("a", 1)], never, Err("table-has-history"));
        check(&[state("a", 1, Removed)], &[("a", 1)], truncate, Ok((&["a"], &[], &[])));
        check(&[state("a", 1, Finished)], &[("a", 2)], initial, Err("table-has-history"));
        check(&[state("a", 1, Begun)], &[("a", 2)], initial, Err("table-has-history"));
        check(&[state("a", 1, Waiting)], &[("a", 2)], initial, Ok((&["a"], &[], &[])));
        // A database that does not tell its tables apart.
        check(&[state("a", 0, Finished)], &[("a", 2)], initial, Ok((&[], &[], &[])));
    }

    fn begun(chunks: &[(&str, bool)], storage: u64) -> TableState {
        let mut table = state("a", 1, CopyState::Begun);
        table.id.storage = storage;
        table.copy.chunks = chunks
            .iter()
            .map(|(to, done)| Chunk { from: None, to: Some((*to).into()), done: *done })
            .collect();
        table
    }

    #[test]
    fn a_source_keeps_the_bounds_of_what_was_sent() {
        let asked = [begun(&[("5", true), ("9", false)], 1)];
        let fault =
            |pinned: TableState| check_pinned(&asked, vec![pinned]).expect_err("a fault").code;
        assert!(check_pinned(&asked, vec![asked[0].clone()]).is_ok());
        assert_eq!(fault(begun(&[("6", true), ("9", false)], 1)), "source-fault");
        assert_eq!(fault(begun(&[("5", true), ("9", true)], 1)), "source-fault");
        assert_eq!(fault(begun(&[("5", true), ("9", false)], 2)), "source-fault");
        // Started again: other chunks, none done; begun stays.
        let mut again = begun(&[("3", false)], 2);
        again.copy.state = CopyState::Waiting;
        let checked = check_pinned(&asked, vec![again]).expect("it starts again");
        assert_eq!(checked[0].copy.state, CopyState::Begun);
        assert_eq!(check_pinned(&asked, vec![]).expect_err("gone").code, "tables-changed");
    }
}
