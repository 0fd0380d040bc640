//! Following the log: one loop that owns the connection.
//!
//! ```text
//!   socket ── frames ──> Assembler ── parcel ──> room in the outlet ──> engine
//!      ^                                                                  │
//!      └──────────── status: flush = durable, and nothing else <──────────┘
//! ```
//! The loop waits for everything at once: for room, for bytes, for the clock. What it decodes is bounded by one parcel
//! that waits for room and one batch that is being filled; when both are full it stops reading, and the server waits.
//! Status updates go on meanwhile, so a slow sink never looks like a dead client.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use change::{Table, TableId, TableName};
use connector::{CopyState, Durable, Failure, Outlet, Resume, Stopped, TableState};
use postgres_replication::Lsn;
use postgres_replication::frame::CopyFrames;
use postgres_replication::pgoutput::{self, Relation};
use postgres_replication::replication::{self, Keepalive, ReplicationMessage, StandbyStatusUpdate};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::PostgresPosition;
use crate::client::{Client, CopyBoth, Mode};
use crate::config::Settings;
use crate::failure::{Doing, Stop};
use crate::publication::{self, Publication};
use crate::schema::{Captured, build};
use crate::transaction::{Assembler, Fed, Parcel};
use crate::types::TypeCatalog;
use crate::{catalog, gauges, session};

const DOING: &str = "following the log";
/// How often the loop looks around.
const TICK: Duration = Duration::from_secs(1);
/// How often the server hears from us, far below any time-out it may have.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// A stretch of log without rows is told at most this often, or when it is this long.
const IDLE_EVERY: Duration = Duration::from_secs(1);
const IDLE_BYTES: u64 = 16 * 1024 * 1024;
/// How long a server may ask for what we cannot confirm before it must be stopping.
const STOPPING_AFTER: Duration = Duration::from_secs(5);
/// New tables are looked for this often.
const POLL_EVERY: Duration = Duration::from_secs(10);
const CATALOG_MAX: Duration = Duration::from_secs(30);

/// The tables of the stream, and the catalog that tells of them.
#[derive(Debug)]
pub(crate) struct Tables {
    settings: Arc<Settings>,
    states: HashMap<TableName, (TableId, Option<Arc<Table>>)>,
    /// Those whose copy has begun: their changes must not be missing.
    required: Vec<TableName>,
    publication: String,
    seen: Option<BTreeMap<TableName, TableId>>,
    types: TypeCatalog,
    client: Option<Client>,
}

impl Tables {
    pub(crate) fn new(
        settings: Arc<Settings>,
        publication: &str,
        tables: &[TableState],
        seen: Option<BTreeMap<TableName, TableId>>,
        types: TypeCatalog,
        client: Client,
    ) -> Tables {
        let states = tables
            .iter()
            .map(|state| (state.name.clone(), (state.id, state.schema.clone())))
            .collect();
        let required = tables
            .iter()
            .filter(|state| matches!(state.copy.state, CopyState::Begun | CopyState::Finished))
            .map(|state| state.name.clone())
            .collect();
        let publication = publication.to_owned();
        Tables { settings, states, required, publication, seen, types, client: Some(client) }
    }

    /// Runs `ask` over the catalog's session, once more over a new one when that has broken.
    async fn client(&mut self) -> Result<&mut Client, Failure> {
        if self.client.is_none() {
            self.client = Some(session::connect(&self.settings, Mode::Query).await?);
        }
        Ok(self.client.as_mut().expect("it was opened"))
    }

    /// How rows of the relation are read; None: they are not captured.
    async fn captured(
        &mut self,
        relation: &Relation,
        known: Option<Arc<Table>>,
    ) -> Result<Option<Captured>, Failure> {
        let name = TableName::new(&relation.schema, &relation.name);
        let Some((id, stored)) = self.states.get(&name).cloned() else { return Ok(None) };
        let settings = Arc::clone(&self.settings);
        let (oid, mut types) = (u64::from(relation.id), std::mem::take(&mut self.types));
        let found = self.describe(oid, relation, &mut types).await;
        self.types = types;
        let found = found?;
        if id.object != 0 && id.object != oid {
            // rows of a table that was dropped since are nobody's; rows of one that took its place must not pass
            return match found {
                Some(_) => Err(Stop::TableRecreated(name).failure(DOING)),
                None => Ok(None),
            };
        }
        let known = known.or(stored);
        let captured = build(relation, found.as_ref(), known.as_ref(), &self.types, &settings);
        if let Some(state) = self.states.get_mut(&name) {
            state.1 = Some(Arc::clone(&captured.table));
        }
        Ok(Some(captured))
    }

