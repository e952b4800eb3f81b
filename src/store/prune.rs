//! Deleting what is older than it may be, a small transaction at a time.

use jiff::Timestamp;

use super::Error;
use super::Store;
use super::batch::Rows;
use super::batch::args;

/// Rows that one transaction deletes, about: others wait no longer than that takes.
const ROWS_PER_STEP: usize = 1_000;
/// Profiles whose old rows one transaction deletes.
const PROFILES_PER_STEP: usize = 200;

/// What can be pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pruned {
    /// What people did.
    Events,
    /// How people moved along the journey.
    StageTransitions,
    /// Sends that came to their end, with all that hangs on them.
    Sends,
    /// Why people got what they got.
    Decisions,
    /// Why pages showed what they showed.
    WebDecisions,
    /// Requests for links and pixels.
    Hits,
    /// Files of sends that came to their end.
    Attachments,
    /// Which request made which send.
    IdempotencyKeys,
    /// Questions whether somebody consents, answered or not.
    ConsentRequests,
    /// Bounces of addresses that exist.
    SoftBounces,
    /// What receivers of webhooks have still to be told.
    OutcomeLog,
    /// Messages that receivers of webhooks did not take.
    WebhookMessages,
}

impl Pruned {
    /// All, what hangs on others first.
    pub const ALL: [Self; 12] = [
        Self::OutcomeLog,
        Self::WebhookMessages,
        Self::ConsentRequests,
        Self::SoftBounces,
        Self::IdempotencyKeys,
        Self::Attachments,
        Self::Hits,
        Self::Decisions,
        Self::WebDecisions,
        Self::Sends,
        Self::StageTransitions,
        Self::Events,
    ];

    /// The table's name.
    pub fn table(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::StageTransitions => "stage_transitions",
            Self::Sends => "sends",
            Self::Decisions => "decisions",
            Self::WebDecisions => "web_decisions",
            Self::Hits => "hits",
            Self::Attachments => "attachments",
            Self::IdempotencyKeys => "idempotency_keys",
            Self::ConsentRequests => "consent_requests",
            Self::SoftBounces => "soft_bounces",
            Self::OutcomeLog => "outcome_log",
            Self::WebhookMessages => "webhook_messages",
        }
    }

    /// What selects one step's rows, `$1` the time and `$2` how many, and what they are deleted by.
    fn step(self) -> Step {
        match self {
            Self::Events => Step::ByProfile(
                "delete from events where profile_id in (select value->>0 from {rows}) and at < $2",
            ),
            Self::StageTransitions => Step::ByProfile(
                "delete from stage_transitions where profile_id in (select value->>0 from {rows}) and at < $2",
            ),
            Self::Sends => Step::Sends,
            Self::Decisions => Step::ByRows(
                "delete from decisions where send_seq in (
                   select send_seq from decisions where at < $1 order by send_seq limit $2)",
            ),
            Self::WebDecisions => Step::ByRows(
                "delete from web_decisions where id in (
                   select id from web_decisions where at < $1 order by id limit $2)",
            ),
            Self::Hits => Step::ByRows(
                "delete from hits where seq in (select seq from hits where at < $1 order by seq limit $2)",
            ),
            Self::Attachments => Step::ByRows(
                "delete from attachments where send_id in (
                   select a.send_id from attachments as a join sends as s on s.id = a.send_id
                   where s.finished_at < $1 limit $2)",
            ),
            Self::IdempotencyKeys => Step::ByRows(
                "delete from idempotency_keys where (api_key, key) in (
                   select api_key, key from idempotency_keys where at < $1 order by at limit $2)",
            ),
            Self::ConsentRequests => Step::ByRows(
                "delete from consent_requests where id in (
                   select id from consent_requests where requested_at < $1 order by id limit $2)",
            ),
            Self::SoftBounces => Step::ByRows(
                "delete from soft_bounces where (address, send_id) in (
                   select address, send_id from soft_bounces where at < $1 order by address, send_id limit $2)",
            ),
            Self::OutcomeLog => Step::ByRows(
                "delete from outcome_log where seq in (
                   select seq from outcome_log where at < $1 order by seq limit $2)",
            ),
            Self::WebhookMessages => Step::ByRows(
                "delete from webhook_messages where (endpoint, id) in (
                   select endpoint, id from webhook_messages where created_at < $1 order by endpoint, id limit $2)",
            ),
        }
    }
}

