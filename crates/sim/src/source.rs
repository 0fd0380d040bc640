//! A source over the model database, with the steps and the rules of the one for PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use change::{Batch, Operation as Written, Place, TableId, TableName};
use connector::{
    Chunk, CopyId, Durable, Failure, Identity, Mark, Open, Outlet, Pin, Pinned, Resume, Source,
    Stopped, Stored, TableState,
};
use rand::RngExt;

use crate::database::{LogRow, LogTransaction, Lsn, Operation, Slot, table_name};
use crate::mutant::Mutant;
use crate::snapshot::{Locks, ModelSnapshot, View};
use crate::world::{Config, ProcessId, World};

#[derive(Debug)]
pub struct ModelSource {
    world: World,
    process: ProcessId,
    config: Config,
    slot: String,
    /// Messages are asked for, and counted.
    messages: bool,
    /// Other options are configured than those of the open transaction.
    reopen: bool,
    captured: BTreeSet<String>,
}

impl ModelSource {
    pub fn new(world: &World, process: ProcessId) -> Self {
        let config = world.lock().config.clone();
        Self {
            world: world.clone(),
            process,
            config,
            slot: String::new(),
            messages: false,
            reopen: false,
            captured: BTreeSet::new(),
        }
    }

    fn slot_name(&self, copy: CopyId) -> String {
        if self.world.is(Mutant::OneSlotName) {
            return "slot".into();
        }
        format!("slot_{}", copy.short())
    }

    fn captured_now(&self) -> BTreeMap<String, TableId> {
        let state = self.world.lock();
        let tables = state.database.tables.iter();
        tables
            .filter(|(name, _)| !self.config.left_out.contains(*name))
            .map(|(name, relation)| (name.clone(), relation.id))
            .collect()
    }

    async fn step(&self) {
        self.world.step(self.process).await;
    }

    fn check(&mut self, stored: Option<&Stored<Lsn>>) -> Result<(), Failure> {
        let doing = "comparing the stored position with the server's";
        let slot = stored.and_then(|stored| stored.intent).map(|copy| self.slot_name(copy));
        let state = self.world.lock();
        let slots = &state.database.slots;
        let Some(stored) = stored else {
            if slots.is_empty() {
                return Ok(());
            }
            return Err(Failure::definite("orphan", doing, "a slot of ours, and nothing stored"));
        };
        let Some(at) = stored.at else { return Ok(()) };
        self.slot = slot.expect("a position comes behind an intent");
        match slots.get(&self.slot) {
            None => Err(Failure::definite("gap", doing, "the slot is gone")),
            Some(slot) if slot.confirmed > at.0 => {
                Err(Failure::definite("gap", doing, "the slot is ahead of what is stored"))
            }
            _ if state.database.end < at.0 => {
                Err(Failure::definite("diverged", doing, "the log ends before what is stored"))
            }
            Some(_) => Ok(()),
        }
    }

    /// What a begun table keeps; else the table is cut into new chunks.
    fn chunks(&self, table: &TableState, id: TableId, pages: u64) -> Vec<Chunk> {
        let mut state = self.world.lock();
        let same = id == table.id || state.mutant == Some(Mutant::RewriteIgnored);
        let recomputed = state.mutant == Some(Mutant::ChunksRecomputed);
        if same && !table.copy.chunks.is_empty() && !recomputed {
            return table.copy.chunks.clone();
        }
        let mut chunks = Vec::new();
        let mut from = 0;
        loop {
            let done = recomputed && table.copy.chunks.get(chunks.len()).is_some_and(|c| c.done);
            let to = from + state.rng.random_range(1..4);
            let last = to >= pages;
            let bound = |page: u64| Some(page.to_string());
            chunks.push(Chunk {
                from: bound(from).filter(|_| from > 0),
                to: bound(to).filter(|_| !last),
                done,
            });
            if last {
                return chunks;
            }
            from = to;
        }
    }

