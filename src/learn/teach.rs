//! Teaching the policy: reads what became of its mails, fits the next version of its model, publishes it.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::mem;

use jiff::SignedDuration;
use jiff::Timestamp;

use super::fit::DecidedSend;
use super::fit::Lesson;
use super::fit::ModelFit;
use super::fit::needed_after;
use super::orders::OrderBook;
use super::reading;
use super::reading::Mails;
use super::reading::PAGE_ROWS;
use super::rewards;
use super::rewards::Calibrating;
use super::rewards::Reading;
use crate::campaign::Campaign;
use crate::campaign::CampaignId;
use crate::campaign::PolicyKind;
use crate::catalog::Catalog;
use crate::clock::earlier_by;
use crate::decision::VariantId;
use crate::select::features;
use crate::select::features::ArmTraits;
use crate::select::features::CampaignTraits;
use crate::select::learnt::Calibration;
use crate::select::learnt::POLICY_MODEL;
use crate::select::learnt::PolicyBody;
use crate::select::learnt::UnusableModel;
use crate::select::model::heads::BaseRates;
use crate::select::model::heads::Windows;
use crate::send::SendId;
use crate::store::Store;
use crate::store::StoredModel;

/// Mails older than three half-lives, behind the longest window, are not read: they would count for an eighth, and there
/// may be many.
const MEMORY: SignedDuration = SignedDuration::from_hours(24 * 180);
/// Earlier catalogues that are held in memory while mails are read.
const CATALOGS_MAX: usize = 32;
/// Versions that are kept, the newest: of decisions by older ones the probabilities stay as they were logged.
const VERSIONS_MAX: usize = 100;