/// How a table is gone through.
enum Step {
    /// A statement that deletes the next rows, until there are none.
    ByRows(&'static str),
    /// Profile by profile, because rows stand by profile and nothing finds them by time.
    ByProfile(&'static str),
    /// Sends with what hangs on them.
    Sends,
}

/// What hangs on a send; `$1` sends by number and id.
const SEND_PARTS: [&str; 6] = [
    "delete from decisions where send_seq in (select cast(value->>0 as bigint) from {rows})",
    "delete from attempts where send_id in (select value->>1 from {rows})",
    "delete from attachments where send_id in (select value->>1 from {rows})",
    "delete from hits where send_id in (select value->>1 from {rows})",
    "delete from idempotency_keys where send_id in (select value->>1 from {rows})",
    "delete from sends where seq in (select cast(value->>0 as bigint) from {rows})",
];

impl Store {
    /// Deletes what is older than `before` and returns how many rows that were. `progress` hears after every
    /// transaction how many it is so far. Stopped in the middle, it has deleted less, and nothing is half deleted.
    pub async fn prune(
        &self,
        what: Pruned,
        before: Timestamp,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, Error> {
        let deleted = match what.step() {
            Step::ByRows(sql) => self.prune_rows(sql, before, progress).await?,
            Step::ByProfile(sql) => self.prune_by_profile(sql, before, progress).await?,
            Step::Sends => self.prune_sends(before, progress).await?,
        };
        if deleted > 0 {
            self.truncate_log().await?;
        }
        Ok(deleted)
    }

    async fn prune_rows(
        &self,
        sql: &'static str,
        before: Timestamp,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, Error> {
        let mut deleted = 0;
        loop {
            let count = self.pools.run(sql, args![before, ROWS_PER_STEP]).await?;
            deleted += count;
            progress(deleted);
            if count == 0 {
                return Ok(deleted);
            }
        }
    }

    async fn prune_by_profile(
        &self,
        sql: &'static str,
        before: Timestamp,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, Error> {
        let mut deleted = 0;
        let mut after = String::new();
        loop {
            let page: Vec<(String,)> = self
                .pools
                .all(
                    "select id from profiles where id > $1 order by id limit $2",
                    args![&after, PROFILES_PER_STEP],
                )
                .await?;
            let Some((last,)) = page.last() else { return Ok(deleted) };
            after.clone_from(last);
            let ids: Vec<[&str; 1]> = page.iter().map(|(id,)| [id.as_str()]).collect();
            deleted += self.pools.run(sql, args![Rows::of(&ids), before]).await?;
            progress(deleted);
        }
    }

    async fn prune_sends(&self, before: Timestamp, progress: &(dyn Fn(u64) + Sync)) -> Result<u64, Error> {
        let mut deleted = 0;
        loop {
            let mut tx = self.pools.begin().await?;
            let old: Vec<(i64, String)> = tx
                .all(
                    "select seq, id from sends
                     where state in ('sent', 'failed', 'suppressed', 'skipped', 'unknown', 'expired', 'canceled')
                       and finished_at < $1
                     order by seq limit $2",
                    args![before, ROWS_PER_STEP],
                )
                .await?;
            if old.is_empty() {
                return Ok(deleted);
            }
            let rows = Rows::of(&old);
            for sql in SEND_PARTS {
                tx.run(sql, args![rows.clone()]).await?;
            }
            tx.commit().await?;
            deleted += old.len() as u64;
            progress(deleted);
        }
    }

    /// How many rows [`Store::prune`] would delete.
    pub async fn count_prunable(&self, what: Pruned, before: Timestamp) -> Result<u64, Error> {
        let sql = match what {
            Pruned::Sends => "select count(*) from sends where finished_at < $1 and finished_at is not null",
            Pruned::Attachments => {
                "select count(*) from attachments as a join sends as s on s.id = a.send_id where s.finished_at < $1"
            }
            Pruned::Events => "select count(*) from events where at < $1",
            Pruned::StageTransitions => "select count(*) from stage_transitions where at < $1",
            Pruned::Decisions => "select count(*) from decisions where at < $1",
            Pruned::WebDecisions => "select count(*) from web_decisions where at < $1",
            Pruned::Hits => "select count(*) from hits where at < $1",
            Pruned::IdempotencyKeys => "select count(*) from idempotency_keys where at < $1",
            Pruned::ConsentRequests => "select count(*) from consent_requests where requested_at < $1",
            Pruned::SoftBounces => "select count(*) from soft_bounces where at < $1",
            Pruned::OutcomeLog => "select count(*) from outcome_log where at < $1",
            Pruned::WebhookMessages => "select count(*) from webhook_messages where created_at < $1",
        };
        self.count(sql, args![before]).await
    }
}
