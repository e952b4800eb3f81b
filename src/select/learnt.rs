//! A published model, ready to choose with: its heads over the features of one catalogue.

use std::collections::BTreeMap;
use std::collections::HashMap;

use serde::Deserialize;
use serde::Serialize;

use super::features;
use super::features::CampaignTraits;
use super::features::FEATURES_VERSION;
use super::features::Feature;
use super::features::Term;
use super::model::FeatureId;
use super::model::FeatureSpace;
use super::model::Heads;
use super::model::SparseVector;
use super::model::caps::Account;
use super::model::caps::ColdStart;
use super::model::heads::BaseRates;
use super::model::space::SpaceError;
use crate::campaign::CampaignId;
use crate::decision::VariantId;
use crate::stage::Stage;

/// Kind of the stored model of the learning policy.
pub const POLICY_MODEL: &str = "policy";
/// Orders that a person's own mean counts against, which is the shop's mean.
const ORDER_VALUE_PRIOR: f64 = 3.0;

/// Why a stored model cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "policy model {version} cannot be used: {problem}; `bespoke model rollback` goes back to an older one"
)]
pub struct UnusableModel {
    /// Which model.
    pub version: String,
    /// What is wrong.
    pub problem: String,
}

impl UnusableModel {
    /// What is wrong with which version.
    pub fn new(version: &str, problem: impl std::fmt::Display) -> Self {
        Self { version: version.to_owned(), problem: problem.to_string() }
    }
}

/// What a stored model holds: everything that probabilities depend on beside the decision itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyBody {
    /// The definition of its features.
    pub features_version: u32,
    /// P(click), P(purchase | click), P(unsubscribe).
    pub heads: Heads,
    /// Mails that the learning campaigns have sent so far.
    pub account_sends: u64,
    /// The same by variant.
    pub variant_sends: BTreeMap<VariantId, u64>,
    /// The mean value of an order, in minor units; absent while there was none: clicks are counted then.
    pub order_value_minor: Option<f64>,
    /// How good the predictions of the last days were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// The version that this is a copy of, after a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
}

/// Clicks that came against clicks that were predicted, over the last seven days.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Decisions of the model that are compared.
    pub sends: u64,
    /// Clicks that came.
    pub clicks: u64,
    /// Clicks that should have come by now.
    pub expected: f64,
}

/// Calibration outside of this range is an alarm.
pub const CALIBRATION_RANGE: [f64; 2] = [0.8, 1.25];
/// Below this many expected clicks the ratio says nothing: its standard error alone is over 15 %.
pub const CALIBRATION_CLICKS_MIN: f64 = 40.0;

impl Calibration {
    /// Clicks that came by clicks that should have; absent while there are too few to say.
    #[expect(clippy::cast_precision_loss, reason = "clicks are counted in thousands")]
    pub fn ratio(&self) -> Option<f64> {
        (self.expected >= CALIBRATION_CLICKS_MIN).then(|| self.clicks as f64 / self.expected)
    }

    /// What is wrong, in a sentence; `None` while all is well.
    pub fn alarm(&self) -> Option<String> {
        let ratio =
            self.ratio().filter(|ratio| !(CALIBRATION_RANGE[0]..=CALIBRATION_RANGE[1]).contains(ratio))?;
        Some(format!(
            "the model predicted {:.0} clicks of the last 7 days and {} came: {ratio:.2} is outside of {} to {}",
            self.expected, self.clicks, CALIBRATION_RANGE[0], CALIBRATION_RANGE[1]
        ))
    }
}

impl PolicyBody {
    /// A model that knows only its priors.
    pub fn new(rates: BaseRates) -> Self {
        Self {
            features_version: FEATURES_VERSION,
            heads: Heads::new(FeatureSpace::new(), rates),
            account_sends: 0,
            variant_sends: BTreeMap::new(),
            order_value_minor: None,
            calibration: None,
            restored_from: None,
        }
    }

    /// Reads a stored model.
    ///
    /// # Errors
    /// When it is damaged, or of another definition of the features.
    pub fn parse(version: &str, text: &str) -> Result<Self, UnusableModel> {
        let body: Self = serde_json::from_str(text).map_err(|fault| UnusableModel::new(version, fault))?;
        if body.features_version == FEATURES_VERSION {
            return Ok(body);
        }
        let problem = format!(
            "its features are of version {}, ours of version {FEATURES_VERSION}",
            body.features_version
        );
        Err(UnusableModel::new(version, problem))
    }

    /// Gives every feature that these variants can have its number, in this order.
    ///
    /// # Errors
    /// When there are more features than a model may have.
    pub fn cover(&mut self, campaigns: &[CampaignTraits]) -> Result<(), SpaceError> {
        for campaign in campaigns {
            for stage in Stage::ALL {
                intern(&mut self.heads, &features::shared(&campaign.campaign, stage))?;
            }
            for arm in &campaign.arms {
                for stage in Stage::ALL.into_iter().filter(|stage| arm.stage.is_none_or(|own| own == *stage))
                {
                    intern(&mut self.heads, &features::of_arm(&campaign.campaign, arm, stage))?;
                }
            }
        }
        Ok(())
    }
}

fn intern(heads: &mut Heads, features: &[Feature]) -> Result<(), SpaceError> {
    features
        .iter()
        .try_for_each(|feature| heads.intern(&feature.group, feature.kind, &feature.name).map(|_| ()))
}

