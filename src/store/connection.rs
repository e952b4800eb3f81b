//! One statement, either database: the only place that knows both drivers.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::Either;
use sqlx::Executor as _;
use sqlx::FromRow;
use sqlx::PgPool;
use sqlx::Postgres;
use sqlx::Sqlite;
use sqlx::SqlitePool;
use sqlx::Transaction;
use sqlx::postgres::PgRow;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::sqlite::SqliteRow;

use super::Error;
use super::batch::Arg;
use super::dialect::Dialect;
use super::dialect::Sql;

/// Longest wait for a free connection before a call fails as transient.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that has not answered a statement of a transaction after this long is not there any more: nothing else
/// tells of a network that was cut while an answer was on its way. Longer than the server's own `lock_timeout`.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);
/// The same for what is only read: reports read much at once.
const READ_TIMEOUT: Duration = Duration::from_mins(2);

/// What the database says within this time; a fault that may pass by itself when it says nothing.
async fn answered<T>(
    timeout: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    let late = || {
        let text = format!("the database has not answered for {timeout:?}");
        sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, text))
    };
    Ok(tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| Err(late()))?)
}

/// A row that can be read from both databases.
pub(super) trait Record:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Record for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// The open database.
#[derive(Debug, Clone)]
pub(super) enum Pools {
    /// One writer, because SQLite has one; readers beside it.
    Sqlite {
        /// The only connection that writes.
        writer: SqlitePool,
        /// Read-only connections.
        readers: SqlitePool,
    },
    /// One pool for all.
    Postgres(PgPool),
}

/// Binds all arguments, in order.
macro_rules! bound {
    ($query:expr, $args:expr) => {{
        let mut query = $query;
        for arg in $args {
            query = match arg {
                Arg::Text(value) => query.bind(value),
                Arg::Integer(value) => query.bind(value),
                Arg::Real(value) => query.bind(value),
                Arg::Bytes(value) => query.bind(value),
            };
        }
        query
    }};
}

/// SQLite ends a transaction by itself when the disk is full or fails. The driver does not notice, and would refuse every
/// transaction after that: such a connection is replaced.
async fn begin_sqlite(writer: &SqlitePool) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    match writer.begin_with("begin immediate").await {
        Err(sqlx::Error::InvalidSavePointStatement) => {
            // It goes, whether or not it can say farewell.
            let _ = writer.acquire().await?.close().await;
            writer.begin_with("begin immediate").await
        }
        begun => begun,
    }
}

/// Begins in a task of its own. Where a `begin` is dropped half way, as by a client that hangs up, the driver leaves the
/// connection within a transaction that nobody ends, and what others write over it is lost.
async fn begin_postgres(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin().await });
    begun.await.unwrap_or(Err(sqlx::Error::PoolClosed))
}

/// What one statement reads of a file: all of it, or up to its first row. Where a thread of the driver dies, as for want of
/// memory, its rows end as if there were no more, so the word of SQLite itself that they ended is waited for.
async fn read_sqlite<T: Record>(
    readers: &SqlitePool,
    query: Query<'_, Sqlite, SqliteArguments>,
    wanted: Wanted,
) -> Result<Vec<T>, sqlx::Error> {
    let mut steps = readers.fetch_many(query);
    let (mut rows, mut ended) = (Vec::new(), false);
    while let Some(step) = steps.try_next().await? {
        match step {
            Either::Left(_) => ended = true,
            Either::Right(row) => rows.push(T::from_row(&row)?),
        }
        if wanted == Wanted::First && !rows.is_empty() {
            return Ok(rows);
        }
    }
    if ended { Ok(rows) } else { Err(sqlx::Error::WorkerCrashed) }
}

/// Which rows of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    First,
}

/// Expands one query for a transaction on either database: a file answers as long as it is there, a server in time.
macro_rules! on_transaction {
    ($tx:expr, $connection:ident => $query:expr) => {
        match $tx {
            Tx::Sqlite(tx) => {
                let $connection = &mut **tx;
                $query.await?
            }
            Tx::Postgres(tx) => {
                let $connection = &mut **tx;
                answered(TRANSACTION_TIMEOUT, Box::pin($query)).await?
            }
        }
    };
}