/// Why nothing was learnt.
#[derive(Debug, thiserror::Error)]
pub enum TeachError {
    /// The database.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// The model that was to be taught.
    #[error(transparent)]
    Model(#[from] UnusableModel),
    /// The new model has no JSON form.
    #[error("the new policy model cannot be written: {0}")]
    Write(#[from] serde_json::Error),
    /// The arithmetic panicked.
    #[error("fitting the policy model failed: {0}")]
    Fit(#[from] tokio::task::JoinError),
    /// Too many variants.
    #[error(transparent)]
    Space(#[from] crate::select::model::space::SpaceError),
}

/// What was learnt.
#[derive(Debug, Clone)]
pub struct Taught {
    /// The version that was published; `None` where nothing is new.
    pub published: Option<String>,
    /// Head by head.
    pub fit: ModelFit,
    /// Mails that were read.
    pub sends: usize,
    /// Mails left out: their variant, or the meaning of their features, is not known any more.
    pub unreadable: usize,
    /// Mails that the learning campaigns have sent so far.
    pub account_sends: u64,
    /// How good the predictions of the last days were.
    pub calibration: Option<Calibration>,
}

impl Taught {
    /// What is wrong with the model, in a sentence; `None` while all is well.
    pub fn alarm(&self) -> Option<String> {
        self.calibration.as_ref().and_then(Calibration::alarm)
    }
}

/// Fits the next version and publishes it. Done twice at one time, the second changes nothing. `None` where no campaign
/// learns.
///
/// # Errors
/// When the database does not answer, or the published model cannot be read.
pub async fn teach(
    store: &Store,
    catalog: &Catalog,
    orders: &OrderBook,
    now: Timestamp,
) -> Result<Option<Taught>, TeachError> {
    let learning = |campaign: &&Campaign| campaign.policy == PolicyKind::Thompson;
    let campaigns: Vec<&Campaign> =
        catalog.campaigns().map(|entry| entry.campaign.as_ref()).filter(learning).collect();
    if campaigns.is_empty() {
        return Ok(None);
    }
    let traits = features::traits_of(catalog);
    let before = store.newest_model(POLICY_MODEL).await?;
    let mut body = match &before {
        Some(stored) => PolicyBody::parse(&stored.version, &stored.body)?,
        None => PolicyBody::new(BaseRates::default()),
    };
    body.cover(&traits)?;
    let windows = campaigns
        .iter()
        .map(|campaign| rewards::windows(&campaign.reward))
        .reduce(Windows::longest)
        .unwrap_or_default();
    body.heads.set_windows(windows);
    let longest = windows.click.max(windows.purchase).max(windows.unsubscribe);
    let oldest = earlier_by(now, MEMORY + longest);
    let after = needed_after(&body.heads).map_or(oldest, |needed| needed.max(oldest));
    // Asked before anything is read: what comes to its end meanwhile is read by the next fit.
    let in_flight = store.earliest_in_flight().await?;
    let complete_until = in_flight.map_or(now, |first| (first - SignedDuration::from_millis(1)).min(now));
    let answers = Answers {
        // Whoever owns an order that one of these mails might have, was clicked later than it.
        purchases: purchases(store, catalog, orders, after).await?,
        departures: store.departures_since(after).await?.into_iter().collect(),
    };
    let catalogs = Catalogs::new(store, &catalog.version, traits);
    let calibrating = Calibrating::new(&body.heads.click, now);
    let mut class = Class { catalogs, answers, calibrating, sends: 0, unreadable: 0 };
    let lesson = Lesson::begin(body.heads, complete_until, now);
    let lesson = class.attend(lesson, Mails::new(store, &campaigns, after)).await?;
    let fit;
    (body.heads, fit) = tokio::task::spawn_blocking(move || lesson.finish()).await?;
    body.calibration = class.calibrating.found();
    count(&mut body, store.sends_by_variant().await?, &campaigns);
    body.order_value_minor = orders.mean_minor(now);
    let mut taught = Taught {
        published: None,
        fit,
        sends: class.sends,
        unreadable: class.unreadable,
        account_sends: body.account_sends,
        calibration: body.calibration,
    };
    body.restored_from = None;
    let text = serde_json::to_string(&body)?;
    let nothing_yet = before.is_none() && body.account_sends == 0;
    if !nothing_yet && before.is_none_or(|before| before.body != text) {
        let model = StoredModel {
            kind: POLICY_MODEL.to_owned(),
            version: now.to_string(),
            created_at: now,
            body: text,
        };
        store.put_model(&model).await?;
        store.prune_models(POLICY_MODEL, VERSIONS_MAX).await?;
        taught.published = Some(model.version);
    }
    Ok(Some(taught))
}

fn count(body: &mut PolicyBody, sends: BTreeMap<VariantId, u64>, campaigns: &[&Campaign]) {
    let learning: HashSet<&str> = campaigns.iter().map(|campaign| campaign.id.as_str()).collect();
    let of_learning = |variant: &VariantId| {
        variant.as_str().split('/').next().is_some_and(|campaign| learning.contains(campaign))
    };
    body.variant_sends = sends.into_iter().filter(|(variant, _)| of_learning(variant)).collect();
    body.account_sends = body.variant_sends.values().sum();
}

/// What answers are known that are not kept with the mail itself.
struct Answers {
    purchases: HashMap<SendId, Timestamp>,
    departures: HashMap<SendId, Timestamp>,
}

/// Whose orders are, of all that was clicked after this time: of campaigns that learn and of those that do not.
async fn purchases(
    store: &Store,
    catalog: &Catalog,
    orders: &OrderBook,
    after: Timestamp,
) -> Result<HashMap<SendId, Timestamp>, TeachError> {
    let campaigns = || catalog.campaigns().map(|entry| entry.campaign.as_ref());
    let windows: HashMap<&CampaignId, Windows> =
        campaigns().map(|campaign| (&campaign.id, rewards::windows(&campaign.reward))).collect();
    // Of a campaign that is gone nobody knows what it counted.
    let of = |campaign: &CampaignId| windows.get(campaign).copied().unwrap_or_default();
    let clicked = reading::clicked(store, campaigns(), after).await?;
    Ok(rewards::purchases(&clicked, of, |profile| orders.times(profile.as_str())))
}

/// A lesson with what it needs to understand the mails.
struct Class<'a> {
    catalogs: Catalogs<'a>,
    answers: Answers,
    calibrating: Calibrating,
    sends: usize,
    unreadable: usize,
}

impl Class<'_> {
    /// Teaches all the mails, a page at a time.
    async fn attend(&mut self, mut lesson: Lesson, mut mails: Mails<'_>) -> Result<Lesson, TeachError> {
        let mut page: Vec<DecidedSend> = Vec::with_capacity(PAGE_ROWS);
        loop {
            let next = mails.next().await?;
            let ended = next.is_none();
            if let Some((campaign, channel, send)) = next {
                let arm = self.catalogs.arm(&send.catalog_version, &send.variant).await?;
                let Some(arm) = arm.filter(|_| rewards::usable(&send)) else {
                    self.unreadable += 1;
                    continue;
                };
                self.sends += 1;
                let (campaign, reward) = (&campaign.id, &campaign.reward);
                let reading = Reading { send: &send, campaign, reward, arm, channel };
                self.calibrating.take(&reading);
                let purchased_at = self.answers.purchases.get(&send.send).copied();
                let unsubscribed_at = self.answers.departures.get(&send.send).copied();
                page.push(rewards::decided(&reading, purchased_at, unsubscribed_at));
            }
            if page.len() == PAGE_ROWS || ended {
                let full = mem::take(&mut page);
                // Seconds of arithmetic for many mails: not on a thread that mails wait for.
                lesson = tokio::task::spawn_blocking(move || {
                    for send in &full {
                        lesson.take(send);
                    }
                    lesson
                })
                .await?;
            }
            if ended {
                return Ok(lesson);
            }
        }
    }
}

/// What variants were, by the catalogue of their time.
struct Catalogs<'a> {
    store: &'a Store,
    known: HashMap<String, HashMap<VariantId, ArmTraits>>,
}

impl<'a> Catalogs<'a> {
    fn new(store: &'a Store, version: &str, traits: Vec<CampaignTraits>) -> Self {
        Self { store, known: HashMap::from([(version.to_owned(), by_variant(traits))]) }
    }

