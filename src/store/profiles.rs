//! People: upsert, look up, page through all.

use std::collections::HashMap;
use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use super::Error;
use super::Store;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::Rows;
use super::batch::args;
use super::connection::Tx;
use super::consents;
use super::consents::ConsentProof;
use super::tombstones;
use crate::clock::from_millisecond;
use crate::profile::Consent;
use crate::profile::EmailAddress;
use crate::profile::Profile;
use crate::profile::ProfileId;

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

const INSERT: &str =
    "insert into profiles (id, address, address_key, traits, locale, time_zone, consent, created_at, updated_at)
     select value->>'id', value->>'address', value->>'address_key', value->>'traits', value->>'locale',
       value->>'time_zone', value->>'consent', cast(value->>'created_at' as bigint),
       cast(value->>'updated_at' as bigint)
     from {rows} where true";

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

#[derive(Serialize)]
struct NewRow<'a> {
    id: &'a str,
    address: Option<&'a str>,
    address_key: Option<String>,
    traits: String,
    locale: Option<&'a str>,
    time_zone: Option<&'a str>,
    consent: &'a str,
    created_at: i64,
    updated_at: i64,
}

impl<'a> NewRow<'a> {
    fn of(profile: &'a Profile) -> Self {
        Self {
            id: profile.id.as_str(),
            address: profile.address.as_ref().map(EmailAddress::as_str),
            address_key: profile.address.as_ref().map(EmailAddress::key),
            traits: Value::Object(profile.traits.clone()).to_string(),
            locale: profile.locale.as_deref(),
            time_zone: profile.time_zone.as_deref(),
            consent: profile.consent.as_str(),
            created_at: profile.created_at.as_millisecond(),
            updated_at: profile.updated_at.as_millisecond(),
        }
    }
}

impl Store {
    /// Adds profiles and merges what is new into known ones: a field that says nothing keeps what is known, a trait
    /// replaces the trait of its name, a trait that is null removes it. Doing it twice changes nothing.
    ///
    /// A consent that was withdrawn stays withdrawn: an old export must not bring people back. Only
    /// [`Store::append_consents`], with its proof, grants it again. Who was erased is left out.
    pub async fn upsert_profiles(&self, profiles: &[Profile], now: Timestamp) -> Result<Upserted, Error> {
        let mut tx = self.pools.begin().await?;
        let merged = upsert(&mut tx, profiles, now).await?;
        tx.commit().await?;
        Ok(merged.done)
    }

    /// [`Store::upsert_profiles`] of a file: the consent that it states is kept with its proof.
    pub async fn import_profiles(&self, profiles: &[Profile], now: Timestamp) -> Result<Upserted, Error> {
        let mut tx = self.pools.begin().await?;
        let merged = upsert(&mut tx, profiles, now).await?;
        let proofs = merged.proofs("import", now, |_| "whoever made the file".to_owned());
        consents::append(&mut tx, &proofs, now).await?;
        tx.commit().await?;
        Ok(merged.done)
    }

    /// One profile.
    pub async fn profile(&self, id: &ProfileId) -> Result<Option<Profile>, Error> {
        let sql = format!("{COLUMNS} where id = $1");
        let row: Option<ProfileRow> = self.pools.first(sql, args![id.as_str()]).await?;
        row.map(Profile::try_from).transpose()
    }

