//! Teaching the policy: reads what became of its mails, fits the next version of its model, publishes it.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;

use jiff::SignedDuration;
use jiff::Timestamp;

use super::fit::ModelFit;
use super::fit::fit;
use super::fit::needed_after;
use super::orders::OrderBook;
use super::rewards;
use super::rewards::Reading;
use crate::campaign::Campaign;
use crate::campaign::CampaignId;
use crate::campaign::PolicyKind;
use crate::catalog::Catalog;
use crate::decision::VariantId;
use crate::select::features;
use crate::select::features::ArmTraits;
use crate::select::features::CampaignTraits;
use crate::select::learnt::Calibration;
use crate::select::learnt::POLICY_MODEL;
use crate::select::learnt::PolicyBody;
use crate::select::learnt::UnusableModel;
use crate::select::model::heads::BaseRates;
use crate::send::SendId;
use crate::store::DecisionPlace;
use crate::store::RewardedSend;
use crate::store::Store;
use crate::store::StoredModel;

/// Decisions of one page.
const PAGE_ROWS: usize = 5_000;
/// Decisions older than three half-lives are not read: they would count for an eighth, and there may be many.
const MEMORY_DAYS: i64 = 180;

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
        catalog.campaigns().map(|entry| &entry.campaign).filter(learning).collect();
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
    let oldest = now.saturating_sub(SignedDuration::from_hours(24 * MEMORY_DAYS)).unwrap_or(Timestamp::MIN);
    let after = needed_after(&body.heads).map_or(oldest, |needed| needed.max(oldest));
    let (sends, unreadable) = read(store, &campaigns, &catalog.version, traits, after).await?;
    let departures: HashMap<SendId, Timestamp> = store.departures_since(after).await?.into_iter().collect();
    let open = store.earliest_open_decision().await?;
    let complete_until = open.map_or(now, |open| (open - SignedDuration::from_millis(1)).min(now));

    let readings: Vec<Reading<'_>> = sends.iter().map(Known::reading).collect();
    let decided = rewards::decided(&readings, |profile| orders.times(profile.as_str()), &departures);
    // Seconds of arithmetic for many mails: not on a thread that mails wait for.
    let (heads, fit) = tokio::task::spawn_blocking({
        let mut heads = body.heads;
        move || {
            let report = fit(&mut heads, &decided, complete_until, now);
            (heads, report)
        }
    })
    .await?;
    body.heads = heads;
    body.calibration = rewards::calibration(&readings, &body.heads, now);
    count(&mut body, store.sends_by_variant().await?, &campaigns);
    body.order_value_minor = orders.mean_minor(now);
    let mut taught = Taught {
        published: None,
        fit,
        sends: sends.len(),
        unreadable,
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

/// A mail with what its reading needs.
struct Known<'a> {
    send: RewardedSend,
    campaign: &'a Campaign,
    arm: ArmTraits,
}

impl Known<'_> {
    fn reading(&self) -> Reading<'_> {
        Reading {
            send: &self.send,
            campaign: &self.campaign.id,
            reward: &self.campaign.reward,
            arm: &self.arm,
        }
    }
}

/// Where something that was chosen is shown.
#[derive(Clone, Copy)]
enum Shown {
    ByMail,
    OnPage,
}

impl Shown {
    const ALL: [Self; 2] = [Self::ByMail, Self::OnPage];

    async fn page(
        self,
        store: &Store,
        campaign: &CampaignId,
        place: &DecisionPlace,
    ) -> Result<Vec<RewardedSend>, crate::store::Error> {
        match self {
            Self::ByMail => store.rewarded_sends(campaign, place, PAGE_ROWS).await,
            Self::OnPage => store.rewarded_visits(campaign, place, PAGE_ROWS).await,
        }
    }
}

/// Every mail, and everything that a page showed, that was decided after `after`, and how many could not be understood.
async fn read<'a>(
    store: &Store,
    campaigns: &[&'a Campaign],
    version: &str,
    traits: Vec<CampaignTraits>,
    after: Timestamp,
) -> Result<(Vec<Known<'a>>, usize), TeachError> {
    let mut catalogs: HashMap<String, HashMap<VariantId, ArmTraits>> = HashMap::new();
    catalogs.insert(version.to_owned(), by_variant(traits));
    let (mut found, mut unreadable) = (Vec::new(), 0);
    for (campaign, shown) in campaigns.iter().flat_map(|campaign| Shown::ALL.map(|shown| (campaign, shown))) {
        // Behind everything of that millisecond: ids are hexadecimal.
        let mut place = (after, "~".to_owned());
        loop {
            let page = shown.page(store, &campaign.id, &place).await?;
            let Some(last) = page.last() else { break };
            place = (last.decided_at, last.send.as_str().to_owned());
            for send in page {
                if !catalogs.contains_key(&send.catalog_version) {
                    let kept = kept_traits(store, &send.catalog_version).await?;
                    catalogs.insert(send.catalog_version.clone(), kept);
                }
                let arm =
                    catalogs.get(&send.catalog_version).and_then(|arms| arms.get(&send.variant)).cloned();
                match arm.filter(|_| rewards::usable(&send)) {
                    Some(arm) => found.push(Known { send, campaign, arm }),
                    None => unreadable += 1,
                }
            }
        }
    }
    Ok((found, unreadable))
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
