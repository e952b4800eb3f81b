//! Joint draws of a head's linear predictor for up to some dozens of arms, without an allocation per draw.
//!
//! Arms that share an option share its weight, so their draws must move together. The covariance of the arms' predictors
//! is built from the sparse features and factored once; a draw is then one triangular row of fused loops over all draws,
//! which the compiler vectorises. What all arms share (the customer's own features) is one number per draw.

use rand_chacha::ChaCha8Rng;

use super::normal;
use super::posterior::Posterior;
use super::vector::SparseVector;

/// S: how many draws decide a choice.
pub const DRAWS: usize = 256;

/// One number per draw.
pub type Row = [f32; DRAWS];

/// The arms' features turned around: by feature, which arms have it and with what value.
#[derive(Debug, Default)]
pub struct Columns {
    /// By feature number: the decision in which it was last seen, and its column then.
    stamps: Vec<(u32, u32)>,
    decision: u32,
    features: Vec<u32>,
    starts: Vec<u32>,
    members: Vec<(u32, f64)>,
    arms: usize,
}

impl Columns {
    /// Groups the entries of `arms` by feature. `features` is the size of the space.
    #[expect(clippy::cast_possible_truncation, reason = "columns and arms are counted in hundreds")]
    pub fn build<'a>(&mut self, features: usize, arms: impl Iterator<Item = &'a SparseVector> + Clone) {
        if self.decision == u32::MAX || self.stamps.len() < features {
            self.stamps.clear();
            self.stamps.resize(features, (0, 0));
            self.decision = 0;
        }
        self.decision += 1;
        self.features.clear();
        self.starts.clear();
        self.arms = 0;
        for arm in arms.clone() {
            self.arms += 1;
            for (id, _) in arm.entries() {
                let Some(stamp) = self.stamps.get_mut(id.index()) else { continue };
                if stamp.0 != self.decision {
                    *stamp = (self.decision, self.features.len() as u32);
                    self.features.push(id.0);
                    self.starts.push(0);
                }
                self.starts[stamp.1 as usize] += 1;
            }
        }
        // From counts to the end of each column; filling backwards then leaves the starts.
        let mut end = 0;
        for start in &mut self.starts {
            end += *start;
            *start = end;
        }
        self.members.clear();
        self.members.resize(end as usize, (0, 0.0));
        self.starts.push(end);
        let mut number = 0;
        for arm in arms {
            for (id, value) in arm.entries() {
                let Some((_, column)) = self.stamps.get(id.index()) else { continue };
                let slot = &mut self.starts[*column as usize];
                *slot -= 1;
                self.members[*slot as usize] = (number, *value);
            }
            number += 1;
        }
    }
}

/// Room for the draws of one head, kept between decisions.
#[derive(Debug, Default)]
pub struct Workspace {
    covariance: Vec<f64>,
    normals: Vec<Row>,
    means: Vec<f64>,
}

