//! A send that might be: due now, to a person as the database knows them.

use std::collections::BinaryHeap;

use jiff::SignedDuration;
use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;
use sha2::Digest as _;
use sha2::Sha256;

use super::PREVIEWS_MAX;
use super::PreviewError;
use super::Whom;
use crate::campaign::Campaign;
use crate::campaign::Trigger;
use crate::catalog::sample::Sample;
use crate::catalog::variant::CampaignEntry;
use crate::clock::later_by;
use crate::profile::ProfileId;
use crate::send::ScheduledSend;
use crate::send::SendId;
use crate::send::State;
use crate::store::Store;
use crate::words::counted;
use crate::worker::decide::Subject;
use crate::worker::engine::Engine;
use crate::worker::load;
use crate::worker::plan::starting_data;
use crate::worker::schedule;

/// The occurrence of a send that only a preview knows.
const OCCURRENCE: &str = "preview";
/// Profiles that are read at a time on the way through all of them.
const PAGE_ROWS: usize = 2_000;
/// For one person of a sample, so many are looked at: not everybody did what starts a campaign.
const LOOKED_AT_PER_WANTED: usize = 20;

/// A person who might get a mail.
#[derive(Debug)]
pub(super) struct Candidate {
    /// As the worker would have read it.
    pub(super) subject: Subject,
    /// Where `data` comes from.
    pub(super) start: Start,
}

/// Where the data of a hypothetical send comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// The campaign brings none, or the person's own newest starting event.
    Own,
    /// Only a request brings any: it is a sample's.
    Request(Option<String>),
    /// The person never did what starts this campaign: it is a sample's.
    Missing(String, Option<String>),
    /// The person has no date in the trait that starts this campaign: it would never start for them.
    NoDate(String),
}

impl Start {
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(..) | Self::NoDate(_))
    }

    /// A sentence for people, where it is not their own.
    pub(super) fn note(&self) -> Option<String> {
        let sample = |name: &Option<String>| {
            name.as_ref()
                .map_or("`data` is empty".to_owned(), |name| format!("`data` is that of the sample {name}"))
        };
        match self {
            Self::Own => None,
            Self::NoDate(name) => Some(format!(
                "this person has no date in `{name}`, which starts this campaign: it would not be sent"
            )),
            Self::Request(name) => Some(format!("a request would bring its own data; here {}", sample(name))),
            Self::Missing(event, name) => Some(format!(
                "this person has no “{event}”, which starts this campaign; here {}",
                sample(name)
            )),
        }
    }
}

/// Whose previews are asked for. Of a sample more than asked for, the same people each time, in a fixed random order.
pub(super) async fn people(
    store: &Store,
    entry: &CampaignEntry,
    whom: &Whom,
) -> Result<Vec<ProfileId>, PreviewError> {
    match whom {
        Whom::Coverage => Ok(Vec::new()),
        Whom::Profiles(ids) => {
            let known = store.profiles(ids).await?;
            match ids.iter().find(|id| !known.contains_key(*id)) {
                Some(unknown) => Err(PreviewError::UnknownProfile(unknown.to_string())),
                None => Ok(ids.clone()),
            }
        }
        Whom::Sample(count) if *count > PREVIEWS_MAX => {
            Err(PreviewError::TooMany { expected: *count, campaigns: counted(1_u64, "campaign") })
        }
        Whom::Sample(count) => {
            let looked_at = match entry.campaign.trigger {
                Trigger::Event { .. } | Trigger::DateTrait { .. } => {
                    count.saturating_mul(LOOKED_AT_PER_WANTED)
                }
                _ => *count,
            };
            let ids = sample(store, looked_at).await?;
            if ids.is_empty() {
                let problem = "there are no profiles to choose from; import some with `bespoke import profiles`, or use --coverage";
                return Err(PreviewError::Nobody(problem.to_owned()));
            }
            Ok(ids)
        }
    }
}

