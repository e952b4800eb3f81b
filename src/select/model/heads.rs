//! Click, purchase and unsubscribe together: the model that is stored as a versioned row.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::head::Head;
use super::newton::sigmoid;
use super::space::{FeatureId, FeatureSpace, Kind, SpaceError};
use super::vector::SparseVector;

/// How often each answer is expected before anything is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BaseRates {
    /// Human clicks per send.
    pub click: f64,
    /// Purchases per click.
    pub purchase: f64,
    /// Unsubscribes and complaints per send.
    pub unsubscribe: f64,
}

impl Default for BaseRates {
    fn default() -> Self {
        Self { click: 0.03, purchase: 0.05, unsubscribe: 0.002 }
    }
}

/// How long each answer may take (design §7).
pub const CLICK_WINDOW: SignedDuration = SignedDuration::from_hours(72);
/// How long a purchase may take.
pub const PURCHASE_WINDOW: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long an unsubscribe may take.
pub const UNSUBSCRIBE_WINDOW: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What a margin is earned by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Earned {
    /// The campaign wants clicks: an arm's margin is earned by each.
    ByClick,
    /// The campaign wants purchases: an arm's margin is earned by a purchase after a click.
    ByPurchase,
}

/// How predicted answers become a value in money: `P(click)·P(buy|click)·margin − cost − λ·P(unsubscribe)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Values {
    /// What a margin is earned by.
    pub earned: Earned,
    /// λ: what a lost subscriber is worth, in the unit of the margin.
    pub unsubscribe_loss: f64,
}

/// The model of the default policy: one space of features, three heads over it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heads {
    space: FeatureSpace,
    /// P(click).
    pub click: Head,
    /// P(purchase | click): learnt from clicked sends only.
    pub purchase: Head,
    /// P(unsubscribe or complaint).
    pub unsubscribe: Head,
}

impl Heads {
    /// A model that knows only its priors.
    pub fn new(space: FeatureSpace, rates: BaseRates) -> Self {
        let click = Head::new(&space, rates.click, CLICK_WINDOW);
        let purchase = Head::new(&space, rates.purchase, PURCHASE_WINDOW);
        let unsubscribe = Head::new(&space, rates.unsubscribe, UNSUBSCRIBE_WINDOW);
        Self { space, click, purchase, unsubscribe }
    }

    /// The features that the heads know.
    pub fn space(&self) -> &FeatureSpace {
        &self.space
    }

    /// The number of a feature, which all heads know from now on. Whoever loads a catalogue calls this for every
    /// feature that its variants can have, so that a new variant starts at the coefficients of its options.
    ///
    /// # Errors
    /// When the space is full.
    pub fn intern(&mut self, group: &str, kind: Kind, name: &str) -> Result<FeatureId, SpaceError> {
        let before = self.space.len();
        let id = self.space.intern(group, kind, name)?;
        if self.space.len() > before {
            for head in [&mut self.click, &mut self.purchase, &mut self.unsubscribe] {
                head.cover(&self.space);
            }
        }
        Ok(id)
    }

    /// The expected value of an arm, in the unit of its margin. `features` are the customer's and the arm's together.
    pub fn value(&self, features: &SparseVector, margin: f64, cost: f64, values: Values) -> f64 {
        let mut earned = margin * self.click.score(features).probability();
        if values.earned == Earned::ByPurchase {
            earned *= self.purchase.score(features).probability();
        }
        let mut lost = cost;
        if values.unsubscribe_loss != 0.0 {
            lost += values.unsubscribe_loss * self.unsubscribe.score(features).probability();
        }
        earned - lost
    }

    /// P(click) of these features at the posterior mean, as calibration is measured with.
    pub fn click_probability(&self, features: &SparseVector) -> f64 {
        sigmoid(self.click.score(features).mean)
    }
}
