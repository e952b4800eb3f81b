//! Scheduled sends: planned, claimed, marked, settled. The states and who may change them are in design §5.

mod claim;
mod mark;
mod outcome;
mod plan;
mod read;
mod row;

pub use claim::CLAIM_ROWS_MAX;
pub use claim::Claimed;
pub use mark::Cap;
pub use mark::Mark;
pub use mark::Marked;
pub use mark::Refusal;
pub use outcome::DETAIL_BYTES_MAX;
pub use outcome::GroupCommit;
pub use outcome::SOFT_BOUNCE_WINDOW_MS;
pub use outcome::Settled;
pub use outcome::Settlement;
pub use read::Attempt;
pub use read::SendFilter;
pub use read::StateCount;
pub use row::StoredSend;
