//! What only one process may do at a time: work on a SQLite file, plan, learn.

use std::fs::File;
use std::fs::TryLockError;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::PgConnection;
use sqlx::PgPool;

use super::Error;
use super::Store;
use super::connection::Pools;

/// How long a leader waits for the database to say that it still leads.
const LEADER_CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// Leave to work.
#[derive(Debug)]
pub enum WorkerLock {
    /// SQLite: no other process works on this file, and those before have ended.
    Sole(SoleWorker),
    /// PostgreSQL: others may work too.
    OneOfMany,
}

/// Proof that no other process works on this database. The operating system takes it back when the process ends,
/// however it ends, so the lock of a dead process never stands in the way.
#[derive(Debug)]
pub struct SoleWorker {
    _file: File,
}

/// What one process does for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Turns campaigns into scheduled sends, gives back orphans.
    Planner,
    /// Fits models.
    Learner,
    /// Tells other systems what happened.
    Messenger,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Planner => "planner",
            Self::Learner => "learner",
            Self::Messenger => "messenger",
        }
    }

    /// The number of its advisory lock; the tables read in order of arrival have 1 and 2.
    fn lock(self) -> i32 {
        match self {
            Self::Planner => 101,
            Self::Learner => 102,
            Self::Messenger => 103,
        }
    }
}

/// Held while this process has a [`Role`]; dropped, or cut off from the database, another may have it.
#[derive(Debug)]
pub struct Leadership(Hold);

#[derive(Debug)]
enum Hold {
    File { _file: File },
    Session(PgConnection),
}

/// Stands for a role as long as it lives.
#[derive(Debug)]
pub struct Candidate {
    store: Store,
    role: Role,
    leadership: Option<Leadership>,
}

impl Candidate {
    /// Nothing is asked yet.
    pub fn new(store: Store, role: Role) -> Self {
        Self { store, role, leadership: None }
    }

    /// Whether this process has the role now: it still does, or nobody had it. One that cannot tell has it not.
    pub async fn leads(&mut self) -> bool {
        if let Some(leadership) = &mut self.leadership
            && leadership.holds().await
        {
            return true;
        }
        self.leadership = None;
        match tokio::time::timeout(LEADER_CHECK_TIMEOUT * 2, self.store.lead(self.role)).await {
            Ok(Ok(leadership)) => self.leadership = leadership,
            Ok(Err(error)) => tracing::warn!("cannot ask who is {:?}, trying again: {error}", self.role),
            Err(_) => tracing::warn!("nobody says who is {:?}, trying again", self.role),
        }
        self.leadership.is_some()
    }
}

impl Store {
    /// Leave to work. On SQLite one process at a time has it.
    ///
    /// # Errors
    /// [`Error::Held`] when another process works on the same file.
    pub fn worker_lock(&self) -> Result<WorkerLock, Error> {
        let Some(database) = &self.shared.path else { return Ok(WorkerLock::OneOfMany) };
        match lock_file(&beside(database, "worker"))? {
            Some(file) => Ok(WorkerLock::Sole(SoleWorker { _file: file })),
            None => Err(Error::Held(format!(
                "another bespoke is working on {}: SQLite allows one worker; stop that one, or use PostgreSQL for \
                 many",
                database.display()
            ))),
        }
    }

    /// Where files about this database lie on this host, with names that begin so: beside a SQLite file; for
    /// PostgreSQL among temporary files, under a name that is the same for all workers of one database.
    pub fn beside(&self) -> PathBuf {
        self.shared.path.clone().unwrap_or_else(|| std::env::temp_dir().join(&self.shared.name))
    }

    /// Takes a role if nobody has it. `None` when another process has it: ask again later.
    pub async fn lead(&self, role: Role) -> Result<Option<Leadership>, Error> {
        match &self.pools {
            Pools::Postgres(pool) => lead_session(pool, role).await,
            Pools::Sqlite { .. } => {
                let Some(database) = &self.shared.path else { return Ok(None) };
                let file = lock_file(&beside(database, role.as_str()))?;
                Ok(file.map(|file| Leadership(Hold::File { _file: file })))
            }
        }
    }
}

/// The lock is the session's, and the session is nobody else's: when it ends, the server gives the role away.
async fn lead_session(pool: &PgPool, role: Role) -> Result<Option<Leadership>, Error> {
    let mut session = pool.acquire().await?.detach();
    let (led,): (bool,) =
        sqlx::query_as("select pg_try_advisory_lock(hashtext('bespoke ' || current_schema()), $1)")
            .bind(role.lock())
            .fetch_one(&mut session)
            .await?;
    Ok(led.then(|| Leadership(Hold::Session(session))))
}

impl Leadership {
    /// Whether this process still has the role. A leader asks before each piece of work; cut off from the server, it
    /// finds out within five seconds, and the server gives the role away within about ten.
    pub async fn holds(&mut self) -> bool {
        match &mut self.0 {
            Hold::File { .. } => true,
            Hold::Session(session) => {
                let answer = sqlx::query("select 1").execute(session);
                matches!(tokio::time::timeout(LEADER_CHECK_TIMEOUT, answer).await, Ok(Ok(_)))
            }
        }
    }
}

/// `shop.db` → `shop.db.worker.lock`. It stays there, empty; what counts is the lock on it.
fn beside(database: &Path, name: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(format!(".{name}.lock"));
    PathBuf::from(path)
}

fn lock_file(path: &Path) -> Result<Option<File>, Error> {
    let failed = |error: &std::io::Error| Error::Open(format!("cannot lock {}: {error}", path.display()));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(&error)),
    }
}
