//! What decisions led to: what the learning policy learns from.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Error;
use super::Store;
use super::batch::args;
use super::web_decisions::click;
use crate::campaign::CampaignId;
use crate::clock::from_millisecond;
use crate::decision::KeptCandidates;
use crate::decision::Scoring;
use crate::decision::VariantId;
use crate::profile::ProfileId;
use crate::send::SendId;
use crate::stage::Stage;

/// A mail that went out so long after it was due is late, in milliseconds: it is found by the index `sends_late`
/// (migration 14), which holds the same number. Who reads by the time of decision looks so far back beyond deadlines.
pub const LATE_AFTER_MS: i64 = 86_400_000;

/// A mail that went out, or what a web page showed, with what the policy knew and what a person did with it.
#[derive(Debug, Clone, PartialEq)]
pub struct RewardedSend {
    /// The send; of what a page showed, the decision.
    pub send: SendId,
    /// To whom.
    pub profile: ProfileId,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// When the mail went out, or the page was answered.
    pub submitted_at: Timestamp,
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

/// A mail of an A/B test.
#[derive(Debug, Clone, PartialEq)]
pub struct AbMail {
    /// The send.
    pub send: SendId,
    /// To whom.
    pub profile: ProfileId,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// What was drawn.
    pub variant: VariantId,
    /// What could have been drawn.
    pub variants: Vec<VariantId>,
    /// When the mail went out.
    pub submitted_at: Timestamp,
    /// First click by a person.
    pub clicked_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct AbRow {
    send_id: String,
    profile_id: String,
    at: i64,
    variant: String,
    candidates: String,
    submitted_at: i64,
    clicked_at: Option<i64>,
}

impl AbRow {
    fn read(self) -> Result<AbMail, Error> {
        let wrong = |fault: String| Error::unreadable("decisions", &self.send_id, fault);
        let KeptCandidates(candidates) =
            serde_json::from_str(&self.candidates).map_err(|fault| wrong(fault.to_string()))?;
        let drawable = candidates.into_iter().filter(|candidate| candidate.probability > 0.0);
        Ok(AbMail {
            send: SendId::parse(&self.send_id)
                .ok_or_else(|| wrong("the id is not 32 hex digits".to_owned()))?,
            profile: ProfileId::parse(&self.profile_id).map_err(|fault| wrong(fault.to_string()))?,
            decided_at: from_millisecond(self.at),
            variant: VariantId::new(self.variant),
            variants: drawable.map(|candidate| candidate.variant).collect(),
            submitted_at: from_millisecond(self.submitted_at),
            clicked_at: self.clicked_at.map(from_millisecond),
        })
    }
}

/// A decision's body as JSON. PostgreSQL reads nothing from JSON that holds a NUL anywhere, and what clients send may.
pub(super) const BODY: &str = "replace(d.body, '\\u0000', '\\ufffd'){json}";

/// A place in the order of decisions: time, then send.
pub type DecisionPlace = (Timestamp, String);

#[derive(sqlx::FromRow)]
struct Row {
    send_id: String,
    profile_id: String,
    at: i64,
    submitted_at: i64,
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
            submitted_at: from_millisecond(self.submitted_at),
            stage: Stage::parse(&self.stage).ok_or_else(|| wrong(format!("no stage {:?}", self.stage)))?,
            scoring: serde_json::from_str(&self.scoring).map_err(|fault| wrong(fault.to_string()))?,
            variant: VariantId::new(self.variant),
            catalog_version: self.catalog_version,
            clicked_at: self.clicked_at.map(from_millisecond),
        })
    }
}

/// Mails that teach, of a campaign ($1), in the order of their decisions behind a place ($2, $3), that went out after a
/// time ($4), so many ($5), of these rows.
fn rewarded(from: &str) -> String {
    format!(
        "select d.send_id, d.profile_id, d.at, s.submitted_at, d.stage, d.variant,
           {BODY}->>'catalog_version' as catalog_version, {BODY}->>'scoring' as scoring, s.clicked_at
         from {from} and d.campaign = $1 and (d.at > $2 or (d.at = $2 and d.send_id > $3))
           and d.policy = 'thompson' and d.variant is not null
           and s.submitted_at > $4 and s.state = 'sent'
           and {BODY}->>'scoring' is not null
         order by d.at, d.send_id limit $5"
    )
}

