//! A source that its owner gets back: the engine takes sources for good, but a look at a database has something to
//! clear up behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use change::{TableId, TableName};
use connector::{
    CopyId, Durable, Failure, Identity, Outlet, Pin, Pinned, Resume, Source, Stopped, Stored,
    TableState,
};
use tokio::sync::Mutex;

/// Borrowed for each call, so that it is free again once the engine has ended, however it ended.
#[derive(Debug)]
pub(crate) struct Lent<S>(Arc<Mutex<S>>);

impl<S> Lent<S> {
    pub(crate) fn new(source: S) -> (Arc<Mutex<S>>, Self) {
        let source = Arc::new(Mutex::new(source));
        (Arc::clone(&source), Self(source))
    }
}

impl<S: Source> Source for Lent<S> {
    type Position = S::Position;
    type Snapshot = S::Snapshot;

    async fn open(&mut self, stored: Option<&Stored<S::Position>>) -> Result<Identity, Failure> {
        self.0.lock().await.open(stored).await
    }

    async fn tables(&mut self) -> Result<BTreeMap<TableName, TableId>, Failure> {
        self.0.lock().await.tables().await
    }

    async fn pin(
        &mut self,
        pin: Pin,
        stream: &[TableName],
        copy: &[TableState],
    ) -> Result<Pinned<S::Position, S::Snapshot>, Failure> {
        self.0.lock().await.pin(pin, stream, copy).await
    }

    async fn forget(&mut self, copy: CopyId) -> Result<(), Failure> {
        self.0.lock().await.forget(copy).await
    }

    async fn stream(
        &mut self,
        from: Resume<S::Position>,
        tables: &[TableState],
        until: Option<S::Position>,
        out: Outlet<S::Position>,
        durable: Durable<S::Position>,
    ) -> Result<Stopped, Failure> {
        self.0.lock().await.stream(from, tables, until, out, durable).await
    }
}
