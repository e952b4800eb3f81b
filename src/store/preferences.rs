//! What people ask for by the links in their mails: stop, pause, resume.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::Error;
use super::Store;
use super::again::despite_deadlocks;
use super::aliases;
use super::arrival;
use super::arrival::Arrivals;
use super::batch::Rows;
use super::batch::args;
use super::connection::Tx;
use super::consents;
use super::consents::ConsentProof;
use super::profiles;
use super::suppressions;
use super::tombstones;
use crate::event::name;
use crate::profile::Consent;
use crate::profile::Profile;
use crate::profile::ProfileId;
use crate::send::PAUSE_TOPIC;
use crate::send::SendId;
use crate::send::Suppression;

/// What one person wants, as one change. What it lifts is lifted before what it stops is stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// Who.
    pub profile: ProfileId,
    /// The address keys that it is about: that of the mail, and the profile's own.
    pub addresses: Vec<String>,
    /// The mail whose link was followed.
    pub send: Option<SendId>,
    /// When.
    pub at: Timestamp,
    /// Topics of which no more is wanted.
    pub stop: Vec<String>,
    /// Nothing but transactional mail until then.
    pub pause_until: Option<Timestamp>,
    /// What is wanted again.
    pub lift: Lift,
    /// What is said about consent, with its proof.
    pub proof: Option<ConsentProof>,
    /// Traits that it gives the person; one that is null is taken away.
    pub traits: Map<String, Value>,
}

/// Suppressions that end because the person says so. Bounces and what an operator stopped are not theirs to lift.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Lift {
    /// None.
    #[default]
    Nothing,
    /// Of these topics.
    Topics(Vec<String>),
    /// All that came by unsubscribing, pausing and complaining: the person asks, by a link that was mailed to them.
    All,
}

impl Store {
    /// Does what a person wishes, and returns how many suppressions are new. Doing it twice changes nothing more. The wish
    /// of a visitor who was joined to somebody is that person's.
    pub async fn grant_wish(&self, wish: &Wish) -> Result<u64, Error> {
        // Who presses two buttons at once writes about the same rows twice.
        despite_deadlocks(|| async {
            let mut tx = self.pools.begin().await?;
            let added = grant(&mut tx, wish).await?;
            tx.commit().await?;
            Ok(added)
        })
        .await
    }
}

/// [`Store::grant_wish`] in a transaction that does more.
pub(super) async fn grant(tx: &mut Tx, wish: &Wish) -> Result<u64, Error> {
    let owner = aliases::owner(tx, &wish.profile).await?;
    let (mut wish, elsewhere) = if owner == wish.profile {
        (Cow::Borrowed(wish), None)
    } else {
        let (wish, elsewhere) = of_owner(tx, wish, owner).await?;
        (Cow::Owned(wish), elsewhere)
    };
    // Who was erased since the page was asked for stays suppressed by their fingerprint, and is not written about.
    if !tombstones::erased(tx, std::iter::once((&wish.profile, None))).await?.is_empty() {
        return Ok(0);
    }
    lift(tx, &wish).await?;
    if let Some(elsewhere) = elsewhere {
        wish.to_mut().addresses.push(elsewhere);
    }
    let wish = wish.as_ref();
    let mut added = 0;
    for topic in &wish.stop {
        let new = suppress(tx, wish, topic, "unsubscribe", None).await?;
        added += new;
        if new > 0 {
            note(tx, wish, topic).await?;
        }
    }
    if wish.pause_until.is_some() {
        added += suppress(tx, wish, PAUSE_TOPIC, "pause", wish.pause_until).await?;
    }
    if let Some(proof) = &wish.proof {
        consents::append(tx, std::slice::from_ref(proof), wish.at).await?;
    }
    if !wish.traits.is_empty() {
        let traits = wish.traits.clone();
        let profile = Profile { traits, ..Profile::nameless(wish.profile.clone(), wish.at) };
        profiles::upsert(tx, &[profile], wish.at).await?;
    }
    Ok(added)
}

/// The wish of a visitor who was joined to somebody since they were asked, and where that person reads mail, if that is
/// elsewhere: what it stops is stopped there too, and what it lifts or grants is not, for nothing was said at that
/// address.
async fn of_owner(tx: &mut Tx, wish: &Wish, owner: ProfileId) -> Result<(Wish, Option<String>), Error> {
    let own = profiles::find(tx, &owner).await?.and_then(|profile| profile.address).map(|own| own.key());
    let elsewhere = own.filter(|own| !wish.addresses.contains(own));
    let mut wish = wish.clone();
    if elsewhere.is_some() {
        wish.proof = wish.proof.filter(|proof| proof.status != Consent::Granted);
    }
    if let Some(proof) = &mut wish.proof {
        proof.profile.clone_from(&owner);
    }
    Ok((Wish { profile: owner, ..wish }, elsewhere))
}

async fn lift(tx: &mut Tx, wish: &Wish) -> Result<(), Error> {
    let reasons = match wish.lift {
        Lift::Nothing => return Ok(()),
        Lift::Topics(_) => "('unsubscribe', 'pause')",
        Lift::All => "('unsubscribe', 'pause', 'complaint')",
    };
    let pairs: Vec<[&str; 2]> = match &wish.lift {
        Lift::Topics(topics) => {
            let of = |address| topics.iter().map(move |topic| [address, topic.as_str()]);
            wish.addresses.iter().map(String::as_str).flat_map(of).collect()
        }
        _ => wish.addresses.iter().map(|address| [address.as_str(), ""]).collect(),
    };
    let sql = format!(
        "delete from suppressions where reason in {reasons} and exists (
           select 1 from {{rows}} where value->>0 = address and value->>1 in ('', topic))"
    );
    tx.run(sql, args![Rows::of(&pairs)]).await?;
    Ok(())
}

async fn suppress(
    tx: &mut Tx,
    wish: &Wish,
    topic: &str,
    reason: &str,
    until: Option<Timestamp>,
) -> Result<u64, Error> {
    let suppression = |address: &String| Suppression {
        address: address.clone(),
        topic: topic.to_owned(),
        reason: reason.to_owned(),
        at: wish.at,
        send: wish.send.clone(),
        until,
    };
    let suppressions: Vec<Suppression> = wish.addresses.iter().map(suppression).collect();
    suppressions::add(tx, &suppressions).await
}

/// The event by which reports and rewards know of it.
async fn note(tx: &mut Tx, wish: &Wish, topic: &str) -> Result<(), Error> {
    let send = wish.send.as_ref().map_or("-", SendId::as_str);
    let id = format!("unsubscribed/{send}/{topic}/{}", wish.at.as_millisecond());
    let properties = json!({"topic": topic, "send_id": wish.send}).to_string();
    let seq = arrival::take(tx, Arrivals::Events, 1).await?;
    tx.run(
        "insert into events (seq, profile_id, id, name, at, properties) values ($1, $2, $3, $4, $5, $6)
         on conflict do nothing",
        args![seq, wish.profile.as_str(), &id, name::UNSUBSCRIBED, wish.at, &properties],
    )
    .await?;
    Ok(())
}
