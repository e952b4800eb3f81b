//! What decisions led to: what the learning policy learns from.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Error;
use super::Store;
use super::batch::args;
use super::web_decisions::DECISION_ID;
use crate::campaign::CampaignId;
use crate::clock::from_millisecond;
use crate::decision::Scoring;
use crate::decision::VariantId;
use crate::profile::ProfileId;
use crate::send::SendId;
use crate::stage::Stage;

/// A mail that went out, or what a web page showed, with what the policy knew and what a person did with it.
#[derive(Debug, Clone, PartialEq)]
pub struct RewardedSend {
    /// The send; of what a page showed, the decision.
    pub send: SendId,
    /// To whom.
    pub profile: ProfileId,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Where the person stood.
    pub stage: Stage,
    /// What they got.
    pub variant: VariantId,
    /// The catalogue that the variant was of.
    pub catalog_version: String,
    /// What the policy knew.
    pub scoring: Scoring,
    /// First click by a person.
    pub clicked_at: Option<Timestamp>,
}

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

/// A decision's body as JSON. PostgreSQL reads nothing from JSON that holds a NUL anywhere, and what clients send may.
const BODY: &str = "replace(d.body, '\\u0000', '\\ufffd'){json}";

/// A place in the order of decisions: time, then send.
pub type DecisionPlace = (Timestamp, String);

#[derive(sqlx::FromRow)]
struct Row {
    send_id: String,
    profile_id: String,
    at: i64,
    stage: String,
    variant: String,
    catalog_version: String,
    scoring: String,
    clicked_at: Option<i64>,
}

impl Row {
    fn read(self) -> Result<RewardedSend, Error> {
        let wrong = |fault: String| Error::unreadable("decisions", &self.send_id, fault);
        Ok(RewardedSend {
            send: SendId::parse(&self.send_id)
                .ok_or_else(|| wrong("the id is not 32 hex digits".to_owned()))?,
            profile: ProfileId::parse(&self.profile_id).map_err(|fault| wrong(fault.to_string()))?,
            decided_at: from_millisecond(self.at),
            stage: Stage::parse(&self.stage).ok_or_else(|| wrong(format!("no stage {:?}", self.stage)))?,
            scoring: serde_json::from_str(&self.scoring).map_err(|fault| wrong(fault.to_string()))?,
            variant: VariantId(self.variant),
            catalog_version: self.catalog_version,
            clicked_at: self.clicked_at.map(from_millisecond),
        })
    }
}

impl Store {
    /// Mails of a campaign that went out, or may have, decided by a policy that learns, in the order of their decisions
    /// from behind `after` on.
    pub async fn rewarded_sends(
        &self,
        campaign: &CampaignId,
        after: &DecisionPlace,
        limit: usize,
    ) -> Result<Vec<RewardedSend>, Error> {
        let rows: Vec<Row> = self
            .pools
            .all(
                format!(
                    "select d.send_id, d.profile_id, d.at, d.stage, d.variant,
                   {BODY}->>'catalog_version' as catalog_version, {BODY}->>'scoring' as scoring,
                   s.clicked_at
                 from decisions as d join sends as s on s.seq = d.send_seq
                 where d.campaign = $1 and (d.at > $2 or (d.at = $2 and d.send_id > $3))
                   and d.policy = 'thompson' and d.variant is not null
                   and {BODY}->>'scoring' is not null
                   and s.submitted_at is not null and s.state in ('sent', 'unknown')
                 order by d.at, d.send_id limit $4"
                ),
                args![campaign.as_str(), after.0, after.1.as_str(), limit],
            )
            .await?;
        rows.into_iter().map(Row::read).collect()
    }

    /// The same of what was chosen for web pages: each is clicked by the first event that names it by its
    /// [`DECISION_ID`]. Every one of them was shown.
    pub async fn rewarded_visits(
        &self,
        campaign: &CampaignId,
        after: &DecisionPlace,
        limit: usize,
    ) -> Result<Vec<RewardedSend>, Error> {
        let sql = format!(
            "select d.id as send_id, d.profile_id, d.at, {BODY}->>'stage' as stage, d.variant,
               {BODY}->>'catalog_version' as catalog_version, {BODY}->>'scoring' as scoring,
               (select min(e.at) from events as e
                where e.profile_id = d.profile_id and e.at >= d.at
                  and e.properties like '%\"{DECISION_ID}\":\"' || d.id || '\"%') as clicked_at
             from web_decisions as d
             where d.campaign = $1 and (d.at > $2 or (d.at = $2 and d.id > $3))
               and d.variant is not null and {BODY}->>'policy' = 'thompson'
               and {BODY}->>'scoring' is not null
             order by d.at, d.id limit $4"
        );
        let rows: Vec<Row> =
            self.pools.all(sql, args![campaign.as_str(), after.0, after.1.as_str(), limit]).await?;
        rows.into_iter().map(Row::read).collect()
    }

    /// The earliest decision whose mail may still go out. Everything decided before has come to its end.
    pub async fn earliest_open_decision(&self) -> Result<Option<Timestamp>, Error> {
        let row: Option<(Option<i64>,)> = self
            .pools
            .first(
                "select min(d.at) from sends as s join decisions as d on d.send_seq = s.seq
                 where s.state in ('scheduled', 'deferred', 'leased', 'submitting') and s.attempt > 0",
                args![],
            )
            .await?;
        Ok(row.and_then(|(at,)| at).map(from_millisecond))
    }

    /// Unsubscribes and complaints by the mail whose link, or whose complaint, they came by: the first of each since
    /// this time.
    pub async fn departures_since(&self, since: Timestamp) -> Result<Vec<(SendId, Timestamp)>, Error> {
        let rows: Vec<(String, i64)> = self
            .pools
            .all(
                "select send_id, min(at) from suppressions
                 where reason in ('unsubscribe', 'complaint') and send_id is not null and at >= $1
                 group by send_id order by send_id",
                args![since],
            )
            .await?;
        let read = |(send, at): (String, i64)| Some((SendId::parse(&send)?, from_millisecond(at)));
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// How often each variant was shown: by mails that went out, or may have, and by web pages.
    pub async fn sends_by_variant(&self) -> Result<BTreeMap<VariantId, u64>, Error> {
        let rows: Vec<(String, i64)> = self
            .pools
            .all(
                "select variant, count(*) from (
                   select variant from sends
                   where variant is not null and submitted_at is not null and state in ('sent', 'unknown')
                   union all
                   select variant from web_decisions where variant is not null
                 ) as shown group by variant",
                args![],
            )
            .await?;
        Ok(rows
            .into_iter()
            .map(|(variant, count)| (VariantId(variant), u64::try_from(count).unwrap_or(0)))
            .collect())
    }

    /// What the mails of a campaign met with that were decided since this time.
    pub async fn reception(&self, campaign: &CampaignId, since: Timestamp) -> Result<Reception, Error> {
        let mails: Option<(i64,)> = self
            .pools
            .first(
                "select count(*) from decisions as d join sends as s on s.seq = d.send_seq
                 where d.campaign = $1 and d.at >= $2 and d.variant is not null
                   and s.state in ('sent', 'unknown', 'failed')",
                args![campaign.as_str(), since],
            )
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
