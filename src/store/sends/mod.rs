//! Scheduled sends: planned, claimed, marked, settled. The states and who may change them are in design §5.

mod change;
mod claim;
mod mark;
mod occurrence;
mod outcome;
mod plan;
mod read;
mod reap;
mod row;

pub use change::Canceled;
pub use change::NO_COUPON;
pub use claim::CLAIM_ROWS_MAX;
pub use claim::Claimed;
pub(super) use claim::send_rows;
pub use mark::Cap;
pub use mark::Mark;
pub use mark::Marked;
pub use mark::Refusal;
pub use occurrence::Occurrence;
pub use occurrence::SendOfOccurrence;
pub use outcome::DETAIL_BYTES_MAX;
pub use outcome::GroupCommit;
pub use outcome::GroupCommitted;
pub use outcome::SOFT_BOUNCE_WINDOW_MS;
pub use outcome::Settled;
pub use outcome::Settlement;
pub(super) use plan::plan as plan_in;
pub use read::Attempt;
pub use read::Due;
pub use read::SendFilter;
pub use read::StateCount;
pub use reap::DOT_REPLY_MS;
pub use reap::ORPHANED_MAX;
pub use reap::Orphans;
pub use reap::Reaped;
pub use row::StoredSend;

/// The statements that run for every mail, for [`crate::store::Store::query_plans`].
pub(super) mod statements {
    pub(in crate::store) use super::claim::claim_sql;
    pub(in crate::store) use super::mark::MARK_SQL;
    pub(in crate::store) use super::mark::RECENT_SQL;
    pub(in crate::store) use super::mark::STANDINGS_SQL;
    pub(in crate::store) use super::mark::SUPPRESSIONS_SQL;
    pub(in crate::store) use super::outcome::HOLDINGS_SQL;
    pub(in crate::store) use super::outcome::OUTCOME_SQL;
    pub(in crate::store) use super::reap::leased_sql;
    pub(in crate::store) use super::reap::submitting_sql;
}
