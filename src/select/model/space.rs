//! A feature's name becomes a small number; the group it belongs to decides its prior.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// How many features one model may have: 240 variants with all their interactions are a few thousand.
pub const FEATURE_COUNT_MAX: usize = 1 << 20;
/// How many groups one model may have.
pub const GROUP_COUNT_MAX: usize = 1 << 12;
/// The name of the feature that every space has from the start.
pub const INTERCEPT: &str = "1";

/// The number of a feature within one [`FeatureSpace`]; it means nothing outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeatureId(pub(super) u32);

impl FeatureId {
    /// The intercept, which every space has.
    pub const INTERCEPT: Self = Self(0);

    /// The position of this feature's weight in a model's arrays.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The number of a group within one [`FeatureSpace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub(super) u16);

impl GroupId {
    /// The position of this group's prior in a model's arrays.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What a group of features is, which decides the prior that it starts from (design §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The one constant; its prior mean is the logit of the base rate.
    Intercept,
    /// A fact about the customer alone, the same for every arm.
    Shared,
    /// A fact about the arm alone: a slot option, the tone, the arm's own intercept.
    Arm,
    /// A fact about the customer times a fact about the arm.
    Interaction,
    /// How lately this arm, or its family, was shown: 2^(−days/15).
    Recency,
}

impl Kind {
    /// The precision (1/variance, in log-odds) that a group of this kind starts with.
    pub fn precision(self) -> f64 {
        match self {
            Self::Intercept | Self::Shared => 1.0,
            Self::Arm => 4.0,
            Self::Interaction => 100.0,
            Self::Recency => 1e4,
        }
    }

    /// The prior mean; that of the intercept is the logit of the base rate, which the head knows.
    pub fn mean(self) -> f64 {
        if self == Self::Recency { -0.017 } else { 0.0 }
    }
}

/// A set of features whose weights are of one size, so that one precision is learnt for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name, as `arm`, `stage×subject`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Feature {
    name: String,
    group: u16,
}

/// All features that a model knows, by name and by number.
///
/// Numbers are given in the order of first use and never change; they are stored with the names, so that a model
/// read back means the same. Invariant: feature 0 is the intercept and alone in group 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct FeatureSpace {
    groups: Vec<Group>,
    features: Vec<Feature>,
    by_name: HashMap<String, FeatureId>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    groups: Vec<Group>,
    features: Vec<Feature>,
}

/// Why a feature could not be given a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpaceError {
    /// More features than [`FEATURE_COUNT_MAX`].
    #[error("feature «{0}» is one too many: a model may have {FEATURE_COUNT_MAX}")]
    TooManyFeatures(String),
    /// More groups than [`GROUP_COUNT_MAX`].
    #[error("feature group «{0}» is one too many: a model may have {GROUP_COUNT_MAX}")]
    TooManyGroups(String),
    /// A stored space that contradicts itself.
    #[error("the stored feature space is damaged at feature «{0}»")]
    Damaged(String),
}

impl Default for FeatureSpace {
    fn default() -> Self {
        Self::new()
    }
}

impl FeatureSpace {
    /// A space that knows the intercept only.
    pub fn new() -> Self {
        Self {
            groups: vec![Group { name: INTERCEPT.to_owned(), kind: Kind::Intercept }],
            features: vec![Feature { name: INTERCEPT.to_owned(), group: 0 }],
            by_name: HashMap::from([(INTERCEPT.to_owned(), FeatureId::INTERCEPT)]),
        }
    }

    /// The number of the feature `name`, given to it now if it is new.
    ///
    /// A known feature keeps the group it first had: its weight was learnt under that group's prior.
    ///
    /// # Errors
    /// When the space is full.
    pub fn intern(&mut self, group: &str, kind: Kind, name: &str) -> Result<FeatureId, SpaceError> {
        if let Some(id) = self.by_name.get(name) {
            return Ok(*id);
        }
        if self.features.len() >= FEATURE_COUNT_MAX {
            return Err(SpaceError::TooManyFeatures(name.to_owned()));
        }
        let group = self.intern_group(group, kind)?;
        let number = u32::try_from(self.features.len()).expect("under FEATURE_COUNT_MAX");
        let id = FeatureId(number);
        self.features.push(Feature { name: name.to_owned(), group: group.0 });
        self.by_name.insert(name.to_owned(), id);
        Ok(id)
    }

