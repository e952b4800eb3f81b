//! What people clicked, of all that was sent and shown: whose an order is, is asked of these.

use jiff::Timestamp;

use super::Error;
use super::Store;
use super::batch::args;
use super::rewards::DecisionPlace;
use super::web_decisions::click;
use crate::campaign::CampaignId;
use crate::clock::from_millisecond;
use crate::profile::ProfileId;
use crate::send::SendId;

/// A click by a person in a mail, or in what a page showed.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonClick {
    /// The send; of what a page showed, the decision.
    pub send: SendId,
    /// Of which campaign.
    pub campaign: CampaignId,
    /// To whom.
    pub profile: ProfileId,
    /// When the mail went out, or the page was answered.
    pub submitted_at: Timestamp,
    /// When they clicked.
    pub clicked_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    campaign: String,
    profile_id: String,
    submitted_at: i64,
    clicked_at: i64,
}

impl Row {
    fn read(self) -> Result<PersonClick, Error> {
        let wrong = |fault: String| Error::unreadable("sends", &self.id, fault);
        Ok(PersonClick {
            send: SendId::parse(&self.id).ok_or_else(|| wrong("the id is not 32 hex digits".to_owned()))?,
            profile: ProfileId::parse(&self.profile_id).map_err(|fault| wrong(fault.to_string()))?,
            campaign: CampaignId(self.campaign),
            submitted_at: from_millisecond(self.submitted_at),
            clicked_at: from_millisecond(self.clicked_at),
        })
    }
}

impl Store {
    /// Clicks by people in mails of all campaigns, whatever policy chose them, in the order of time from behind `after`
    /// on. Of requests that were pruned, the first click of each mail is still known.
    pub async fn clicks_in_mails(
        &self,
        after: &DecisionPlace,
        limit: usize,
    ) -> Result<Vec<PersonClick>, Error> {
        // SQLite reads the left side of a cross join first: by the index of clicks.
        let rows: Vec<Row> = self
            .pools
            .all(
                "select s.id, s.campaign, s.profile_id, s.submitted_at, c.at as clicked_at from (
                   select send_id, at from (
                     select id as send_id, clicked_at as at from sends
                     where clicked_at is not null and submitted_at is not null
                       and (clicked_at > $1 or (clicked_at = $1 and id > $2))
                     order by clicked_at, id limit $3
                   ) as of_sends
                   union
                   select send_id, at from (
                     select distinct h.send_id, h.at from hits as h cross join sends as t
                     where h.kind = 'click' and h.class = 'human' and t.id = h.send_id and t.submitted_at is not null
                       and (h.at > $1 or (h.at = $1 and h.send_id > $2))
                     order by h.at, h.send_id limit $3
                   ) as of_hits
                 ) as c join sends as s on s.id = c.send_id
                 order by c.at, s.id limit $3",
                args![after.0, after.1.as_str(), limit],
            )
            .await?;
        rows.into_iter().map(Row::read).collect()
    }

    /// The same of what pages showed of one campaign: of so many clicked decisions, in their order from behind `after`
    /// on, all clicks.
    pub async fn clicks_on_pages(
        &self,
        campaign: &CampaignId,
        after: &DecisionPlace,
        limit: usize,
    ) -> Result<Vec<PersonClick>, Error> {
        let click = click();
        let sql = format!(
            "select d.id, d.campaign, d.profile_id, d.at as submitted_at, e.at as clicked_at from (
               select d.id, d.campaign, d.profile_id, d.at from web_decisions as d
               where d.campaign = $1 and (d.at > $2 or (d.at = $2 and d.id > $3)) and d.variant is not null
                 and exists (select 1 from events as e where {click})
               order by d.at, d.id limit $4
             ) as d join events as e on {click} order by d.at, d.id, e.at"
        );
        let rows: Vec<Row> =
            self.pools.all(sql, args![campaign.as_str(), after.0, after.1.as_str(), limit]).await?;
        rows.into_iter().map(Row::read).collect()
    }
}
