//! What profiles did: insert once, read by profile for histories and by arrival for triggers.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::Error;
use super::Store;
use super::arrival;
use super::arrival::Arrival;
use super::arrival::Arrivals;
use super::arrival::Page;
use super::batch::Heap;
use super::batch::HeapText;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::Rows;
use super::batch::args;
use super::connection::Tx;
use super::packed::Packed;
use super::profiles::id_rows;
use super::tombstones;
use crate::clock::from_millisecond;
use crate::event::Event;
use crate::history::EVENTS_PER_PROFILE_MAX;
use crate::profile::ProfileId;

#[derive(Serialize)]
struct NewRow<'a> {
    seq: i64,
    profile: &'a str,
    id: &'a str,
    name: &'a str,
    at: i64,
    properties: HeapText,
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
pub(super) const EVENTS_SQL: &str = "select value->>0, (
       select string_agg(format('%s:%s:%s%s:%s%s:%s', e.at, octet_length(e.id), e.id, octet_length(e.name), e.name,
         octet_length(e.properties), e.properties), '')
       from (
         select at, id, name, properties from events
         where profile_id = value->>0 order by at desc, id desc limit cast($2 as bigint)
       ) as e
     )
     from {rows}";

impl Store {
    /// Adds events and returns how many were new: the same id of the same profile is the same event, and the first
    /// stays.
    pub async fn insert_events(&self, events: &[Event]) -> Result<u64, Error> {
        let mut tx = self.pools.begin().await?;
        let inserted = insert(&mut tx, events).await?;
        tx.commit().await?;
        Ok(inserted)
    }

    /// The events of these profiles, newest first, at most [`EVENTS_PER_PROFILE_MAX`] each. A profile without any has
    /// no entry.
    pub async fn events_of(&self, profiles: &[ProfileId]) -> Result<HashMap<ProfileId, Vec<Event>>, Error> {
        let mut found = HashMap::with_capacity(profiles.len());
        for chunk in profiles.chunks(ROWS_PER_STATEMENT_MAX) {
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

    /// The next `limit` events with one of these names in the order of arrival, behind `after`.
    pub async fn events_after(
        &self,
        names: &[&str],
        after: Arrival,
        limit: usize,
    ) -> Result<Page<Event>, Error> {
        let names: Vec<[&str; 1]> = names.iter().map(|name| [*name]).collect();
        let rows: Vec<ArrivalRow> = self
            .pools
            .all(
                "select seq, profile_id, id, name, at, properties from events
                 where name in (select value->>0 from {rows}) and seq > $2 order by seq limit $3",
                args![Rows::of(&names), after.0, limit],
            )
            .await?;
        Ok(rows.into_iter().map(|row| (Arrival(row.seq), Error::told(Event::try_from(row)))).collect())
    }

    /// The place behind all events that have arrived: where a new reader starts that wants only what is to come.
    pub async fn events_end(&self) -> Result<Arrival, Error> {
        let row: Option<(i64,)> =
            self.pools.first("select coalesce(max(seq), 0) from events", args![]).await?;
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

/// [`Store::insert_events`] in a transaction that does more.
pub(super) async fn insert(tx: &mut Tx, events: &[Event]) -> Result<u64, Error> {
    let erased = tombstones::erased(tx, events.iter().map(|event| (&event.profile, None))).await?;
    let welcome: Vec<Event>;
    let events = if erased.is_empty() {
        events
    } else {
        welcome = events.iter().filter(|event| !erased.contains(&event.profile)).cloned().collect();
        &welcome
    };
    let mut inserted = 0;
    for chunk in events.chunks(ROWS_PER_STATEMENT_MAX) {
        let first = arrival::take(tx, Arrivals::Events, chunk.len()).await?;
        let mut heap = Heap::default();
        let rows: Vec<NewRow<'_>> =
            chunk.iter().zip(first..).map(|(event, seq)| NewRow::of(event, seq, &mut heap)).collect();
        inserted += tx
            .run(
                "insert into events (seq, profile_id, id, name, at, properties)
                 select cast(value->>'seq' as bigint), value->>'profile', value->>'id', value->>'name',
                   cast(value->>'at' as bigint), {heap:properties}
                 from {rows} where true
                 on conflict do nothing",
                args![Rows::of(&rows), heap],
            )
            .await?;
    }
    Ok(inserted)
}

impl<'a> NewRow<'a> {
    fn of(event: &'a Event, seq: i64, heap: &mut Heap) -> Self {
        Self {
            seq,
            profile: event.profile.as_str(),
            id: &event.id,
            name: &event.name,
            at: event.at.as_millisecond(),
            properties: heap.json(&event.properties),
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

fn read_list(profile: &ProfileId, list: &str) -> Result<Vec<Event>, Error> {
    let mut events = Vec::new();
    let mut packed = Packed::new(list);
    while !packed.is_empty() {
        events.push(read_packed(profile, &mut packed).map_err(|fault| unreadable(profile.as_str(), fault))?);
    }
    Ok(events)
}

pub(super) fn read_packed(profile: &ProfileId, packed: &mut Packed<'_>) -> Result<Event, String> {
    let at = packed.number()?.ok_or("an event without a time")?;
    let (id, name, properties) = (packed.text()?, packed.text()?, packed.text()?);
    Ok(Event {
        id: id.to_owned(),
        profile: profile.clone(),
        name: name.to_owned(),
        at: from_millisecond(at),
        properties: serde_json::from_str(properties).map_err(|fault| format!("event {id}: {fault}"))?,
    })
}

fn unreadable(key: &str, fault: impl fmt::Display) -> Error {
    Error::unreadable("events", key, fault)
}