    /// Sends one transaction, or what is left of one that was cut.
    async fn send(
        &self,
        transaction: &LogTransaction,
        open: Option<Open>,
        names: &BTreeSet<String>,
        out: &Outlet<Lsn>,
    ) -> Result<(), Failure> {
        let after_filter = self.world.is(Mutant::HashAfterFilter);
        let is_emitted =
            |row: &LogRow| names.contains(&row.table) && row.operation != Operation::Message;
        let rows: Vec<&LogRow> = transaction
            .rows
            .iter()
            .filter(|row| self.messages || row.operation != Operation::Message)
            .filter(|row| !after_filter || is_emitted(row))
            .collect();
        let slow = self.world.chance(0.1);
        let mut done = 0;
        let mut hash = 0;
        let skipped = open.as_ref().map_or(0, |open| open.rows_done);
        if let Some(open) = &open {
            for row in rows.iter().take(usize::try_from(skipped).unwrap_or(usize::MAX)) {
                hash = hashed(hash, row);
                done += 1;
            }
            if open.transaction != transaction.id || done != skipped || hash != open.hash {
                let why = "the rows of the cut transaction are not those that were sent";
                return Err(Failure::definite("replay-mismatch", "going on inside it", why));
            }
        }
        let emitted = rows.iter().filter(|row| is_emitted(row)).count() as u64;
        let mut rest = &rows[usize::try_from(done).unwrap_or(usize::MAX)..];
        loop {
            let size = self.world.lock().rng.random_range(1..=6).min(rest.len());
            let (now, later) = rest.split_at(size);
            rest = later;
            let mut batch = Batch::new();
            batch.begin(&transaction.id, transaction.end.cast_signed()).finish();
            for row in now {
                hash = hashed(hash, row);
                done += 1;
                if is_emitted(row) {
                    write(&mut batch, row);
                }
            }
            if rest.is_empty() {
                batch.end(emitted, []);
            }
            let room = out.reserve(batch.size()).await?;
            if rest.is_empty() {
                room.send(batch, Mark::Commit(Lsn(transaction.end)));
                return Ok(());
            }
            let open = Open { transaction: transaction.id.clone(), rows_done: done, hash };
            room.send(batch, Mark::Within(open));
            self.step().await;
            if slow {
                let millis = self.world.lock().rng.random_range(10..600);
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
            self.world.trip(0.003, "reading the log")?;
        }
    }

    /// The connection lives as long as the slot is ours.
    fn alive(&self, taken: u64) -> Result<(), Failure> {
        match self.world.lock().database.slots.get(&self.slot) {
            None => Err(Failure::definite("gap", "reading the log", "the slot was dropped")),
            Some(slot) if slot.taken != taken => {
                Err(Failure::transient("link", "reading the log", "somebody took the slot"))
            }
            Some(_) => Ok(()),
        }
    }
}

impl Source for ModelSource {
    type Position = Lsn;
    type Snapshot = ModelSnapshot;

    async fn open(&mut self, stored: Option<&Stored<Lsn>>) -> Result<Identity, Failure> {
        self.step().await;
        self.world.trip(0.02, "connecting")?;
        self.check(stored)?;
        self.messages = self.config.messages;
        self.reopen = false;
        if let Some(stored) = stored.filter(|stored| stored.open.is_some())
            && !self.world.is(Mutant::OptionsAtOnce)
        {
            self.messages = stored.identity.0.get("messages").is_some_and(|value| value == "true");
            self.reopen = self.messages != self.config.messages;
        }
        self.step().await;
        Ok(Identity(BTreeMap::from([("messages".into(), self.messages.to_string())])))
    }

    async fn tables(&mut self) -> Result<BTreeMap<TableName, TableId>, Failure> {
        self.step().await;
        self.world.trip(0.01, "reading the catalog")?;
        let now = self.captured_now();
        self.captured = now.keys().cloned().collect();
        Ok(now.into_iter().map(|(name, id)| (table_name(&name), id)).collect())
    }

    async fn pin(
        &mut self,
        pin: Pin,
        _stream: &[TableName],
        copy: &[TableState],
    ) -> Result<Pinned<Lsn, ModelSnapshot>, Failure> {
        self.step().await;
        let names = copy.iter().map(|table| table.name.table.to_string()).collect();
        let late = self.world.is(Mutant::LateLocks);
        let locks = Arc::new(Locks::take(&self.world, names, !late));
        self.step().await;
        self.world.trip(0.03, "pinning")?;
        let view = {
            let mut state = self.world.lock();
            let end = state.database.end;
            state.pins += 1;
            if let Pin::First(copy) = pin {
                drop(state);
                self.slot = self.slot_name(copy);
                state = self.world.lock();
                let slot = Slot { confirmed: end, taken: 0 };
                state.database.slots.insert(self.slot.clone(), slot);
            }
            Arc::new(View { at: end, tables: state.database.tables.clone(), locks })
        };
        self.step().await;
        self.world.trip(0.03, "pinning")?;
        let mut tables = Vec::new();
        for table in copy {
            let name = &*table.name.table;
            let Some(relation) = view.tables.get(name) else { continue };
            let mut planned = table.clone();
            planned.copy.chunks = self.chunks(table, relation.id, relation.pages);
            planned.id = if self.world.is(Mutant::RewriteIgnored) { table.id } else { relation.id };
            tables.push(planned);
        }
        let readers = ModelSnapshot::readers(&self.world, self.process, &view, &tables);
        Ok(Pinned { at: Lsn(view.at), tables, readers })
    }

