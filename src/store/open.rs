//! Opening either database, and refusing what could lose mail.

use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::sqlite::SqliteJournalMode;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::sqlite::SqliteSynchronous;
use tokio::time::Instant;

use super::Error;
use super::connection::ACQUIRE_TIMEOUT;
use super::connection::Pools;

/// Connections that read a SQLite file at the same time.
const SQLITE_READERS_MAX: u32 = 4;
/// Connections of one process to PostgreSQL.
const POSTGRES_CONNECTIONS_MAX: u32 = 10;
/// How long SQLite waits for another process that writes.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A server answers an empty question within this long.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was used this short a time ago is not asked first.
const TRUSTED: Duration = Duration::from_millis(500);
/// Oldest PostgreSQL that has what is used here (`pg_current_xact_id` and friends).
const POSTGRES_VERSION_MIN: i32 = 140_000;

/// Longest wait at the start for a server that is still starting itself: it may have a journal to play back.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// A server that does not answer yet is asked again after this long.
const CONNECT_RETRY: Duration = Duration::from_millis(250);

/// What becomes of who opens a PostgreSQL that is not there, or is still starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// They are told at once: a person waits for the answer.
    Told,
    /// They wait for it, half a minute at most: after a restart of the machine services start before their database.
    WaitedFor,
}

/// Opens `sqlite://PATH` or `postgres://…`. For SQLite the file's path comes back too.
pub(super) async fn open(url: &str, absence: Absence) -> Result<(Pools, Option<PathBuf>), Error> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
        return Ok((open_sqlite(&path).await?, Some(path)));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok((open_postgres(url, absence).await?, None));
    }
    let scheme = url.split(':').next().unwrap_or_default();
    Err(Error::Open(format!(
        "the database URL starts with `{scheme}:`; write sqlite://PATH or postgres://USER@HOST/NAME"
    )))
}

async fn open_sqlite(path: &Path) -> Result<Pools, Error> {
    check_sqlite_path(path)?;
    let failed = |error: sqlx::Error| Error::Open(format!("cannot open {}: {error}", path.display()));
    // FULL: with NORMAL a power loss may take back a commit, and with it the mark that keeps a mail from going twice.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .foreign_keys(true)
        // Nothing is mapped: pages of a large file would count as ours, and memory is to stay small whatever its size.
        .pragma("cache_size", "-16384")
        .pragma("temp_store", "memory")
        // What is deleted is overwritten: a person who asked to be forgotten is not in the file any more.
        .pragma("secure_delete", "on")
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "67108864")
        .row_buffer_size(512);
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options.clone().create_if_missing(true).optimize_on_close(true, 400))
        .await
        .map_err(failed)?;
    let (journal,): (String,) =
        sqlx::query_as("pragma journal_mode").fetch_one(&writer).await.map_err(failed)?;
    let (synchronous,): (i64,) =
        sqlx::query_as("pragma synchronous").fetch_one(&writer).await.map_err(failed)?;
    if journal != "wal" || synchronous != 2 {
        return Err(Error::Open(format!(
            "{}: SQLite could not use its write-ahead log here (journal_mode {journal}, synchronous \
             {synchronous}); put the file on a local disk",
            path.display()
        )));
    }
    let readers = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(None)
        .connect_with(options.read_only(true).pragma("cache_size", "-8192"))
        .await
        .map_err(failed)?;
    Ok(Pools::Sqlite { writer, readers })
}

fn check_sqlite_path(path: &Path) -> Result<(), Error> {
    let text = path.to_string_lossy();
    if text.is_empty() || text.contains(":memory:") {
        return Err(Error::Open(
            "the database must be a file, so that it outlives the process; write sqlite://PATH".to_owned(),
        ));
    }
    if text.contains('?') {
        return Err(Error::Open(format!(
            "sqlite://{text}: options behind `?` are not supported; write the path"
        )));
    }
    if path.is_dir() {
        return Err(Error::Open(format!("{text} is a folder; name a file in it, such as {text}/bespoke.db")));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => Err(Error::Open(format!(
            "the folder {} of the database {text} does not exist; create it, or name another file",
            folder.display()
        ))),
        _ => Ok(()),
    }
}