/// A stored model with the numbers of one catalogue's features.
#[derive(Debug, Clone)]
pub struct PolicyModel {
    /// Its version: decisions name it.
    pub version: String,
    body: PolicyBody,
    shared: HashMap<CampaignId, [Terms; 4]>,
    arms: HashMap<VariantId, [Option<Terms>; 4]>,
}

/// Features by number, ascending, with where their values come from.
type Terms = Vec<(FeatureId, Term)>;

impl PolicyModel {
    /// Covers the variants of a catalogue. What the model does not know of them yet starts at its prior, so a new
    /// variant starts at the coefficients of its options.
    ///
    /// # Errors
    /// When there are more features than a model may have.
    pub fn new(
        version: &str,
        mut body: PolicyBody,
        campaigns: &[CampaignTraits],
    ) -> Result<Self, UnusableModel> {
        body.cover(campaigns).map_err(|fault| UnusableModel::new(version, fault))?;
        let space = body.heads.space();
        let terms = |features: Vec<Feature>| -> Terms {
            let known =
                features.into_iter().filter_map(|feature| Some((space.lookup(&feature.name)?, feature.term)));
            let mut terms: Terms = known.collect();
            terms.sort_by_key(|(id, _)| *id);
            terms
        };
        let mut shared = HashMap::new();
        let mut arms = HashMap::new();
        for campaign in campaigns {
            let id = &campaign.campaign;
            shared.insert(id.clone(), Stage::ALL.map(|stage| terms(features::shared(id, stage))));
            for arm in &campaign.arms {
                let by_stage = Stage::ALL.map(|stage| {
                    let own = arm.stage.is_none_or(|own| own == stage);
                    own.then(|| terms(features::of_arm(id, arm, stage)))
                });
                arms.insert(arm.id.clone(), by_stage);
            }
        }
        Ok(Self { version: version.to_owned(), body, shared, arms })
    }

    /// The heads.
    pub fn heads(&self) -> &Heads {
        &self.body.heads
    }

    /// What is stored.
    pub fn body(&self) -> &PolicyBody {
        &self.body
    }

    /// Whether enough was sent to let the model choose.
    pub fn account(&self) -> Account {
        ColdStart::default().account(self.body.account_sends)
    }

    /// The largest share that a variant may get; `None` when it is not new.
    pub fn share_max(&self, variant: &VariantId) -> Option<f64> {
        ColdStart::default().share_max(self.body.variant_sends.get(variant).copied().unwrap_or(0))
    }

    /// What an order of this person is worth: their own mean, with the shop's counting as three orders.
    #[expect(clippy::cast_precision_loss, reason = "money of one person is far below 2^52")]
    pub fn order_value_minor(&self, orders: u32, spend_minor: i64) -> Option<f64> {
        let shop = self.body.order_value_minor?;
        Some((spend_minor as f64 + ORDER_VALUE_PRIOR * shop) / (f64::from(orders) + ORDER_VALUE_PRIOR))
    }

    /// The person's own features in a campaign.
    pub fn shared(&self, campaign: &CampaignId, stage: Stage, facts: &[f64]) -> SparseVector {
        let mut features = SparseVector::EMPTY;
        if let Some(terms) = self.shared.get(campaign) {
            features.refill(valued(&terms[position(stage)], facts, [0.0; 2]));
        }
        features
    }

    /// A variant's features with this person; `None` for a variant of another catalogue.
    pub fn arm(
        &self,
        variant: &VariantId,
        stage: Stage,
        facts: &[f64],
        recency: [f64; 2],
    ) -> Option<SparseVector> {
        let mut features = SparseVector::EMPTY;
        self.refill_arm(&mut features, variant, stage, facts, recency)?;
        Some(features)
    }

    /// [`PolicyModel::arm`] into room that is used again.
    pub(super) fn refill_arm(
        &self,
        features: &mut SparseVector,
        variant: &VariantId,
        stage: Stage,
        facts: &[f64],
        recency: [f64; 2],
    ) -> Option<()> {
        let terms = self.arms.get(variant)?[position(stage)].as_ref()?;
        features.refill(valued(terms, facts, recency));
        Some(())
    }

    /// The name of a feature.
    pub fn name(&self, id: FeatureId) -> &str {
        self.body.heads.space().name(id).unwrap_or_default()
    }
}

fn position(stage: Stage) -> usize {
    Stage::ALL.iter().position(|known| *known == stage).unwrap_or_default()
}

fn valued(terms: &Terms, facts: &[f64], recency: [f64; 2]) -> impl Iterator<Item = (FeatureId, f64)> {
    terms.iter().map(move |(id, term)| (*id, term.value(facts, recency)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_outside_of_its_range_is_an_alarm_once_there_are_enough_clicks() {
        let check = |clicks, expected, alarm: bool| {
            let calibration = Calibration { sends: 10_000, clicks, expected };
            assert_eq!(calibration.alarm().is_some(), alarm, "{clicks} of {expected}");
        };
        check(80, 100.0, false);
        check(79, 100.0, true);
        check(125, 100.0, false);
        check(126, 100.0, true);
        check(0, 39.0, false);
        check(0, 0.0, false);
    }
}
