//! The order in which rows arrived, safe to read on from.
//!
//! A sequence hands out numbers before rows are committed, so on PostgreSQL a reader could see number 8, go on from
//! there, and miss number 7, which commits a moment later. Here the last number stands in a row, and whoever takes
//! numbers holds that row until its transaction ends: numbers are committed in their order. Writers of one table wait
//! for each other, as long as one batch takes; readers wait for nobody.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;

use super::Error;
use super::batch::args;
use super::connection::Tx;

/// A place in an order of arrival. What arrives late, however old it is, stands behind every place given out before,
/// so a reader that goes on from its last place misses nothing. The default is the place before everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Arrival(pub(super) i64);

/// Rows in the order of arrival, each with its place. One that cannot be read is `None`: whoever reads on gets past it.
pub type Page<T> = Vec<(Arrival, Option<T>)>;

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

/// Tables that are read in order of arrival.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arrivals {
    Events,
    StageTransitions,
    Outcomes,
}

impl Arrivals {
    fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::StageTransitions => "stage_transitions",
            Self::Outcomes => "outcome_log",
        }
    }
}

/// Takes the next `count` numbers of a table and returns the first of them.
pub(super) async fn take(tx: &mut Tx, table: Arrivals, count: usize) -> Result<i64, Error> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let last: Option<(i64,)> = tx
        .first(
            "update counters set value = value + $1 where name = $2 returning value",
            args![count, table.as_str()],
        )
        .await?;
    let (last,) = last.ok_or_else(|| Error::unreadable("counters", table.as_str(), "the row is missing"))?;
    Ok(last - count + 1)
}
