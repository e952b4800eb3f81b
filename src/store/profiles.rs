//! People: upsert, look up, page through all.

use std::collections::HashMap;

use jiff::Timestamp;

use super::Error;
use super::Store;
use super::again::despite_deadlocks;
use super::aliases::OWNER;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::Rows;
use super::batch::args;
use super::connection::Tx;
use super::consents;
use crate::clock::from_millisecond;
use crate::profile::Consent;
use crate::profile::EmailAddress;
use crate::profile::Profile;
use crate::profile::ProfileId;
pub(super) use upsert::add_unknown;
pub(super) use upsert::upsert;

mod upsert;

/// What an upsert of profiles did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Upserted {
    /// New profiles.
    pub inserted: u64,
    /// Known profiles of which something changed.
    pub updated: u64,
    /// Known profiles that say the same as before.
    pub unchanged: u64,
    /// People who were erased, by id or address: they are not taken in again.
    pub erased: u64,
}

const COLUMNS: &str =
    "select id, address, traits, locale, time_zone, consent, created_at, updated_at from profiles";

#[derive(sqlx::FromRow)]
pub(super) struct ProfileRow {
    id: String,
    address: Option<String>,
    traits: String,
    locale: Option<String>,
    time_zone: Option<String>,
    consent: String,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<ProfileRow> for Profile {
    type Error = Error;

    fn try_from(row: ProfileRow) -> Result<Self, Error> {
        let bad = |fault: &dyn std::fmt::Display| Error::unreadable("profiles", &row.id, fault);
        Ok(Self {
            id: ProfileId::parse(&row.id).map_err(|fault| bad(&fault))?,
            address: row
                .address
                .as_deref()
                .map(EmailAddress::parse)
                .transpose()
                .map_err(|fault| bad(&fault))?,
            traits: serde_json::from_str(&row.traits).map_err(|fault| bad(&fault))?,
            consent: Consent::parse(&row.consent).ok_or_else(|| bad(&"the consent is no known word"))?,
            locale: row.locale,
            time_zone: row.time_zone,
            created_at: from_millisecond(row.created_at),
            updated_at: from_millisecond(row.updated_at),
        })
    }
}

impl Store {
    /// Adds profiles and merges what is new into known ones: a field that says nothing keeps what is known, a trait
    /// replaces the trait of its name, a trait that is null removes it. Doing it twice changes nothing.
    ///
    /// A consent that was withdrawn stays withdrawn: an old export must not bring people back. Only
    /// [`Store::append_consents`], with its proof, grants it again. Who was erased is left out.
    pub async fn upsert_profiles(&self, profiles: &[Profile], now: Timestamp) -> Result<Upserted, Error> {
        despite_deadlocks(|| async {
            let mut tx = self.pools.begin().await?;
            let merged = upsert(&mut tx, profiles, now).await?;
            tx.commit().await?;
            Ok(merged.done)
        })
        .await
    }

    /// [`Store::upsert_profiles`] of a file: the consent that it states is kept with its proof.
    pub async fn import_profiles(&self, profiles: &[Profile], now: Timestamp) -> Result<Upserted, Error> {
        despite_deadlocks(|| async {
            let mut tx = self.pools.begin().await?;
            let merged = upsert(&mut tx, profiles, now).await?;
            let proofs = merged.proofs("import", now, |_| "whoever made the file".to_owned());
            consents::append(&mut tx, &proofs, now).await?;
            tx.commit().await?;
            Ok(merged.done)
        })
        .await
    }

    /// One profile; of a visitor who was joined to somebody, that person's.
    pub async fn profile(&self, id: &ProfileId) -> Result<Option<Profile>, Error> {
        let sql = format!("{COLUMNS} where id = {OWNER}");
        let row: Option<ProfileRow> = self.pools.first(sql, args![id.as_str()]).await?;
        row.map(Profile::try_from).transpose()
    }

    /// The known ones of these profiles, by id.
    pub async fn profiles(&self, ids: &[ProfileId]) -> Result<HashMap<ProfileId, Profile>, Error> {
        let profiles = self.rows_of(ids).await?.into_iter().map(Profile::try_from);
        profiles.map(|profile| profile.map(|profile| (profile.id.clone(), profile))).collect()
    }

    /// [`Store::profiles`] without those that cannot be read.
    pub async fn readable_profiles(&self, ids: &[ProfileId]) -> Result<HashMap<ProfileId, Profile>, Error> {
        let profiles = Error::readable(self.rows_of(ids).await?.into_iter().map(Profile::try_from));
        Ok(profiles.into_iter().map(|profile| (profile.id.clone(), profile)).collect())
    }

    async fn rows_of(&self, ids: &[ProfileId]) -> Result<Vec<ProfileRow>, Error> {
        let sql = format!("{COLUMNS} where id in (select value->>0 from {{rows}})");
        let mut rows = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(ROWS_PER_STATEMENT_MAX) {
            rows.append(&mut self.pools.all(sql.clone(), args![id_rows(chunk)]).await?);
        }
        Ok(rows)
    }

