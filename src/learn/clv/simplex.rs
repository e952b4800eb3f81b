//! A minimum without derivatives, by the downhill simplex of Nelder and Mead (1965), started anew from where
//! it ended until that no longer helps: a simplex may collapse on a slope, a fresh one there does not.

/// How far the first simplex reaches in each direction.
const FIRST_STEP: f64 = 0.5;
/// The simplex has converged when its points differ by less than this, and its values by less than this share
/// of the best: sums over thousands of customers have no more digits.
const POINT_TOLERANCE: f64 = 1e-6;
const VALUE_TOLERANCE: f64 = 1e-12;
/// A rough descent only tells which valley is the deepest.
const ROUGH_POINT_TOLERANCE: f64 = 1e-2;
const ROUGH_VALUE_TOLERANCE: f64 = 1e-6;
/// A descent that takes longer than this has lost its way.
const STEPS_MAX: usize = 5_000;
/// How often the descent is started anew.
const RESTARTS_MAX: i32 = 20;

/// The lowest point that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Minimum<const N: usize> {
    pub(super) at: [f64; N],
    pub(super) value: f64,
}

/// How far two points and their values may differ when a descent ends.
#[derive(Clone, Copy)]
struct Tolerance {
    point: f64,
    value: f64,
}

/// Minimises a function of N numbers from the best of several starts. It may be infinite where it is not
/// defined, but never NaN. `None` when it is infinite wherever a descent led.
pub(super) fn minimise<const N: usize>(
    cost: &impl Fn(&[f64; N]) -> f64,
    starts: &[[f64; N]],
) -> Option<Minimum<N>> {
    let rough = Tolerance { point: ROUGH_POINT_TOLERANCE, value: ROUGH_VALUE_TOLERANCE };
    let fine = Tolerance { point: POINT_TOLERANCE, value: VALUE_TOLERANCE };
    let begin = |start: &[f64; N]| Minimum { at: *start, value: cost(start) };
    let ends = starts.iter().map(|start| descend(cost, &begin(start), FIRST_STEP, rough));
    let mut best = ends.min_by(|a, b| a.value.total_cmp(&b.value)).filter(|best| best.value.is_finite())?;
    for restart in 0..RESTARTS_MAX {
        let next = descend(cost, &best, FIRST_STEP * 0.5f64.powi(restart), fine);
        let gained = best.value - next.value;
        best = next;
        if gained <= VALUE_TOLERANCE * best.value.abs().max(1.0) {
            break;
        }
    }
    Some(best)
}

fn descend<const N: usize>(
    cost: &impl Fn(&[f64; N]) -> f64,
    start: &Minimum<N>,
    step: f64,
    tolerance: Tolerance,
) -> Minimum<N> {
    let mut simplex = vec![*start];
    for direction in 0..N {
        let mut at = start.at;
        at[direction] += step;
        simplex.push(Minimum { at, value: cost(&at) });
    }
    for _ in 0..STEPS_MAX {
        simplex.sort_by(|a, b| a.value.total_cmp(&b.value));
        if converged(&simplex, tolerance) {
            break;
        }
        replace_worst(cost, &mut simplex);
    }
    simplex.sort_by(|a, b| a.value.total_cmp(&b.value));
    simplex[0]
}

fn converged<const N: usize>(simplex: &[Minimum<N>], tolerance: Tolerance) -> bool {
    let (best, worst) = (&simplex[0], &simplex[N]);
    let near =
        |point: &Minimum<N>| point.at.iter().zip(&best.at).all(|(a, b)| (a - b).abs() < tolerance.point);
    worst.value - best.value <= tolerance.value * best.value.abs().max(1.0) && simplex.iter().all(near)
}

/// Reflects, expands, contracts or shrinks: the four moves of the method, with its usual coefficients.
fn replace_worst<const N: usize>(cost: &impl Fn(&[f64; N]) -> f64, simplex: &mut [Minimum<N>]) {
    let worst = simplex[N];
    let mut centre = [0.0; N];
    for point in &simplex[..N] {
        for (sum, x) in centre.iter_mut().zip(&point.at) {
            *sum += x / super::super::stats::as_f64(N);
        }
    }
    let along = |factor: f64| {
        let at: [f64; N] = std::array::from_fn(|i| centre[i] + factor * (worst.at[i] - centre[i]));
        Minimum { at, value: cost(&at) }
    };
    let reflected = along(-1.0);
    if reflected.value < simplex[0].value {
        let expanded = along(-2.0);
        simplex[N] = if expanded.value < reflected.value { expanded } else { reflected };
        return;
    }
    if reflected.value < simplex[N - 1].value {
        simplex[N] = reflected;
        return;
    }
    let contracted = if reflected.value < worst.value { along(-0.5) } else { along(0.5) };
    if contracted.value < worst.value.min(reflected.value) {
        simplex[N] = contracted;
        return;
    }
    let best = simplex[0].at;
    for point in &mut simplex[1..] {
        point.at = std::array::from_fn(|i| 0.5 * (best[i] + point.at[i]));
        point.value = cost(&point.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const N: usize>(cost: impl Fn(&[f64; N]) -> f64, start: [f64; N], expected: [f64; N]) {
        let found = minimise(&cost, &[start]).unwrap();
        for (actual, expected) in found.at.iter().zip(expected) {
            assert!((actual - expected).abs() < 1e-5, "{found:?}");
        }
    }

    #[test]
    fn the_banana_and_the_singular_valley_have_their_known_minima() {
        let banana = |x: &[f64; 2]| (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2);
        check(banana, [-1.2, 1.0], [1.0, 1.0]);
        check(banana, [8.0, -9.0], [1.0, 1.0]);
        let bowl = |x: &[f64; 4]| (0u8..).zip(x).map(|(i, x)| (x - f64::from(i)).powi(2)).sum();
        check(bowl, [9.0, -9.0, 5.0, 0.1], [0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_wall_of_infinity_is_not_crossed() {
        check(|x: &[f64; 1]| if x[0] < 2.0 { f64::INFINITY } else { x[0] }, [5.0], [2.0]);
    }
}