    async fn describe(
        &mut self,
        oid: u64,
        relation: &Relation,
        types: &mut TypeCatalog,
    ) -> Result<Option<crate::schema::CatalogTable>, Failure> {
        let mut again = self.client.is_some();
        loop {
            let client = self.client().await?;
            let asked = async {
                let found = catalog::describe(client, &[oid], types).await?;
                let ids: Vec<u32> = relation.columns.iter().map(|column| column.type_id).collect();
                catalog::load_types(client, &ids, types).await?;
                Ok(found.into_iter().next())
            };
            let answer = timeout(CATALOG_MAX, asked).await;
            let answer =
                answer.unwrap_or_else(|_| Err(Stop::CatalogTimeout(CATALOG_MAX).failure(DOING)));
            match answer {
                Err(failure) if !failure.is_definite() && again => {
                    self.client = None;
                    again = false;
                }
                answer => return answer,
            }
        }
    }

    /// True when the captured tables are others than the engine was told. Fails when the publication lacks one of them.
    async fn changed(&mut self) -> Result<bool, Failure> {
        let settings = Arc::clone(&self.settings);
        let name = self.publication.clone();
        let asked = async {
            let client = self.client().await?;
            let now = catalog::captured(client, &settings).await?;
            let publication = publication::read(client, &name).await?;
            // a server in recovery cannot tell: the gauge keeps its last value
            let _ = gauges::retained(client, &settings.slot_prefix).await;
            Ok::<_, Failure>((now, publication))
        };
        match timeout(CATALOG_MAX, asked).await {
            Ok(Ok((now, publication))) => {
                self.published(&now, publication.as_ref())?;
                let Some(seen) = &self.seen else { return Ok(false) };
                let objects = |tables: &BTreeMap<TableName, TableId>| {
                    tables.iter().map(|(name, id)| (name.clone(), id.object)).collect::<Vec<_>>()
                };
                Ok(objects(&now) != objects(seen))
            }
            // the stream goes on without: the next look may succeed
            Ok(Err(_)) | Err(_) => {
                self.client = None;
                Ok(false)
            }
        }
    }
}

impl Tables {
    /// Every table whose copy has begun, and that still exists, is in the publication. One that is not was taken out by
    /// somebody, and its changes since are lost; newer servers say nothing even when the whole publication is gone.
    fn published(
        &self,
        now: &BTreeMap<TableName, TableId>,
        publication: Option<&Publication>,
    ) -> Result<(), Failure> {
        let required: Vec<TableName> =
            self.required.iter().filter(|name| now.contains_key(*name)).cloned().collect();
        if required.is_empty() {
            return Ok(());
        }
        let statements =
            publication::statements(&self.publication, publication, &required).doing(DOING)?;
        if statements.is_empty() {
            return Ok(());
        }
        let statement = format!("{};", statements.join("; "));
        Err(Stop::PublicationChanged { publication: self.publication.clone(), statement }
            .failure(DOING))
    }
}

/// The server wants to hear that we have everything up to `end`.
#[derive(Debug, Clone, Copy)]
struct Asked {
    end: Lsn,
    since: Instant,
    last: Instant,
    answered: bool,
}

/// A running stream.
pub(crate) struct Follow {
    wal: CopyBoth,
    assembler: Assembler,
    tables: Tables,
    until: Option<PostgresPosition>,
    reopen: bool,
    frames: CopyFrames,
    waiting: Option<Parcel>,
    end: Option<Stopped>,
    received: Lsn,
    server_clock: i64,
    asked: Option<Asked>,
    answer_due: bool,
    told_idle: Option<Instant>,
}