    fn intern_group(&mut self, name: &str, kind: Kind) -> Result<GroupId, SpaceError> {
        let known = self.groups.iter().position(|group| group.name == name && group.kind == kind);
        let position = match known {
            Some(position) => position,
            None if self.groups.len() >= GROUP_COUNT_MAX => {
                return Err(SpaceError::TooManyGroups(name.to_owned()));
            }
            None => {
                self.groups.push(Group { name: name.to_owned(), kind });
                self.groups.len() - 1
            }
        };
        Ok(GroupId(u16::try_from(position).expect("under GROUP_COUNT_MAX")))
    }

    /// The number of the feature `name`, if the space knows it.
    pub fn lookup(&self, name: &str) -> Option<FeatureId> {
        self.by_name.get(name).copied()
    }

    /// The name of a feature of this space; `None` for a number of another space.
    pub fn name(&self, id: FeatureId) -> Option<&str> {
        self.name_at(id.index())
    }

    /// The name of the feature at this position; `None` past the end.
    pub fn name_at(&self, index: usize) -> Option<&str> {
        self.features.get(index).map(|feature| feature.name.as_str())
    }

    /// The group of the feature at this position; `None` past the end.
    pub fn group_of(&self, index: usize) -> Option<GroupId> {
        self.features.get(index).map(|feature| GroupId(feature.group))
    }

    /// The groups, in the order of their numbers.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The names, in the order of their numbers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.features.iter().map(|feature| feature.name.as_str())
    }

    /// How many features are known; never zero.
    #[expect(clippy::len_without_is_empty, reason = "a space always holds the intercept")]
    pub fn len(&self) -> usize {
        self.features.len()
    }
}

impl From<FeatureSpace> for Stored {
    fn from(space: FeatureSpace) -> Self {
        Self { groups: space.groups, features: space.features }
    }
}

impl TryFrom<Stored> for FeatureSpace {
    type Error = SpaceError;

    fn try_from(stored: Stored) -> Result<Self, SpaceError> {
        let mut space = Self::new();
        if stored.groups.first() != space.groups.first() || stored.features.first() != space.features.first()
        {
            return Err(SpaceError::Damaged(INTERCEPT.to_owned()));
        }
        for (number, feature) in stored.features.iter().enumerate().skip(1) {
            let damaged = || SpaceError::Damaged(feature.name.clone());
            let group = stored.groups.get(usize::from(feature.group)).ok_or_else(damaged)?;
            let id = space.intern(&group.name, group.kind, &feature.name)?;
            if id.index() != number {
                return Err(damaged());
            }
        }
        // Interning gives groups in the order of first use, which is the order they were stored in.
        if space.groups == stored.groups { Ok(space) } else { Err(SpaceError::Damaged("groups".to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_a_space_read_back_is_the_same() {
        let mut space = FeatureSpace::new();
        let bold = space.intern("tone", Kind::Arm, "tone=bold").unwrap();
        let calm = space.intern("tone", Kind::Arm, "tone=calm").unwrap();
        let both = space.intern("stage×tone", Kind::Interaction, "stage=educate×tone=calm").unwrap();
        assert_eq!(space.intern("tone", Kind::Arm, "tone=bold").unwrap(), bold);
        assert_eq!([bold.index(), calm.index(), both.index()], [1, 2, 3]);
        assert_eq!(space.lookup("tone=loud"), None);
        let text = serde_json::to_string(&space).unwrap();
        let read: FeatureSpace = serde_json::from_str(&text).unwrap();
        assert_eq!(read, space);
        assert_eq!(read.name(both), Some("stage=educate×tone=calm"));
    }

    #[test]
    fn a_damaged_space_is_refused() {
        let check = |text: &str| serde_json::from_str::<FeatureSpace>(text).unwrap_err().to_string();
        let twice = r#"{"groups":[{"name":"1","kind":"intercept"},{"name":"a","kind":"arm"}],
            "features":[{"name":"1","group":0},{"name":"x","group":1},{"name":"x","group":1}]}"#;
        assert!(check(twice).contains("«x»"));
        let nowhere = r#"{"groups":[{"name":"1","kind":"intercept"}],
            "features":[{"name":"1","group":0},{"name":"y","group":7}]}"#;
        assert!(check(nowhere).contains("«y»"));
        assert!(check(r#"{"groups":[],"features":[]}"#).contains("damaged"));
    }
}
