//! What is believed about the weights: `w ~ N(m, diag 1/q)`.

use serde::{Deserialize, Serialize};

use super::newton::{Centre, Effort, Rows, mode};
use super::space::FeatureSpace;
use super::vector::SparseVector;

/// Mean and precision that the weights of one group start from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GroupPrior {
    /// Prior mean, in log-odds.
    pub mean: f64,
    /// Prior precision, 1/variance.
    pub precision: f64,
}

/// What the rows said, apart from the priors, so that a prior may change later: `q = prior + information`,
/// `m = prior mean + shift/q`. The arrays are as long as the space was when they were made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// By feature: `q·(m − prior mean)`.
    pub shift: Vec<f64>,
    /// By feature: `Σ ω z² p(1−p)`.
    pub information: Vec<f64>,
}

/// The linear predictor of some features: mean and variance, in log-odds for a logistic head.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Score {
    /// Its mean.
    pub mean: f64,
    /// Its variance.
    pub variance: f64,
}

/// Mean and variance of each weight. Invariant: variances are positive and finite.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Posterior {
    pub(super) mean: Vec<f64>,
    pub(super) variance: Vec<f64>,
}

/// The prior of each feature of a space, spread out from its group.
#[derive(Debug, Clone)]
pub struct PriorByFeature {
    /// Mean, by feature.
    pub mean: Vec<f64>,
    /// Precision, by feature.
    pub precision: Vec<f64>,
}

/// The priors that design §7 starts from, by group; `base_rate` is the share of positives to expect (0 to 1).
pub fn default_priors(space: &FeatureSpace, base_rate: f64) -> Vec<GroupPrior> {
    let base = base_rate.clamp(1e-6, 1.0 - 1e-6);
    let logit = (base / (1.0 - base)).ln();
    let prior = |kind: super::space::Kind| {
        let mean = if kind == super::space::Kind::Intercept { logit } else { kind.mean() };
        GroupPrior { mean, precision: kind.precision() }
    };
    space.groups().iter().map(|group| prior(group.kind)).collect()
}

impl PriorByFeature {
    /// Spreads `priors` (by group) over the features of `space`.
    ///
    /// # Panics
    /// When `priors` does not cover the groups of `space`.
    pub fn new(space: &FeatureSpace, priors: &[GroupPrior]) -> Self {
        let of = |index| priors[space.group_of(index).expect("index is below the length").index()];
        Self {
            mean: (0..space.len()).map(|index| of(index).mean).collect(),
            precision: (0..space.len()).map(|index| of(index).precision).collect(),
        }
    }
}

impl Evidence {
    /// Makes room for features that the space learnt since; they have no evidence yet.
    pub fn cover(&mut self, features: usize) {
        self.shift.resize(features, 0.0);
        self.information.resize(features, 0.0);
    }

    /// Weakens the evidence: what was learnt long ago is believed less, and the posterior returns to its prior.
    pub fn fade(&mut self, factor: f64) {
        for value in self.shift.iter_mut().chain(&mut self.information) {
            *value *= factor;
        }
    }

    /// The posterior under these priors.
    pub fn posterior(&self, prior: &PriorByFeature) -> Posterior {
        let precision = |j: usize| prior.precision[j] + self.information[j];
        Posterior {
            mean: (0..prior.mean.len()).map(|j| prior.mean[j] + self.shift[j] / precision(j)).collect(),
            variance: (0..prior.mean.len()).map(|j| 1.0 / precision(j)).collect(),
        }
    }

    /// What `rows` alone say, under these priors; the search starts at the weights `start`.
    pub fn of(prior: &PriorByFeature, rows: &Rows, start: &[f64], effort: Effort) -> Self {
        let centre = Centre { mean: &prior.mean, precision: &prior.precision };
        let weights = mode(centre, rows, start, effort);
        let mut evidence = Self::default();
        evidence.cover(prior.mean.len());
        evidence.settle(prior, rows, &weights);
        evidence
    }

    /// Adds rows: the new mean is the mode, the precision grows by the rows' curvature there.
    pub fn absorb(&mut self, prior: &PriorByFeature, rows: &Rows, effort: Effort) {
        if rows.is_empty() {
            return;
        }
        let now = self.posterior(prior);
        let precision: Vec<f64> = now.variance.iter().map(|variance| 1.0 / variance).collect();
        let weights = mode(Centre { mean: &now.mean, precision: &precision }, rows, &now.mean, effort);
        self.settle(prior, rows, &weights);
    }

    fn settle(&mut self, prior: &PriorByFeature, rows: &Rows, weights: &[f64]) {
        rows.add_information(weights, &mut self.information);
        for (j, w) in weights.iter().enumerate() {
            self.shift[j] = (prior.precision[j] + self.information[j]) * (w - prior.mean[j]);
        }
    }
}

impl Posterior {
    /// The linear predictor of these features. A feature past the end is unknown to this posterior and adds nothing.
    pub fn score(&self, features: &SparseVector) -> Score {
        let [score] = Self::score_each([self], features);
        score
    }