impl Follow {
    pub(crate) fn new(
        settings: &Settings,
        wal: CopyBoth,
        from: Resume<PostgresPosition>,
        timeline: u32,
        until: Option<PostgresPosition>,
        reopen: bool,
        tables: Tables,
    ) -> Result<Follow, Failure> {
        let reached = until.is_some_and(|until| from.from.lsn >= until.lsn);
        let received = from.from.lsn;
        let assembler = Assembler::new(&from, until.map(|until| until.lsn), settings.messages);
        Ok(Follow {
            wal,
            assembler: assembler.doing(DOING)?.on_timeline(timeline),
            tables,
            until,
            reopen,
            frames: CopyFrames::default(),
            waiting: None,
            end: reached.then_some(Stopped::Reached),
            received,
            server_clock: 0,
            asked: None,
            answer_due: false,
            told_idle: None,
        })
    }

    pub(crate) async fn run(
        mut self,
        out: Outlet<PostgresPosition>,
        mut durable: Durable<PostgresPosition>,
    ) -> Result<Stopped, Failure> {
        // before anything is told: what the publication lacks is lost already
        gauges::describe();
        self.tables.changed().await?;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut status_sent = Instant::now();
        let mut polled = Instant::now();
        loop {
            self.decode().await?;
            if self.frames.is_empty() && self.waiting.is_none() && self.wants_more() {
                self.read_or_cut().await?;
            }
            if self.waiting.is_none()
                && let Some(end) = self.finished()
            {
                self.send_status(&durable, false).await?;
                return Ok(end);
            }
            if self.answer_due {
                self.answer_due = false;
                self.send_status(&durable, false).await?;
                status_sent = Instant::now();
            }
            let bytes = self.waiting.as_ref().map(|parcel| parcel.batch.size());
            let reads = self.frames.is_empty() && !self.assembler.is_full() && self.wants_more();
            let decodes = !self.frames.is_empty() && !self.assembler.is_full() && self.wants_more();
            tokio::select! {
                // beside the others, so that a server that always has more does not keep the clock waiting
                () = ready(()), if decodes => {}
                room = out.reserve(bytes.unwrap_or(0)), if bytes.is_some() => {
                    let (room, parcel) = (room?, self.waiting.take().expect("it waits for the room"));
                    if parcel.urgent {
                        room.send_urgent(parcel.batch, parcel.mark);
                    } else {
                        room.send(parcel.batch, parcel.mark);
                    }
                }
                frames = self.wal.next(), if reads => {
                    self.frames = frames.doing(DOING)?.ok_or_else(|| Stop::StreamEnded.failure(DOING))?;
                }
                _ = durable.changed(), if self.asked.is_some() => self.answer_due = true,
                _ = tick.tick() => {
                    gauges::lag(self.received, durable.latest().lsn);
                    self.check_stopping(&durable)?;
                    // asks for a keepalive where the end is waited for, since an idle server says nothing by itself
                    let ask = self.until.is_some() && self.end.is_none();
                    let again = self.asked.as_mut().is_some_and(|asked| !std::mem::replace(&mut asked.answered, true));
                    if ask || again || status_sent.elapsed() >= STATUS_EVERY {
                        self.send_status(&durable, ask).await?;
                        status_sent = Instant::now();
                    }
                    if polled.elapsed() >= POLL_EVERY && self.until.is_none() {
                        polled = Instant::now();
                        if self.tables.changed().await? {
                            self.end.get_or_insert(Stopped::TablesChanged);
                        }
                    }
                }
            }
        }
    }

    /// Decodes what has arrived, as far as there is space.
    async fn decode(&mut self) -> Result<(), Failure> {
        loop {
            if self.assembler.is_full() && self.waiting.is_none() {
                self.waiting = self.assembler.cut();
            }
            if self.assembler.is_full() || !self.wants_more() {
                return Ok(());
            }
            let Some(payload) = self.frames.next_payload() else { return Ok(()) };
            let message = replication::decode(payload);
            let message =
                message.map_err(|error| Failure::definite("undecodable", DOING, error))?;
            let fed = match message {
                ReplicationMessage::Keepalive(keepalive) => {
                    self.server_clock = keepalive.clock_micros;
                    self.received = self.received.max(keepalive.end);
                    note_request(&mut self.asked, &mut self.answer_due, keepalive);
                    self.assembler.keepalive(keepalive.end, keepalive.reply).doing(DOING)?
                }
                ReplicationMessage::XLogData(data) => {
                    self.asked = None;
                    self.server_clock = data.clock_micros;
                    self.received = self.received.max(data.start);
                    let message = pgoutput::decode(data.data);
                    let message =
                        message.map_err(|error| Failure::definite("undecodable", DOING, error))?;
                    self.assembler.feed(message, data.start, data.clock_micros).doing(DOING)?
                }
            };
            match fed {
                Fed::Taken => {}
                Fed::Reached => self.end = Some(Stopped::Reached),
                Fed::Relation(relation) => {
                    let known = self.assembler.known(relation.id).cloned();
                    let captured = self.tables.captured(&relation, known).await?;
                    self.assembler.relation(&relation, captured);
                }
            }
            if self.reopen && self.assembler.is_idle() && !self.assembler.is_resuming() {
                self.end.get_or_insert(Stopped::Reopen);
            }
        }
    }