/// The `count` profiles whose hashes are smallest, in the order of these.
pub(super) async fn sample(store: &Store, count: usize) -> Result<Vec<ProfileId>, PreviewError> {
    let mut smallest: BinaryHeap<(Vec<u8>, String)> = BinaryHeap::new();
    let mut after: Option<ProfileId> = None;
    loop {
        let page = store.profiles_after(after.as_ref(), PAGE_ROWS).await?;
        for profile in &page {
            let id = profile.id.as_str();
            smallest.push((Sha256::digest(id.as_bytes()).to_vec(), id.to_owned()));
            if smallest.len() > count {
                smallest.pop();
            }
        }
        if page.len() < PAGE_ROWS {
            break;
        }
        after = page.into_iter().next_back().map(|profile| profile.id);
    }
    let ordered = smallest.into_sorted_vec().into_iter();
    Ok(ordered.filter_map(|(_, id)| ProfileId::parse(&id).ok()).collect())
}

/// Reads people as the worker does, as of `now`.
pub(super) async fn load(
    store: &Store,
    engine: &Engine,
    entry: &CampaignEntry,
    ids: &[ProfileId],
    now: Timestamp,
) -> Result<Vec<Candidate>, PreviewError> {
    let sends = ids.iter().map(|id| hypothetical(&entry.campaign, id, now)).collect();
    let loaded = load::load(store, &engine.catalog, sends).await?;
    let candidates = loaded.subjects.into_iter().map(|mut subject| {
        subject.events.retain(|event| event.at <= now);
        subject.mails.retain(|mail| mail.at <= now);
        let (start, data) = start(engine, &entry.campaign, &subject);
        subject.send.data = data;
        Candidate { subject, start }
    });
    Ok(candidates.collect())
}

/// A send of this campaign that is due now.
pub(super) fn hypothetical(campaign: &Campaign, profile: &ProfileId, now: Timestamp) -> ScheduledSend {
    let deadline = SignedDuration::from_hours(i64::from(campaign.deadline_hours.max(1)));
    ScheduledSend {
        id: SendId::derive(now, &campaign.id, profile, OCCURRENCE),
        campaign: campaign.id.clone(),
        kind: campaign.kind,
        guarantee: campaign.guarantee(),
        profile: profile.clone(),
        occurrence: OCCURRENCE.to_owned(),
        due_at: now,
        expires_at: later_by(now, deadline),
        state: State::Scheduled,
        attempt: 0,
        orphaned: 0,
        data: Map::new(),
        to: None,
    }
}

fn start(engine: &Engine, campaign: &Campaign, subject: &Subject) -> (Start, Map<String, Value>) {
    let sample = || {
        let own = |sample: &&Sample| sample.campaign.as_deref() == Some(campaign.id.as_str());
        let mut samples = engine.catalog.samples_for(campaign);
        let sample = samples.find(own).or_else(|| engine.catalog.samples_for(campaign).next());
        let data = |sample: &Sample| sample.facts.get("data").and_then(Value::as_object).cloned();
        (sample.map(|sample| sample.name.clone()), sample.and_then(data).unwrap_or_default())
    };
    match &campaign.trigger {
        Trigger::Event { name, .. } => {
            let newest =
                subject.events.iter().filter(|event| event.name == *name).max_by_key(|event| event.at);
            if let Some(event) = newest {
                return (Start::Own, starting_data(event, engine.minor_digits()));
            }
            let (sample, data) = sample();
            (Start::Missing(name.clone(), sample), data)
        }
        Trigger::Api {} => {
            let (sample, data) = sample();
            (Start::Request(sample), data)
        }
        Trigger::DateTrait { name, .. } => {
            let date = subject.profile.traits.get(name).and_then(Value::as_str).and_then(schedule::date_of);
            (date.map_or_else(|| Start::NoDate(name.clone()), |_| Start::Own), Map::new())
        }
        Trigger::Cron { .. } | Trigger::StageEntry { .. } => (Start::Own, Map::new()),
    }
}