    /// What a variant was; `None` where its catalogue was not kept.
    async fn arm(&mut self, version: &str, variant: &VariantId) -> Result<Option<&ArmTraits>, TeachError> {
        if !self.known.contains_key(version) {
            if self.known.len() == CATALOGS_MAX {
                self.known.clear();
            }
            let kept = kept_traits(self.store, version).await?;
            self.known.insert(version.to_owned(), kept);
        }
        Ok(self.known.get(version).and_then(|arms| arms.get(variant)))
    }
}

/// The variants of an earlier catalogue; none where it was not kept.
async fn kept_traits(store: &Store, version: &str) -> Result<HashMap<VariantId, ArmTraits>, TeachError> {
    let Some(text) = store.catalog_traits(version).await? else { return Ok(HashMap::new()) };
    let traits: Vec<CampaignTraits> = serde_json::from_str(&text)
        .map_err(|fault| UnusableModel { version: version.to_owned(), problem: fault.to_string() })?;
    Ok(by_variant(traits))
}

fn by_variant(traits: Vec<CampaignTraits>) -> HashMap<VariantId, ArmTraits> {
    traits.into_iter().flat_map(|campaign| campaign.arms).map(|arm| (arm.id.clone(), arm)).collect()
}

/// Makes an older version the newest again, under a version of its own. `None`: there is no such version.
///
/// # Errors
/// When the database does not answer, or that version cannot be read.
pub async fn roll_back(store: &Store, version: &str, now: Timestamp) -> Result<Option<String>, TeachError> {
    let Some(stored) = store.model(POLICY_MODEL, version).await? else { return Ok(None) };
    let mut body = PolicyBody::parse(version, &stored.body)?;
    body.restored_from = Some(version.to_owned());
    let model = StoredModel {
        kind: POLICY_MODEL.to_owned(),
        version: format!("{now} (as {version})"),
        created_at: now,
        body: serde_json::to_string(&body)?,
    };
    store.put_model(&model).await?;
    Ok(Some(model.version))
}