impl Store {
    /// Mails of a campaign that went out, by all that is known, decided by a policy that learns, in the order of their
    /// decisions from behind `after` on; those that went out after `submitted_after`.
    ///
    /// What is `unknown` is left out: sent again it goes out at another time, and it must not teach twice.
    pub async fn rewarded_sends(
        &self,
        campaign: &CampaignId,
        after: &DecisionPlace,
        submitted_after: Timestamp,
        limit: usize,
    ) -> Result<Vec<RewardedSend>, Error> {
        let in_time = rewarded("decisions as d join sends as s on s.seq = d.send_seq where true");
        let order = args![campaign.as_str(), after.0, after.1.as_str(), submitted_after, limit];
        let rows: Vec<Row> = self.pools.all(in_time, order).await?;
        rows.into_iter().map(Row::read).collect()
    }

    /// The same of those that were decided up to a time and went out more than [`LATE_AFTER_MS`] after they were due: by an
    /// index of such mails alone, however long ago it was that they were decided.
    pub async fn rewarded_late(
        &self,
        campaign: &CampaignId,
        after: &DecisionPlace,
        decided_until: Timestamp,
        submitted_after: Timestamp,
        limit: usize,
    ) -> Result<Vec<RewardedSend>, Error> {
        // SQLite reads the left side of a cross join first: by the index, which holds few.
        let late = rewarded(&format!(
            "sends as s cross join decisions as d where s.campaign = $1 and s.seq = d.send_seq
             and s.submitted_at - s.first_due_at > {LATE_AFTER_MS} and d.at <= $6"
        ));
        let order =
            args![campaign.as_str(), after.0, after.1.as_str(), submitted_after, limit, decided_until];
        let rows: Vec<Row> = self.pools.all(late, order).await?;
        rows.into_iter().map(Row::read).collect()
    }

    /// The same of what was chosen for web pages: each is clicked by the first event that names it by its
    /// [`super::DECISION_ID`]. Every one of them was shown, when it was decided.
    pub async fn rewarded_visits(
        &self,
        campaign: &CampaignId,
        after: &DecisionPlace,
        limit: usize,
    ) -> Result<Vec<RewardedSend>, Error> {
        let click = click();
        let sql = format!(
            "select d.id as send_id, d.profile_id, d.at, d.at as submitted_at, {BODY}->>'stage' as stage, d.variant,
               {BODY}->>'catalog_version' as catalog_version, {BODY}->>'scoring' as scoring,
               (select min(e.at) from events as e where {click}) as clicked_at
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

    /// Mails of a campaign that `ab` decided for people outside of the learning slice and that went out, in the order of
    /// their decisions from behind `after` on.
    pub async fn ab_mails(
        &self,
        campaign: &CampaignId,
        after: &DecisionPlace,
        limit: usize,
    ) -> Result<Vec<AbMail>, Error> {
        let rows: Vec<AbRow> = self
            .pools
            .all(
                format!(
                    "select d.send_id, d.profile_id, d.at, d.variant, {BODY}->>'candidates' as candidates,
                       s.submitted_at, s.clicked_at
                     from decisions as d join sends as s on s.seq = d.send_seq
                     where d.campaign = $1 and (d.at > $2 or (d.at = $2 and d.send_id > $3))
                       and d.policy = 'ab' and d.slice = 'policy' and d.variant is not null
                       and s.submitted_at is not null and s.state = 'sent'
                     order by d.at, d.send_id limit $4"
                ),
                args![campaign.as_str(), after.0, after.1.as_str(), limit],
            )
            .await?;
        rows.into_iter().map(AbRow::read).collect()
    }

    /// When the earliest mail went out of which it is not written down yet what became of it. Of what went out before,
    /// everything is known.
    pub async fn earliest_in_flight(&self) -> Result<Option<Timestamp>, Error> {
        let row: Option<(Option<i64>,)> = self
            .pools
            .first("select min(submitted_at) from sends where state = 'submitting'", args![])
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
            .map(|(variant, count)| (VariantId::new(variant), u64::try_from(count).unwrap_or(0)))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::LATE_AFTER_MS;

    #[test]
    fn late_mails_are_found_by_the_index_of_late_mails() {
        let migration = include_str!("../../migrations/0014_clicks.sql");
        assert!(migration.contains(&format!("where submitted_at - first_due_at > {LATE_AFTER_MS};")));
    }
}
