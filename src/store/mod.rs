//! The only SQL: everything that outlives a process, on SQLite and PostgreSQL.
//!
//! Each statement is written once, in the subset that both databases understand (`$1`, `on conflict`, `returning`;
//! ids are text, times are milliseconds, JSON is text); `dialect` lists the few words that differ. A batch is bound
//! as one JSON text. Writing methods are one transaction each, as short as the statement allows; none is open while
//! anything is rendered or sent. Every method is in the conformance suite (`tests/it/store*.rs`), which runs on both.
//!
//! On SQLite times come from the caller; on PostgreSQL the database's clock decides due times and leases, so `now`
//! arguments are only kept as records there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sha2::Digest as _;
use sha2::Sha256;
use tokio::sync::OnceCell;
use tokio::sync::watch;

mod again;
mod aliases;
mod arrival;
mod batch;
mod campaigns;
mod clicks;
mod connection;
mod consents;
mod coupons;
mod decisions;
mod dialect;
mod error;
mod events;
mod feedback;
mod fingerprint;
mod hits;
mod intake;
mod keys;
mod limits;
mod locks;
mod mails;
mod migrate;
mod models;
mod open;
mod packed;
mod person;
mod pilots;
mod plans;
mod preferences;
mod products;
mod profiles;
mod prune;
mod questions;
mod reports;
mod requests;
mod rewards;
mod secrets;
mod sends;
mod shown;
mod stages;
mod suppressions;
mod tombstones;
mod wake;
mod web_decisions;
mod webhooks;

pub use arrival::Arrival;
pub use arrival::Page;
pub use campaigns::CampaignState;
pub use campaigns::Running;
pub use clicks::PersonClick;
pub use consents::ConsentNeeded;
pub use consents::ConsentProof;
pub use consents::LINK_SOURCES;
pub use coupons::CouponCount;
pub use error::Error;
pub use feedback::Feedback;
pub use feedback::FeedbackKind;
pub use feedback::Recorded;
pub use feedback::Target;
pub use fingerprint::Fingerprints;
pub use hits::NewHit;
pub use hits::RecordedHit;
pub use hits::StoredHit;
pub use intake::Heard;
pub use intake::TakenIn;
pub use keys::ApiKey;
pub use keys::Trust;
pub use locks::Candidate;
pub use locks::Leadership;
pub use locks::Role;
pub use locks::SoleWorker;
pub use locks::WorkerLock;
pub use models::Neighbour;
pub use models::StoredModel;
pub use open::Absence;
pub use person::Erased;
pub use person::PersonRows;
pub use pilots::Reception;
pub use plans::QueryPlan;
pub use preferences::Lift;
pub use preferences::Wish;
pub use profiles::Upserted;
pub use prune::Pruned;
pub use questions::Asked;
pub use questions::Confirmed;
pub use questions::ConsentRequest;
pub use questions::QUESTION_WINDOW;
pub use reports::Consequences;
pub use reports::DealtSend;
pub use reports::EndedSends;
pub use reports::GrouplessSends;
pub use reports::PersonRecord;
pub use reports::QUARTER_HOUR_MS;
pub use reports::ReportMail;
pub use reports::StageSteps;
pub use reports::TroubledAttempts;
pub use reports::Window;
pub use requests::Accepted;
pub use requests::IdempotencyKey;
pub use requests::SendRequest;
pub use requests::StoredAttachment;
pub use rewards::AbMail;
pub use rewards::DecisionPlace;
pub use rewards::LATE_AFTER_MS;
pub use rewards::RewardedSend;
pub use sends::Attempt;
pub use sends::CLAIM_ROWS_MAX;
pub use sends::Canceled;
pub use sends::Cap;
pub use sends::Claimed;
pub use sends::DETAIL_BYTES_MAX;
pub use sends::DOT_REPLY_MS;
pub use sends::Due;
pub use sends::GroupCommit;
pub use sends::GroupCommitted;
pub use sends::Mark;
pub use sends::Marked;
pub use sends::NO_COUPON;
pub use sends::ORPHANED_MAX;
pub use sends::Occurrence;
pub use sends::Orphans;
pub use sends::Reaped;
pub use sends::Refusal;
pub use sends::SOFT_BOUNCE_WINDOW_MS;
pub use sends::SendFilter;
pub use sends::SendOfOccurrence;
pub use sends::Settled;
pub use sends::Settlement;
pub use sends::StateCount;
pub use sends::StoredSend;
pub use shown::Shown;
pub use suppressions::BECAUSE_CHARACTERS_MAX;
pub use suppressions::Lifted;
pub use suppressions::Listed;
pub use suppressions::SuppressionFilter;
pub use tombstones::Named;
pub use wake::WakeUp;
pub use wake::Woken;
pub use web_decisions::DECISION_ID;
pub use webhooks::LoggedOutcome;
pub use webhooks::OutcomeLog;
pub use webhooks::QueuedMessage;
pub use webhooks::WebhookMessage;
pub use webhooks::WebhookSource;

use batch::Arg;
use connection::Pools;
use dialect::Sql;

use crate::digest::hex;

/// The database. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    pools: Pools,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The SQLite file; `None` on PostgreSQL.
    path: Option<PathBuf>,
    /// Tells databases apart, and tells nothing about them.
    name: String,
    /// Changes whenever this process plans sends.
    work: watch::Sender<()>,
    /// Made when it is first asked for.
    fingerprints: OnceCell<Fingerprints>,
    /// Outcomes are kept for readers in order of arrival.
    keeps_outcomes: AtomicBool,
}

impl Store {
    /// Opens `sqlite://PATH` (created when missing; its folder must exist) or `postgres://USER:PASSWORD@HOST/NAME`
    /// (`?options[search_path]=SCHEMA` chooses a schema). Nothing is migrated: that is [`Store::migrate`].
    ///
    /// # Errors
    /// [`Error::Open`] with what to do about it: a wrong URL, a folder that is missing, a server that cannot be
    /// reached, is too old, or may forget commits.
    pub async fn open(url: &str) -> Result<Self, Error> {
        Self::open_or_wait(url, Absence::Told).await
    }

    /// The same; `absence` says what happens where the server is not there.
    pub async fn open_or_wait(url: &str, absence: Absence) -> Result<Self, Error> {
        let (pools, path) = open::open(url, absence).await?;
        let digest = Sha256::digest(url.as_bytes());
        let name = format!("bespoke-{}", hex(&digest[..8]));
        Ok(Self {
            pools,
            shared: Arc::new(Shared {
                path,
                name,
                work: watch::Sender::new(()),
                fingerprints: OnceCell::new(),
                keeps_outcomes: AtomicBool::new(false),
            }),
        })
    }

    /// Closes all connections and waits until that is done. Calls after it fail.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }

    /// The one number that a statement gives.
    async fn count(&self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<u64, Error> {
        let row: Option<(i64,)> = self.pools.first(sql, args).await?;
        Ok(row.map_or(0, |(count,)| u64::try_from(count).unwrap_or(0)))
    }
}
