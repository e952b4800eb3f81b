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
/// Bytes taken from the generator at a time.
const BLOCK_BYTES: usize = 512;

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

/// Fills `out` with standard normal numbers.
pub fn fill(generator: &mut ChaCha8Rng, out: &mut [f32]) {
    let table: &[f32; TABLE_LEN] = &TABLE;
    let mut bytes = [0_u8; BLOCK_BYTES];
    for block in out.chunks_mut(BLOCK_BYTES / 2) {
        let (used, _) = bytes.split_at_mut(block.len() * 2);
        generator.fill_bytes(used);
        for (slot, pair) in block.iter_mut().zip(used.chunks_exact(2)) {
            *slot = table[usize::from(u16::from_le_bytes([pair[0], pair[1]]) >> 4)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_have_the_moments_of_a_normal_and_follow_the_seed() {
        let mut out = vec![0.0_f32; 200_000];
        fill(&mut generator(7, 2), &mut out);
        let moment = |power: i32| out.iter().map(|x| f64::from(*x).powi(power)).sum::<f64>() / 200_000.0;
        assert!(moment(1).abs() < 0.01 && (moment(2) - 1.0).abs() < 0.01);
        assert!(moment(3).abs() < 0.03 && (moment(4) - 3.0).abs() < 0.08);
        let mut again = vec![0.0_f32; 1_000];
        fill(&mut generator(7, 2), &mut again);
        assert_eq!(again, out[..1_000]);
        fill(&mut generator(7, 3), &mut again);
        assert_ne!(again, out[..1_000]);
    }
}