    /// [`Posterior::score`] of each of these posteriors over one space, in one pass over the features.
    pub fn score_each<const COUNT: usize>(
        posteriors: [&Self; COUNT],
        features: &SparseVector,
    ) -> [Score; COUNT] {
        // Of one length in the compiler's eyes too: one check of a feature's number is enough for all.
        let len = posteriors.iter().map(|one| one.mean.len().min(one.variance.len())).min().unwrap_or(0);
        let weights = posteriors.map(|one| (&one.mean[..len], &one.variance[..len]));
        let mut scores = [Score::default(); COUNT];
        for (id, value) in features.entries() {
            let index = id.index();
            if index < len {
                for (score, (means, variances)) in scores.iter_mut().zip(&weights) {
                    score.mean += value * means[index];
                    score.variance += value * value * variances[index];
                }
            }
        }
        scores
    }

    /// The mean of one weight by its position.
    pub fn mean(&self, index: usize) -> Option<f64> {
        self.mean.get(index).copied()
    }

    /// The variance of one weight by its position.
    pub fn variance(&self, index: usize) -> Option<f64> {
        self.variance.get(index).copied()
    }

    /// All means, by feature.
    pub fn means(&self) -> &[f64] {
        &self.mean
    }

    /// This posterior with what `known` says of some weights: a position's mean and (positive) variance.
    #[must_use]
    pub fn knowing(mut self, known: impl Fn(usize) -> Option<Score>) -> Self {
        for (index, (mean, variance)) in self.mean.iter_mut().zip(&mut self.variance).enumerate() {
            if let Some(score) = known(index) {
                (*mean, *variance) = (score.mean, score.variance);
            }
        }
        self
    }

    /// The same means with all variances times a positive factor.
    #[must_use]
    pub fn with_variances_scaled(&self, factor: f64) -> Self {
        Self {
            mean: self.mean.clone(),
            variance: self.variance.iter().map(|variance| variance * factor).collect(),
        }
    }

    /// How many weights there are.
    pub fn len(&self) -> usize {
        self.mean.len()
    }

    /// Whether there is no weight.
    pub fn is_empty(&self) -> bool {
        self.mean.is_empty()
    }
}

impl Score {
    /// The score of two sets of features without a feature in common.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { mean: self.mean + other.mean, variance: self.variance + other.variance }
    }

    /// The mean of the logistic of this Gaussian, by the approximation of Spiegelhalter and Lauritzen (1990): `σ(μ / √(1 + πv/8))`.
    pub fn probability(self) -> f64 {
        super::newton::sigmoid(self.mean / (1.0 + std::f64::consts::PI * self.variance / 8.0).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::model::newton::Outcome;
    use crate::select::model::space::{FeatureId, Kind};

    fn space() -> (FeatureSpace, FeatureId) {
        let mut space = FeatureSpace::new();
        let arm = space.intern("arm", Kind::Arm, "arm=a").unwrap();
        (space, arm)
    }

    #[test]
    fn without_evidence_the_posterior_is_the_prior() {
        let (mut space, _) = space();
        space.intern("recency", Kind::Recency, "recency of the arm").unwrap();
        let prior = PriorByFeature::new(&space, &default_priors(&space, 0.2));
        let mut evidence = Evidence::default();
        evidence.cover(space.len());
        let posterior = evidence.posterior(&prior);
        assert!((posterior.mean[0] - 0.25_f64.ln()).abs() < 1e-12);
        assert_eq!(posterior.mean[1..], [0.0, -0.017]);
        assert_eq!(posterior.variance, [1.0, 0.25, 1e-4]);
    }

    #[test]
    fn the_shift_remembers_what_the_rows_said_whatever_the_prior_becomes() {
        let (space, arm) = space();
        let strong = [GroupPrior { mean: 0.0, precision: 1.0 }, GroupPrior { mean: 0.0, precision: 50.0 }];
        let weak = [GroupPrior { mean: 0.0, precision: 1.0 }, GroupPrior { mean: 0.0, precision: 5.0 }];
        let (strong, weak) = (PriorByFeature::new(&space, &strong), PriorByFeature::new(&space, &weak));
        let mut rows = Rows::default();
        let features = SparseVector::new(vec![(arm, 1.0)]).unwrap();
        for y in [1.0, 3.0, 2.0, 2.0] {
            rows.push(&[&features], Outcome::Amount(y), 1.0);
        }
        let mut evidence = Evidence::default();
        evidence.cover(space.len());
        evidence.absorb(&strong, &rows, Effort::EXACT);
        assert!((evidence.posterior(&strong).mean[1] - 8.0 / 54.0).abs() < 1e-9);
        assert!((evidence.posterior(&weak).mean[1] - 8.0 / 9.0).abs() < 1e-9);
        evidence.fade(0.5);
        assert!((evidence.posterior(&weak).mean[1] - 4.0 / 7.0).abs() < 1e-9);
        assert!((evidence.posterior(&weak).variance[1] - 1.0 / 7.0).abs() < 1e-9);
    }
}
