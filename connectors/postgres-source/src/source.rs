//! The source as the engine sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use change::{TableId, TableName};
use connector::{
    CopyId, Durable, Failure, Identity, Outlet, Pin, Pinned, Resume, Source, Stopped, Stored,
    TableState,
};
use postgres_replication::Lsn;
use postgres_replication::command::{IDENTIFY_SYSTEM, StartReplication};
use tokio::time::{Instant, sleep};

use crate::client::{Client, CopyBoth, Mode, SessionError};
use crate::config::{Config, ConfigError, Settings};
use crate::failure::{Doing, Stop};
use crate::slot::{self, Slot};
use crate::snapshot::PostgresSnapshot;
use crate::stream::{Follow, Tables};
use crate::tail::Look;
use crate::types::TypeCatalog;
use crate::{PostgresPosition, catalog, pin, session, timeline};

/// How long a slot may stay busy with an old session of ours before it is somebody else's.
const SLOT_BUSY_MAX: Duration = Duration::from_secs(10);

/// What changes the rows that the server sends, beside the publication's name.
const OPTIONS: &str = "proto_version=1 messages=true binary=false";

/// A PostgreSQL database whose log is followed through a replication slot.
#[derive(Debug)]
pub struct PostgresSource {
    pub(crate) settings: Arc<Settings>,
    pub(crate) server: Option<Server>,
    /// The slot that the stored position belongs to.
    pub(crate) slot: Option<String>,
    /// The publication in use: the stored one while a transaction that was cut has not ended.
    pub(crate) publication: String,
    reopen: bool,
    query: Option<Client>,
    /// The session that a temporary slot lives in.
    pub(crate) held: Option<Client>,
    /// The captured tables as last told to the engine.
    seen: Option<BTreeMap<TableName, TableId>>,
    pub(crate) types: TypeCatalog,
    /// Set for a look at the changes from now on.
    pub(crate) look: Option<Look>,
}

/// What IDENTIFY_SYSTEM says.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) system: String,
    pub(crate) timeline: u32,
    pub(crate) end: Lsn,
}

impl PostgresSource {
    /// `name` is the connector's: slot and publication are named after it. Returns all mistakes at once.
    pub fn new(name: &str, config: &Config) -> Result<PostgresSource, Vec<ConfigError>> {
        Ok(Self::with(Settings::new(name, config)?))
    }

    pub(crate) fn with(settings: Settings) -> PostgresSource {
        PostgresSource {
            publication: settings.publication.clone(),
            settings: Arc::new(settings),
            server: None,
            slot: None,
            reopen: false,
            query: None,
            held: None,
            seen: None,
            types: TypeCatalog::default(),
            look: None,
        }
    }

    /// The database's name, for [`crate::origin`].
    pub fn database(&self) -> &str {
        &self.settings.target.database
    }

    /// A session for statements; opened when there is none.
    pub(crate) async fn query(&mut self) -> Result<&mut Client, Failure> {
        if self.query.is_none() {
            self.query = Some(session::connect(&self.settings, Mode::Query).await?);
        }
        Ok(self.query.as_mut().expect("it was opened"))
    }

    pub(crate) fn server(&self) -> Result<&Server, Failure> {
        let missing =
            || Failure::transient("not-open", "using the database", "the source was not opened");
        self.server.as_ref().ok_or_else(missing)
    }

    fn identity(&self, server: &Server) -> Identity {
        let facts = [
            ("system_identifier", server.system.as_str()),
            ("database", &self.settings.target.database),
            ("plugin", "pgoutput"),
            ("options", OPTIONS),
            ("two_phase", "false"),
            ("failover", if self.settings.failover { "true" } else { "false" }),
            ("slot", &self.settings.slot_prefix),
            ("publication", &self.settings.publication),
        ];
        Identity(facts.into_iter().map(|(name, fact)| (name.to_owned(), fact.to_owned())).collect())
    }

    /// Compares what is stored with what this server is and what the configuration says.
    fn compare(&mut self, stored: &Stored<PostgresPosition>, now: &Identity) -> Result<(), Stop> {
        let fact = |identity: &Identity, name: &str| identity.0.get(name).cloned();
        for what in ["system_identifier", "database"] {
            if let (Some(stored), Some(now)) = (fact(&stored.identity, what), fact(now, what))
                && stored != now
            {
                return Err(Stop::OtherServer { what, stored, now });
            }
        }
        if let (Some(stored), Some(now)) = (fact(&stored.identity, "slot"), fact(now, "slot"))
            && stored != now
        {
            return Err(Stop::SlotRenamed { stored, now });
        }
        // the rows of a cut transaction are counted as the stored publication gives them
        if let (Some(publication), Some(_)) = (fact(&stored.identity, "publication"), &stored.open)
        {
            self.reopen = publication != self.publication;
            self.publication = publication;
        }
        Ok(())
    }

