//! Waiting for what others bring about: a look every few milliseconds, and an end.

use std::time::Duration;
use std::time::Instant;

use sqlx::Connection as _;
use sqlx::PgConnection;
use sqlx::Row as _;
use tokio::time::interval;

use super::Database;

/// How long is waited for anything.
const PATIENCE: Duration = Duration::from_mins(1);
/// From one look to the next, so that whoever is waited for gets the processor.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks until there is what it looks for.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    let mut pauses = interval(PAUSE);
    loop {
        pauses.tick().await;
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
    }
}

/// A connection to PostgreSQL that holds what others want.
pub(crate) struct Holder {
    connection: PgConnection,
    pub(crate) pid: i32,
}

impl Holder {
    pub(crate) async fn of(database: &Database, sql: &str) -> Self {
        let mut connection = database.begun(sql).await;
        let row = sqlx::query("select pg_backend_pid()").fetch_one(&mut connection).await.unwrap();
        Self { connection, pid: row.get(0) }
    }

    /// Waits until somebody waits for one of these, and says who.
    pub(crate) async fn waited_for(&mut self, pids: &[i32]) -> i32 {
        let sql = "select pid from pg_locks where not granted and pg_blocking_pids(pid) && $1";
        let connection = &mut self.connection;
        until("somebody waits for a lock", async || {
            let row = sqlx::query(sql).bind(pids).fetch_optional(&mut *connection).await.unwrap();
            row.map(|row| row.get(0))
        })
        .await
    }

    /// Waits until so many wait for one of these.
    pub(crate) async fn waited_for_by(&mut self, pids: &[i32], count: i64) {
        let sql =
            "select count(distinct pid) from pg_locks where not granted and pg_blocking_pids(pid) && $1";
        let connection = &mut self.connection;
        until("several wait for a lock", async || {
            let row = sqlx::query(sql).bind(pids).fetch_one(&mut *connection).await.unwrap();
            (row.get::<i64, _>(0) >= count).then_some(())
        })
        .await;
    }

    pub(crate) async fn lets_go(mut self) {
        sqlx::raw_sql("commit").execute(&mut self.connection).await.unwrap();
        self.connection.close().await.unwrap();
    }
}