    /// False when what ends the stream has been seen: the end itself, or any place between transactions.
    fn wants_more(&self) -> bool {
        match self.end {
            None => true,
            Some(Stopped::Reached) => false,
            Some(_) => !self.assembler.is_idle() || self.assembler.is_resuming(),
        }
    }

    /// Reads what is there without waiting; when there is nothing, what is complete may go.
    async fn read_or_cut(&mut self) -> Result<(), Failure> {
        let more = tokio::select! {
            biased;
            frames = self.wal.next() => Some(frames),
            () = ready(()) => None,
        };
        match more {
            Some(frames) => {
                self.frames =
                    frames.doing(DOING)?.ok_or_else(|| Stop::StreamEnded.failure(DOING))?;
            }
            None if self.assembler.has_rows() => self.waiting = self.assembler.cut_complete(),
            None => {
                let rested = self.told_idle.is_none_or(|told| told.elapsed() >= IDLE_EVERY);
                let due = |bytes| bytes >= IDLE_BYTES || rested;
                if self.assembler.idle_bytes().is_some_and(due) {
                    self.told_idle = Some(Instant::now());
                    self.waiting = self.assembler.cut_complete();
                }
            }
        }
        Ok(())
    }

    /// Behind the last parcel: what the stream ends with. Makes the parcel that marks the end.
    fn finished(&mut self) -> Option<Stopped> {
        let end = self.end?;
        match (end, self.until) {
            (Stopped::Reached, Some(until)) => {
                // the mark of exactly this place goes once, and then nothing is left
                self.until = None;
                self.waiting = Some(self.assembler.cut_reached(until.lsn));
                None
            }
            (Stopped::Reached, None) => Some(end),
            _ if !self.wants_more() => {
                self.waiting = self.assembler.cut();
                self.waiting.is_none().then_some(end)
            }
            _ => None,
        }
    }

    /// A server that shuts down asks for its last position until it is confirmed. We cannot: let it go.
    fn check_stopping(&self, durable: &Durable<PostgresPosition>) -> Result<(), Failure> {
        let Some(Asked { end, since, last, .. }) = self.asked else { return Ok(()) };
        let asked_for = last.duration_since(since);
        let still = last.elapsed() < 3 * TICK;
        if still && asked_for >= STOPPING_AFTER && durable.latest().lsn < end {
            return Err(Stop::ServerStopping { end, asked_for }.failure(DOING));
        }
        Ok(())
    }

    async fn send_status(
        &mut self,
        durable: &Durable<PostgresPosition>,
        reply: bool,
    ) -> Result<(), Failure> {
        let flush = durable.latest().lsn;
        let update = StandbyStatusUpdate {
            write: self.received.max(flush),
            flush,
            apply: flush,
            clock_micros: self.server_clock,
            reply,
        };
        self.wal.status(update).await.doing(DOING)
    }
}

/// Remembers since when the server asks for the same place. It is answered at once the first time; a server that asks
/// again for the same place, as one that stops does without a pause, is answered by the clock.
fn note_request(asked: &mut Option<Asked>, answer_due: &mut bool, keepalive: Keepalive) {
    if !keepalive.reply {
        return;
    }
    let now = Instant::now();
    match asked {
        Some(known) if known.end == keepalive.end => {
            known.last = now;
            known.answered = false;
        }
        _ => {
            *asked = Some(Asked { end: keepalive.end, since: now, last: now, answered: true });
            *answer_due = true;
        }
    }
}
