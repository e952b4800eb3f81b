//! The mode of a posterior given new rows: `argmin Σ q(w−m)²/2 + Σ ω·loss(w·z)`.
//!
//! A damped diagonal Newton step, its direction corrected by the last few steps (Nocedal and Wright, *Numerical
//! Optimization*, alg. 7.4 with the diagonal Hessian as the start): features of a group overlap, and the diagonal alone
//! would zigzag between them. The damping halves a step until it goes down, so the search cannot diverge.

use super::vector::SparseVector;

/// Corrections kept.
const MEMORY_STEPS: usize = 8;
/// Halvings of one step before the search stops where it stands.
const HALVINGS_MAX: usize = 40;

/// What was seen for one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// The answer came.
    Positive,
    /// The window closed without it.
    Negative,
    /// It has not come yet; by this age, this share of all answers has arrived (0 to 1). Likelihood `1 − p·F`.
    Pending(f64),
    /// A number with unit variance, for the Gaussian head of money rewards.
    Amount(f64),
}

/// Value, slope and curvature of one row's loss at a linear predictor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// Minus the log-likelihood, up to a constant.
    pub value: f64,
    /// Its derivative.
    pub slope: f64,
    /// Its expected second derivative (Fisher information): never negative, unlike the observed one of a pending row.
    pub curvature: f64,
}

/// The logistic function.
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// `log(1 + e^x)` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

impl Outcome {
    /// The loss at the linear predictor `x`.
    pub fn loss(self, x: f64) -> Loss {
        match self {
            Self::Positive => {
                let p = sigmoid(x);
                Loss { value: softplus(-x), slope: p - 1.0, curvature: p * (1.0 - p) }
            }
            Self::Negative => {
                let p = sigmoid(x);
                Loss { value: softplus(x), slope: p, curvature: p * (1.0 - p) }
            }
            Self::Pending(arrived) => {
                let p = sigmoid(x);
                let rest = sigmoid(-x);
                // 1 − p·F, written so that it stays exact when both are close to one.
                let silent = (rest + p * (1.0 - arrived)).max(f64::MIN_POSITIVE);
                let slope = arrived * p * rest / silent;
                Loss { value: -silent.ln(), slope, curvature: slope * rest }
            }
            Self::Amount(y) => Loss { value: 0.5 * (y - x) * (y - x), slope: x - y, curvature: 1.0 },
        }
    }
}

/// Rows of sparse features with what was seen, packed for repeated passes.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    starts: Vec<usize>,
    ids: Vec<u32>,
    values: Vec<f64>,
    seen: Vec<(Outcome, f64)>,
}

impl Rows {
    /// Adds a row whose features are those of all `parts` together; `weight` is its ω.
    pub fn push(&mut self, parts: &[&SparseVector], outcome: Outcome, weight: f64) {
        self.starts.push(self.ids.len());
        for (id, value) in parts.iter().flat_map(|part| part.iter()) {
            self.ids.push(id.0);
            self.values.push(value);
        }
        self.seen.push((outcome, weight));
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Changes what was seen in every row, and its weight; features stay.
    pub fn set(&mut self, seen: impl Fn(usize) -> (Outcome, f64)) {
        for (row, slot) in self.seen.iter_mut().enumerate() {
            *slot = seen(row);
        }
    }

    /// The linear predictor of a row.
    pub fn predictor(&self, row: usize, weights: &[f64]) -> f64 {
        let (ids, values) = self.entries(row);
        ids.iter().zip(values).map(|(id, value)| weights[*id as usize] * value).sum()
    }

    fn entries(&self, row: usize) -> (&[u32], &[f64]) {
        let start = self.starts[row];
        let end = self.starts.get(row + 1).copied().unwrap_or(self.ids.len());
        (&self.ids[start..end], &self.values[start..end])
    }

    /// Adds `Σ ω z² curvature` at `weights` to `information`.
    pub fn add_information(&self, weights: &[f64], information: &mut [f64]) {
        for (row, (outcome, weight)) in self.seen.iter().enumerate() {
            let curvature = weight * outcome.loss(self.predictor(row, weights)).curvature;
            let (ids, values) = self.entries(row);
            for (id, value) in ids.iter().zip(values) {
                information[*id as usize] += curvature * value * value;
            }
        }
    }
}

/// The Gaussian that the rows are added to.
#[derive(Debug, Clone, Copy)]
pub struct Centre<'a> {
    /// m, by feature.
    pub mean: &'a [f64],
    /// q, by feature; positive.
    pub precision: &'a [f64],
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Passes over the rows at most.
    pub steps_max: usize,
    /// Stops when the step that a diagonal Newton would take lowers the objective by less than this.
    pub tolerance: f64,
}

