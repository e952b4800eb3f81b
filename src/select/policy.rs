//! Policies without a model: each gives every eligible variant its exact probability.

use crate::campaign::PolicyKind;
use crate::decision::Slice;
use crate::decision::TemplateHash;
use crate::decision::VariantId;

/// A variant as a policy sees it.
#[derive(Debug, Clone, Copy)]
pub struct Arm<'a> {
    /// Its name.
    pub variant: &'a VariantId,
    /// Its content.
    pub template: &'a TemplateHash,
    /// From its head, times its options' weights.
    pub weight: f64,
    /// From its head, for `rules`: less comes first.
    pub order: i64,
}

/// Scores and probabilities of the arms, in their order, and of NO SEND behind them.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// What the policy thinks of each arm; NO SEND last.
    pub scores: Vec<f64>,
    /// The exact probability of each arm; NO SEND last. They sum to 1.
    pub probabilities: Vec<f64>,
}

/// The distribution of a policy over the arms. Without any weight at all, nothing is sent.
pub fn distribution(policy: PolicyKind, slice: Slice, arms: &[Arm<'_>], no_send_weight: f64) -> Distribution {
    let scores = with_no_send(arms.iter().map(|arm| arm.weight.max(0.0)), no_send_weight.max(0.0));
    let probabilities = match (slice, policy) {
        (Slice::Holdout, _) => certain(arms.len(), arms.len()),
        // To learn from, every variant that could be chosen at all is drawn alike.
        // So does the learning policy, until it has a model that knows enough.
        (Slice::Uniform, _) | (Slice::Policy, PolicyKind::Thompson) => {
            shares(&with_no_send(arms.iter().map(|arm| f64::from(u8::from(arm.weight > 0.0))), 0.0))
        }
        (Slice::Policy, PolicyKind::Rules) => certain(arms.len(), first(arms)),
        (Slice::Policy, PolicyKind::Ab | PolicyKind::Weighted) => shares(&scores),
    };
    Distribution { scores, probabilities }
}

fn with_no_send(weights: impl Iterator<Item = f64>, no_send: f64) -> Vec<f64> {
    weights.chain(std::iter::once(no_send)).collect()
}

/// Probability 1 for one index; `arms` is the index of NO SEND.
fn certain(arms: usize, index: usize) -> Vec<f64> {
    (0..=arms).map(|i| if i == index { 1.0 } else { 0.0 }).collect()
}

/// Each weight's share of the sum; NO SEND where there is no sum.
fn shares(weights: &[f64]) -> Vec<f64> {
    let sum: f64 = weights.iter().sum();
    if !(sum.is_finite() && sum > 0.0) {
        return certain(weights.len() - 1, weights.len() - 1);
    }
    weights.iter().map(|weight| weight / sum).collect()
}

/// The first by order, then by name; NO SEND where there is none.
fn first(arms: &[Arm<'_>]) -> usize {
    let eligible = arms.iter().enumerate().filter(|(_, arm)| arm.weight > 0.0);
    eligible.min_by_key(|(_, arm)| (arm.order, arm.variant)).map_or(arms.len(), |(index, _)| index)
}

/// Where in [0, 1) to draw: anew for every send, except for `ab`, which must be sticky. That goes by the profile's own
/// place in this campaign, which is as uniform over the profiles, so the shares are the probabilities all the same.
///
/// Rendezvous hashing would survive a changed set of arms; a fixed split by position is what an A/B test states.
pub fn place(policy: PolicyKind, slice: Slice, position: f64, fresh: f64) -> f64 {
    if slice == Slice::Policy && policy == PolicyKind::Ab { position } else { fresh }
}

/// The index that `at` in [0, 1) falls upon. One with probability 0 is never drawn.
pub fn draw(probabilities: &[f64], at: f64) -> usize {
    let mut sum = 0.0;
    let mut last = probabilities.len().saturating_sub(1);
    for (index, probability) in probabilities.iter().enumerate() {
        if *probability > 0.0 {
            sum += probability;
            last = index;
            if at < sum {
                return index;
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Owned(VariantId, TemplateHash, f64, i64);

    fn own(weights: &[(f64, i64)]) -> Vec<Owned> {
        let named = |(i, (weight, order)): (usize, &(f64, i64))| {
            Owned(VariantId::new(format!("c/any/v{i:03}")), TemplateHash(i.to_string()), *weight, *order)
        };
        weights.iter().enumerate().map(named).collect()
    }

    fn probabilities(policy: PolicyKind, slice: Slice, weights: &[(f64, i64)], no_send: f64) -> Vec<f64> {
        let owned = own(weights);
        let arms: Vec<_> = owned
            .iter()
            .map(|Owned(variant, template, weight, order)| Arm {
                variant,
                template,
                weight: *weight,
                order: *order,
            })
            .collect();
        distribution(policy, slice, &arms, no_send).probabilities
    }

    #[test]
    fn each_policy_gives_its_probabilities() {
        use PolicyKind::{Ab, Rules, Weighted};
        use Slice::{Holdout, Policy, Uniform};
        let arms = [(3.0, 5), (1.0, 1), (0.0, 0)];
        for (policy, slice, no_send, expected) in [
            (Weighted, Policy, 0.0, [0.75, 0.25, 0.0, 0.0]),
            (Weighted, Policy, 4.0, [0.375, 0.125, 0.0, 0.5]),
            (Weighted, Uniform, 4.0, [0.5, 0.5, 0.0, 0.0]),
            (Weighted, Holdout, 0.0, [0.0, 0.0, 0.0, 1.0]),
            (Rules, Policy, 0.0, [0.0, 1.0, 0.0, 0.0]),
            (Ab, Policy, 0.0, [0.75, 0.25, 0.0, 0.0]),
            (Ab, Uniform, 0.0, [0.5, 0.5, 0.0, 0.0]),
        ] {
            assert_eq!(probabilities(policy, slice, &arms, no_send), expected, "{policy:?} {slice:?}");
        }
        assert_eq!(probabilities(Weighted, Policy, &[], 0.0), [1.0]);
        assert_eq!(probabilities(Rules, Policy, &[(0.0, 1)], 0.0), [0.0, 1.0]);
    }

    #[test]
    fn an_ab_test_goes_by_the_profile_and_all_else_by_the_send() {
        use PolicyKind::{Ab, Weighted};
        let check = |policy, slice, expected: usize| {
            let at = place(policy, slice, 0.76, 0.2);
            assert_eq!(draw(&[0.75, 0.25, 0.0], at), expected, "{policy:?} {slice:?}");
        };
        check(Ab, Slice::Policy, 1);
        check(Ab, Slice::Uniform, 0);
        check(Weighted, Slice::Policy, 0);
    }

    proptest! {
        #[test]
        fn probabilities_sum_to_one_and_nothing_without_weight_is_drawn(
            arms in prop::collection::vec((0.0..10.0_f64, 0..5_i64), 0..40),
            no_send in 0.0..3.0_f64, at in 0.0..1.0_f64, which in 0..3_usize, uniform: bool,
        ) {
            let policy = [PolicyKind::Weighted, PolicyKind::Rules, PolicyKind::Ab][which];
            let slice = if uniform { Slice::Uniform } else { Slice::Policy };
            let found = probabilities(policy, slice, &arms, no_send);
            prop_assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let drawn = draw(&found, at);
            prop_assert!(found[drawn] > 0.0);
            prop_assert!(drawn == arms.len() || arms[drawn].0 > 0.0);
        }
    }
}
