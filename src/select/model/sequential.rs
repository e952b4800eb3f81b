//! When an A/B test may stop, with p-values that stay valid however often one looks.
//!
//! The stopping rule, stated: look as often as you like; stop when one variant beats every other with an always-valid
//! p-value of at most α divided by the number of pairs, or when `sends_max` is reached without a winner. The p-value is
//! that of the mixture sequential probability ratio test (Johari, Koomen, Pekelis and Walsh 2017): under the null
//! hypothesis the likelihood ratio, mixed over effects `N(0, τ²)`, is a martingale that exceeds 1/α with a probability of
//! at most α over the whole life of the test.

use serde::{Deserialize, Serialize};

/// The rule of one test, fixed before it starts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StoppingRule {
    /// The chance of ever naming a winner when all variants are alike.
    pub alpha: f64,
    /// τ: the size of difference, in absolute rate, that the test is sharpest for.
    pub effect_sd: f64,
    /// No verdict before each variant has this many sends: the normal approximation needs them.
    pub sends_min: u64,
    /// The test ends without a winner after this many sends in all.
    pub sends_max: u64,
}

impl Default for StoppingRule {
    fn default() -> Self {
        Self { alpha: 0.05, effect_sd: 0.01, sends_min: 500, sends_max: 1_000_000 }
    }
}

/// What a variant has seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Sends whose window has closed.
    pub sends: u64,
    /// Those that were answered.
    pub answers: u64,
}

/// What the rule says after a look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// Go on.
    Continue {
        /// The variant that leads.
        leader: usize,
        /// Its largest p-value against another variant.
        p_value: f64,
    },
    /// Stop: this variant is better than every other.
    Winner {
        /// The winner.
        index: usize,
        /// Its largest p-value against another variant.
        p_value: f64,
    },
    /// Stop: the limit of sends is reached and no variant is proven better.
    NoWinner,
}

/// A running test: the smallest p-value that each pair has had, by who led, since an always-valid p-value never rises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SequentialTest {
    rule: StoppingRule,
    variants: usize,
    /// By who led (row) and who followed.
    p_values: Vec<f64>,
}

impl SequentialTest {
    /// A test of this many variants that nobody has looked at yet.
    pub fn new(rule: StoppingRule, variants: usize) -> Self {
        Self { rule, variants, p_values: vec![1.0; variants * variants] }
    }

    /// Looks at the counts and says whether to stop. Counts are cumulative; missing variants count as unseen.
    pub fn look(&mut self, tallies: &[Tally]) -> Verdict {
        let tally = |index: usize| tallies.get(index).copied().unwrap_or_default();
        let enough = (0..self.variants).all(|index| tally(index).sends >= self.rule.sends_min.max(1));
        if enough {
            for low in 0..self.variants {
                for high in low + 1..self.variants {
                    let p = p_value(tally(low), tally(high), self.rule.effect_sd);
                    let ahead = rate(tally(low)) >= rate(tally(high));
                    let pair = if ahead { self.pair(low, high) } else { self.pair(high, low) };
                    self.p_values[pair] = self.p_values[pair].min(p);
                }
            }
        }
        let leader =
            (0..self.variants).max_by(|a, b| rate(tally(*a)).total_cmp(&rate(tally(*b)))).unwrap_or(0);
        let p_value = (0..self.variants)
            .filter(|other| *other != leader)
            .map(|other| self.p_values[self.pair(leader, other)])
            .fold(0.0, f64::max);
        self.verdict(leader, p_value, (0..self.variants).map(|index| tally(index).sends).sum())
    }

    #[expect(clippy::cast_precision_loss, reason = "pairs are few")]
    fn verdict(&self, leader: usize, p_value: f64, sends: u64) -> Verdict {
        let pairs = (self.variants * self.variants.saturating_sub(1) / 2).max(1);
        if self.variants > 1 && p_value <= self.rule.alpha / pairs as f64 {
            Verdict::Winner { index: leader, p_value }
        } else if sends >= self.rule.sends_max {
            Verdict::NoWinner
        } else {
            Verdict::Continue { leader, p_value: if self.variants > 1 { p_value } else { 1.0 } }
        }
    }

    fn pair(&self, leader: usize, follower: usize) -> usize {
        leader * self.variants + follower
    }
}

/// The answered share, half an answer towards one half so that nothing seen is not certainty.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rate(tally: Tally) -> f64 {
    (tally.answers as f64 + 0.5) / (tally.sends as f64 + 1.0)
}

/// The p-value of one look at two variants: 1 over the mixed likelihood ratio of their difference.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn p_value(one: Tally, two: Tally, effect_sd: f64) -> f64 {
    let spread = |tally: Tally| rate(tally) * (1.0 - rate(tally)) / tally.sends as f64;
    let variance = spread(one) + spread(two);
    let mixture = effect_sd * effect_sd;
    let difference = one.answers as f64 / one.sends as f64 - two.answers as f64 / two.sends as f64;
    let ratio_ln = 0.5 * (variance / (variance + mixture)).ln()
        + mixture * difference * difference / (2.0 * variance * (variance + mixture));
    (-ratio_ln).exp().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::model::normal;

    /// Runs a test whose variants answer at these rates, looking after every 100 sends each.
    fn run(rates: &[f64], seed: u64, looks: usize) -> Verdict {
        let rule = StoppingRule { sends_max: u64::MAX, ..StoppingRule::default() };
        let mut test = SequentialTest::new(rule, rates.len());
        let mut tallies = vec![Tally::default(); rates.len()];
        let mut generator = normal::generator(seed, 0);
        let mut verdict = Verdict::NoWinner;
        for _ in 0..looks {
            for (tally, rate) in tallies.iter_mut().zip(rates) {
                tally.sends += 100;
                tally.answers +=
                    (0..100).map(|_| u64::from(normal::unit(&mut generator) < *rate)).sum::<u64>();
            }
            verdict = test.look(&tallies);
            if matches!(verdict, Verdict::Winner { .. }) {
                break;
            }
        }
        verdict
    }

    #[test]
    fn looking_a_hundred_times_names_no_winner_among_equals() {
        let wrong =
            (0..200).filter(|seed| matches!(run(&[0.05; 3], *seed, 100), Verdict::Winner { .. })).count();
        assert!(wrong <= 10, "{wrong} of 200 exceed α = 5 %");
    }

    #[test]
    fn a_better_variant_wins() {
        let right = (0..20)
            .filter(|seed| matches!(run(&[0.04, 0.06], *seed, 200), Verdict::Winner { index: 1, .. }))
            .count();
        assert!(right >= 19, "{right} of 20");
    }

    #[test]
    fn a_p_value_never_rises_and_the_limit_ends_the_test() {
        let rule = StoppingRule { sends_max: 4_000, ..StoppingRule::default() };
        let mut test = SequentialTest::new(rule, 2);
        let tally = |sends, answers| Tally { sends, answers };
        let Verdict::Continue { p_value: first, .. } = test.look(&[tally(1_000, 40), tally(1_000, 58)])
        else {
            panic!("too early to stop")
        };
        let Verdict::Continue { p_value: second, .. } = test.look(&[tally(1_500, 70), tally(1_500, 74)])
        else {
            panic!("too early to stop")
        };
        assert!(first < 1.0 && second <= first);
        assert_eq!(test.look(&[tally(2_000, 95), tally(2_000, 95)]), Verdict::NoWinner);
    }
}
