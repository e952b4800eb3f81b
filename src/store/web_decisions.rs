//! What was chosen for other channels than mail. What came of it is read with what came of mails
//! ([`super::rewards`]).

use serde::Serialize;

use super::Error;
use super::Store;
use super::aliases;
use super::batch::Arg;
use super::batch::Heap;
use super::batch::HeapText;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::Rows;
use super::tombstones;
use crate::decision::Choice;
use crate::decision::Decision;
use crate::decision::StoredDecision;
use crate::profile::ProfileId;

/// The property by which an event names the decision that it rewards.
pub const DECISION_ID: &str = "decision_id";

/// Whether the event `e` is a click of the decision `d`: its person's, and it names it.
pub(super) fn click() -> String {
    format!(
        "e.profile_id = d.profile_id and e.at >= d.at
            and e.properties like '%\"{DECISION_ID}\":\"' || d.id || '\"%'"
    )
}

#[derive(Serialize)]
struct NewRow<'a> {
    id: &'a str,
    profile: &'a str,
    campaign: &'a str,
    at: i64,
    variant: Option<&'a str>,
    propensity: f64,
    body: HeapText,
}

impl Store {
    /// Keeps decisions for the channel `web`, but not those about people who were erased. A visitor who was joined to
    /// somebody meanwhile is that person.
    pub async fn save_web_decisions(&self, decisions: &[Decision]) -> Result<u64, Error> {
        let mut tx = self.pools.begin().await?;
        let asked = decisions.iter().map(|decision| &decision.profile).collect();
        let owners = aliases::owners(&mut tx, asked).await?;
        let owner =
            |decision: &'_ Decision| owners.get(&decision.profile).unwrap_or(&decision.profile).clone();
        let people: Vec<ProfileId> = decisions.iter().map(owner).collect();
        let erased = tombstones::erased(&mut tx, people.iter().map(|id| (id, None))).await?;
        let mut saved = 0;
        let decided: Vec<(&Decision, &ProfileId)> = decisions.iter().zip(&people).collect();
        for chunk in decided.chunks(ROWS_PER_STATEMENT_MAX) {
            let mut heap = Heap::default();
            let rows: Vec<NewRow<'_>> = chunk
                .iter()
                .filter(|(_, profile)| !erased.contains(profile))
                .map(|(decision, profile)| NewRow {
                    id: decision.send.as_str(),
                    profile: profile.as_str(),
                    campaign: decision.campaign.as_str(),
                    at: decision.at.as_millisecond(),
                    variant: match &decision.choice {
                        Choice::Variant { variant, .. } => Some(variant.as_str()),
                        Choice::NoSend => None,
                    },
                    propensity: decision.propensity,
                    body: heap.json(&StoredDecision::from(*decision)),
                })
                .collect();
            saved += tx
                .run(
                    "insert into web_decisions (id, profile_id, campaign, at, channel, variant, propensity, body)
                     select value->>'id', value->>'profile', value->>'campaign', cast(value->>'at' as bigint), 'web',
                       value->>'variant', cast(value->>'propensity' as double precision), {heap:body}
                     from {rows} where true
                     on conflict (id) do nothing",
                    vec![Arg::from(Rows::of(&rows)), Arg::from(heap)],
                )
                .await?;
        }
        tx.commit().await?;
        Ok(saved)
    }
}