    async fn forget(&mut self, copy: CopyId) -> Result<(), Failure> {
        self.step().await;
        let name = self.slot_name(copy);
        self.world.lock().database.slots.remove(&name);
        self.step().await;
        self.world.trip(0.03, "dropping a slot")
    }

    async fn stream(
        &mut self,
        from: Resume<Lsn>,
        tables: &[TableState],
        until: Option<Lsn>,
        out: Outlet<Lsn>,
        durable: Durable<Lsn>,
    ) -> Result<Stopped, Failure> {
        self.step().await;
        self.world.trip(0.02, "starting the stream")?;
        let taken = {
            let mut state = self.world.lock();
            let slot = state.database.slots.get_mut(&self.slot);
            let slot = slot.ok_or_else(|| {
                Failure::definite("gap", "starting the stream", "the slot is gone")
            })?;
            slot.taken += 1;
            slot.taken
        };
        let names: BTreeSet<String> =
            tables.iter().map(|table| table.name.table.to_string()).collect();
        let overrun = self.world.is(Mutant::UntilOverrun);
        let overtakes = self.world.is(Mutant::IdleOvertakes);
        let mut position = from.from.0;
        let mut open = from.open;
        loop {
            self.step().await;
            self.world.trip(0.004, "reading the log")?;
            self.alive(taken)?;
            if self.world.chance(0.3) {
                self.world.lock().confirm(&self.slot, durable.latest().0);
            }
            let next = self.world.lock().database.next(position);
            let next = next.map_err(|()| {
                Failure::definite("gap", "reading the log", "that part of it is gone")
            })?;
            let end = self.world.lock().database.end;
            if overtakes && end > position && self.world.chance(0.2) && until.is_none() {
                out.reserve(0).await?.send(Batch::new(), Mark::Commit(Lsn(end)));
            }
            match (next, until) {
                (Some(next), until) if until.is_none_or(|until| next.end <= until.0 || overrun) => {
                    self.send(&next, open.take(), &names, &out).await?;
                    position = next.end;
                    if self.reopen {
                        return Ok(Stopped::Reopen);
                    }
                    continue;
                }
                (_, Some(until)) if end >= until.0 => {
                    out.reserve(0).await?.send(Batch::new(), Mark::Commit(until));
                    return Ok(Stopped::Reached);
                }
                _ => {}
            }
            if until.is_none() && self.captured_now().keys().ne(&self.captured) {
                return Ok(Stopped::TablesChanged);
            }
            if end > position {
                let urgent = self.world.chance(0.1);
                let room = out.reserve(0).await?;
                if urgent {
                    room.send_urgent(Batch::new(), Mark::Commit(Lsn(end)));
                } else {
                    room.send(Batch::new(), Mark::Commit(Lsn(end)));
                }
                position = end;
                continue;
            }
            let millis = self.world.lock().rng.random_range(1..400);
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
    }
}

fn hashed(hash: u64, row: &LogRow) -> u64 {
    (hash ^ row.at).wrapping_mul(0x0100_0000_01b3).rotate_left(7)
}

fn write(batch: &mut Batch, row: &LogRow) {
    let place = Place { at: row.at, order: 0, table_order: 0 };
    let (written, key, version, large) = match &row.operation {
        Operation::Insert { key, version, large } => (Written::Insert, key, version, Some(large)),
        Operation::Update { key, version, large } => {
            (Written::Update, key, version, large.as_ref())
        }
        Operation::Delete { key, version } => (Written::Delete, key, version, None),
        Operation::Truncate => {
            batch.row(&row.schema, Written::Truncate, place).finish();
            return;
        }
        Operation::Message => return,
    };
    let mut cells = batch.row(&row.schema, written, place);
    cells.uint(*key);
    cells.uint(*version);
    match large {
        Some(large) => cells.uint(*large),
        None => cells.absent(),
    }
    for _ in 3..row.schema.columns.len() {
        cells.null();
    }
    cells.finish();
}
