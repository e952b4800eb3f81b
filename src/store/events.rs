//! What profiles did: insert once, read by profile for histories and by arrival for triggers.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::Error;
use super::Store;
use super::arrival;
use super::arrival::Arrival;
use super::arrival::Arrivals;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::Rows;
use super::batch::args;
use super::profiles::id_rows;
use crate::clock::from_millisecond;
use crate::event::Event;
use crate::history::EVENTS_PER_PROFILE_MAX;
use crate::profile::ProfileId;

#[derive(Serialize)]
struct NewRow<'a> {
    profile: &'a str,
    id: &'a str,
    name: &'a str,
    at: i64,
    properties: String,
}

#[derive(sqlx::FromRow)]
struct ArrivalRow {
    seq: i64,
    profile_id: String,
    id: String,
    name: String,
    at: i64,
    properties: String,
}

/// `$1` profiles, `$2` how many events each.
pub(super) const EVENTS_SQL: &str = "select value->>0, cast((
       select {json_list}({json_row}(e.id, e.name, e.at, e.properties)) from (
         select id, name, at, properties from events
         where profile_id = value->>0 order by at desc, id desc limit $2
       ) as e
     ) as text)
     from {rows}";

impl Store {
    /// Adds events and returns how many were new: the same id of the same profile is the same event, and the first
    /// stays.
    pub async fn insert_events(&self, events: &[Event]) -> Result<u64, Error> {
        let mut inserted = 0;
        let mut tx = self.pools.begin().await?;
        arrival::enter(&mut tx, Arrivals::Events).await?;
        for chunk in events.chunks(ROWS_PER_STATEMENT_MAX) {
            let rows: Vec<NewRow<'_>> = chunk.iter().map(NewRow::of).collect();
            inserted += tx
                .run(
                    "insert into events (profile_id, id, name, at, properties)
                     select value->>'profile', value->>'id', value->>'name', cast(value->>'at' as bigint),
                       value->>'properties'
                     from {rows} where true
                     on conflict (profile_id, id) do nothing",
                    args![Rows::of(&rows)],
                )
                .await?;
        }
        tx.commit().await?;
        Ok(inserted)
    }

    /// The events of these profiles, newest first, at most [`EVENTS_PER_PROFILE_MAX`] each. A profile without any has
    /// no entry.
    pub async fn events_of(&self, profiles: &[ProfileId]) -> Result<HashMap<ProfileId, Vec<Event>>, Error> {
        let mut found = HashMap::with_capacity(profiles.len());
        for chunk in profiles.chunks(ROWS_PER_STATEMENT_MAX) {
            // One row a profile: a driver's cost is by row, and a history has many.
            let rows: Vec<(String, Option<String>)> =
                self.pools.all(EVENTS_SQL, args![id_rows(chunk), EVENTS_PER_PROFILE_MAX]).await?;
            for (profile, list) in rows {
                let profile = ProfileId::parse(&profile).map_err(|fault| unreadable(&profile, fault))?;
                let events = list.map_or(Ok(Vec::new()), |list| read_list(&profile, &list))?;
                if !events.is_empty() {
                    found.insert(profile, events);
                }
            }
        }
        Ok(found)
    }

    /// The next `limit` events with one of these names in the order of arrival, behind `after`, each with its place.
    pub async fn events_after(
        &self,
        names: &[&str],
        after: Arrival,
        limit: usize,
    ) -> Result<Vec<(Arrival, Event)>, Error> {
        let names: Vec<[&str; 1]> = names.iter().map(|name| [*name]).collect();
        let mut tx = self.settled(Arrivals::Events).await?;
        let rows: Vec<ArrivalRow> = tx
            .all(
                "select seq, profile_id, id, name, at, properties from events
                 where name in (select value->>0 from {rows}) and seq > $2 order by seq limit $3",
                args![Rows::of(&names), after.0, limit],
            )
            .await?;
        tx.commit().await?;
        rows.into_iter().map(|row| Ok((Arrival(row.seq), Event::try_from(row)?))).collect()
    }

    /// The place behind all events that have arrived: where a new reader starts that wants only what is to come.
    pub async fn events_end(&self) -> Result<Arrival, Error> {
        let mut tx = self.settled(Arrivals::Events).await?;
        let row: Option<(i64,)> = tx.first("select coalesce(max(seq), 0) from events", args![]).await?;
        tx.commit().await?;
        Ok(Arrival(row.map_or(0, |(seq,)| seq)))
    }

    /// The newest event of this name of one profile.
    pub async fn latest_event(&self, profile: &ProfileId, name: &str) -> Result<Option<Event>, Error> {
        let row: Option<ArrivalRow> = self
            .pools
            .first(
                "select seq, profile_id, id, name, at, properties from events
                 where profile_id = $1 and name = $2 order by at desc, id desc limit 1",
                args![profile.as_str(), name],
            )
            .await?;
        row.map(Event::try_from).transpose()
    }

    /// How many events there are.
    pub async fn count_events(&self) -> Result<u64, Error> {
        self.count("select count(*) from events", args![]).await
    }
}

impl<'a> NewRow<'a> {
    fn of(event: &'a Event) -> Self {
        Self {
            profile: event.profile.as_str(),
            id: &event.id,
            name: &event.name,
            at: event.at.as_millisecond(),
            properties: Value::Object(event.properties.clone()).to_string(),
        }
    }
}

impl TryFrom<ArrivalRow> for Event {
    type Error = Error;

    fn try_from(row: ArrivalRow) -> Result<Self, Error> {
        Ok(Self {
            profile: ProfileId::parse(&row.profile_id).map_err(|fault| unreadable(&row.id, fault))?,
            properties: serde_json::from_str(&row.properties).map_err(|fault| unreadable(&row.id, fault))?,
            id: row.id,
            name: row.name,
            at: from_millisecond(row.at),
        })
    }
}

/// Reads `[[id, name, at, "{properties}"], …]`.
fn read_list(profile: &ProfileId, list: &str) -> Result<Vec<Event>, Error> {
    let rows: Vec<(String, String, i64, String)> =
        serde_json::from_str(list).map_err(|fault| unreadable(profile.as_str(), fault))?;
    rows.into_iter()
        .map(|(id, name, at, properties)| {
            let properties = serde_json::from_str(&properties).map_err(|fault| unreadable(&id, fault))?;
            Ok(Event { profile: profile.clone(), properties, id, name, at: from_millisecond(at) })
        })
        .collect()
}

fn unreadable(key: &str, fault: impl fmt::Display) -> Error {
    Error::unreadable("events", key, fault)
}
