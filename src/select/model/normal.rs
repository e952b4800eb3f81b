//! Standard normal numbers, fast: a table of 4,096 equally likely values, picked by twelve bits each.
//!
//! The table's values are the middle quantiles, scaled to variance one; they end at ±3.7, which is enough for 256 draws.
//! A draw need not be a perfect normal for a propensity to be exact: `p` is counted from the very draws that were made.

use std::sync::LazyLock;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use statrs::distribution::{ContinuousCDF, Normal};

/// How many values the table has: twelve bits.
const TABLE_LEN: usize = 4096;
/// Values that are picked in one turn of the loop.
const UNROLLED: usize = 8;

static TABLE: LazyLock<[f32; TABLE_LEN]> = LazyLock::new(|| {
    let normal = Normal::standard();
    #[expect(clippy::cast_precision_loss, reason = "a table position is small")]
    let middle = |i: usize| normal.inverse_cdf((i as f64 + 0.5) / TABLE_LEN as f64);
    let values: Vec<f64> = (0..TABLE_LEN).map(middle).collect();
    #[expect(clippy::cast_precision_loss, reason = "the table is small")]
    let variance = values.iter().map(|x| x * x).sum::<f64>() / TABLE_LEN as f64;
    let mut table = [0.0; TABLE_LEN];
    for (slot, value) in table.iter_mut().zip(values) {
        #[expect(clippy::cast_possible_truncation, reason = "draws are f32 for speed")]
        let scaled = (value / variance.sqrt()) as f32;
        *slot = scaled;
    }
    table
});

/// A counter-based generator (`ChaCha8`) for one purpose of one decision: purposes never share numbers.
pub fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(stream);
    generator
}

/// A number in [0, 1) with 53 random bits.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
pub fn unit(generator: &mut ChaCha8Rng) -> f64 {
    (generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Fills `row` with standard normal numbers.
pub fn fill<const LEN: usize>(generator: &mut ChaCha8Rng, row: &mut [f32; LEN]) {
    let table: &[f32; TABLE_LEN] = &TABLE;
    let mut pairs = [[0_u8; 2]; LEN];
    generator.fill_bytes(pairs.as_flattened_mut());
    let pick = |(slot, pair): (&mut f32, &[u8; 2])| {
        *slot = table[usize::from(u16::from_le_bytes(*pair) >> 4)];
    };
    let (slots, rest) = row.as_chunks_mut::<UNROLLED>();
    let (picks, last) = pairs.as_chunks::<UNROLLED>();
    for (slots, picks) in slots.iter_mut().zip(picks) {
        slots.iter_mut().zip(picks).for_each(pick);
    }
    rest.iter_mut().zip(last).for_each(pick);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_have_the_moments_of_a_normal_and_follow_the_seed() {
        let rows = |stream: u64, count: usize| {
            let (mut generator, mut rows) = (generator(7, stream), vec![[0.0_f32; 250]; count]);
            for row in &mut rows {
                fill(&mut generator, row);
            }
            rows
        };
        let many = rows(2, 800);
        let moment = |power: i32| {
            let powers = many.as_flattened().iter().map(|x| f64::from(*x).powi(power));
            powers.sum::<f64>() / 200_000.0
        };
        assert!(moment(1).abs() < 0.01 && (moment(2) - 1.0).abs() < 0.01);
        assert!(moment(3).abs() < 0.03 && (moment(4) - 3.0).abs() < 0.08);
        assert_eq!(rows(2, 4), many[..4]);
        assert_ne!(rows(3, 4), many[..4]);
    }
}
