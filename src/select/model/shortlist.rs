//! Which arms are candidates when there are hundreds: the best by expected value, and others by lot.

use rand_chacha::ChaCha8Rng;

use super::choose::{Arm, ChoiceOptions, STREAM_SHORTLIST};
use super::normal::{generator, unit};

/// The candidates of a choice.
pub(super) struct Shortlist {
    /// All of them, by number.
    pub(super) arms: Vec<usize>,
    /// Those that came in by lot.
    pub(super) by_lot: Vec<usize>,
    /// The probability of coming in by lot.
    pub(super) lot_share: f64,
}

impl Shortlist {
    /// NO SEND always, then the best by score, then others by lot, each set of them equally likely.
    #[expect(clippy::cast_precision_loss, reason = "arms are counted in hundreds")]
    pub(super) fn new(arms: &[Arm<'_>], scores: &[f64], seed: u64, options: &ChoiceOptions) -> Self {
        let mut sends: Vec<usize> =
            (0..arms.len()).filter(|i| matches!(arms[*i], Arm::Send { .. })).collect();
        let kept = (options.best + options.others).max(1);
        if sends.len() <= kept {
            return Self { arms: (0..arms.len()).collect(), by_lot: Vec::new(), lot_share: 1.0 };
        }
        let best = options.best.min(kept);
        let by_score = |one: &usize, two: &usize| scores[*two].total_cmp(&scores[*one]).then(one.cmp(two));
        sends.select_nth_unstable_by(best, by_score);
        let rest = &mut sends[best..];
        // select_nth leaves the rest in an order of its own; sorted, the lot depends on the seed alone.
        rest.sort_unstable();
        let lot_share = (kept - best) as f64 / rest.len() as f64;
        let mut lot = generator(seed, STREAM_SHORTLIST);
        for place in 0..kept - best {
            let other = place + below(&mut lot, rest.len() - place);
            rest.swap(place, other);
        }
        let by_lot = sends[best..kept].to_vec();
        sends.truncate(kept);
        sends.extend((0..arms.len()).filter(|i| matches!(arms[*i], Arm::NoSend)));
        sends.sort_unstable();
        Self { arms: sends, by_lot, lot_share }
    }
}

/// A uniformly random number below `end`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "arms are counted in hundreds and the product is not negative"
)]
fn below(generator: &mut ChaCha8Rng, end: usize) -> usize {
    ((unit(generator) * end as f64) as usize).min(end - 1)
}