impl Effort {
    /// For a model that is published.
    pub const EXACT: Self = Self { steps_max: 200, tolerance: 1e-11 };
    /// For a model that is fitted once to many rows.
    pub const CLOSE: Self = Self { steps_max: 100, tolerance: 1e-4 };
    /// For one of many refits, each starting where the last one ended.
    pub const WARM: Self = Self { steps_max: 30, tolerance: 1e-5 };
}

struct Point {
    weights: Vec<f64>,
    value: f64,
    slope: Vec<f64>,
    curvature: Vec<f64>,
}

fn evaluate(centre: Centre<'_>, rows: &Rows, weights: Vec<f64>) -> Point {
    let mut slope = Vec::with_capacity(weights.len());
    let mut value = 0.0;
    for ((w, m), q) in weights.iter().zip(centre.mean).zip(centre.precision) {
        slope.push(q * (w - m));
        value += 0.5 * q * (w - m) * (w - m);
    }
    let mut curvature = centre.precision.to_vec();
    for (row, (outcome, weight)) in rows.seen.iter().enumerate() {
        let loss = outcome.loss(rows.predictor(row, &weights));
        value += weight * loss.value;
        let (ids, values) = rows.entries(row);
        for (id, z) in ids.iter().zip(values) {
            slope[*id as usize] += weight * loss.slope * z;
            curvature[*id as usize] += weight * loss.curvature * z * z;
        }
    }
    Point { weights, value, slope, curvature }
}

/// One correction: how the weights moved and how the slope changed.
struct Correction {
    step: Vec<f64>,
    change: Vec<f64>,
    inverse: f64,
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}

fn add_scaled(target: &mut [f64], factor: f64, other: &[f64]) {
    for (t, o) in target.iter_mut().zip(other) {
        *t += factor * o;
    }
}

fn direction(point: &Point, memory: &[Correction]) -> Vec<f64> {
    let mut d: Vec<f64> = point.slope.iter().map(|g| -g).collect();
    let mut used = Vec::with_capacity(memory.len());
    for correction in memory.iter().rev() {
        let share = correction.inverse * dot(&correction.step, &d);
        add_scaled(&mut d, -share, &correction.change);
        used.push(share);
    }
    for (x, h) in d.iter_mut().zip(&point.curvature) {
        *x /= h;
    }
    for (correction, share) in memory.iter().zip(used.iter().rev()) {
        let back = correction.inverse * dot(&correction.change, &d);
        add_scaled(&mut d, share - back, &correction.step);
    }
    d
}

/// The weights at the mode, searched from `start`.
///
/// `start`, `centre.mean` and `centre.precision` are as long as the largest feature number of the rows asks for.
pub fn mode(centre: Centre<'_>, rows: &Rows, start: &[f64], effort: Effort) -> Vec<f64> {
    let mut point = evaluate(centre, rows, start.to_vec());
    let mut memory: Vec<Correction> = Vec::with_capacity(MEMORY_STEPS);
    for _ in 0..effort.steps_max {
        let decrease: f64 = point.slope.iter().zip(&point.curvature).map(|(g, h)| 0.5 * g * g / h).sum();
        if decrease <= effort.tolerance {
            break;
        }
        let mut d = direction(&point, &memory);
        if dot(&d, &point.slope) >= 0.0 {
            memory.clear();
            d = direction(&point, &memory);
        }
        let Some(next) = damped(centre, rows, &point, &d) else { break };
        remember(&mut memory, &point, &next);
        point = next;
    }
    point.weights
}

