//! New sends. Planning the same occurrence again adds nothing.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::campaign::CampaignId;
use crate::clock::from_millisecond;
use crate::profile::EmailAddress;
use crate::profile::ProfileId;
use crate::send::ScheduledSend;
use crate::store::Error;
use crate::store::Store;
use crate::store::batch::ROWS_PER_STATEMENT_MAX;
use crate::store::batch::Rows;
use crate::store::batch::args;
use crate::store::connection::Tx;
use crate::store::profiles::id_rows;
use crate::store::tombstones;

#[derive(Serialize)]
struct NewRow<'a> {
    id: &'a str,
    campaign: &'a str,
    profile: &'a str,
    occurrence: &'a str,
    kind: &'a str,
    guarantee: &'a str,
    priority: i16,
    due_at: i64,
    expires_at: i64,
    data: String,
    to: Option<&'a str>,
}

impl<'a> NewRow<'a> {
    fn of(send: &'a ScheduledSend) -> Self {
        Self {
            id: send.id.as_str(),
            campaign: send.campaign.as_str(),
            profile: send.profile.as_str(),
            occurrence: &send.occurrence,
            kind: send.kind.as_str(),
            guarantee: send.guarantee.as_str(),
            priority: send.kind.priority(),
            due_at: send.due_at.as_millisecond(),
            expires_at: send.expires_at.as_millisecond(),
            data: Value::Object(send.data.clone()).to_string(),
            to: send.to.as_ref().map(EmailAddress::as_str),
        }
    }
}

impl Store {
    /// Adds sends as `scheduled`, whatever their state says, and returns how many were new. A send whose campaign,
    /// profile and occurrence are known is left as it is, also when it was planned for another time. Nothing is planned
    /// for who was erased.
    pub async fn plan(&self, sends: &[ScheduledSend]) -> Result<u64, Error> {
        let mut tx = self.pools.begin().await?;
        let people = sends.iter().map(|send| (&send.profile, send.to.as_ref()));
        let erased = tombstones::erased(&mut tx, people).await?;
        let inserted = if erased.is_empty() {
            plan(&mut tx, sends).await?
        } else {
            let welcome = sends.iter().filter(|send| !erased.contains(&send.profile));
            plan(&mut tx, &welcome.cloned().collect::<Vec<_>>()).await?
        };
        if inserted > 0 {
            self.notify(&mut tx).await?;
        }
        tx.commit().await?;
        if inserted > 0 {
            self.wake();
        }
        Ok(inserted)
    }

    /// When the latest send of a campaign was first due for each of these profiles. What was called off does not count.
    pub async fn latest_due(
        &self,
        campaign: &CampaignId,
        profiles: &[ProfileId],
    ) -> Result<HashMap<ProfileId, Timestamp>, Error> {
        let mut found = HashMap::new();
        for chunk in profiles.chunks(ROWS_PER_STATEMENT_MAX) {
            let rows: Vec<(String, i64)> = self
                .pools
                .all(
                    "select profile_id, max(first_due_at) from sends
                     where campaign = $2 and profile_id in (select value->>0 from {rows}) and state <> 'canceled'
                     group by profile_id",
                    args![id_rows(chunk), campaign.as_str()],
                )
                .await?;
            for (profile, at) in rows {
                let profile = ProfileId::parse(&profile)
                    .map_err(|fault| Error::unreadable("sends", &profile, fault))?;
                found.insert(profile, from_millisecond(at));
            }
        }
        Ok(found)
    }
}

pub(in crate::store) async fn plan(tx: &mut Tx, sends: &[ScheduledSend]) -> Result<u64, Error> {
    let mut inserted = 0;
    for chunk in sends.chunks(ROWS_PER_STATEMENT_MAX) {
        let rows: Vec<NewRow<'_>> = chunk.iter().map(NewRow::of).collect();
        inserted += tx
            .run(
                "insert into sends (id, campaign, profile_id, occurrence, kind, guarantee, priority, due_at,
                   first_due_at, expires_at, state, data, to_address)
                 select value->>'id', value->>'campaign', value->>'profile', value->>'occurrence', value->>'kind',
                   value->>'guarantee', cast(value->>'priority' as bigint), cast(value->>'due_at' as bigint),
                   cast(value->>'due_at' as bigint), cast(value->>'expires_at' as bigint), 'scheduled', value->>'data', value->>'to'
                 from {rows} where true
                 on conflict do nothing",
                args![Rows::of(&rows)],
            )
            .await?;
    }
    Ok(inserted)
}
