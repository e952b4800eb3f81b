//! Holdout, uniform and policy by stable hash; the sticky split of `policy = "ab"`.
//!
//! A profile's place depends on its id and the experiment's name alone: the same on every machine, in every release, and
//! independent between experiments. Raising a share moves only profiles of the neighbouring slice.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::decision::Slice;

/// How large the slices are, each from 0 to 1; the rest is [`Slice::Policy`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// Share without mail.
    pub holdout: f64,
    /// Share with uniformly random variants.
    pub uniform: f64,
}

impl Default for Shares {
    fn default() -> Self {
        Self { holdout: 0.05, uniform: 0.05 }
    }
}

/// A number in [0, 1) that depends on the profile, the experiment and the purpose alone.
///
/// The first 53 bits of SHA-256 over the three texts, each preceded by its length so that no two triples read alike.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
pub fn position(profile_id: &str, experiment: &str, purpose: &str) -> f64 {
    let mut hash = Sha256::new();
    for text in [profile_id, experiment, purpose] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    let digest = hash.finalize();
    let first = digest.iter().take(8).fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
    (first >> 11) as f64 / (1_u64 << 53) as f64
}

/// The slice of a profile in an experiment.
pub fn slice(profile_id: &str, experiment: &str, shares: Shares) -> Slice {
    let at = position(profile_id, experiment, "slice");
    if at < shares.holdout {
        Slice::Holdout
    } else if at < shares.holdout + shares.uniform {
        Slice::Uniform
    } else {
        Slice::Policy
    }
}

/// The variant of a profile in a fixed split by weights: sticky, and each variant's share is its weight's.
///
/// Every variant draws an exponential time from its own hash, and the earliest wins (rendezvous hashing): P(win) is
/// exactly `weight / Σ weights`, and taking a variant out moves only the profiles that had it. `None` when no weight is
/// positive.
pub fn sticky_split(profile_id: &str, experiment: &str, variants: &[(&str, f64)]) -> Option<usize> {
    let arrival = |name: &str, weight: f64| -(1.0 - position(profile_id, experiment, name)).ln() / weight;
    let candidates = variants.iter().enumerate().filter(|(_, (_, weight))| *weight > 0.0);
    candidates
        .map(|(index, (name, weight))| (index, arrival(name, *weight)))
        .min_by(|one, two| one.1.total_cmp(&two.1))
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profiles() -> Vec<String> {
        (0..20_000).map(|number| format!("profile-{number}")).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    fn share(hits: usize) -> f64 {
        hits as f64 / 20_000.0
    }

    #[test]
    fn slices_have_their_sizes_and_stay_when_asked_again() {
        let shares = Shares { holdout: 0.05, uniform: 0.10 };
        let count =
            |wanted: Slice| profiles().iter().filter(|id| slice(id, "spring", shares) == wanted).count();
        assert!((share(count(Slice::Holdout)) - 0.05).abs() < 0.006);
        assert!((share(count(Slice::Uniform)) - 0.10).abs() < 0.008);
        // A value to notice if the hash ever changes: profiles would change slices in the middle of an experiment.
        assert!((position("ana", "spring", "slice") - POSITION_OF_ANA).abs() < 1e-15);
    }

    const POSITION_OF_ANA: f64 = 0.104_584_386_370_317_42;

    #[test]
    fn experiments_do_not_share_their_holdout() {
        let shares = Shares { holdout: 0.5, uniform: 0.0 };
        let both = profiles()
            .iter()
            .filter(|id| {
                slice(id, "one", shares) == Slice::Holdout && slice(id, "two", shares) == Slice::Holdout
            })
            .count();
        assert!((share(both) - 0.25).abs() < 0.012);
    }

    #[test]
    fn a_split_follows_its_weights_and_moves_only_who_must_move() {
        let three = [("a", 1.0), ("b", 2.0), ("c", 1.0), ("off", 0.0)];
        let two = [("a", 1.0), ("b", 2.0)];
        let mut counts = [0_usize; 4];
        for id in profiles() {
            let before = sticky_split(&id, "ab", &three).unwrap();
            counts[before] += 1;
            let after = sticky_split(&id, "ab", &two).unwrap();
            assert!(before == 2 || before == after);
        }
        assert!((share(counts[1]) - 0.5).abs() < 0.012 && (share(counts[0]) - 0.25).abs() < 0.012);
        assert_eq!(counts[3], 0);
        assert_eq!(sticky_split("ana", "ab", &[("off", 0.0)]), None);
    }
}