impl Workspace {
    /// Draws the linear predictor of each arm into `out` (one row an arm): `shared` features plus the arm's own.
    pub fn draw<'a>(
        &mut self,
        posterior: &Posterior,
        shared: &SparseVector,
        columns: &Columns,
        arms: impl Iterator<Item = &'a SparseVector>,
        generator: &mut ChaCha8Rng,
        out: &mut Vec<Row>,
    ) {
        let common = posterior.score(shared);
        self.means.clear();
        self.means.extend(arms.map(|arm| common.mean + posterior.score(arm).mean));
        self.build_covariance(posterior, columns);
        factor(&mut self.covariance, columns.arms);
        self.normals.resize(columns.arms + 1, [0.0; DRAWS]);
        for row in &mut self.normals {
            normal::fill(generator, row);
        }
        let common_sd = narrow(common.variance.sqrt());
        for shift in &mut self.normals[columns.arms] {
            *shift *= common_sd;
        }
        out.resize(columns.arms, [0.0; DRAWS]);
        for (arm, row) in out.iter_mut().enumerate() {
            let mean = narrow(self.means[arm]);
            for (value, shift) in row.iter_mut().zip(&self.normals[columns.arms]) {
                *value = mean + shift;
            }
            for (other, normals) in self.normals[..=arm].iter().enumerate() {
                let factor = narrow(self.covariance[arm * columns.arms + other]);
                if factor != 0.0 {
                    for (value, normal) in row.iter_mut().zip(normals) {
                        *value += factor * normal;
                    }
                }
            }
        }
    }

    fn build_covariance(&mut self, posterior: &Posterior, columns: &Columns) {
        let arms = columns.arms;
        self.covariance.clear();
        self.covariance.resize(arms * arms, 0.0);
        for (column, feature) in columns.features.iter().enumerate() {
            let Some(variance) = posterior.variance(*feature as usize) else { continue };
            let members =
                &columns.members[columns.starts[column] as usize..columns.starts[column + 1] as usize];
            for (position, (one, left)) in members.iter().enumerate() {
                let scaled = left * variance;
                for (two, right) in &members[position..] {
                    // Members were filled backwards, so `one >= two`: the lower triangle.
                    self.covariance[*one as usize * arms + *two as usize] += scaled * right;
                }
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "draws are f32 for speed")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// Cholesky of the lower triangle in place. A direction without variance of its own (two arms alike) gets a zero column.
fn factor(matrix: &mut [f64], size: usize) {
    for column in 0..size {
        let (above, rest) = matrix.split_at_mut(column * size + size);
        let own = &mut above[column * size..];
        let left: f64 = own[..column].iter().map(|x| x * x).sum();
        let pivot = own[column] - left;
        let root = if pivot > 1e-12 * own[column].max(1e-12) { pivot.sqrt() } else { 0.0 };
        own[column] = root;
        for row in rest.chunks_exact_mut(size) {
            let product: f64 = row[..column].iter().zip(&own[..column]).map(|(a, b)| a * b).sum();
            row[column] = if root > 0.0 { (row[column] - product) / root } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::model::space::FeatureId;

    fn features(pairs: &[(u32, f64)]) -> SparseVector {
        SparseVector::new(pairs.iter().map(|(id, value)| (FeatureId(*id), *value)).collect()).unwrap()
    }

    #[test]
    fn draws_have_the_mean_and_covariance_of_the_weights() {
        let posterior = Posterior { mean: vec![1.0, -0.5, 0.25, 2.0], variance: vec![0.5, 0.3, 0.2, 0.1] };
        let shared = features(&[(0, 1.0)]);
        let arms = [features(&[(1, 1.0), (3, 0.5)]), features(&[(1, 1.0), (2, 2.0)]), features(&[(3, -1.0)])];
        let (mut columns, mut workspace, mut out) = (Columns::default(), Workspace::default(), Vec::new());
        let mut draws: Vec<Vec<f64>> = vec![Vec::new(); arms.len()];
        for seed in 0..400 {
            columns.build(4, arms.iter());
            let mut generator = normal::generator(seed, 2);
            workspace.draw(&posterior, &shared, &columns, arms.iter(), &mut generator, &mut out);
            for (all, row) in draws.iter_mut().zip(&out) {
                all.extend(row.iter().map(|draw| f64::from(*draw)));
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of draws")]
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let product =
            |one: &[f64], two: &[f64]| -> Vec<f64> { one.iter().zip(two).map(|(a, b)| a * b).collect() };
        for (arm, one) in arms.iter().zip(&draws) {
            let both = shared.plus(arm);
            assert!((mean(one) - posterior.score(&both).mean).abs() < 0.01);
            for (other, two) in arms.iter().zip(&draws) {
                let found = mean(&product(one, two)) - mean(one) * mean(two);
                // Var(x + y) = Var(x) + Var(y) + 2 Cov(x, y).
                let sum = posterior.score(&both.plus(&shared.plus(other))).variance;
                let apart = posterior.score(&both).variance + posterior.score(&shared.plus(other)).variance;
                let expected = (sum - apart) / 2.0;
                assert!((found - expected).abs() < 0.015, "{found} for {expected}");
            }
        }
    }

    #[test]
    fn arms_with_the_same_features_get_the_same_draws() {
        let posterior = Posterior { mean: vec![0.0; 2], variance: vec![1.0; 2] };
        let arms = [features(&[(1, 1.0)]), features(&[(1, 1.0)])];
        let (mut columns, mut workspace, mut out) = (Columns::default(), Workspace::default(), Vec::new());
        columns.build(2, arms.iter());
        workspace.draw(
            &posterior,
            &features(&[(0, 1.0)]),
            &columns,
            arms.iter(),
            &mut normal::generator(1, 2),
            &mut out,
        );
        assert!(out[0].iter().zip(&out[1]).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
