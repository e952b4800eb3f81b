//! The logistic function over rows of draws, in single precision and written so that the loops vectorise.

use super::draws::Row;

/// `e^x` in single precision (relative error below 3e-7), written so that loops over it vectorise.
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let scaled = x.clamp(-87.0, 87.0) * std::f32::consts::LOG2_E;
    let rounded = scaled + ROUND;
    let f = scaled - (rounded - ROUND);
    let series = 1.540_353e-4;
    let series = series * f + 1.333_355_8e-3;
    let series = series * f + 9.618_129e-3;
    let series = series * f + 5.550_411e-2;
    let series = series * f + 2.402_265e-1;
    let series = series * f + std::f32::consts::LN_2;
    let series = series * f + 1.0;
    // Adding ROUND left the whole part in the low bits; moved into the exponent it is 2 to that power.
    series * f32::from_bits(rounded.to_bits().wrapping_add(127) << 23)
}

/// The logistic function in single precision.
pub fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Multiplies each value by the probability that its predictor stands for.
pub(super) fn times_logistic(values: &mut Row, predictor: &Row) {
    for (value, x) in values.iter_mut().zip(predictor) {
        *value *= logistic(*x);
    }
}

/// `value·margin − cost`.
#[expect(clippy::cast_possible_truncation, reason = "draws are f32 for speed")]
pub(super) fn scale(values: &mut Row, margin: f64, cost: f64) {
    let (margin, cost) = (margin as f32, cost as f32);
    for value in values {
        *value = *value * margin - cost;
    }
}

/// Subtracts `loss` times the probability that the predictor stands for.
#[expect(clippy::cast_possible_truncation, reason = "draws are f32 for speed")]
pub(super) fn subtract_loss(values: &mut Row, predictor: &Row, loss: f64) {
    for (value, x) in values.iter_mut().zip(predictor) {
        *value -= loss as f32 * logistic(*x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::model::newton::sigmoid;

    #[test]
    fn the_fast_logistic_agrees_with_the_exact_one() {
        for step in -8_000..=8_000_i16 {
            let x = f32::from(step) / 100.0;
            let exact = sigmoid(f64::from(x));
            assert!((f64::from(logistic(x)) - exact).abs() <= 1e-5 * exact.max(1e-30), "at {x}");
        }
        assert!(logistic(f32::INFINITY) > 0.999_999 && logistic(f32::NEG_INFINITY) < 1e-30);
    }
}
