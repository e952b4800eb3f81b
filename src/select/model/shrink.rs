//! How strong each group's prior should be, learnt from the data (empirical Bayes).
//!
//! In a group, the data alone says `ŵ ~ N(w, 1/h)` of each weight, and the prior says `w ~ N(mean, 1/λ)`. Together
//! `ŵ ~ N(mean, 1/λ + 1/h)`, whose likelihood is maximised over λ, one number a group (Morris 1983). On real data the
//! answer lay anywhere between 17 and 6,400, so a constant would be wrong.

use super::posterior::{Evidence, GroupPrior};
use super::space::{FeatureSpace, Kind};

/// No group is believed to be freer than this.
pub const PRECISION_MIN: f64 = 4.0;
/// No group is believed to be tighter than this.
pub const PRECISION_MAX: f64 = 1e4;
/// A group with fewer weights keeps its default: one or two numbers say nothing about their spread.
const MEMBERS_MIN: usize = 3;
/// How firmly the default of the kind is held: the standard deviation of `log λ` around it. A large group overrules it.
const LOG_PRECISION_SD: f64 = 2.0;
/// Steps of the search; each narrows it by the golden ratio.
const SEARCH_STEPS: usize = 40;

/// New precisions for all groups; means stay. The intercept and recency groups keep theirs: their priors are knowledge,
/// not a guess about spread.
pub fn reestimate(space: &FeatureSpace, priors: &[GroupPrior], evidence: &Evidence) -> Vec<GroupPrior> {
    let mut members: Vec<Vec<Member>> = vec![Vec::new(); priors.len()];
    for (index, (shift, information)) in evidence.shift.iter().zip(&evidence.information).enumerate() {
        let Some(group) = space.group_of(index) else { continue };
        if *information > 0.0 {
            members[group.index()]
                .push(Member { distance: shift / information, variance: 1.0 / information });
        }
    }
    let groups = space.groups().iter().zip(priors).zip(&members);
    groups
        .map(|((group, prior), members)| {
            let fixed = matches!(group.kind, Kind::Intercept | Kind::Recency) || members.len() < MEMBERS_MIN;
            if fixed {
                return *prior;
            }
            GroupPrior { precision: precision(members, group.kind.precision()), ..*prior }
        })
        .collect()
}

/// One weight as the data alone sees it: how far from the prior mean, and how surely.
#[derive(Debug, Clone, Copy)]
struct Member {
    distance: f64,
    variance: f64,
}

/// The likeliest λ within the limits, by golden-section search on `log λ`.
fn precision(members: &[Member], default: f64) -> f64 {
    let badness = |log_precision: f64| {
        let spread = (-log_precision).exp();
        let away = (log_precision - default.ln()) / LOG_PRECISION_SD;
        let fit: f64 = members
            .iter()
            .map(|member| {
                let total = spread + member.variance;
                0.5 * (total.ln() + member.distance * member.distance / total)
            })
            .sum();
        fit + 0.5 * away * away
    };
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (PRECISION_MIN.ln(), PRECISION_MAX.ln());
    for _ in 0..SEARCH_STEPS {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if badness(left) < badness(right) {
            high = right;
        } else {
            low = left;
        }
    }
    (0.5 * (low + high)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 200 weights with the given spread, seen through noise of the given size, both from a fixed pattern.
    fn members(spread: f64, noise: f64) -> Vec<Member> {
        let wave = |i: u32, step: f64| (f64::from(i) * step).sin() * std::f64::consts::SQRT_2;
        (0..200)
            .map(|i| Member {
                distance: spread * wave(i, 1.7) + noise * wave(i, 2.9),
                variance: noise * noise,
            })
            .collect()
    }

    #[test]
    fn the_spread_that_made_the_weights_is_found() {
        for spread in [0.3, 0.1, 0.03] {
            let found = precision(&members(spread, 0.05), 100.0);
            let expected = 1.0 / (spread * spread);
            assert!((found / expected).ln().abs() < 0.5, "{found} for {expected}");
        }
    }

    #[test]
    fn pure_noise_is_shrunk_away_and_limits_hold() {
        assert!(precision(&members(0.0, 0.05), 100.0) > 2_000.0);
        assert!(precision(&members(5.0, 0.01), 100.0) >= PRECISION_MIN);
        assert!(precision(&members(0.0, 0.001), 100.0) <= PRECISION_MAX);
    }

    #[test]
    fn few_weights_leave_the_default_nearly_alone() {
        let found = precision(&members(0.2, 1.0)[..2], 4.0);
        assert!((2.0..40.0).contains(&found), "{found}");
    }
}
