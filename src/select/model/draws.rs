//! Joint draws of a head's linear predictor for up to some dozens of arms, without an allocation per draw.
//!
//! Arms that share an option share its weight, so their draws must move together. The covariance of the arms' predictors
//! is built from the sparse features and factored once; a draw is then one triangular row of fused loops over a tile of
//! draws at a time, which the compiler vectorises and keeps in registers. What all arms share (the customer's own
//! features) is one number per draw.
//!
//! Every second draw mirrors another: where that is as far above the mean, it is as far below. Each of them is a draw of
//! the posterior, and the two of a pair together say more of who wins than two that know nothing of each other.

use rand_chacha::ChaCha8Rng;

use super::normal;
use super::posterior::Posterior;
use super::vector::SparseVector;

/// S: how many draws decide a choice.
pub const DRAWS: usize = 256;

/// One number per draw.
pub type Row = [f32; DRAWS];

/// Draws that are made; the others mirror them.
const MADE: usize = DRAWS / 2;
/// Draws that are summed in registers; [`MADE`] is a whole number of tiles.
const TILE: usize = 32;
/// Products that are summed apart, so that none waits for the one before it.
const LANES: usize = 4;

/// The arms' features turned around: by feature, which arms have it and with what value.
#[derive(Debug, Default)]
pub struct Columns {
    /// By feature number: the decision in which it was last seen, and its column then.
    stamps: Vec<(u32, u32)>,
    decision: u32,
    features: Vec<u32>,
    starts: Vec<u32>,
    /// Which arms have a feature, in order, column by column.
    members: Vec<u32>,
    /// Their values of it.
    values: Vec<f64>,
    arms: usize,
}

impl Columns {
    /// Groups the entries of `arms` by feature. `features` is the size of the space.
    #[expect(clippy::cast_possible_truncation, reason = "columns and arms are counted in hundreds")]
    pub fn build<'a>(
        &mut self,
        features: usize,
        arms: impl DoubleEndedIterator<Item = &'a SparseVector> + Clone,
    ) {
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
        // From counts to the end of each column; filling backwards then leaves the starts, and the arms in order.
        let mut end = 0;
        for start in &mut self.starts {
            end += *start;
            *start = end;
        }
        self.members.clear();
        self.members.resize(end as usize, 0);
        self.values.clear();
        self.values.resize(end as usize, 0.0);
        self.starts.push(end);
        let mut number = self.arms as u32;
        for arm in arms.rev() {
            number -= 1;
            for (id, value) in arm.entries() {
                let Some((_, column)) = self.stamps.get(id.index()) else { continue };
                let slot = &mut self.starts[*column as usize];
                *slot -= 1;
                self.members[*slot as usize] = number;
                self.values[*slot as usize] = *value;
            }
        }
    }
}