impl Pools {
    /// Which words the database wants.
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite { .. } => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Reads all rows, outside of any transaction.
    pub(super) async fn all<T: Record>(&self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<Vec<T>, Error> {
        let text = self.dialect().statement(sql.into());
        match self {
            Self::Sqlite { readers, .. } => {
                let query = bound!(sqlx::query::<Sqlite>(text), args);
                Ok(Box::pin(read_sqlite(readers, query, Wanted::All)).await?)
            }
            Self::Postgres(pool) => {
                let query = bound!(sqlx::query_as::<Postgres, T>(text), args);
                answered(READ_TIMEOUT, Box::pin(query.fetch_all(pool))).await
            }
        }
    }

    /// Reads the first row, if there is one, outside of any transaction.
    pub(super) async fn first<T: Record>(
        &self,
        sql: impl Into<Sql>,
        args: Vec<Arg>,
    ) -> Result<Option<T>, Error> {
        let text = self.dialect().statement(sql.into());
        match self {
            Self::Sqlite { readers, .. } => {
                let query = bound!(sqlx::query::<Sqlite>(text), args);
                let rows = Box::pin(read_sqlite(readers, query, Wanted::First)).await?;
                Ok(rows.into_iter().next())
            }
            Self::Postgres(pool) => {
                let query = bound!(sqlx::query_as::<Postgres, T>(text), args);
                answered(READ_TIMEOUT, Box::pin(query.fetch_optional(pool))).await
            }
        }
    }

    /// Opens a transaction that writes. On SQLite it takes the write lock at once: a transaction that begins by
    /// reading and writes later fails at once when another wrote in between, whatever the busy timeout.
    pub(super) async fn begin(&self) -> Result<Tx, Error> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(Box::pin(begin_sqlite(writer)).await?),
            Self::Postgres(pool) => {
                Tx::Postgres(answered(TRANSACTION_TIMEOUT, Box::pin(begin_postgres(pool))).await?)
            }
        })
    }

    /// One statement that writes, in a transaction of its own. Returns how many rows it changed.
    pub(super) async fn run(&self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<u64, Error> {
        let text = self.dialect().statement(sql.into());
        Ok(match self {
            Self::Sqlite { writer, .. } => {
                bound!(sqlx::query(text), args).execute(writer).await?.rows_affected()
            }
            Self::Postgres(pool) => {
                answered(TRANSACTION_TIMEOUT, Box::pin(bound!(sqlx::query(text), args).execute(pool)))
                    .await?
                    .rows_affected()
            }
        })
    }
}

impl Pools {
    /// On SQLite, moves what the log holds into the file and empties the log, which still shows what was deleted.
    /// False while somebody reads what is only in the log.
    pub(super) async fn truncate_log(&self) -> Result<bool, Error> {
        let Self::Sqlite { writer, .. } = self else { return Ok(true) };
        let (busy, _, _): (i64, i64, i64) =
            sqlx::query_as("pragma wal_checkpoint(truncate)").fetch_one(writer).await?;
        Ok(busy == 0)
    }
}

/// What transactions on PostgreSQL agree about by an advisory lock of their schema, until they end. On SQLite there is
/// one writer, so nothing has to be agreed. Take it before any row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Accord {
    /// Joining people: whoever does holds it alone, whoever writes under an anonymous id shares it, so that nothing is
    /// written under an id that is being joined.
    Joins = 201,
    /// Erasing people: whoever does holds it alone, whoever writes about people shares it, so that nobody writes about
    /// somebody whom they found alive, and who was erased before they committed.
    Erasures = 202,
    /// Questions about consent are counted one after the other.
    Questions = 203,
}

/// With whom an [`Accord`] is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// With all who share it.
    Shared,
    /// With nobody.
    Alone,
}

/// An open transaction; dropped without [`Tx::commit`], it leaves nothing behind.
#[derive(Debug)]
pub(super) enum Tx {
    /// Holds the write lock.
    Sqlite(Transaction<'static, Sqlite>),
    /// Read committed: every statement sees what was committed before it began.
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    /// Which words the database wants.
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Reads all rows, also those that a writing statement returns; in no stated order on SQLite.
    pub(super) async fn all<T: Record>(
        &mut self,
        sql: impl Into<Sql>,
        args: Vec<Arg>,
    ) -> Result<Vec<T>, Error> {
        let text = self.dialect().statement(sql.into());
        let rows = on_transaction!(self, connection => {
            bound!(sqlx::query_as::<_, T>(text), args).fetch_all(connection)
        });
        Ok(rows)
    }

    /// Reads the first row, if there is one.
    pub(super) async fn first<T: Record>(
        &mut self,
        sql: impl Into<Sql>,
        args: Vec<Arg>,
    ) -> Result<Option<T>, Error> {
        Ok(self.all(sql, args).await?.into_iter().next())
    }

    /// Runs a statement and returns how many rows it changed.
    pub(super) async fn run(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<u64, Error> {
        let text = self.dialect().statement(sql.into());
        let changed: u64 = match self {
            Self::Sqlite(tx) => bound!(sqlx::query(text), args).execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => {
                answered(TRANSACTION_TIMEOUT, Box::pin(bound!(sqlx::query(text), args).execute(&mut **tx)))
                    .await?
                    .rows_affected()
            }
        };
        Ok(changed)
    }

    /// Waits for an accord, and holds it until the transaction ends.
    pub(super) async fn agree(&mut self, accord: Accord, held: Held) -> Result<(), Error> {
        if self.dialect() == Dialect::Postgres {
            let function = match held {
                Held::Shared => "pg_advisory_xact_lock_shared",
                Held::Alone => "pg_advisory_xact_lock",
            };
            let sql =
                format!("select {function}(hashtext('bespoke ' || current_schema()), cast($1 as integer))");
            self.run(sql, vec![Arg::from(accord as i32)]).await?;
        }
        Ok(())
    }

    /// Runs several statements without arguments (migrations), however long that takes.
    pub(super) async fn script(&mut self, text: String) -> Result<(), Error> {
        let text = sqlx::AssertSqlSafe(text);
        match self {
            Self::Sqlite(tx) => sqlx::raw_sql(text).execute(&mut **tx).await.map(|_| ())?,
            Self::Postgres(tx) => sqlx::raw_sql(text).execute(&mut **tx).await.map(|_| ())?,
        }
        Ok(())
    }

    /// Makes it last.
    pub(super) async fn commit(self) -> Result<(), Error> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => answered(TRANSACTION_TIMEOUT, Box::pin(tx.commit())).await?,
        }
        Ok(())
    }
}
