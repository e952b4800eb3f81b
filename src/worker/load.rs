//! All that is known of many sends, read in a few statements.

use std::collections::HashMap;

use crate::catalog::Catalog;
use crate::decision::Decision;
use crate::profile::Profile;
use crate::send::ScheduledSend;
use crate::send::SendId;
use crate::store::Error;
use crate::store::Store;
use crate::worker::decide::Subject;
use crate::worker::gate;
use crate::worker::gate::OptIn;

/// What was read for a batch of sends.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Sends whose profile is there, in the order asked.
    pub subjects: Vec<Subject>,
    /// Sends whose profile is gone.
    pub without_profile: Vec<ScheduledSend>,
    /// Decisions that were made at an earlier claim.
    pub decisions: HashMap<SendId, Decision>,
    /// What is wrong with decisions that were made at an earlier claim and cannot be read.
    pub unreadable: HashMap<SendId, String>,
}

/// Reads profiles, events, mails, stages, suppressions and earlier decisions, and what is asked for by campaigns of
/// `catalog` that not every one asks for.
pub async fn load(store: &Store, catalog: &Catalog, sends: Vec<ScheduledSend>) -> Result<Loaded, Error> {
    let profile_ids: Vec<_> = sends.iter().map(|send| send.profile.clone()).collect();
    let send_ids: Vec<_> = sends.iter().map(|send| send.id.clone()).collect();
    let (profiles, mut events, mut mails, mut stages, decisions) = tokio::try_join!(
        store.profiles(&profile_ids),
        store.events_of(&profile_ids),
        store.mails_of(&profile_ids),
        store.stages_of(&profile_ids),
        store.decisions_one_by_one(&send_ids),
    )?;
    let addresses: Vec<String> = sends
        .iter()
        .filter_map(|send| Some(gate::recipient(send, profiles.get(&send.profile)?)?.key()))
        .collect();
    let asks = |send: &&ScheduledSend| {
        catalog.campaign(&send.campaign).is_some_and(|entry| entry.campaign.double_opt_in)
    };
    let asked_for: Vec<_> = sends.iter().filter(asks).map(|send| send.profile.clone()).collect();
    let confirmed = if asked_for.is_empty() { HashMap::new() } else { store.confirmed(&asked_for).await? };
    let suppressions = store.suppressions_of(&addresses).await?;
    let mut loaded = Loaded::default();
    for (send, decision) in decisions {
        match decision {
            Ok(decision) => drop(loaded.decisions.insert(send, decision)),
            Err(fault) => drop(loaded.unreadable.insert(send, fault.to_string())),
        }
    }
    // The last send of a profile takes what was read; earlier ones, which are rare, get a copy.
    let mut left: HashMap<_, usize> = HashMap::new();
    for send in &sends {
        *left.entry(send.profile.clone()).or_default() += 1;
    }
    for send in sends {
        let Some(profile) = profiles.get(&send.profile) else {
            loaded.without_profile.push(send);
            continue;
        };
        let count = left.entry(send.profile.clone()).or_default();
        *count -= 1;
        let id = &send.profile;
        let (events, mails, stage) = if *count == 0 {
            (events.remove(id), mails.remove(id), stages.remove(id))
        } else {
            (events.get(id).cloned(), mails.get(id).cloned(), stages.get(id).cloned())
        };
        let address = gate::recipient(&send, profile).map(crate::profile::EmailAddress::key);
        let is_confirmed = confirmed
            .get(&send.profile)
            .zip(address.as_ref())
            .is_some_and(|(confirmed, address)| confirmed.contains(address));
        loaded.subjects.push(Subject {
            suppressions: address.and_then(|key| suppressions.get(&key).cloned()).unwrap_or_default(),
            profile: Profile::clone(profile),
            events: events.unwrap_or_default(),
            mails: mails.unwrap_or_default(),
            stage,
            opt_in: if is_confirmed { OptIn::Confirmed } else { OptIn::Single },
            send,
        });
    }
    Ok(loaded)
}
