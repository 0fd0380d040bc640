//! The position in SQLite: one row for where we are, one for each known table.
//!
//! One transaction a save, with `synchronous = FULL`: what `save` returned for is on the disk. The connection keeps
//! an exclusive lock from its first look to its end, so a second process learns at once that it is not alone.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use change::TableName;
use connector::{Checkpoint, Failure, OffsetStore, Position, Stored, TableState};
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params,
    params_from_iter,
};
use serde::de::DeserializeOwned;
use tokio::task;

/// "Afim": tells our files from other SQLite files.
const APPLICATION: i32 = 0x4166_696d;
const VERSION: i32 = 1;

const SCHEMA: &str = "
    CREATE TABLE position (
        one      INTEGER PRIMARY KEY CHECK (one = 1),
        identity TEXT NOT NULL,
        intent   TEXT NOT NULL,
        at       TEXT NOT NULL,
        open     TEXT NOT NULL
    ) STRICT;
    CREATE TABLE tables (
        schema TEXT NOT NULL,
        name   TEXT NOT NULL,
        state  TEXT NOT NULL,
        PRIMARY KEY (schema, name)
    ) STRICT, WITHOUT ROWID;
";

const PUT_POSITION: &str =
    "INSERT OR REPLACE INTO position (one, identity, intent, at, open) VALUES (1, ?, ?, ?, ?)";
const PUT_TABLE: &str = "INSERT OR REPLACE INTO tables (schema, name, state) VALUES (?, ?, ?)";

/// Where the position is kept.
#[derive(Debug)]
pub enum Offsets<P> {
    /// Nowhere: it lives as long as the process, for a look at a database that leaves nothing behind.
    Memory(Option<Stored<P>>),
    Sqlite(SqliteOffsets<P>),
}

#[derive(Debug)]
pub struct SqliteOffsets<P> {
    path: PathBuf,
    /// None until the first load. Behind a lock because an abandoned save may still be on its way.
    connection: Arc<Mutex<Option<Connection>>>,
    position: PhantomData<fn() -> P>,
}

#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    #[error("another process holds the position {path}")]
    InUse { path: PathBuf },
    #[error("{path} is not a position of this program: {what}")]
    Foreign { path: PathBuf, what: String },
    #[error("the position {path} is damaged")]
    Damaged { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the position {path} cannot be read")]
    Read { path: PathBuf, source: rusqlite::Error },
    #[error("the position {path} cannot be written")]
    Write { path: PathBuf, source: rusqlite::Error },
    #[error("the position {path} was not loaded")]
    NotLoaded { path: PathBuf },
}

impl PositionError {
    pub fn code(&self) -> &'static str {
        match self {
            PositionError::InUse { .. } => "position-in-use",
            PositionError::Foreign { .. } | PositionError::Damaged { .. } => "position-corrupt",
            PositionError::Read { .. } | PositionError::NotLoaded { .. } => "position-unreadable",
            PositionError::Write { .. } => "position-unwritable",
        }
    }

    pub fn mend(&self) -> &'static str {
        match self {
            PositionError::InUse { .. } => {
                "stop the other process, or give this one a `position` of its own"
            }
            PositionError::Foreign { .. } => "give another `position` path",
            PositionError::Damaged { .. } => {
                "restore the file, or begin anew with `afterimage reset`"
            }
            PositionError::Read { .. }
            | PositionError::Write { .. }
            | PositionError::NotLoaded { .. } => {
                "see that the directory exists, that this user may write there and that the disk has room"
            }
        }
    }

    fn into_failure(self, doing: &'static str) -> Failure {
        let code = self.code();
        match self {
            PositionError::Read { .. } | PositionError::Write { .. } => {
                Failure::transient(code, doing, self)
            }
            _ => Failure::definite(code, doing, self),
        }
    }
}

impl<P> SqliteOffsets<P> {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), connection: Arc::default(), position: PhantomData }
    }
}

impl<P: Position> OffsetStore for Offsets<P> {
    type Position = P;

    async fn load(&mut self) -> Result<Option<Stored<P>>, Failure> {
        match self {
            Offsets::Memory(stored) => Ok(stored.clone()),
            Offsets::Sqlite(sqlite) => {
                sqlite.load().await.map_err(|error| error.into_failure("reading the position"))
            }
        }
    }

    async fn save(&mut self, checkpoint: &Checkpoint<P>) -> Result<(), Failure> {
        match self {
            Offsets::Memory(stored) => {
                stored.get_or_insert_default().apply(checkpoint);
                Ok(())
            }
            Offsets::Sqlite(sqlite) => sqlite
                .save(checkpoint)
                .await
                .map_err(|error| error.into_failure("saving the position")),
        }
    }
}

impl<P: Position> SqliteOffsets<P> {
    async fn load(&self) -> Result<Option<Stored<P>>, PositionError> {
        self.call(|path, connection| {
            let connection = match connection {
                Some(connection) => connection,
                none => none.insert(open(path, OpenFlags::SQLITE_OPEN_CREATE)?),
            };
            read(path, connection)
        })
        .await
    }

    async fn save(&self, checkpoint: &Checkpoint<P>) -> Result<(), PositionError> {
        let rows = Rows::new(checkpoint).map_err(|source| PositionError::Damaged {
            path: self.path.clone(),
            source: source.into(),
        })?;
        self.call(move |path, connection| {
            let connection = connection
                .as_mut()
                .ok_or_else(|| PositionError::NotLoaded { path: path.to_owned() })?;
            rows.write(connection).map_err(|source| classify(path, source, Doing::Write))
        })
        .await
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path, &mut Option<Connection>) -> Result<T, PositionError> + Send + 'static,
    ) -> Result<T, PositionError> {
        let (path, connection) = (self.path.clone(), Arc::clone(&self.connection));
        let done = task::spawn_blocking(move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&path, &mut connection)
        });
        // A join fails only while the runtime ends; nobody looks at the answer then.
        done.await.unwrap_or_else(|_| Err(PositionError::NotLoaded { path: self.path.clone() }))
    }
}

