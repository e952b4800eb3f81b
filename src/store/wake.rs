//! Waking workers when there is something to do, so that a mail does not wait for the next look into the queue.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::watch;

use super::Error;
use super::Store;
use super::batch::args;
use super::connection::Pools;
use super::connection::Tx;
use super::dialect::Dialect;

/// A worker's ear. Every call that plans sends wakes all of them: through the database on PostgreSQL, whichever host
/// they are on; within one process on SQLite, where other processes are heard of only by looking.
#[derive(Debug)]
pub struct WakeUp(Ear);

#[derive(Debug)]
enum Ear {
    Process(watch::Receiver<()>),
    Database(PgListener),
}

/// Why a wait ended. It may also be said that there is work when somebody else has taken it already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// There may be something to do.
    Work,
    /// Nothing was heard.
    Timeout,
}

impl Store {
    /// An ear that hears what is planned from now on.
    pub async fn wake_up(&self) -> Result<WakeUp, Error> {
        Ok(WakeUp(match &self.pools {
            Pools::Sqlite { .. } => Ear::Process(self.shared.work.subscribe()),
            Pools::Postgres(pool) => {
                let (channel,): (String,) =
                    sqlx::query_as("select 'bespoke_work_' || current_schema()").fetch_one(pool).await?;
                let mut listener = PgListener::connect_with(pool).await?;
                listener.listen(&channel).await?;
                Ear::Database(listener)
            }
        }))
    }

    /// Tells ears on other hosts, when the transaction commits.
    pub(super) async fn notify(&self, tx: &mut Tx) -> Result<(), Error> {
        if tx.dialect() == Dialect::Postgres {
            let _: Vec<(i64,)> =
                tx.all("select count(pg_notify('bespoke_work_' || current_schema(), ''))", args![]).await?;
        }
        Ok(())
    }

    /// Tells ears in this process, after the commit.
    pub(super) fn wake(&self) {
        self.shared.work.send_replace(());
    }
}

impl WakeUp {
    /// Waits until something was planned, at most `timeout`. A connection that was lost is made again, and counts as
    /// work: something may have been planned meanwhile.
    pub async fn wait(&mut self, timeout: Duration) -> Result<Woken, Error> {
        let heard = async {
            match &mut self.0 {
                Ear::Process(work) => work.changed().await.map_err(|_| sqlx::Error::PoolClosed),
                Ear::Database(listener) => listener.try_recv().await.map(|_| ()),
            }
        };
        match tokio::time::timeout(timeout, heard).await {
            Ok(result) => Ok(result.map(|()| Woken::Work)?),
            Err(_) => Ok(Woken::Timeout),
        }
    }
}