    /// Proves that the slot gives every change behind the stored position.
    async fn validate(
        &mut self,
        stored: &PostgresPosition,
        server: &Server,
        replication: &mut Client,
    ) -> Result<(), Failure> {
        let doing = "comparing the stored position with the server";
        timeline::check(replication, stored, server).await?;
        if stored.lsn > server.end {
            return Err(Stop::AheadOfServer { stored: stored.lsn, now: server.end }.failure(doing));
        }
        self.check_slot(stored.lsn).await?;
        Ok(())
    }

    /// The slot as it is now, if it can be followed from `from`.
    async fn check_slot(&mut self, from: Lsn) -> Result<Slot, Failure> {
        let doing = "comparing the stored position with the slot";
        let Some(name) = self.slot.clone() else {
            return Err(Stop::SlotMissing { slot: String::from("(none stored)") }.failure(doing));
        };
        let database = self.settings.target.database.clone();
        let found = slot::find(self.query().await?, &name).await?;
        let found = found.ok_or_else(|| Stop::SlotMissing { slot: name }.failure(doing))?;
        match found.obstacle(&database, from) {
            Some(stop) => Err(stop.failure(doing)),
            None => Ok(found),
        }
    }

    /// Opens the stream at `from`. An old session of our own that still holds the slot is ended.
    async fn start(&mut self, from: Lsn) -> Result<CopyBoth, Failure> {
        let doing = "starting the replication";
        if self.settings.temporary {
            let client = self.held.take().ok_or_else(|| Stop::TemporarySlot.failure(doing))?;
            let command = self.start_command(from, client.server_version())?;
            return client.copy_both(&command).await.doing(doing);
        }
        let begun = Instant::now();
        loop {
            let found = self.check_slot(from).await?;
            if let Some(pid) = found.active_pid {
                self.clear(&found.slot_name, pid, begun).await?;
                sleep(Duration::from_millis(100)).await;
                continue;
            }
            let client = session::connect(&self.settings, Mode::Replication).await?;
            let command = self.start_command(from, client.server_version())?;
            match client.copy_both(&command).await {
                Err(SessionError::Server(error))
                    if error.code == "55006" && begun.elapsed() < SLOT_BUSY_MAX =>
                {
                    sleep(Duration::from_millis(100)).await;
                }
                Err(SessionError::Server(error))
                    if error.code == "55000" || error.code == "58P01" =>
                {
                    let stop = Stop::SlotLost { slot: found.slot_name, why: error.message };
                    return Err(stop.failure(doing));
                }
                started => return started.doing(doing),
            }
        }
    }

    fn start_command(&self, from: Lsn, version: u32) -> Result<String, Failure> {
        let start = StartReplication {
            slot: self.slot.as_deref().unwrap_or_default(),
            from,
            publications: &[&self.publication],
            binary: false,
            messages: true,
        };
        start.command(version).doing("starting the replication")
    }

    /// Ends the session that holds our slot when it is one of ours; our claim on the position is proven by now, so it
    /// can only be an older one.
    async fn clear(&mut self, slot: &str, pid: i64, begun: Instant) -> Result<(), Failure> {
        let doing = "freeing the replication slot";
        let sql = "SELECT usename = current_user AND application_name = $2 AS ours, application_name, \
                     coalesce(host(client_addr), 'a local socket') AS address, \
                     date_trunc('second', now() - backend_start)::text AS age \
                   FROM pg_stat_activity WHERE pid = $1::int";
        let application = self.settings.target.application_name.clone();
        let client = self.query().await?;
        let rows =
            client.query(sql, &[Some(&pid.to_string()), Some(&application)]).await.doing(doing)?;
        let Some(holder) = rows.first() else { return Ok(()) };
        if holder.get("ours") == Some("t") && begun.elapsed() < SLOT_BUSY_MAX {
            tracing::warn!(
                slot,
                pid,
                "an older session of this connector holds the slot and is ended"
            );
            let sql = "SELECT pg_terminate_backend($1::int)";
            client.query(sql, &[Some(&pid.to_string())]).await.doing(doing)?;
            return Ok(());
        }
        let text = |column| holder.get(column).unwrap_or("unknown");
        let holder = format!(
            "of {:?} at {} since {}",
            text("application_name"),
            text("address"),
            text("age")
        );
        Err(Stop::SlotInUse { slot: slot.to_owned(), pid, holder }.failure(doing))
    }
}

