//! Adding people and merging what is new into known ones, whoever else does the same at the same time.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use super::Upserted;
use super::find_all;
use crate::profile::Consent;
use crate::profile::EmailAddress;
use crate::profile::Profile;
use crate::profile::ProfileId;
use crate::store::Error;
use crate::store::batch::ROWS_PER_STATEMENT_MAX;
use crate::store::batch::Rows;
use crate::store::batch::args;
use crate::store::connection::Tx;
use crate::store::consents::ConsentProof;
use crate::store::tombstones;

/// Rounds in which an upsert merges people whom others add at the same time.
const UPSERT_ROUNDS_MAX: usize = 10;

const INSERT: &str =
    "insert into profiles (id, address, address_key, traits, locale, time_zone, consent, created_at, updated_at)
     select value->>'id', value->>'address', value->>'address_key', value->>'traits', value->>'locale',
       value->>'time_zone', value->>'consent', cast(value->>'created_at' as bigint),
       cast(value->>'updated_at' as bigint)
     from {rows} where true";

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

/// What an upsert did, and which consent it changed.
#[derive(Debug, Default)]
pub(in crate::store) struct Merged {
    pub(in crate::store) done: Upserted,
    consents: Vec<(ProfileId, Consent)>,
}

impl Merged {
    /// The proofs of what was said about consent, by whom `who` names for each person.
    pub(in crate::store) fn proofs(
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
pub(in crate::store) async fn upsert(
    tx: &mut Tx,
    profiles: &[Profile],
    now: Timestamp,
) -> Result<Merged, Error> {
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

/// Merges a chunk in rounds: whom another transaction added since the look is waited for, and known in the next one.
async fn upsert_chunk(
    tx: &mut Tx,
    chunk: &[Profile],
    now: Timestamp,
    merged: &mut Merged,
) -> Result<(), Error> {
    let mut left: Vec<&Profile> = chunk.iter().collect();
    for _ in 0..UPSERT_ROUNDS_MAX {
        left = upsert_round(tx, &left, now, merged).await?;
        if left.is_empty() {
            return Ok(());
        }
    }
    let who = left.first().map_or("", |profile| profile.id.as_str());
    Err(Error::unreadable("profiles", who, "others keep adding and deleting it"))
}

/// What one of the profiles of an upsert did.
#[derive(Debug, Clone, Copy)]
enum Did {
    Insert,
    Update,
    Nothing,
}

/// Merges people into those who are known, which locks them, and adds the others. Returns those whom somebody else added
/// in between: of them nothing was done.
async fn upsert_round<'p>(
    tx: &mut Tx,
    people: &[&'p Profile],
    now: Timestamp,
    merged: &mut Merged,
) -> Result<Vec<&'p Profile>, Error> {
    let ids: Vec<ProfileId> = people.iter().map(|profile| profile.id.clone()).collect();
    let mut profiles = find_all(tx, &ids).await?;
    let before: HashMap<ProfileId, Consent> =
        profiles.iter().map(|(id, profile)| (id.clone(), profile.consent)).collect();
    let mut did: Vec<(&Profile, Did)> = Vec::with_capacity(people.len());
    for profile in people.iter().copied() {
        let Some(known) = profiles.get_mut(&profile.id) else {
            let mut new = profile.clone();
            new.traits.retain(|_, value| !value.is_null());
            profiles.insert(profile.id.clone(), new);
            did.push((profile, Did::Insert));
            continue;
        };
        let changed = merge(known, profile);
        if changed {
            known.updated_at = now;
        }
        did.push((profile, if changed { Did::Update } else { Did::Nothing }));
    }
    let changed = did.iter().filter(|(_, did)| !matches!(did, Did::Nothing)).map(|(profile, _)| &profile.id);
    let changed: BTreeSet<&ProfileId> = changed.collect();
    let (known, new): (Vec<&Profile>, Vec<&Profile>) =
        changed.iter().map(|id| &profiles[*id]).partition(|profile| before.contains_key(&profile.id));
    let lost = write(tx, &known, &new).await?;
    for (_, did) in did.iter().filter(|(profile, _)| !lost.contains(&profile.id)) {
        match did {
            Did::Insert => merged.done.inserted += 1,
            Did::Update => merged.done.updated += 1,
            Did::Nothing => merged.done.unchanged += 1,
        }
    }
    let told = changed.into_iter().filter(|id| !lost.contains(*id)).filter_map(|id| {
        let consent = profiles[id].consent;
        (consent != before.get(id).copied().unwrap_or_default()).then(|| (id.clone(), consent))
    });
    merged.consents.extend(told);
    Ok(people.iter().copied().filter(|profile| lost.contains(&profile.id)).collect())
}

/// Writes people who are known, and locked, and adds new ones. Returns the new ones whom somebody else has added.
async fn write(tx: &mut Tx, known: &[&Profile], new: &[&Profile]) -> Result<HashSet<ProfileId>, Error> {
    let rows = |profiles: &[&Profile]| {
        let rows: Vec<NewRow<'_>> = profiles.iter().map(|profile| NewRow::of(profile)).collect();
        Rows::of(&rows)
    };
    if !known.is_empty() {
        let sql = format!(
            "{INSERT} on conflict (id) do update set address = excluded.address, address_key = excluded.address_key,
               traits = excluded.traits, locale = excluded.locale, time_zone = excluded.time_zone,
               consent = excluded.consent, created_at = excluded.created_at, updated_at = excluded.updated_at"
        );
        tx.run(sql, args![rows(known)]).await?;
    }
    if new.is_empty() {
        return Ok(HashSet::new());
    }
    let added: Vec<(String,)> =
        tx.all(format!("{INSERT} on conflict (id) do nothing returning id"), args![rows(new)]).await?;
    let added: HashSet<&str> = added.iter().map(|(id,)| id.as_str()).collect();
    let lost = new.iter().filter(|profile| !added.contains(profile.id.as_str()));
    Ok(lost.map(|profile| profile.id.clone()).collect())
}

/// Adds a profile whose id nobody knew; one that is known stays as it is.
pub(in crate::store) async fn add_unknown(tx: &mut Tx, profile: &Profile) -> Result<u64, Error> {
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
