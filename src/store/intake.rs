//! What clients tell: people, what they did, and who is who, as one transaction.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;

use jiff::SignedDuration;
use jiff::Timestamp;

use super::Error;
use super::Store;
use super::again::despite_deadlocks;
use super::aliases;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::args;
use super::connection::Accord;
use super::connection::Held;
use super::connection::Tx;
use super::consents;
use super::consents::ConsentProof;
use super::events;
use super::keys::Trust;
use super::profiles;
use super::tombstones;
use crate::event::Event;
use crate::ingest::implied_profiles;
use crate::ingest::segment::ANONYMOUS;
use crate::ingest::segment::Entry;
use crate::profile::Consent;
use crate::profile::EmailAddress;
use crate::profile::Profile;
use crate::profile::ProfileId;

/// What moves from one person to another when both are one. What the other has already stays.
const MOVES: [&str; 9] = [
    "update events set profile_id = $2 where profile_id = $1 and not exists (
       select 1 from events as other where other.profile_id = $2 and other.id = events.id)",
    "update consents set profile_id = $2 where profile_id = $1 and not exists (
       select 1 from consents as other where other.profile_id = $2 and other.at = consents.at
         and other.status = consents.status and other.source = consents.source)",
    "update coupons set profile_id = $2 where profile_id = $1 and not exists (
       select 1 from coupons as other where other.profile_id = $2 and other.offer = coupons.offer)",
    "update sends set profile_id = $2 where profile_id = $1 and not exists (
       select 1 from sends as other where other.profile_id = $2 and other.campaign = sends.campaign
         and other.occurrence = sends.occurrence)",
    "update decisions set profile_id = $2 where profile_id = $1",
    "update hits set profile_id = $2 where profile_id = $1",
    "update consent_requests set profile_id = $2 where profile_id = $1",
    "update web_decisions set profile_id = $2 where profile_id = $1",
    "update webhook_messages set profile_id = $2 where profile_id = $1",
];

/// What is forgotten of somebody who was joined to another: where both stand is found out anew.
const FORGETS: [&str; 4] = [
    "delete from events where profile_id = $1",
    "delete from stages where profile_id = $1",
    "delete from stage_transitions where profile_id = $1",
    "delete from profiles where id = $1",
];

/// An entry, and the key by which it came.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// What is to be kept.
    pub entry: &'a Entry,
    /// The id of the API key.
    pub key: &'a str,
    /// How far its word goes.
    pub trust: Trust,
}

/// What was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TakenIn {
    /// Events that nobody had told before.
    pub events: u64,
    /// People who turned out to be others.
    pub joined: u64,
}

