//! What became of an occurrence in a campaign: by the key that keeps planning from doubling it.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::campaign::CampaignId;
use crate::clock::from_millisecond;
use crate::profile::ProfileId;
use crate::send::State;
use crate::store::Error;
use crate::store::Store;
use crate::store::batch::ROWS_PER_STATEMENT_MAX;
use crate::store::batch::Rows;
use crate::store::batch::args;

/// What makes a planned send unique.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Occurrence {
    /// Of which campaign.
    pub campaign: CampaignId,
    /// To whom.
    pub profile: ProfileId,
    /// The event, the step, the day that started it.
    pub occurrence: String,
}

/// How far the send of an occurrence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendOfOccurrence {
    /// Its state.
    pub state: State,
    /// When it is due, or was.
    pub due_at: Timestamp,
    /// When it was put on the wire; absent where it was not taken.
    pub submitted_at: Option<Timestamp>,
}

impl Store {
    /// The sends of these occurrences; without those that a paused campaign keeps aside.
    pub async fn sends_of_occurrences(
        &self,
        wanted: &[Occurrence],
    ) -> Result<HashMap<Occurrence, SendOfOccurrence>, Error> {
        let mut found = HashMap::new();
        for chunk in wanted.chunks(ROWS_PER_STATEMENT_MAX) {
            let rows: Vec<(String, String, String, String, i64, Option<i64>)> = self
                .pools
                .all(
                    "select s.campaign, s.profile_id, s.occurrence, s.state, s.due_at, s.submitted_at
                     from {rows} join sends as s on s.campaign = value->>'campaign'
                       and s.profile_id = value->>'profile' and s.occurrence = value->>'occurrence'
                     where s.held = 0",
                    args![Rows::of(chunk)],
                )
                .await?;
            for (campaign, profile, occurrence, state, due_at, submitted_at) in rows {
                let unreadable =
                    |fault: String| Error::unreadable("sends", &format!("of {campaign} to {profile}"), fault);
                let send = SendOfOccurrence {
                    state: State::parse(&state).ok_or_else(|| unreadable(format!("state {state:?}")))?,
                    due_at: from_millisecond(due_at),
                    submitted_at: submitted_at.map(from_millisecond),
                };
                let profile = ProfileId::parse(&profile).map_err(|fault| unreadable(fault.to_string()))?;
                found.insert(Occurrence { campaign: CampaignId(campaign), profile, occurrence }, send);
            }
        }
        Ok(found)
    }
}
