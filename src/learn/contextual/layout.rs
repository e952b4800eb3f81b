//! The model's features: of the customer, of the action, and of both together.

use crate::learn::context::{Encoder, LocalValue, numbered};
use crate::select::model::{FeatureId, FeatureSpace, Kind, SparseVector};

use super::Actions;

/// Numbers of the features, by what they are about.
#[derive(Debug)]
pub(super) struct Layout {
    space: FeatureSpace,
    /// By local feature of the encoder.
    customer: Vec<FeatureId>,
    /// By action: its own, and that of any send.
    action: Vec<Vec<FeatureId>>,
    /// By action, for each of its features: by local feature.
    both: Vec<Vec<Vec<FeatureId>>>,
}

impl Layout {
    pub(super) fn new(encoder: &Encoder, actions: Actions) -> Self {
        let mut space = FeatureSpace::new();
        let mut intern = |group: &str, kind, name: &str| {
            space.intern(group, kind, name).expect("actions × context features are limited by both readers")
        };
        let local = encoder.features();
        let customer = local.iter().map(|f| intern(&f.group, Kind::Shared, &f.name)).collect();
        let (mut action, mut both) = (Vec::new(), Vec::new());
        for number in 0..actions.count {
            let mut names = vec![("action", format!("action {number}"))];
            if actions.none.is_some_and(|none| none != number) {
                names.push(("any send", "any send".to_owned()));
            }
            action.push(names.iter().map(|(group, name)| intern(group, Kind::Arm, name)).collect());
            let times = |(group, name): &(&str, String)| -> Vec<FeatureId> {
                let product = |f: &crate::learn::context::LocalFeature| {
                    intern(
                        &format!("{group} × {}", f.group),
                        Kind::Interaction,
                        &format!("{name} × {}", f.name),
                    )
                };
                local.iter().map(product).collect()
            };
            both.push(names.iter().map(times).collect());
        }
        Self { space, customer, action, both }
    }

    pub(super) fn space(&self) -> &FeatureSpace {
        &self.space
    }

    /// The features of the customer alone, with the intercept.
    pub(super) fn shared(&self, local: &[LocalValue]) -> SparseVector {
        let mut pairs = numbered(local, &self.customer);
        pairs.push((FeatureId::INTERCEPT, 1.0));
        SparseVector::new(pairs).expect("encoded values are ranks and ones")
    }

    /// The features of the action, alone and with the customer.
    pub(super) fn arm(&self, local: &[LocalValue], action: usize) -> SparseVector {
        let mut pairs: Vec<(FeatureId, f64)> = self.action[action].iter().map(|id| (*id, 1.0)).collect();
        for ids in &self.both[action] {
            pairs.extend(numbered(local, ids));
        }
        SparseVector::new(pairs).expect("encoded values are ranks and ones")
    }
}