impl Store {
    /// Takes in entries, in their order, all or none. Doing it twice changes nothing.
    ///
    /// What is told under an anonymous id that was joined goes to whom it was joined to last. A consent that is told is
    /// kept with its proof. What [`Trust::Public`] may not tell is left out; the rest of it counts.
    pub async fn take_in(&self, entries: &[Heard<'_>], now: Timestamp) -> Result<TakenIn, Error> {
        // Another may wait for somebody who is new here, and hold somebody who is known.
        despite_deadlocks(|| self.take_in_once(entries, now)).await
    }

    async fn take_in_once(&self, entries: &[Heard<'_>], now: Timestamp) -> Result<TakenIn, Error> {
        let mut tx = self.pools.begin().await?;
        let joins = entries.iter().any(|heard| matches!(heard.entry, Entry::Join { .. }));
        tx.agree(Accord::Joins, if joins { Held::Alone } else { Held::Shared }).await?;
        let ids = entries.iter().map(|heard| match heard.entry {
            Entry::Join { anonymous, .. } => anonymous,
            Entry::Profile(profile) => &profile.id,
            Entry::Event(event) => &event.profile,
        });
        let known = aliases::joined(&mut tx, &ids.collect::<Vec<_>>()).await?;
        let erased = erased_joins(&mut tx, entries).await?;
        let mut told = Told::of(entries, known, &erased);
        let mut taken = TakenIn::default();
        for (anonymous, profile) in &told.joins {
            taken.joined += join(&mut tx, anonymous, profile, now).await?;
        }
        let implied = implied_profiles(&told.events, now);
        profiles::upsert(&mut tx, &implied, now).await?;
        let moved = keep_addresses(&mut tx, &mut told.people, now).await?;
        let profiles: Vec<Profile> = told.people.into_iter().map(|(profile, _)| profile).collect();
        let merged = profiles::upsert(&mut tx, &profiles, now).await?;
        let who = |id: &ProfileId| {
            let key = told.keys.get(id).copied().unwrap_or_default();
            format!("told by the key {key}")
        };
        consents::append(&mut tx, &merged.proofs("identify", now, who), now).await?;
        for profile in known_of(&mut tx, &moved).await? {
            if profile.consent == Consent::Granted {
                leave_behind(&mut tx, &profile.id, who(&profile.id), now).await?;
            }
        }
        taken.events = events::insert(&mut tx, &told.events).await?;
        tx.commit().await?;
        Ok(taken)
    }
}

/// Entries whose ids are those of the people they turned out to be.
struct Told<'a> {
    joins: Vec<(ProfileId, ProfileId)>,
    people: Vec<(Profile, Trust)>,
    /// By which key each of them came, the last time.
    keys: HashMap<ProfileId, &'a str>,
    events: Vec<Event>,
}

impl<'a> Told<'a> {
    /// `known` holds who is joined to whom so far. A join also moves what stands before it, in the database and here.
    ///
    /// Nobody is joined to, or from, somebody who was erased: it would move what is known of a stranger to them.
    fn of(
        entries: &[Heard<'a>],
        mut known: HashMap<ProfileId, ProfileId>,
        erased: &HashSet<ProfileId>,
    ) -> Self {
        let mut told =
            Self { joins: Vec::new(), people: Vec::new(), keys: HashMap::new(), events: Vec::new() };
        for heard in entries {
            match heard.entry {
                Entry::Join { anonymous, known: profile } => {
                    let is_erased = erased.contains(anonymous) || erased.contains(profile);
                    if is_erased || known.get(anonymous) == Some(profile) {
                        continue;
                    }
                    known.insert(anonymous.clone(), profile.clone());
                    told.joins.push((anonymous.clone(), profile.clone()));
                    let events = told.events.iter_mut().map(|event| &mut event.profile);
                    let people = told.people.iter_mut().map(|(profile, _)| &mut profile.id);
                    for id in events.chain(people).filter(|id| *id == anonymous) {
                        id.clone_from(profile);
                    }
                    if let Some(key) = told.keys.remove(anonymous) {
                        told.keys.insert(profile.clone(), key);
                    }
                }
                Entry::Profile(profile) => {
                    let mut profile = profile.clone();
                    profile.id = known.get(&profile.id).cloned().unwrap_or(profile.id);
                    told.keys.insert(profile.id.clone(), heard.key);
                    told.people.push((profile, heard.trust));
                }
                Entry::Event(event) => {
                    let mut event = event.clone();
                    event.profile = known.get(&event.profile).cloned().unwrap_or(event.profile);
                    told.events.push(event);
                }
            }
        }
        told
    }
}

/// Those of the people who are to be joined who were erased.
async fn erased_joins(tx: &mut Tx, entries: &[Heard<'_>]) -> Result<HashSet<ProfileId>, Error> {
    let mut people: Vec<ProfileId> = Vec::new();
    for heard in entries {
        if let Entry::Join { anonymous, known } = heard.entry {
            people.extend([anonymous.clone(), known.clone()]);
        }
    }
    tombstones::erased(tx, people.iter().map(|id| (id, None))).await
}

/// Takes out addresses that a key which anybody can read may not give: to people who have another, so that nobody turns
/// somebody's mail to a mailbox of their own. Visitors, who are nobody else yet, may correct what they typed. Returns
/// those to whom it gives one that they had not.
async fn keep_addresses(
    tx: &mut Tx,
    people: &mut [(Profile, Trust)],
    now: Timestamp,
) -> Result<BTreeSet<ProfileId>, Error> {
    let gives = |(profile, trust): &(Profile, Trust)| *trust == Trust::Public && profile.address.is_some();
    if !people.iter().any(gives) {
        return Ok(BTreeSet::new());
    }
    // Whoever is new is added first: what another tells of them at the same time is known here then.
    let named = people.iter().map(|(profile, _)| (&profile.id, profile.address.as_ref()));
    let erased = tombstones::erased(tx, named).await?;
    let welcome = people.iter().filter(|(profile, _)| !erased.contains(&profile.id));
    let nameless: Vec<Profile> =
        welcome.map(|(profile, _)| Profile::nameless(profile.id.clone(), profile.created_at)).collect();
    profiles::upsert(tx, &nameless, now).await?;
    // All of them, in the order in which they are locked for writing, so that two batches cannot wait for each other.
    let ids: BTreeSet<ProfileId> = people.iter().map(|(profile, _)| profile.id.clone()).collect();
    let mut addresses: HashMap<ProfileId, String> = HashMap::new();
    for profile in known_of(tx, &ids).await? {
        addresses.extend(profile.address.map(|address| (profile.id, address.key())));
    }
    let mut moved = BTreeSet::new();
    for (profile, trust) in people {
        let Some(key) = profile.address.as_ref().map(EmailAddress::key) else { continue };
        let id = &profile.id;
        let own = addresses.get(id);
        match trust {
            Trust::Public if own == Some(&key) => {}
            Trust::Public if own.is_some() && !id.as_str().starts_with(ANONYMOUS) => profile.address = None,
            Trust::Public => {
                moved.insert(id.clone());
                addresses.insert(id.clone(), key);
            }
            Trust::Full => {
                moved.remove(id);
                addresses.insert(id.clone(), key);
            }
        }
    }
    Ok(moved)
}

/// Those of these people who are known, locked.
async fn known_of(tx: &mut Tx, ids: &BTreeSet<ProfileId>) -> Result<Vec<Profile>, Error> {
    let ids: Vec<ProfileId> = ids.iter().cloned().collect();
    let mut known = Vec::new();
    for chunk in ids.chunks(ROWS_PER_STATEMENT_MAX) {
        known.extend(profiles::find_all(tx, chunk).await?.into_values());
    }
    Ok(known)
}

/// Consent is a person's at an address: what was granted before somebody got this one does not count for whoever reads
/// there. It is asked for anew.
async fn leave_behind(tx: &mut Tx, profile: &ProfileId, who: String, now: Timestamp) -> Result<(), Error> {
    let newest = consents::newest(tx, profile).await?;
    let proof = ConsentProof {
        profile: profile.clone(),
        at: after(newest.as_ref(), now),
        status: Consent::Unknown,
        source: "address changed".to_owned(),
        who,
        wording: "nothing was said at this address".to_owned(),
        address: None,
    };
    consents::append(tx, &[proof], now).await?;
    Ok(())
}

/// Now, or just behind this proof: of two with one time none is the newest.
fn after(newest: Option<&ConsentProof>, now: Timestamp) -> Timestamp {
    let behind = newest.and_then(|newest| newest.at.checked_add(SignedDuration::from_millis(1)).ok());
    behind.map_or(now, |behind| behind.max(now))
}

/// Joins one person to another: their history, what is known of them, and what is planned for them.
///
/// Consent is a person's at an address. A stranger's comes along where it was given at the address that the person has
/// from now on, or where neither has one; not where the person has another, nor where only the person has one: whoever
/// puts a visitor's id beside a person's would grant in their name. What was withdrawn comes along from anywhere.
async fn join(tx: &mut Tx, anonymous: &ProfileId, profile: &ProfileId, now: Timestamp) -> Result<u64, Error> {
    tx.run(
        "insert into aliases (alias_id, profile_id, at) values ($1, $2, $3)
         on conflict (alias_id) do update set profile_id = excluded.profile_id, at = excluded.at",
        args![anonymous.as_str(), profile.as_str(), now],
    )
    .await?;
    let Some(mut stranger) = profiles::find(tx, anonymous).await? else { return Ok(0) };
    // Added first where nobody knew them: what another says of them at the same time is known here then.
    profiles::add_unknown(tx, &Profile::nameless(profile.clone(), stranger.created_at)).await?;
    let known = profiles::find(tx, profile).await?;
    let own_proof = consents::newest(tx, profile).await?;
    let elsewhere = known.as_ref().filter(|known| reads_elsewhere(known, &stranger));
    let brings_address = stranger.address.is_some() && stranger.consent == Consent::Unknown;
    let left_behind = known
        .as_ref()
        .is_some_and(|known| brings_address && known.address.is_none() && known.consent == Consent::Granted);
    if let (Some(_), Consent::Granted) = (elsewhere, stranger.consent) {
        stranger.consent = Consent::Unknown;
    }
    let granted_elsewhere = elsewhere.filter(|_| stranger.consent != Consent::Withdrawn).cloned();
    if let Some(known) = &known {
        // What the person said under their own name counts; what the stranger said only fills gaps.
        stranger.traits.retain(|name, _| !known.traits.contains_key(name));
        stranger.address = stranger.address.filter(|_| known.address.is_none());
        stranger.locale = stranger.locale.filter(|_| known.locale.is_none());
        stranger.time_zone = stranger.time_zone.filter(|_| known.time_zone.is_none());
    }
    stranger.id = profile.clone();
    profiles::upsert(tx, &[stranger], now).await?;
    for sql in MOVES {
        tx.run(sql, args![anonymous.as_str(), profile.as_str()]).await?;
    }
    for sql in FORGETS {
        tx.run(sql, args![anonymous.as_str()]).await?;
    }
    if let Some(known) = granted_elsewhere {
        restate(tx, &known, own_proof, now).await?;
    }
    if left_behind {
        let who = "bespoke; a visitor with this address turned out to be the same person".to_owned();
        leave_behind(tx, profile, who, now).await?;
    }
    Ok(1)
}

/// Whether somebody has an address, and the stranger not the same.
fn reads_elsewhere(known: &Profile, stranger: &Profile) -> bool {
    let key = |profile: &Profile| profile.address.as_ref().map(EmailAddress::key);
    known.address.is_some() && key(known) != key(stranger)
}

/// What the stranger said came along as proof, and must not count: the person's own last word is said again, behind it.
async fn restate(
    tx: &mut Tx,
    known: &Profile,
    own: Option<ConsentProof>,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(newest) = consents::newest(tx, &known.id).await?.filter(|newest| Some(newest) != own.as_ref())
    else {
        return Ok(());
    };
    let own = own.unwrap_or_else(|| ConsentProof {
        profile: known.id.clone(),
        at: now,
        status: known.consent,
        source: "joined".to_owned(),
        who: "bespoke".to_owned(),
        wording: "nothing was said at this address".to_owned(),
        address: None,
    });
    let at = after(Some(&newest), now);
    let who =
        format!("{}; as before somebody without this address turned out to be the same person", own.who);
    consents::append(tx, &[ConsentProof { at, who, ..own }], now).await?;
    Ok(())
}