/// The first of the step, its half, its quarter … that goes down enough (Armijo); `None` at the end of precision.
fn damped(centre: Centre<'_>, rows: &Rows, point: &Point, direction: &[f64]) -> Option<Point> {
    let slope = dot(direction, &point.slope);
    let mut scale = 1.0;
    for _ in 0..HALVINGS_MAX {
        let mut weights = point.weights.clone();
        add_scaled(&mut weights, scale, direction);
        let next = evaluate(centre, rows, weights);
        if next.value <= point.value + 1e-4 * scale * slope {
            return Some(next);
        }
        scale *= 0.5;
    }
    None
}

fn remember(memory: &mut Vec<Correction>, from: &Point, to: &Point) {
    let difference = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(x, y)| x - y).collect() };
    let step = difference(&to.weights, &from.weights);
    let change = difference(&to.slope, &from.slope);
    let product = dot(&step, &change);
    if product > 1e-300 {
        if memory.len() == MEMORY_STEPS {
            memory.remove(0);
        }
        memory.push(Correction { step, change, inverse: 1.0 / product });
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
    fn slope_and_curvature_are_the_derivatives_of_the_value() {
        let outcomes = [Outcome::Positive, Outcome::Negative, Outcome::Pending(0.4), Outcome::Pending(1.0)];
        for outcome in outcomes.into_iter().chain([Outcome::Amount(1.5), Outcome::Pending(0.0)]) {
            for x in [-30.0, -3.0, -0.2, 0.0, 1.1, 4.0, 30.0] {
                let step = 1e-5;
                let numeric = (outcome.loss(x + step).value - outcome.loss(x - step).value) / (2.0 * step);
                assert!((outcome.loss(x).slope - numeric).abs() < 1e-5, "{outcome:?} at {x}");
                assert!(outcome.loss(x).curvature >= 0.0);
            }
        }
        let (closed, negative) = (Outcome::Pending(1.0).loss(0.7), Outcome::Negative.loss(0.7));
        assert!(
            (closed.value - negative.value).abs() < 1e-12 && (closed.slope - negative.slope).abs() < 1e-12
        );
    }

    #[test]
    fn amounts_give_the_ridge_solution() {
        // One feature, precision 2 around 0.5, rows y = 1, 2, 4 with weights 1, 1, 0.5.
        let mut rows = Rows::default();
        for (y, weight) in [(1.0, 1.0), (2.0, 1.0), (4.0, 0.5)] {
            rows.push(&[&features(&[(0, 1.0)])], Outcome::Amount(y), weight);
        }
        let w = mode(Centre { mean: &[0.5], precision: &[2.0] }, &rows, &[0.0], Effort::EXACT);
        assert!((w[0] - (2.0 * 0.5 + 1.0 + 2.0 + 2.0) / 4.5).abs() < 1e-9);
    }

    #[test]
    fn the_slope_vanishes_at_the_mode_of_overlapping_features() {
        let mut rows = Rows::default();
        for i in 0..400_u32 {
            // An intercept, two one-hot groups and a product of both: heavily collinear.
            let row = [(0, 1.0), (1 + i % 3, 1.0), (4 + i % 5, 1.0), (9 + (i % 3) * 5 + i % 5, 1.0)];
            let outcome = if (i * 7919) % 11 < 3 + i % 3 { Outcome::Positive } else { Outcome::Negative };
            rows.push(&[&features(&row)], outcome, 1.0);
        }
        let (mean, precision) = (vec![-1.0; 24], vec![4.0; 24]);
        let centre = Centre { mean: &mean, precision: &precision };
        let w = mode(centre, &rows, &mean, Effort::EXACT);
        let slope = evaluate(centre, &rows, w).slope;
        assert!(slope.iter().all(|g| g.abs() < 1e-4), "{slope:?}");
    }
}
