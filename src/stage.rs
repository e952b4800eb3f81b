//! Where a profile stands: Discover, Educate, Compare, Purchase.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;

mod place;
mod reason;
#[cfg(test)]
mod tests;
mod weights;

pub use place::place;
pub use weights::StagePoints;
pub use weights::StageWeights;

/// A customer's place on the journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Has hardly met us. Also where nothing is known.
    #[default]
    Discover,
    /// Reads and looks around.
    Educate,
    /// Weighs one thing against another.
    Compare,
    /// Is about to buy, or has just bought.
    Purchase,
}

impl Stage {
    /// In the order of the journey.
    pub const ALL: [Self; 4] = [Self::Discover, Self::Educate, Self::Compare, Self::Purchase];

    /// The word that folders, rules and the database use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discover => "discover",
            Self::Educate => "educate",
            Self::Compare => "compare",
            Self::Purchase => "purchase",
        }
    }

    /// Reads [`Stage::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a profile stands, as the store keeps it between placements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The stage.
    pub stage: Stage,
    /// When it was entered.
    pub since: Timestamp,
    /// Why, at that time.
    pub reason: String,
}

/// A step from one stage into another, for the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The stage left; `None` when the profile had never been placed.
    pub from: Option<Stage>,
    /// The stage entered.
    pub to: Stage,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// The answer of [`place`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Where the profile stands.
    pub stage: Stage,
    /// The evidence for each stage.
    pub scores: StagePoints,
    /// Why, in one sentence that names the facts.
    pub reason: String,
    /// The step that this placement made; `None` when the profile stays where it was.
    pub transition: Option<Transition>,
}

impl Placement {
    /// What to keep until the next placement: `None` when the record that there is stays true.
    pub fn record(&self) -> Option<StageRecord> {
        let transition = self.transition.as_ref()?;
        Some(StageRecord { stage: transition.to, since: transition.at, reason: transition.reason.clone() })
    }
}
