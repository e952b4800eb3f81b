//! What was chosen for other channels than mail, and what came of it.

use serde::Serialize;

use super::Error;
use super::Store;
use super::batch::Arg;
use super::batch::Heap;
use super::batch::HeapText;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::Rows;
use super::batch::args;
use super::tombstones;
use crate::decision::Choice;
use crate::decision::Decision;
use crate::event::Event;
use crate::profile::ProfileId;
use crate::send::SendId;

/// The property by which an event names the decision that it rewards.
pub const DECISION_ID: &str = "decision_id";

/// A decision for another channel, and what the person did that names it, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct WebOutcome {
    /// What was chosen; its id is where a mail's decision names its send.
    pub decision: Decision,
    /// Events of the same person, not earlier, whose property [`DECISION_ID`] names it.
    pub rewards: Vec<Event>,
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
    /// Keeps decisions for the channel `web`, but not those about people who were erased.
    pub async fn save_web_decisions(&self, decisions: &[Decision]) -> Result<u64, Error> {
        let mut tx = self.pools.begin().await?;
        let people = decisions.iter().map(|decision| (&decision.profile, None));
        let erased = tombstones::erased(&mut tx, people).await?;
        let mut saved = 0;
        for chunk in decisions.chunks(ROWS_PER_STATEMENT_MAX) {
            let mut heap = Heap::default();
            let rows: Vec<NewRow<'_>> = chunk
                .iter()
                .filter(|decision| !erased.contains(&decision.profile))
                .map(|decision| NewRow {
                    id: decision.send.as_str(),
                    profile: decision.profile.as_str(),
                    campaign: decision.campaign.as_str(),
                    at: decision.at.as_millisecond(),
                    variant: match &decision.choice {
                        Choice::Variant { variant, .. } => Some(variant.as_str()),
                        Choice::NoSend => None,
                    },
                    propensity: decision.propensity,
                    body: heap.json(decision),
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

    /// The next `limit` decisions behind `after`, in the order of their times, with what rewards them so far.
    pub async fn web_outcomes(&self, after: Option<&SendId>, limit: usize) -> Result<Vec<WebOutcome>, Error> {
        let rows: Vec<(String, String, String)> = self
            .pools
            .all(
                "select id, profile_id, body from web_decisions where id > $1 order by id limit $2",
                args![after.map_or("", SendId::as_str), limit],
            )
            .await?;
        let mut decisions = Vec::with_capacity(rows.len());
        for (id, profile, body) in rows {
            let unreadable = |fault: &dyn std::fmt::Display| Error::unreadable("web_decisions", &id, fault);
            let mut decision: Decision = serde_json::from_str(&body).map_err(|fault| unreadable(&fault))?;
            // The row follows people who turn out to be others.
            decision.profile = ProfileId::parse(&profile).map_err(|fault| unreadable(&fault))?;
            decisions.push(decision);
        }
        let people: Vec<ProfileId> = decisions.iter().map(|decision| decision.profile.clone()).collect();
        let events = self.events_of(&people).await?;
        let outcome = |decision: Decision| {
            let names = |event: &&Event| {
                let named = event.properties.get(DECISION_ID).and_then(serde_json::Value::as_str);
                named == Some(decision.send.as_str()) && event.at >= decision.at
            };
            let mut rewards: Vec<Event> =
                events.get(&decision.profile).into_iter().flatten().filter(names).cloned().collect();
            rewards.sort_by_key(|event| event.at);
            WebOutcome { decision, rewards }
        };
        Ok(decisions.into_iter().map(outcome).collect())
    }
}
