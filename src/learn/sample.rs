//! Random numbers of known distributions from a seeded generator: gamma, beta, binomial.

use rand_chacha::ChaCha8Rng;

use crate::select::model::normal::unit;

/// A standard normal number (Box and Muller 1958).
fn normal(generator: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - unit(generator)).ln()).sqrt();
    radius * (std::f64::consts::TAU * unit(generator)).cos()
}

/// A gamma number with this shape (positive) and scale one (Marsaglia and Tsang 2000).
pub fn gamma(generator: &mut ChaCha8Rng, shape: f64) -> f64 {
    if shape < 1.0 {
        let boost = (1.0 - unit(generator)).powf(1.0 / shape);
        return boost * gamma(generator, shape + 1.0);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(generator);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && (1.0 - unit(generator)).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// A beta number with these two positive parameters.
pub fn beta(generator: &mut ChaCha8Rng, alpha: f64, beta: f64) -> f64 {
    let (one, two) = (gamma(generator, alpha), gamma(generator, beta));
    if one + two > 0.0 { one / (one + two) } else { 0.5 }
}

/// How many of `trials` succeed, each with probability `p`: geometric leaps from one success to the next, exact and
/// fast for the small rates that mail has.
pub fn binomial(generator: &mut ChaCha8Rng, trials: u64, p: f64) -> u64 {
    if p > 0.5 {
        return trials - binomial(generator, trials, 1.0 - p);
    }
    if p <= 0.0 {
        return 0;
    }
    let rest = (-p).ln_1p();
    let (mut at, mut successes) = (0.0, 0);
    loop {
        at += ((1.0 - unit(generator)).ln() / rest).floor() + 1.0;
        #[expect(clippy::cast_precision_loss, reason = "trials are far below 2^52")]
        if at > trials as f64 {
            return successes;
        }
        successes += 1;
    }
}
