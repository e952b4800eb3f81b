//! Where profiles stand on the journey, and how they came there.

use std::collections::HashMap;

use serde::Serialize;

use super::Error;
use super::Store;
use super::arrival;
use super::arrival::Arrival;
use super::arrival::Arrivals;
use super::arrival::Page;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::Rows;
use super::batch::args;
use super::profiles::id_rows;
use super::tombstones;
use crate::clock::from_millisecond;
use crate::profile::ProfileId;
use crate::stage::Stage;
use crate::stage::StageRecord;
use crate::stage::Transition;

#[derive(Serialize)]
struct NewRow<'a> {
    seq: i64,
    profile: &'a str,
    from: Option<&'a str>,
    to: &'a str,
    at: i64,
    reason: &'a str,
}

#[derive(sqlx::FromRow)]
struct TransitionRow {
    seq: i64,
    profile_id: String,
    from_stage: Option<String>,
    to_stage: String,
    at: i64,
    reason: String,
}

impl TransitionRow {
    fn read(self) -> Result<(ProfileId, Transition), Error> {
        let transition = Transition {
            from: self.from_stage.map(|stage| read_stage(&self.profile_id, &stage)).transpose()?,
            to: read_stage(&self.profile_id, &self.to_stage)?,
            at: from_millisecond(self.at),
            reason: self.reason,
        };
        Ok((read_profile(&self.profile_id)?, transition))
    }
}

impl Store {
    /// Where these profiles stand. A profile that was never placed has no entry.
    pub async fn stages_of(&self, profiles: &[ProfileId]) -> Result<HashMap<ProfileId, StageRecord>, Error> {
        let mut found = HashMap::with_capacity(profiles.len());
        for chunk in profiles.chunks(ROWS_PER_STATEMENT_MAX) {
            let rows: Vec<(String, String, i64, String)> = self
                .pools
                .all(
                    "select profile_id, stage, since, reason from stages
                     where profile_id in (select value->>0 from {rows})",
                    args![id_rows(chunk)],
                )
                .await?;
            for (profile, stage, since, reason) in rows {
                let record = StageRecord {
                    stage: read_stage(&profile, &stage)?,
                    since: from_millisecond(since),
                    reason,
                };
                found.insert(read_profile(&profile)?, record);
            }
        }
        Ok(found)
    }

    /// Records steps from stage to stage; each profile then stands where its newest step led. The same step twice is
    /// one. Of a profile, `transitions` are in the order of time. Nothing is recorded of who was erased meanwhile.
    pub async fn record_transitions(&self, transitions: &[(ProfileId, Transition)]) -> Result<(), Error> {
        if transitions.is_empty() {
            return Ok(());
        }
        let mut tx = self.pools.begin().await?;
        let people = transitions.iter().map(|(profile, _)| (profile, None));
        let erased = tombstones::erased(&mut tx, people).await?;
        let mut kept: Vec<&(ProfileId, Transition)> =
            transitions.iter().filter(|(profile, _)| !erased.contains(profile)).collect();
        // Ordered, so that batches cannot wait for each other.
        kept.sort_by_key(|(profile, step)| (profile, step.at));
        for chunk in kept.chunks(ROWS_PER_STATEMENT_MAX) {
            let first = arrival::take(&mut tx, Arrivals::StageTransitions, chunk.len()).await?;
            let rows: Vec<NewRow<'_>> =
                chunk.iter().zip(first..).map(|(step, seq)| NewRow::of(step, seq)).collect();
            tx.run(
                "insert into stage_transitions (seq, profile_id, from_stage, to_stage, at, reason)
                 select cast(value->>'seq' as bigint), value->>'profile', value->>'from', value->>'to', cast(value->>'at' as bigint),
                   value->>'reason'
                 from {rows} where true
                 on conflict (profile_id, at, to_stage) do nothing",
                args![Rows::of(&rows)],
            )
            .await?;
            // One row a profile: PostgreSQL updates none twice in one statement.
            let newest: HashMap<&ProfileId, NewRow<'_>> =
                chunk.iter().map(|step| (&step.0, NewRow::of(step, 0))).collect();
            let mut rows: Vec<NewRow<'_>> = newest.into_values().collect();
            rows.sort_by_key(|row| row.profile);
            tx.run(
                "insert into stages (profile_id, stage, since, reason)
                 select value->>'profile', value->>'to', cast(value->>'at' as bigint), value->>'reason'
                 from {rows} where true
                 on conflict (profile_id) do update set stage = excluded.stage, since = excluded.since,
                   reason = excluded.reason
                   where excluded.since >= stages.since",
                args![Rows::of(&rows)],
            )
            .await?;
        }
        tx.commit().await
    }

    /// The next `limit` steps into this stage in the order of arrival, behind `after`.
    pub async fn transitions_after(
        &self,
        into: Stage,
        after: Arrival,
        limit: usize,
    ) -> Result<Page<(ProfileId, Transition)>, Error> {
        let rows: Vec<TransitionRow> = self
            .pools
            .all(
                "select seq, profile_id, from_stage, to_stage, at, reason from stage_transitions
                 where to_stage = $1 and seq > $2 order by seq limit $3",
                args![into.as_str(), after.0, limit],
            )
            .await?;
        Ok(rows.into_iter().map(|row| (Arrival(row.seq), Error::told(row.read()))).collect())
    }

    /// The next `limit` profiles behind `after`, by id in byte order, whose place can change although they do nothing:
    /// all that were placed, but for those at [`Stage::Discover`], where nothing can decay any further.
    pub async fn placed_after(
        &self,
        after: Option<&ProfileId>,
        limit: usize,
    ) -> Result<Vec<ProfileId>, Error> {
        let rows: Vec<(String,)> = self
            .pools
            .all(
                "select profile_id from stages where profile_id > $1 and stage <> $2 order by profile_id limit $3",
                args![after.map_or("", ProfileId::as_str), Stage::Discover.as_str(), limit],
            )
            .await?;
        rows.into_iter().map(|(profile,)| read_profile(&profile)).collect()
    }

    /// The place behind all steps recorded so far.
    pub async fn transitions_end(&self) -> Result<Arrival, Error> {
        let row: Option<(i64,)> =
            self.pools.first("select coalesce(max(seq), 0) from stage_transitions", args![]).await?;
        Ok(Arrival(row.map_or(0, |(seq,)| seq)))
    }
}

impl<'a> NewRow<'a> {
    fn of((profile, transition): &'a (ProfileId, Transition), seq: i64) -> Self {
        Self {
            seq,
            profile: profile.as_str(),
            from: transition.from.map(Stage::as_str),
            to: transition.to.as_str(),
            at: transition.at.as_millisecond(),
            reason: &transition.reason,
        }
    }
}

fn read_profile(text: &str) -> Result<ProfileId, Error> {
    ProfileId::parse(text).map_err(|fault| Error::unreadable("stages", text, fault))
}

fn read_stage(key: &str, text: &str) -> Result<Stage, Error> {
    Stage::parse(text).ok_or_else(|| Error::unreadable("stages", key, format!("{text} is no stage")))
}
