//! Tables and the changes in them. The values follow from the row's number alone, so every run has the same data.

use e2e::{Result, database::Database};

/// Ten columns: numbers, texts (one long null, one null now and then), a decimal, a boolean, a time.
const SCHEMA: &str = "
CREATE TABLE public.rows (
    id bigint PRIMARY KEY, n int NOT NULL, name varchar(40) NOT NULL, city varchar(40), note text,
    amount numeric(12,2) NOT NULL, stock int, weight double precision NOT NULL, active boolean NOT NULL,
    at timestamp(6) NOT NULL
);
CREATE TABLE public.done (id bigint PRIMARY KEY);
CREATE PROCEDURE public.fill(first bigint, count bigint, size bigint) LANGUAGE plpgsql AS $$
DECLARE at bigint := first;
BEGIN
    WHILE at < first + count LOOP
        INSERT INTO public.rows SELECT n, (n * 7919 % 1000003)::int, 'customer ' || (n * 104729 % 1000003),
            CASE WHEN n % 3 > 0 THEN 'city ' || n * 31 % 977 END, NULL, (n * 7907 % 10000000)::numeric / 100,
            CASE WHEN n % 5 > 0 THEN (n % 991)::int END, n::float8 / 8, n % 2 = 0,
            timestamp '2026-01-01' + n * interval '1.000123 s'
        FROM generate_series(at, least(at + size, first + count) - 1) n;
        at := at + size;
        COMMIT;
    END LOOP;
END $$;
";

/// Rows of a source transaction.
pub(crate) const TRANSACTION: u64 = 100;

#[derive(Debug)]
pub(crate) struct Backlog {
    pub(crate) database: Database,
    rows: u64,
    marks: u64,
}

impl Backlog {
    pub(crate) async fn create(database: Database) -> Result<Self> {
        for statement in e2e::database::statements(SCHEMA) {
            database.client.batch_execute(&statement).await?;
        }
        Ok(Self { database, rows: 0, marks: 0 })
    }

    /// Inserts `count` rows in transactions of `size`, then one row into `done`; returns the log's end behind it.
    pub(crate) async fn write(&mut self, count: u64, size: u64) -> Result<String> {
        let client = &self.database.client;
        client.batch_execute("SET synchronous_commit = off").await?;
        client.batch_execute(&format!("CALL public.fill({}, {count}, {size})", self.rows)).await?;
        client.batch_execute("SET synchronous_commit = on").await?;
        self.rows += count;
        self.mark().await
    }

    /// One row into `done`, which tells a reader's end from outside.
    pub(crate) async fn mark(&mut self) -> Result<String> {
        self.marks += 1;
        let sql = format!("INSERT INTO public.done VALUES ({})", self.marks);
        self.database.client.batch_execute(&sql).await?;
        let end = self.database.one("SELECT pg_current_wal_insert_lsn()").await?;
        Ok(end.ok_or("no position of the log")?)
    }

    /// Writes back what a checkpoint would write in the middle of a measurement.
    pub(crate) async fn settle(&self) -> Result<()> {
        self.database.admin().await?.batch_execute("CHECKPOINT").await?;
        Ok(())
    }
}