/// Room for the draws of one head, kept between decisions.
#[derive(Debug, Default)]
pub struct Workspace {
    covariance: Vec<f64>,
    /// One row of the factor.
    factors: Vec<f32>,
    normals: Vec<[f32; MADE]>,
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
        self.build_covariance(posterior, columns);
        factor(&mut self.covariance, columns.arms);
        self.normals.resize(columns.arms + 1, [0.0; MADE]);
        for row in &mut self.normals {
            normal::fill(generator, row);
        }
        let (normals, shifts) = self.normals.split_at_mut(columns.arms);
        let common_sd = narrow(common.variance.sqrt());
        let shifts = &mut shifts[0];
        for shift in shifts.iter_mut() {
            *shift *= common_sd;
        }
        out.resize(columns.arms, [0.0; DRAWS]);
        for ((number, arm), row) in arms.enumerate().zip(out) {
            let mean = narrow(common.mean + posterior.score(arm).mean);
            self.factors.clear();
            let factors = &self.covariance[number * columns.arms..][..=number];
            self.factors.extend(factors.iter().map(|factor| narrow(*factor)));
            let (made, mirrored) = row.split_at_mut(MADE);
            let tiles = made.as_chunks_mut::<TILE>().0.iter_mut().zip(mirrored.as_chunks_mut::<TILE>().0);
            for (tile, (made, mirrored)) in tiles.enumerate() {
                let mut sums = shifts.as_chunks::<TILE>().0[tile];
                for (factor, normals) in self.factors.iter().zip(&*normals) {
                    for (sum, normal) in sums.iter_mut().zip(&normals.as_chunks::<TILE>().0[tile]) {
                        *sum += factor * normal;
                    }
                }
                *made = sums.map(|sum| mean + sum);
                *mirrored = sums.map(|sum| mean - sum);
            }
        }
    }

    fn build_covariance(&mut self, posterior: &Posterior, columns: &Columns) {
        let arms = columns.arms;
        self.covariance.clear();
        self.covariance.resize(arms * arms, 0.0);
        for (feature, ends) in columns.features.iter().zip(columns.starts.windows(2)) {
            let Some(variance) = posterior.variance(*feature as usize) else { continue };
            let column = ends[0] as usize..ends[1] as usize;
            let (members, values) = (&columns.members[column.clone()], &columns.values[column]);
            let first = members[0] as usize;
            // What neighbours all have is summed without asking who they are.
            let is_run = members[members.len() - 1] as usize - first + 1 == members.len();
            for (position, (one, left)) in members.iter().zip(values).enumerate() {
                let scaled = left * variance;
                // Members are in order, so those up to `one` are in the lower triangle.
                let row = &mut self.covariance[*one as usize * arms..][..arms];
                if is_run {
                    for (sum, right) in row[first..].iter_mut().zip(&values[..=position]) {
                        *sum += scaled * right;
                    }
                } else {
                    for (two, right) in members[..=position].iter().zip(values) {
                        row[*two as usize] += scaled * right;
                    }
                }
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "draws are f32 for speed")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// The sum of products.
fn dot(one: &[f64], two: &[f64]) -> f64 {
    let ((ones, rest_of_one), (twos, rest_of_two)) = (one.as_chunks::<LANES>(), two.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (one, two) in ones.iter().zip(twos) {
        for (sum, (a, b)) in sums.iter_mut().zip(one.iter().zip(two)) {
            *sum += a * b;
        }
    }
    let rest: f64 = rest_of_one.iter().zip(rest_of_two).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// Cholesky of the lower triangle in place. A direction without variance of its own (two arms alike) gets a zero column.
fn factor(matrix: &mut [f64], size: usize) {
    for column in 0..size {
        let (above, rest) = matrix.split_at_mut(column * size + size);
        let own = &mut above[column * size..];
        let pivot = own[column] - dot(&own[..column], &own[..column]);
        let root = if pivot > 1e-12 * own[column].max(1e-12) { pivot.sqrt() } else { 0.0 };
        own[column] = root;
        let inverse = if root > 0.0 { 1.0 / root } else { 0.0 };
        for row in rest.chunks_exact_mut(size) {
            let product = dot(&row[..column], &own[..column]);
            row[column] = (row[column] - product) * inverse;
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
    fn draws_come_in_pairs_as_far_above_the_mean_as_below_and_no_two_pairs_are_alike() {
        let posterior = Posterior { mean: vec![1.0, -0.5, 0.25], variance: vec![0.5, 0.3, 0.2] };
        let arms = [features(&[(1, 1.0)]), features(&[(1, 1.0), (2, 2.0)])];
        let (mut columns, mut workspace, mut out) = (Columns::default(), Workspace::default(), Vec::new());
        columns.build(3, arms.iter());
        let mut generator = normal::generator(5, 2);
        workspace.draw(&posterior, &features(&[(0, 1.0)]), &columns, arms.iter(), &mut generator, &mut out);
        for (row, mean) in out.iter().zip([0.5_f32, 1.0]) {
            let (made, mirrored) = row.split_at(MADE);
            assert!(made.iter().zip(mirrored).all(|(one, two)| (one + two - 2.0 * mean).abs() < 1e-5));
            let mut sorted = row.to_vec();
            sorted.sort_by(f32::total_cmp);
            sorted.dedup();
            assert!(sorted.len() > DRAWS - 4, "{}", sorted.len());
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
