//! The order in which rows arrived, safe to read on from.
//!
//! A sequence hands out numbers before rows are committed, so on PostgreSQL a reader could see number 8, go on from
//! there, and miss number 7, which commits a moment later. Writers therefore share an advisory lock until they
//! commit, and a reader in order of arrival takes the same lock alone: when it has it, no number is in flight.
//! Writers wait for a reader only as long as it reads one page. SQLite has one writer, and its order is safe as it is.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;

use super::Error;
use super::Store;
use super::batch::args;
use super::connection::Tx;
use super::dialect::Dialect;

/// A place in an order of arrival. What arrives late, however old it is, stands behind every place given out before,
/// so a reader that goes on from its last place misses nothing. The default is the place before everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Arrival(pub(super) i64);

impl Arrival {
    /// Reads the displayed form back.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Tables that are read in order of arrival; the number names the lock.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arrivals {
    Events = 1,
    StageTransitions = 2,
}

/// Joins the writers of this table until the transaction ends.
pub(super) async fn enter(tx: &mut Tx, table: Arrivals) -> Result<(), Error> {
    if tx.dialect() == Dialect::Postgres {
        let sql = "select pg_advisory_xact_lock_shared(hashtext(current_schema()), $1::int)";
        tx.run(sql, args![table as i64]).await?;
    }
    Ok(())
}

impl Store {
    /// A transaction in which nothing of this table is in flight.
    pub(super) async fn settled(&self, table: Arrivals) -> Result<Tx, Error> {
        let mut tx = self.pools.begin_reading().await?;
        if tx.dialect() == Dialect::Postgres {
            let sql = "select pg_advisory_xact_lock(hashtext(current_schema()), $1::int)";
            tx.run(sql, args![table as i64]).await?;
        }
        Ok(tx)
    }
}
