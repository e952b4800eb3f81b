//! Where a profile stands: Discover, Educate, Compare, Purchase.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;

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