/// Opens for the whole life of the connection: nobody else can.
fn open(path: &Path, create: OpenFlags) -> Result<Connection, PositionError> {
    let failed = |source| classify(path, source, Doing::Read);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(std::time::Duration::ZERO).map_err(failed)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(failed)?;
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Exclusive).map_err(failed)?;
    let objects: i64 = transaction
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    let number = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application = number("application_id").map_err(failed)?;
    let version = number("user_version").map_err(failed)?;
    let foreign = |what| Err(PositionError::Foreign { path: path.to_owned(), what });
    match (application, version, objects) {
        (APPLICATION, VERSION, _) => {}
        (APPLICATION, version, _) => return foreign(format!("format {version}, not {VERSION}")),
        (0, 0, 0) => {
            transaction.execute_batch(SCHEMA).map_err(failed)?;
            transaction.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
            transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
        }
        _ => return foreign("another SQLite database".to_owned()),
    }
    transaction.commit().map_err(failed)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(failed)?;
    tracing::debug!(path = %path.display(), mode, "position opened");
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    Ok(connection)
}

/// Whether an existing file could be opened now; a missing one could.
pub(crate) fn probe(path: &Path) -> Result<(), PositionError> {
    if path.exists() { open(path, OpenFlags::empty()).map(drop) } else { Ok(()) }
}

/// Removes the position, and says whether there was one. Fails while a process holds it.
pub fn forget(path: &Path) -> Result<bool, PositionError> {
    if !path.exists() {
        return Ok(false);
    }
    let connection = open(path, OpenFlags::empty())?;
    connection
        .execute_batch("BEGIN; DELETE FROM position; DELETE FROM tables; COMMIT;")
        .map_err(|source| classify(path, source, Doing::Write))?;
    // Closing folds the log into the file; then the file itself can go.
    connection.close().map_err(|(_, source)| classify(path, source, Doing::Write))?;
    std::fs::remove_file(path).map_err(|error| PositionError::Write {
        path: path.to_owned(),
        source: rusqlite::Error::ToSqlConversionFailure(error.into()),
    })?;
    Ok(true)
}

fn read<P: DeserializeOwned>(
    path: &Path,
    connection: &Connection,
) -> Result<Option<Stored<P>>, PositionError> {
    let failed = |source| classify(path, source, Doing::Read);
    let texts: Option<[String; 4]> = connection
        .query_row("SELECT identity, intent, at, open FROM position", [], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        })
        .optional()
        .map_err(failed)?;
    let Some([identity, intent, at, open]) = texts else { return Ok(None) };
    let mut stored = Stored {
        identity: parse(path, &identity)?,
        intent: parse(path, &intent)?,
        at: parse(path, &at)?,
        open: parse(path, &open)?,
        ..Stored::default()
    };
    let mut statement =
        connection.prepare("SELECT schema, name, state FROM tables").map_err(failed)?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .map_err(failed)?;
    for row in rows {
        let (schema, name, state): (String, String, String) = row.map_err(failed)?;
        stored.tables.insert(TableName::new(&schema, &name), parse::<TableState>(path, &state)?);
    }
    Ok(Some(stored))
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, PositionError> {
    serde_json::from_str(text)
        .map_err(|source| PositionError::Damaged { path: path.to_owned(), source: source.into() })
}

/// A checkpoint as the texts to store.
struct Rows {
    position: [String; 4],
    tables: Vec<(TableName, String)>,
}

impl Rows {
    fn new<P: Position>(checkpoint: &Checkpoint<P>) -> Result<Self, serde_json::Error> {
        let at = checkpoint.at.as_ref();
        Ok(Self {
            position: [
                serde_json::to_string(&*checkpoint.identity)?,
                serde_json::to_string(&checkpoint.intent)?,
                serde_json::to_string(&at.map(|resume| &resume.from))?,
                serde_json::to_string(&at.and_then(|resume| resume.open.as_ref()))?,
            ],
            tables: checkpoint
                .changed
                .iter()
                .map(|table| Ok((table.name.clone(), serde_json::to_string(table)?)))
                .collect::<Result<_, serde_json::Error>>()?,
        })
    }

    fn write(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.prepare_cached(PUT_POSITION)?.execute(params_from_iter(&self.position))?;
        let mut table = transaction.prepare_cached(PUT_TABLE)?;
        for (name, state) in &self.tables {
            table.execute(params![&*name.schema, &*name.table, state])?;
        }
        drop(table);
        transaction.commit()
    }
}

#[derive(Clone, Copy)]
enum Doing {
    Read,
    Write,
}

fn classify(path: &Path, source: rusqlite::Error, doing: Doing) -> PositionError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => PositionError::InUse { path },
        Some(ErrorCode::NotADatabase) => {
            PositionError::Foreign { path, what: "not an SQLite database".to_owned() }
        }
        Some(ErrorCode::DatabaseCorrupt) => PositionError::Damaged { path, source: source.into() },
        _ => match doing {
            Doing::Read => PositionError::Read { path, source },
            Doing::Write => PositionError::Write { path, source },
        },
    }
}
