//! Click, purchase and unsubscribe together: the model that is stored as a versioned row.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::head::Head;
use super::newton::sigmoid;
use super::posterior::{Posterior, Score};
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

/// How long each answer may take at most, from the time that a mail went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// A click.
    pub click: SignedDuration,
    /// A purchase.
    pub purchase: SignedDuration,
    /// An unsubscribe or a complaint.
    pub unsubscribe: SignedDuration,
}

impl Default for Windows {
    /// Design §7: 72 hours, seven days, seven days.
    fn default() -> Self {
        let week = SignedDuration::from_hours(7 * 24);
        Self { click: SignedDuration::from_hours(72), purchase: week, unsubscribe: week }
    }
}

impl Windows {
    /// The longer of each.
    #[must_use]
    pub fn longest(self, other: Self) -> Self {
        Self {
            click: self.click.max(other.click),
            purchase: self.purchase.max(other.purchase),
            unsubscribe: self.unsubscribe.max(other.unsubscribe),
        }
    }
}

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
        let windows = Windows::default();
        let click = Head::new(&space, rates.click, windows.click);
        let purchase = Head::new(&space, rates.purchase, windows.purchase);
        let unsubscribe = Head::new(&space, rates.unsubscribe, windows.unsubscribe);
        Self { space, click, purchase, unsubscribe }
    }

    /// How long answers may take from now on.
    pub fn set_windows(&mut self, windows: Windows) {
        self.click.set_window(windows.click);
        self.purchase.set_window(windows.purchase);
        self.unsubscribe.set_window(windows.unsubscribe);
    }

    /// The features, and the heads over them: click, purchase, unsubscribe.
    pub fn parts(&mut self) -> (&FeatureSpace, [&mut Head; 3]) {
        (&self.space, [&mut self.click, &mut self.purchase, &mut self.unsubscribe])
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

    /// What each head says of these features: click, purchase, unsubscribe. As [`Head::score`] of each, in one pass.
    pub fn scores(&self, features: &SparseVector) -> [Score; 3] {
        Posterior::score_each([&self.click, &self.purchase, &self.unsubscribe].map(Head::posterior), features)
    }

    /// P(click) of these features at the posterior mean, as calibration is measured with.
    pub fn click_probability(&self, features: &SparseVector) -> f64 {
        sigmoid(self.click.score(features).mean)
    }
}
