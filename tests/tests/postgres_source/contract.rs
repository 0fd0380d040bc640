use std::time::Duration;

use change::TableName;
use postgres_source::PostgresSource;

use crate::rig::Fixture;

/// The contract that every source keeps.
struct Bench {
    db: Fixture,
}

impl connector::conformance::SourceBench for Bench {
    type Source = PostgresSource;

    async fn fresh(&mut self) -> [TableName; 2] {
        let drop_slots = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
            WHERE database = current_database() AND active";
        self.db.run(drop_slots).await;
        for _ in 0..100 {
            let sql = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database() AND active";
            if self.db.value(sql).await == "0" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let drop_slots = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
            WHERE database = current_database()";
        self.db.run(drop_slots).await;
        self.db.run("DROP TABLE IF EXISTS first, second").await;
        for table in ["first", "second"] {
            self.db
                .run(&format!(
                    "CREATE TABLE {table} (id bigint PRIMARY KEY, n int NOT NULL, v text)"
                ))
                .await;
        }
        [TableName::new("public", "first"), TableName::new("public", "second")]
    }

    async fn source(&mut self) -> PostgresSource {
        self.db.source("")
    }

    async fn commit(&mut self, steps: &[connector::conformance::Step]) {
        use connector::conformance::Step;
        let name = |table: &usize| ["first", "second"][*table];
        let mut sql = String::from("BEGIN; ");
        for step in steps {
            let statement = match step {
                Step::Insert(table, keys) => format!(
                    "INSERT INTO {} SELECT i, i, 'v' || i FROM generate_series({}, {}) i; ",
                    name(table),
                    keys.start,
                    keys.end as i64 - 1
                ),
                Step::Update(table, keys) => format!(
                    "UPDATE {} SET n = n + 1 WHERE id >= {} AND id < {}; ",
                    name(table),
                    keys.start,
                    keys.end
                ),
                Step::Delete(table, keys) => {
                    format!(
                        "DELETE FROM {} WHERE id >= {} AND id < {}; ",
                        name(table),
                        keys.start,
                        keys.end
                    )
                }
            };
            sql.push_str(&statement);
        }
        sql.push_str("COMMIT");
        self.db.run(&sql).await;
    }
}

#[tokio::test]
async fn the_contract_of_a_source_is_kept() {
    let db = Fixture::new("contract").await;
    let mut bench = Bench { db };
    connector::conformance::check_source(&mut bench).await;
    bench.db.finish().await;
}
