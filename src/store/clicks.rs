//! What people clicked, of all that was sent and shown: whose an order is, is asked of these.

use jiff::Timestamp;

use super::Error;
use super::Store;
use super::batch::args;
use super::rewards::DecisionPlace;
use super::web_decisions::clicked_at;
use crate::campaign::CampaignId;
use crate::clock::from_millisecond;
use crate::profile::ProfileId;
use crate::send::SendId;

/// A mail, or what a page showed, in which a person clicked.
#[derive(Debug, Clone, PartialEq)]
pub struct ClickedSend {
    /// The send; of what a page showed, the decision.
    pub send: SendId,
    /// Of which campaign.
    pub campaign: CampaignId,
    /// To whom.
    pub profile: ProfileId,
    /// When the mail went out, or the page was answered.
    pub submitted_at: Timestamp,
    /// First click by a person.
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
    fn read(self) -> Result<ClickedSend, Error> {
        let wrong = |fault: String| Error::unreadable("sends", &self.id, fault);
        Ok(ClickedSend {
            send: SendId::parse(&self.id).ok_or_else(|| wrong("the id is not 32 hex digits".to_owned()))?,
            profile: ProfileId::parse(&self.profile_id).map_err(|fault| wrong(fault.to_string()))?,
            campaign: CampaignId(self.campaign),
            submitted_at: from_millisecond(self.submitted_at),
            clicked_at: from_millisecond(self.clicked_at),
        })
    }
}

impl Store {
    /// Mails of all campaigns in which a person clicked, whatever policy chose them, in the order of their clicks from
    /// behind `after` on.
    pub async fn clicked_sends(
        &self,
        after: &DecisionPlace,
        limit: usize,
    ) -> Result<Vec<ClickedSend>, Error> {
        let rows: Vec<Row> = self
            .pools
            .all(
                "select id, campaign, profile_id, submitted_at, clicked_at from sends
                 where clicked_at is not null and submitted_at is not null
                   and (clicked_at > $1 or (clicked_at = $1 and id > $2))
                 order by clicked_at, id limit $3",
                args![after.0, after.1.as_str(), limit],
            )
            .await?;
        rows.into_iter().map(Row::read).collect()
    }

    /// The same of what pages showed of one campaign, in the order of the decisions from behind `after` on.
    pub async fn clicked_visits(
        &self,
        campaign: &CampaignId,
        after: &DecisionPlace,
        limit: usize,
    ) -> Result<Vec<ClickedSend>, Error> {
        let clicked_at = clicked_at();
        let sql = format!(
            "select id, campaign, profile_id, at as submitted_at, clicked_at from (
               select d.id, d.campaign, d.profile_id, d.at, {clicked_at} as clicked_at from web_decisions as d
               where d.campaign = $1 and (d.at > $2 or (d.at = $2 and d.id > $3)) and d.variant is not null
             ) as shown where clicked_at is not null order by at, id limit $4"
        );
        let rows: Vec<Row> =
            self.pools.all(sql, args![campaign.as_str(), after.0, after.1.as_str(), limit]).await?;
        rows.into_iter().map(Row::read).collect()
    }
}
