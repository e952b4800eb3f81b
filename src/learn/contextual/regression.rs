//! One head: its priors by group, fitted and re-estimated in turns.

use crate::select::model::newton::{Effort, Rows};
use crate::select::model::posterior::{Evidence, GroupPrior, Posterior, PriorByFeature, default_priors};
use crate::select::model::shrink::reestimate;
use crate::select::model::{FeatureSpace, Score};

/// Noise is never believed to be smaller than this share of the variance of sizes.
const NOISE_MIN: f64 = 0.05;

#[derive(Debug)]
pub(super) struct Regression {
    priors: Vec<GroupPrior>,
    posterior: Posterior,
    /// Variance that the features do not explain, in squared standard units.
    noise: f64,
}

impl Regression {
    /// A head that knows only the default priors, around even odds or the mean size.
    pub(super) fn new(space: &FeatureSpace) -> Self {
        let priors = default_priors(space, 0.5);
        let prior = PriorByFeature::new(space, &priors);
        let mut evidence = Evidence::default();
        evidence.cover(space.len());
        Self { posterior: evidence.posterior(&prior), priors, noise: 1.0 }
    }

    pub(super) fn posterior(&self) -> &Posterior {
        &self.posterior
    }

    pub(super) fn noise(&self) -> f64 {
        self.noise
    }

    /// The same head over another space: priors by the name of their group, weights by the name of their feature.
    pub(super) fn moved(&self, from: &FeatureSpace, to: &FeatureSpace) -> Self {
        let mut moved = Self { noise: self.noise, ..Self::new(to) };
        for (group, prior) in to.groups().iter().zip(&mut moved.priors) {
            if let Some(known) = from.groups().iter().position(|other| other == group) {
                *prior = self.priors[known];
            }
        }
        let known = |name: &str| {
            let index = from.lookup(name)?.index();
            Some(Score { mean: self.posterior.mean(index)?, variance: self.posterior.variance(index)? })
        };
        moved.posterior = moved.posterior.knowing(|index| known(to.name_at(index)?));
        moved
    }

    /// Fits from the priors; in each round but the last the priors are re-estimated from what was found.
    pub(super) fn fit(&mut self, space: &FeatureSpace, rows: &Rows, rounds: usize, effort: Effort) {
        for round in 1..=rounds {
            let prior = PriorByFeature::new(space, &self.priors);
            let evidence = Evidence::of(&prior, rows, self.posterior.means(), effort);
            self.posterior = evidence.posterior(&prior);
            if round < rounds {
                self.priors = reestimate(space, &self.priors, &evidence);
            }
        }
    }

    /// Measures what the fit leaves unexplained.
    #[expect(clippy::cast_precision_loss, reason = "rows are counted in millions")]
    pub(super) fn measure_noise(&mut self, rows: &Rows, size: impl Fn(usize) -> f64) {
        let squares =
            (0..rows.len()).map(|row| (size(row) - rows.predictor(row, self.posterior.means())).powi(2));
        self.noise = (squares.sum::<f64>() / rows.len().max(1) as f64).clamp(NOISE_MIN, 1.0);
    }

    /// The posterior with standard deviations scaled by `exploration`.
    pub(super) fn tempered(&self, exploration: f64) -> Posterior {
        self.posterior.with_variances_scaled(exploration * exploration)
    }
}
