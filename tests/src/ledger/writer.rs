//! The writers of the workload: transactions of every size, some of them rolled back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::TABLES;
use crate::Result;
use crate::database::Database;

/// Writers at work.
#[derive(Debug)]
pub struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<()>>>,
    /// Transactions committed so far.
    pub committed: Arc<AtomicU64>,
}

/// How many keys the writers know of each small table.
const KEYS: i64 = 2_000;

/// Starts `count` writers; `copied` is the number of rows that the large table begins with. Each rests `pause` between two
/// transactions.
pub async fn write(
    database: &Database,
    count: usize,
    copied: i64,
    pause: Duration,
    seed: u64,
) -> Result<Writers> {
    let stop = Arc::new(AtomicBool::new(false));
    let committed = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for number in 0..count {
        let client = database.session().await?;
        let rng = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
        let (stop, committed) = (Arc::clone(&stop), Arc::clone(&committed));
        tasks.push(tokio::spawn(async move {
            let mut writer = Writer { client, rng, copied };
            while !stop.load(Ordering::Relaxed) {
                if writer.transaction().await? {
                    committed.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(pause).await;
            }
            Ok(())
        }));
    }
    Ok(Writers { stop, tasks, committed })
}

impl Writers {
    /// Ends after the running transactions.
    pub async fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        Ok(())
    }
}

struct Writer {
    client: Client,
    rng: StdRng,
    copied: i64,
}

impl Writer {
    /// One transaction; whether it was committed. Two writers that meet in a deadlock are no failure.
    async fn transaction(&mut self) -> Result<bool> {
        let sql = self.script();
        match self.client.batch_execute(&sql).await {
            Ok(()) => Ok(sql.ends_with("COMMIT")),
            Err(error)
                if error.as_db_error().is_some_and(|error| error.code().code() == "40P01") =>
            {
                self.client.batch_execute("ROLLBACK").await?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn script(&mut self) -> String {
        let mut sql = "BEGIN;".to_owned();
        let statements = self.rng.random_range(1..=4);
        for _ in 0..statements {
            let acts = self.acts();
            if self.rng.random_bool(0.05) {
                sql.push_str(&format!("SAVEPOINT s;{acts}ROLLBACK TO s;"));
            } else {
                sql.push_str(&acts);
            }
        }
        let end =
            if self.rng.random_bool(0.03) { "ROLLBACK" } else { "SELECT ledger.seal();COMMIT" };
        sql.push_str(end);
        sql
    }

    /// A statement of one or many changes of one table.
    fn acts(&mut self) -> String {
        let table = TABLES[self.rng.random_range(0..TABLES.len())];
        let keys = if table == "copied" { self.copied + self.copied / 50 } else { KEYS };
        // A key change with values that the log lacks cannot be folded, so the table of large values has none.
        if table != "fat" && self.rng.random_bool(0.1) {
            let (from, to) = (self.rng.random_range(1..=keys), self.rng.random_range(1..=keys));
            if from != to {
                return format!("SELECT ledger.move('{table}', {from}, {to});");
            }
        }
        let count = match self.rng.random_range(0..1000) {
            0 if table != "fat" => 5_000,
            1..=15 if table != "fat" => 300,
            _ => self.rng.random_range(1..=8),
        };
        // Keys in ascending order, so that writers seldom deadlock.
        format!(
            "SELECT count(ledger.act('{table}', id, random())) FROM (SELECT DISTINCT (1 + floor(random() * {keys}))::bigint AS id \
             FROM generate_series(1, {count}) ORDER BY 1) k;"
        )
    }
}
