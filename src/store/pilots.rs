//! What a campaign's guard and its pilot look at: what its mails met with, and who waits.

use jiff::SignedDuration;
use jiff::Timestamp;

use super::Error;
use super::Store;
use super::batch::args;
use crate::campaign::CampaignId;
use crate::clock::from_millisecond;

/// In the words of the index of what can be claimed, so that only open work is read.
const CLAIMABLE: &str = "state in ('scheduled', 'deferred') and held = 0";
/// Of a campaign ($1), but not by the index of occurrences, in which all finished work is.
const OF_CAMPAIGN: &str = "campaign || '' = $1";

/// The mails of a campaign ($1) that were decided since a time ($2) and went out, or were refused for good.
const FROM_MAILS: &str = "from decisions as d join sends as s on s.seq = d.send_seq
     where d.campaign = $1 and d.at >= $2 and d.variant is not null and s.state in ('sent', 'unknown', 'failed')";

/// What a campaign's mails met with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reception {
    /// Mails that went out, or were refused for good.
    pub mails: u64,
    /// Complaints.
    pub complaints: u64,
    /// Hard bounces.
    pub bounces: u64,
    /// Unsubscribes.
    pub unsubscribes: u64,
}

impl Store {
    /// When the first mail of a campaign was decided, since this time, that went out or was refused for good.
    pub async fn first_mail_since(
        &self,
        campaign: &CampaignId,
        since: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        let row: Option<(i64,)> = self
            .pools
            .first(format!("select d.at {FROM_MAILS} order by d.at limit 1"), args![campaign.as_str(), since])
            .await?;
        Ok(row.map(|(at,)| from_millisecond(at)))
    }

    /// The first deadline of the sends of a campaign that were put off for this reason and wait; `None` where none does.
    /// Each is taken to have at least the time that is `given` to all: who asked for a mail within a minute does not
    /// hurry the others. Those whose deadline is over by `now` only wait to be told so.
    pub async fn earliest_deadline(
        &self,
        campaign: &CampaignId,
        reason: &str,
        given: SignedDuration,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        let given_ms = i64::try_from(given.as_millis()).unwrap_or(i64::MAX);
        let sql = format!(
            "select min(case when expires_at - first_due_at < $4 then first_due_at + $4 else expires_at end) from sends
             where {CLAIMABLE} and {OF_CAMPAIGN} and state = 'deferred' and reason = $2 and expires_at > $3"
        );
        let row: Option<(Option<i64>,)> =
            self.pools.first(sql, args![campaign.as_str(), reason, now, given_ms]).await?;
        Ok(row.and_then(|(at,)| at).map(from_millisecond))
    }

    /// Whether a send of a campaign that was planned for this time or before is open, and not put off for this reason.
    pub async fn waits_for_other(
        &self,
        campaign: &CampaignId,
        reason: &str,
        due_until: Timestamp,
    ) -> Result<bool, Error> {
        let sql = format!(
            "select cast(1 as bigint) from (
               select seq from sends where {CLAIMABLE} and {OF_CAMPAIGN} and first_due_at <= $3
                 and (state = 'scheduled' or reason <> $2)
               union all
               select seq from sends where state in ('leased', 'submitting') and {OF_CAMPAIGN} and first_due_at <= $3
             ) as open limit 1"
        );
        let row: Option<(i64,)> = self.pools.first(sql, args![campaign.as_str(), reason, due_until]).await?;
        Ok(row.is_some())
    }

    /// What the mails of a campaign met with that were decided since this time.
    pub async fn reception(&self, campaign: &CampaignId, since: Timestamp) -> Result<Reception, Error> {
        let mails: Option<(i64,)> = self
            .pools
            .first(format!("select count(*) {FROM_MAILS}"), args![campaign.as_str(), since])
            .await?;
        let rows: Vec<(String, i64)> = self
            .pools
            .all(
                "select p.reason, count(distinct s.id) from suppressions as p join sends as s on s.id = p.send_id
                   join decisions as d on d.send_seq = s.seq
                 where s.campaign = $1 and d.at >= $2 and p.at >= $2
                   and p.reason in ('complaint', 'hard_bounce', 'unsubscribe')
                 group by p.reason",
                args![campaign.as_str(), since],
            )
            .await?;
        let count = |wanted: &str| {
            let found = rows.iter().find(|(reason, _)| reason == wanted);
            found.map_or(0, |(_, count)| u64::try_from(*count).unwrap_or(0))
        };
        Ok(Reception {
            mails: mails.map_or(0, |(count,)| u64::try_from(count).unwrap_or(0)),
            complaints: count("complaint"),
            bounces: count("hard_bounce"),
            unsubscribes: count("unsubscribe"),
        })
    }
}