async fn open_postgres(url: &str, absence: Absence) -> Result<Pools, Error> {
    // The parser's own text may quote the URL, and with it the password.
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| {
            Error::Open(
                "the PostgreSQL URL is not well formed; write postgres://USER:PASSWORD@HOST:PORT/NAME"
                    .to_owned(),
            )
        })?
        .application_name("bespoke")
        .options([
            // A plan made for a table as it was empty must not serve it when it holds millions.
            ("plan_cache_mode", "force_custom_plan"),
            ("jit", "off"),
            // The server lets go of the locks of a worker that was cut off within about ten seconds.
            ("tcp_keepalives_idle", "4"),
            ("tcp_keepalives_interval", "2"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "10000"),
            // No transaction waits for anything of ours: who is idle in one for so long is frozen, and others wait.
            ("idle_in_transaction_session_timeout", "10000"),
            ("lock_timeout", "20000"),
        ]);
    let place = format!(
        "PostgreSQL at {}, database {}, as {}",
        options.get_socket().map_or_else(
            || format!("{}:{}", options.get_host(), options.get_port()),
            |socket| socket.display().to_string()
        ),
        options.get_database().unwrap_or("(default)"),
        options.get_username(),
    );
    let failed = |error: sqlx::Error| Error::Open(format!("cannot open {place}: {error}"));
    let mut first = connect(&options, &place, absence).await?;
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // Behind a cut network nobody answers; such a connection goes, or the pool would be full of them.
        .test_before_acquire(false)
        .before_acquire(|connection, state| {
            Box::pin(async move { Ok(state.idle_for < TRUSTED || is_there(connection).await?) })
        })
        .after_release(|connection, _| Box::pin(is_there(connection)))
        .connect_lazy_with(options);
    let (version,): (i32,) = sqlx::query_as("select current_setting('server_version_num')::int")
        .fetch_one(&mut first)
        .await
        .map_err(failed)?;
    if version < POSTGRES_VERSION_MIN {
        return Err(Error::Open(format!("{place} is version {}; at least 14 is needed", version / 10_000)));
    }
    let (durable,): (String,) = sqlx::query_as("select current_setting('synchronous_commit')")
        .fetch_one(&mut first)
        .await
        .map_err(failed)?;
    if durable != "on" && durable != "remote_apply" {
        return Err(Error::Open(format!(
            "{place} has synchronous_commit = {durable}: after a crash it may forget which mails are on the wire, \
             and they would go twice; set it to on"
        )));
    }
    // It has told what it was asked, whether or not it can say farewell.
    let _ = first.close().await;
    Ok(Pools::Postgres(pool))
}

/// The first connection. The pool would try again until it gives up, and not say why it could not connect.
async fn connect(options: &PgConnectOptions, place: &str, absence: Absence) -> Result<PgConnection, Error> {
    let patience = if absence == Absence::WaitedFor { START_TIMEOUT } else { ACQUIRE_TIMEOUT };
    let deadline = Instant::now() + patience;
    let mut last = None;
    loop {
        let fault = match tokio::time::timeout_at(deadline, PgConnection::connect_with(options)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(fault)) => Error::Database(fault),
            Err(_) => {
                let why = last.unwrap_or_else(|| "nobody answers there".to_owned());
                return Err(Error::Open(format!("cannot open {place}: {why}")));
            }
        };
        let may_pass = fault.is_transient() && Instant::now() + CONNECT_RETRY < deadline;
        let Error::Database(fault) = fault else { return Err(fault) };
        if absence == Absence::Told || !may_pass {
            return Err(Error::Open(format!("cannot open {place}: {fault}")));
        }
        if last.is_none() {
            tracing::warn!("{place} is not there yet, trying again for {patience:?}: {fault}");
        }
        last = Some(fault.to_string());
        tokio::time::sleep(CONNECT_RETRY).await;
    }
}

/// Whether somebody answers at the other end.
async fn is_there(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(PING_TIMEOUT, connection.ping()).await {
        Ok(answer) => answer.map(|()| true),
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}