/// Runs IDENTIFY_SYSTEM on a replication session.
pub(crate) async fn identify(client: &mut Client) -> Result<Server, Failure> {
    let doing = "identifying the server";
    let rows = client.simple_one(IDENTIFY_SYSTEM).await.doing(doing)?;
    let parsed = rows.first().and_then(|row| {
        Some(Server {
            system: row.get("systemid")?.to_owned(),
            timeline: row.get("timeline")?.parse().ok()?,
            end: row.get("xlogpos")?.parse().ok()?,
        })
    });
    parsed.ok_or_else(|| Stop::Catalog("IDENTIFY_SYSTEM").failure(doing))
}

impl Source for PostgresSource {
    type Position = PostgresPosition;
    type Snapshot = PostgresSnapshot;

    async fn open(
        &mut self,
        stored: Option<&Stored<PostgresPosition>>,
    ) -> Result<Identity, Failure> {
        self.query = None;
        self.held = None;
        self.seen = None;
        self.reopen = false;
        self.publication = self.settings.publication.clone();
        let mut replication = session::connect(&self.settings, Mode::Replication).await?;
        let server = identify(&mut replication).await?;
        self.server = Some(server.clone());
        let identity = self.identity(&server);
        let doing = "comparing the stored position with the server";
        if let Some(stored) = stored {
            self.compare(stored, &identity).doing(doing)?;
        }
        let intent = stored.and_then(|stored| stored.intent);
        self.slot = intent.map(|copy| slot::name_of(&self.settings.slot_prefix, copy));
        if self.settings.temporary {
            self.begin_tail().await?;
            return Ok(identity);
        }
        match stored.and_then(|stored| stored.at.as_ref()) {
            Some(at) => self.validate(at, &server, &mut replication).await?,
            None => {
                let (prefix, intended) = (self.settings.slot_prefix.clone(), self.slot.clone());
                let slots = slot::list(self.query().await?).await?;
                let strange: Vec<String> = slots
                    .into_iter()
                    .map(|slot| slot.slot_name)
                    .filter(|name| slot::is_ours(&prefix, name) && Some(name) != intended.as_ref())
                    .collect();
                if !strange.is_empty() {
                    return Err(Stop::Orphan { slots: strange }
                        .failure("looking for slots without a position"));
                }
            }
        }
        Ok(identity)
    }

    async fn tables(&mut self) -> Result<BTreeMap<TableName, TableId>, Failure> {
        let settings = Arc::clone(&self.settings);
        let tables = catalog::captured(self.query().await?, &settings).await?;
        if self.look.is_some() {
            // tables made later are not looked for
            return self.tail_tables(tables).await;
        }
        self.seen = Some(tables.clone());
        Ok(tables)
    }

    async fn pin(
        &mut self,
        pin: Pin,
        stream: &[TableName],
        copy: &[TableState],
    ) -> Result<Pinned<PostgresPosition, PostgresSnapshot>, Failure> {
        pin::pin(self, pin, stream, copy).await
    }

    async fn forget(&mut self, copy: CopyId) -> Result<(), Failure> {
        if self.settings.temporary {
            self.held = None;
            return Ok(());
        }
        let name = slot::name_of(&self.settings.slot_prefix, copy);
        let begun = Instant::now();
        loop {
            let found = slot::find(self.query().await?, &name).await?;
            match found.and_then(|slot| slot.active_pid) {
                Some(pid) => {
                    self.clear(&name, pid, begun).await?;
                    sleep(Duration::from_millis(100)).await;
                }
                None => break,
            }
        }
        slot::drop(self.query().await?, &name).await?;
        if self.slot.as_ref() == Some(&name) {
            self.slot = None;
        }
        Ok(())
    }

    async fn stream(
        &mut self,
        from: Resume<PostgresPosition>,
        tables: &[TableState],
        until: Option<PostgresPosition>,
        out: Outlet<PostgresPosition>,
        durable: Durable<PostgresPosition>,
    ) -> Result<Stopped, Failure> {
        let timeline = self.server()?.timeline;
        let wal = self.start(from.from.lsn).await?;
        let catalog = match self.query.take() {
            Some(client) => client,
            None => session::connect(&self.settings, Mode::Query).await?,
        };
        let tables = Tables::new(
            Arc::clone(&self.settings),
            &self.publication,
            tables,
            self.seen.clone(),
            self.types.clone(),
            catalog,
        );
        let follow = Follow::new(&self.settings, wal, from, timeline, until, self.reopen, tables)?;
        follow.run(out, durable).await
    }
}
