//! What is remembered of campaigns while they run: paused, canceled, how far planning has come.

use jiff::Timestamp;

use super::Error;
use super::Store;
use super::batch::Rows;
use super::batch::args;
use crate::campaign::CampaignId;
use crate::clock::from_millisecond;

/// Sends that one transaction changes where a whole campaign is changed.
const CAMPAIGN_CHUNK_ROWS: usize = 5_000;
/// Deadlocks with workers that are got over before somebody is told.
const DEADLOCKS_MAX: u32 = 10;

/// Whether a campaign's sends may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// They may.
    Running,
    /// They wait until it is resumed.
    Paused,
    /// They will not.
    Canceled,
}

impl Running {
    /// The word that lists and the database use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Canceled => "canceled",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Running, Self::Paused, Self::Canceled].into_iter().find(|state| state.as_str() == text)
    }
}

/// The state of a campaign, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignState {
    /// Which campaign.
    pub campaign: CampaignId,
    /// Its state.
    pub running: Running,
    /// Who or what put it there.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

impl Store {
    /// Stops a campaign: from the commit on, no mail of it is marked, and what comes due is put aside.
    pub async fn pause_campaign(
        &self,
        campaign: &CampaignId,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.set_running(campaign, Running::Paused, reason, now).await
    }

    /// Lets a campaign go on. What was put aside is due at once, as far as its deadline allows.
    pub async fn resume_campaign(
        &self,
        campaign: &CampaignId,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.set_running(campaign, Running::Running, reason, now).await?;
        self.release_held().await?;
        self.wake();
        Ok(())
    }

    /// Ends a campaign: no mail of it is marked any more, and all that are not on the wire are canceled. Returns how
    /// many. Interrupted and repeated, it finishes what is left.
    pub async fn cancel_campaign(
        &self,
        campaign: &CampaignId,
        reason: &str,
        now: Timestamp,
    ) -> Result<u64, Error> {
        self.set_running(campaign, Running::Canceled, reason, now).await?;
        let mut canceled = 0;
        let mut after = (String::new(), String::new());
        let mut deadlocks = 0;
        loop {
            match self.cancel_page(campaign, &after, reason, now).await {
                Ok(Some((count, last))) => {
                    canceled += count;
                    after = last;
                }
                Ok(None) => return Ok(canceled),
                // A worker commits outcomes and marks in one transaction, and so locks sends in two runs.
                Err(error) if error.is_deadlock() && deadlocks < DEADLOCKS_MAX => deadlocks += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Cancels what is open of the next sends by profile and occurrence. Returns how many, and the last looked at;
    /// `None` when there are no more.
    async fn cancel_page(
        &self,
        campaign: &CampaignId,
        after: &(String, String),
        reason: &str,
        now: Timestamp,
    ) -> Result<Option<(u64, (String, String))>, Error> {
        let mut tx = self.pools.begin().await?;
        let page: Vec<(String, String, String, String)> = tx
            .all(
                "select id, profile_id, occurrence, state from sends
                 where campaign = $1 and (profile_id, occurrence) > ($2, $3)
                 order by profile_id, occurrence limit $4",
                args![campaign.as_str(), &after.0, &after.1, CAMPAIGN_CHUNK_ROWS],
            )
            .await?;
        let Some((_, profile, occurrence, _)) = page.last() else { return Ok(None) };
        let open = ["scheduled", "deferred", "leased"];
        let ids: Vec<[&str; 1]> =
            page.iter().filter(|row| open.contains(&row.3.as_str())).map(|row| [row.0.as_str()]).collect();
        let canceled = tx
            .run(
                "with open as materialized (
                   select seq as open_seq from sends
                   where id in (select value->>0 from {rows}) and state in ('scheduled', 'deferred', 'leased')
                   order by id {for_update}
                 )
                 update sends set state = 'canceled', reason = 'campaign_canceled', detail = $3,
                   finished_at = {now}, held = 0, lease_token = null, lease_until = null
                 from open where seq = open_seq",
                args![Rows::of(&ids), now, reason],
            )
            .await?;
        tx.commit().await?;
        Ok(Some((canceled, (profile.clone(), occurrence.clone()))))
    }

    /// Campaigns that were ever paused, resumed or canceled, by name. All others are running.
    pub async fn campaign_states(&self) -> Result<Vec<CampaignState>, Error> {
        let rows: Vec<(String, String, String, i64)> = self
            .pools
            .all("select campaign, state, reason, since from campaign_states order by campaign", args![])
            .await?;
        rows.into_iter()
            .map(|(campaign, state, reason, since)| {
                let running = Running::parse(&state).ok_or_else(|| {
                    Error::unreadable("campaign_states", &campaign, format!("{state} is no known word"))
                })?;
                Ok(CampaignState {
                    campaign: CampaignId(campaign),
                    running,
                    reason,
                    since: from_millisecond(since),
                })
            })
            .collect()
    }

    /// How far planning has come under this key, as it was set last.
    pub async fn plan_cursor(&self, campaign: &CampaignId, key: &str) -> Result<Option<String>, Error> {
        let row: Option<(String,)> = self
            .pools
            .first(
                "select value from plan_cursors where campaign = $1 and key = $2",
                args![campaign.as_str(), key],
            )
            .await?;
        Ok(row.map(|(value,)| value))
    }

    /// Remembers how far planning has come. Set it after what it stands for was planned: planning again adds nothing.
    pub async fn set_plan_cursor(&self, campaign: &CampaignId, key: &str, value: &str) -> Result<(), Error> {
        self.pools
            .run(
                "insert into plan_cursors (campaign, key, value) values ($1, $2, $3)
                 on conflict (campaign, key) do update set value = excluded.value",
                args![campaign.as_str(), key, value],
            )
            .await?;
        Ok(())
    }

    async fn set_running(
        &self,
        campaign: &CampaignId,
        running: Running,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.pools
            .run(
                "insert into campaign_states (campaign, state, reason, since) values ($1, $2, $3, $4)
                 on conflict (campaign) do update set state = excluded.state, reason = excluded.reason,
                   since = excluded.since",
                args![campaign.as_str(), running.as_str(), reason, now],
            )
            .await?;
        Ok(())
    }

    /// Takes up again what was put aside of campaigns that run. A claim may put something aside just as its campaign
    /// is resumed, so [`Store::reap`] calls this too.
    pub(super) async fn release_held(&self) -> Result<(), Error> {
        loop {
            let mut tx = self.pools.begin().await?;
            let released = tx
                .run(
                    "with held as materialized (
                       select seq as held_seq from sends
                       where held = 1 and campaign in (
                         select campaign from campaign_states where state = 'running')
                       order by campaign limit $1 {skip_locked}
                     )
                     update sends set held = 0 from held where seq = held_seq",
                    args![CAMPAIGN_CHUNK_ROWS],
                )
                .await?;
            tx.commit().await?;
            if released == 0 {
                return Ok(());
            }
        }
    }
}
