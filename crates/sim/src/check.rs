//! What a careful reader of the broker's log must find, whatever happened.
//!
//! Every key's changes have versions without gaps, so one that is lost, doubled or out of order shows in the next one,
//! or in the end, when the fold of the messages is compared with the tables.

use std::collections::{BTreeMap, BTreeSet};

use connector::CopyState;

use crate::broker::{Message, MessageKind, Payload};
use crate::database::table_name;
use crate::world::State;

#[derive(Debug, Default)]
struct Topic {
    /// Key to version and large value; None: left out, and never told before.
    fold: BTreeMap<u64, (u64, Option<u64>)>,
    versions: BTreeMap<u64, u64>,
    last_at: u64,
    columns: usize,
}

#[derive(Debug, Default)]
struct Reader {
    topics: BTreeMap<String, Topic>,
    /// Rows told of source transactions that have not ended, and of which tables.
    open: BTreeMap<String, (u64, BTreeSet<String>)>,
    wrong: Vec<String>,
}

/// What holds at any time. `left_out`: tables that were, at some time: a transaction that was cut may
/// have told of them, and then not.
pub(crate) fn committed(state: &State, left_out: &BTreeSet<String>) -> Vec<String> {
    read(state, left_out).wrong
}

/// What holds besides when everything was told. `whole`: all tables were copied, not only followed.
pub(crate) fn complete(
    state: &State,
    captured: &BTreeSet<String>,
    whole: bool,
    left_out: &BTreeSet<String>,
) -> Vec<String> {
    let mut reader = read(state, left_out);
    let stored = &state.broker.stored;
    for name in captured {
        let copy = stored.tables.get(&table_name(name)).map(|table| table.copy.clone());
        if copy.as_ref().is_none_or(|copy| copy.state != CopyState::Finished) {
            reader.wrong.push(format!("{name} is stored as {copy:?}"));
        }
        let topic = reader.topics.entry(name.clone()).or_default();
        let rows = &state.database.tables[name].rows;
        for (key, row) in rows {
            match topic.fold.get(key) {
                Some((version, Some(large))) if (*version, *large) == (row.version, row.large) => {}
                Some((version, None)) if *version == row.version && !whole => {}
                None if !whole && !topic.versions.contains_key(key) => {}
                told => {
                    reader.wrong.push(format!("{name} {key} is {row:?}, its topic says {told:?}"))
                }
            }
        }
        for key in topic.fold.keys().filter(|key| !rows.contains_key(key)) {
            reader.wrong.push(format!("{name} {key} lives on in its topic only"));
        }
        let schema = stored.tables.get(&table_name(name)).and_then(|table| table.schema.as_ref());
        let columns = schema.map_or(0, |schema| schema.columns.len());
        if topic.columns != columns {
            let told = topic.columns;
            reader.wrong.push(format!("{name} was told with {told} columns, stored are {columns}"));
        }
    }
    reader.wrong
}

fn read(state: &State, left_out: &BTreeSet<String>) -> Reader {
    let mut reader = Reader::default();
    for record in state.broker.committed() {
        match &record.payload {
            Payload::Message(message) => reader.message(message),
            Payload::End { transaction, events } => {
                let told = reader.open.remove(transaction).unwrap_or_default().0;
                if left_out.is_empty() && told != *events {
                    reader
                        .wrong
                        .push(format!("{transaction} has {events} events, {told} were told"));
                }
            }
            Payload::Checkpoint(checkpoint) => {
                let open = checkpoint.at.as_ref().and_then(|at| at.open.as_ref());
                for (transaction, (_, tables)) in &reader.open {
                    let cut = open.is_some_and(|open| open.transaction == *transaction);
                    if !cut && tables.is_disjoint(left_out) {
                        reader.wrong.push(format!("{transaction} was told in part"));
                    }
                }
            }
            Payload::Claim => {}
        }
        if reader.wrong.len() > 20 {
            break;
        }
    }
    reader
}

impl Reader {
    fn message(&mut self, message: &Message) {
        let Message { table, kind, at, transaction, columns } = message;
        let topic = self.topics.entry(table.clone()).or_default();
        topic.columns = *columns;
        if !matches!(kind, MessageKind::Read { .. }) && *at > 0 {
            let (told, tables) = self.open.entry(transaction.clone()).or_default();
            *told += 1;
            tables.insert(table.clone());
            if *at <= topic.last_at {
                self.wrong.push(format!("{table} at {at} comes behind {}", topic.last_at));
            }
            topic.last_at = *at;
        }
        let (key, version) = match kind {
            MessageKind::Truncate => {
                topic.fold.clear();
                if *at == 0 {
                    // A table that was left out begins anew.
                    topic.versions.clear();
                }
                return;
            }
            MessageKind::Read { key, version, large } => {
                topic.fold.insert(*key, (*version, Some(*large)));
                (*key, *version)
            }
            MessageKind::Insert { key, version, large } => {
                topic.fold.insert(*key, (*version, Some(*large)));
                (*key, *version)
            }
            MessageKind::Update { key, version, large } => {
                let before = topic.fold.get(key).and_then(|(_, large)| *large);
                topic.fold.insert(*key, (*version, large.or(before)));
                (*key, *version)
            }
            MessageKind::Delete { key, version } => {
                topic.fold.remove(key);
                (*key, *version)
            }
        };
        let expected = |before: u64| match kind {
            MessageKind::Read { .. } => before,
            _ => before + 1,
        };
        if let Some(before) = topic.versions.insert(key, version)
            && version != expected(before)
        {
            self.wrong.push(format!("{table} {key} at {at}: {kind:?} behind version {before}"));
        }
    }
}