    /// The next `limit` profiles behind `after`, by id in byte order: a planner's way through all of them.
    pub async fn profiles_after(
        &self,
        after: Option<&ProfileId>,
        limit: usize,
    ) -> Result<Vec<Profile>, Error> {
        let sql = format!("{COLUMNS} where id > $1 order by id limit $2");
        let after = after.map_or("", ProfileId::as_str);
        let rows: Vec<ProfileRow> = self.pools.all(sql, args![after, limit]).await?;
        rows.into_iter().map(Profile::try_from).collect()
    }

    /// The zones that profiles name, and `None` where some name none. Reads one row of the index a zone, not the people.
    pub async fn time_zones(&self) -> Result<Vec<Option<String>>, Error> {
        let rows: Vec<(Option<String>,)> = self
            .pools
            .all(
                "with recursive zones (zone) as (
                   select min(time_zone) from profiles
                   union all
                   select (select min(p.time_zone) from profiles as p where p.time_zone > zones.zone) from zones
                   where zones.zone is not null
                 )
                 select zone from zones where zone is not null
                 union all
                 select null where exists (select 1 from profiles where time_zone is null)",
                args![],
            )
            .await?;
        Ok(rows.into_iter().map(|(zone,)| zone).collect())
    }

    /// The next `limit` profiles of a zone behind `after`, by id in byte order; `None`: those who name none. One that
    /// cannot be read is left out. With them comes the id behind which the next page begins, where there may be one.
    pub async fn profiles_in_zone(
        &self,
        zone: Option<&str>,
        after: Option<&ProfileId>,
        limit: usize,
    ) -> Result<(Vec<Profile>, Option<ProfileId>), Error> {
        let after = after.map_or("", ProfileId::as_str);
        let rows: Vec<ProfileRow> = if let Some(zone) = zone {
            let sql = format!("{COLUMNS} where time_zone = $1 and id > $2 order by id limit $3");
            self.pools.all(sql, args![zone, after, limit]).await?
        } else {
            let sql = format!("{COLUMNS} where time_zone is null and id > $1 order by id limit $2");
            self.pools.all(sql, args![after, limit]).await?
        };
        let last = rows.iter().rev().find_map(|row| ProfileId::parse(&row.id).ok());
        let next = last.filter(|_| rows.len() == limit);
        Ok((Error::readable(rows.into_iter().map(Profile::try_from)), next))
    }

    /// Profiles that have this address, whatever its case.
    pub async fn profiles_by_address(&self, address: &EmailAddress) -> Result<Vec<Profile>, Error> {
        let sql = format!("{COLUMNS} where address_key = $1 order by id");
        let rows: Vec<ProfileRow> = self.pools.all(sql, args![address.key().as_str()]).await?;
        rows.into_iter().map(Profile::try_from).collect()
    }

    /// How many profiles there are.
    pub async fn count_profiles(&self) -> Result<u64, Error> {
        self.count("select count(*) from profiles", args![]).await
    }
}

/// A batch of ids, each a list of one, so that `value->>0` reads it on both databases.
pub(super) fn id_rows(ids: &[ProfileId]) -> Rows {
    let rows: Vec<[&str; 1]> = ids.iter().map(|id| [id.as_str()]).collect();
    Rows::of(&rows)
}

/// [`Store::profile`] in a transaction that writes.
pub(super) async fn find(tx: &mut Tx, id: &ProfileId) -> Result<Option<Profile>, Error> {
    let sql = format!("{COLUMNS} where id = $1 {{for_update}}");
    let row: Option<ProfileRow> = tx.first(sql, args![id.as_str()]).await?;
    row.map(Profile::try_from).transpose()
}

/// Those of these profiles that are known, in a transaction that writes.
pub(super) async fn find_all(tx: &mut Tx, ids: &[ProfileId]) -> Result<HashMap<ProfileId, Profile>, Error> {
    // Locked in the order of ids, as everywhere, so that two batches cannot wait for each other.
    let sql = format!("{COLUMNS} where id in (select value->>0 from {{rows}}) order by id {{for_update}}");
    let rows: Vec<ProfileRow> = tx.all(sql, args![id_rows(ids)]).await?;
    let profile = |row| Profile::try_from(row).map(|profile| (profile.id.clone(), profile));
    rows.into_iter().map(profile).collect()
}

/// Those who have the address with this key, in a transaction that writes.
pub(super) async fn find_at(tx: &mut Tx, address_key: &str) -> Result<Vec<Profile>, Error> {
    let sql = format!("{COLUMNS} where address_key = $1 order by id {{for_update}}");
    let rows: Vec<ProfileRow> = tx.all(sql, args![address_key]).await?;
    rows.into_iter().map(Profile::try_from).collect()
}