    /// The known ones of these profiles, by id.
    pub async fn profiles(&self, ids: &[ProfileId]) -> Result<HashMap<ProfileId, Profile>, Error> {
        let sql = format!("{COLUMNS} where id in (select value->>0 from {{rows}})");
        let mut found = HashMap::with_capacity(ids.len());
        for chunk in ids.chunks(ROWS_PER_STATEMENT_MAX) {
            let rows: Vec<ProfileRow> = self.pools.all(sql.clone(), args![id_rows(chunk)]).await?;
            for row in rows {
                let profile = Profile::try_from(row)?;
                found.insert(profile.id.clone(), profile);
            }
        }
        Ok(found)
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

    /// The next `limit` profiles of a zone behind `after`, by id in byte order; `None`: those who name none.
    pub async fn profiles_in_zone(
        &self,
        zone: Option<&str>,
        after: Option<&ProfileId>,
        limit: usize,
    ) -> Result<Vec<Profile>, Error> {
        let after = after.map_or("", ProfileId::as_str);
        let rows: Vec<ProfileRow> = if let Some(zone) = zone {
            let sql = format!("{COLUMNS} where time_zone = $1 and id > $2 order by id limit $3");
            self.pools.all(sql, args![zone, after, limit]).await?
        } else {
            let sql = format!("{COLUMNS} where time_zone is null and id > $1 order by id limit $2");
            self.pools.all(sql, args![after, limit]).await?
        };
        rows.into_iter().map(Profile::try_from).collect()
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

/// What an upsert did, and which consent it changed.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) done: Upserted,
    consents: Vec<(ProfileId, Consent)>,
}

impl Merged {
    /// The proofs of what was said about consent, by whom `who` names for each person.
    pub(super) fn proofs(
        &self,
        source: &str,
        now: Timestamp,
        who: impl Fn(&ProfileId) -> String,
    ) -> Vec<ConsentProof> {
        let proof = |(profile, status): &(ProfileId, Consent)| ConsentProof {
            profile: profile.clone(),
            at: now,
            status: *status,
            source: source.to_owned(),
            who: who(profile),
            wording: "none was stated".to_owned(),
            address: None,
        };
        self.consents.iter().map(proof).collect()
    }
}

/// [`Store::upsert_profiles`] in a transaction that does more.
pub(super) async fn upsert(tx: &mut Tx, profiles: &[Profile], now: Timestamp) -> Result<Merged, Error> {
    let people = profiles.iter().map(|profile| (&profile.id, profile.address.as_ref()));
    let erased = tombstones::erased(tx, people).await?;
    let mut merged = Merged::default();
    let welcome: Vec<Profile>;
    let profiles = if erased.is_empty() {
        profiles
    } else {
        welcome = profiles.iter().filter(|profile| !erased.contains(&profile.id)).cloned().collect();
        merged.done.erased = (profiles.len() - welcome.len()) as u64;
        &welcome
    };
    for chunk in profiles.chunks(ROWS_PER_STATEMENT_MAX) {
        upsert_chunk(tx, chunk, now, &mut merged).await?;
    }
    Ok(merged)
}

async fn upsert_chunk(
    tx: &mut Tx,
    chunk: &[Profile],
    now: Timestamp,
    merged: &mut Merged,
) -> Result<(), Error> {
    let ids: Vec<ProfileId> = chunk.iter().map(|profile| profile.id.clone()).collect();
    let mut profiles = find_all(tx, &ids).await?;
    let consent_before: HashMap<ProfileId, Consent> =
        profiles.iter().map(|(id, profile)| (id.clone(), profile.consent)).collect();
    let done = &mut merged.done;
    let mut changed: HashSet<&ProfileId> = HashSet::new();
    for profile in chunk {
        let Some(known) = profiles.get_mut(&profile.id) else {
            let mut new = profile.clone();
            new.traits.retain(|_, value| !value.is_null());
            profiles.insert(profile.id.clone(), new);
            changed.insert(&profile.id);
            done.inserted += 1;
            continue;
        };
        if merge(known, profile) {
            known.updated_at = now;
            changed.insert(&profile.id);
            done.updated += 1;
        } else {
            done.unchanged += 1;
        }
    }
    let told = changed.iter().filter_map(|id| {
        let consent = profiles[*id].consent;
        let before = consent_before.get(*id).copied().unwrap_or_default();
        (consent != before).then(|| ((*id).clone(), consent))
    });
    merged.consents.extend(told);
    let mut rows: Vec<NewRow<'_>> = changed.iter().map(|id| NewRow::of(&profiles[*id])).collect();
    rows.sort_by(|a, b| a.id.cmp(b.id));
    let sql = format!(
        "{INSERT} on conflict (id) do update set address = excluded.address, address_key = excluded.address_key,
           traits = excluded.traits, locale = excluded.locale, time_zone = excluded.time_zone,
           consent = excluded.consent, created_at = excluded.created_at, updated_at = excluded.updated_at"
    );
    tx.run(sql, args![Rows::of(&rows)]).await?;
    Ok(())
}

/// Adds a profile whose id nobody knew; one that is known stays as it is.
pub(super) async fn add_unknown(tx: &mut Tx, profile: &Profile) -> Result<u64, Error> {
    let sql = format!("{INSERT} on conflict (id) do nothing");
    tx.run(sql, args![Rows::of(&[NewRow::of(profile)])]).await
}

/// Merges what `new` says into `known`; whether that changed anything.
fn merge(known: &mut Profile, new: &Profile) -> bool {
    let before = known.clone();
    if new.address.is_some() {
        known.address.clone_from(&new.address);
    }
    if new.locale.is_some() {
        known.locale.clone_from(&new.locale);
    }
    if new.time_zone.is_some() {
        known.time_zone.clone_from(&new.time_zone);
    }
    if known.consent == Consent::Unknown || new.consent == Consent::Withdrawn {
        known.consent = new.consent;
    }
    known.created_at = known.created_at.min(new.created_at);
    merge_traits(&mut known.traits, &new.traits);
    *known != before
}

fn merge_traits(known: &mut Map<String, Value>, new: &Map<String, Value>) {
    for (name, value) in new {
        if value.is_null() {
            known.remove(name);
        } else {
            known.insert(name.clone(), value.clone());
        }
    }
}
