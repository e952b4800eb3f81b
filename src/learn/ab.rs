//! What an A/B test says so far: `policy = "ab"`, looked at once a day, with p-values that stay valid for all the looking.
//!
//! Pure: who reports reads the sends. The looks are made again from the sends themselves, at the end of each day in UTC on
//! which windows closed, so the same sends give the same verdict whenever and however often somebody asks.

use jiff::Timestamp;
use serde::Serialize;

use super::clv::purchases::day_of;
use super::stats::{Interval, normal_quantile};
use crate::select::model::sequential::{SequentialTest, StoppingRule, Tally, Verdict};

/// One mail of the test whose reward window has closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbSend {
    /// Which of the variants, by position.
    pub variant: usize,
    /// When its window closed.
    pub closed_at: Timestamp,
    /// Whether it was answered in its window.
    pub answered: bool,
}

/// A variant as the test saw it, up to its end or to now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AbLine {
    /// Its name.
    pub variant: String,
    /// Mails whose window has closed.
    pub sends: u64,
    /// Those that were answered.
    pub answers: u64,
    /// The share; `None` without a mail.
    pub rate: Option<f64>,
    /// Wilson's 95 % interval of the share.
    pub interval: Option<Interval>,
}

/// What the test says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AbReport {
    /// In the order of the variants.
    pub lines: Vec<AbLine>,
    /// By the stopping rule, at the last look.
    pub verdict: Verdict,
    /// How often it was looked at.
    pub looks: usize,
    /// The verdict in a sentence.
    pub words: String,
}

/// Looks day by day, and stops where the rule says so: what came later does not change a verdict. Sends of unknown
/// variants are left out.
pub fn report(variants: &[String], sends: &[AbSend], rule: StoppingRule) -> AbReport {
    let mut sends: Vec<AbSend> = sends.iter().filter(|send| send.variant < variants.len()).copied().collect();
    sends.sort_by_key(|send| (send.closed_at, send.variant));
    let mut test = SequentialTest::new(rule, variants.len());
    let mut tallies = vec![Tally::default(); variants.len()];
    let mut verdict = Verdict::Continue { leader: 0, p_value: 1.0 };
    let mut looks = 0;
    for day in sends.chunk_by(|one, two| day_of(one.closed_at) == day_of(two.closed_at)) {
        for send in day {
            tallies[send.variant].sends += 1;
            tallies[send.variant].answers += u64::from(send.answered);
        }
        looks += 1;
        verdict = test.look(&tallies);
        if !matches!(verdict, Verdict::Continue { .. }) {
            break;
        }
    }
    let lines = variants.iter().zip(&tallies).map(|(variant, tally)| line(variant, *tally)).collect();
    AbReport { lines, verdict, looks, words: words(variants, verdict, rule, looks) }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn line(variant: &str, tally: Tally) -> AbLine {
    let rate = (tally.sends > 0).then(|| tally.answers as f64 / tally.sends as f64);
    let interval = rate.map(|rate| {
        let (n, z) = (tally.sends as f64, normal_quantile(0.975));
        let (centre, scale) = (rate + z * z / (2.0 * n), 1.0 + z * z / n);
        let half = z * (rate * (1.0 - rate) / n + z * z / (4.0 * n * n)).sqrt();
        Interval { low: ((centre - half) / scale).max(0.0), high: ((centre + half) / scale).min(1.0) }
    });
    AbLine { variant: variant.to_owned(), sends: tally.sends, answers: tally.answers, rate, interval }
}

fn words(variants: &[String], verdict: Verdict, rule: StoppingRule, looks: usize) -> String {
    let name = |index: usize| variants.get(index).map_or("nobody", String::as_str);
    match verdict {
        _ if looks == 0 => "no window has closed yet: nothing can be said".to_owned(),
        Verdict::Winner { index, p_value } => format!(
            "{} is better than every other variant (always-valid p = {p_value:.4}): the test is over",
            name(index)
        ),
        Verdict::NoWinner => format!(
            "no variant is proven better after {} mails: the test is over, and any of them will do",
            rule.sends_max
        ),
        Verdict::Continue { leader, p_value } => format!(
            "not significant: {} leads (always-valid p = {p_value:.4}); the test goes on",
            name(leader)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many mails of each variant a day, the first so many of them answered.
    fn sends(days: i64, per_day: usize, answered: [usize; 2]) -> Vec<AbSend> {
        let start: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let one = |day: i64, variant: usize, number: usize| AbSend {
            variant,
            closed_at: start + jiff::SignedDuration::from_hours(24 * day),
            answered: number < answered[variant],
        };
        let of_day =
            |day| (0..2).flat_map(move |variant| (0..per_day).map(move |number| one(day, variant, number)));
        (0..days).flat_map(of_day).collect()
    }

    fn variants() -> Vec<String> {
        ["plain", "named"].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_clear_difference_ends_the_test_and_what_comes_later_changes_nothing() {
        let rule = StoppingRule::default();
        let all = report(&variants(), &sends(30, 200, [8, 16]), rule);
        assert!(matches!(all.verdict, Verdict::Winner { index: 1, .. }), "{all:?}");
        assert!(all.looks < 30 && all.words.starts_with("named is better"), "{}", all.words);
        let days = i64::try_from(all.looks).unwrap();
        assert_eq!(report(&variants(), &sends(days, 200, [8, 16]), rule), all);
        let interval = all.lines[1].interval.unwrap();
        assert!(interval.low < 0.08 && 0.08 < interval.high);
    }

    #[test]
    fn equals_have_no_winner_and_little_is_called_little() {
        let rule = StoppingRule { sends_max: 4_000, ..StoppingRule::default() };
        let equal = report(&variants(), &sends(30, 200, [8, 8]), rule);
        assert_eq!((equal.verdict, equal.looks), (Verdict::NoWinner, 10));
        let early = report(&variants(), &sends(1, 50, [2, 4]), rule);
        assert!(early.words.starts_with("not significant: named leads"), "{}", early.words);
        assert_eq!(report(&variants(), &[], rule).words, "no window has closed yet: nothing can be said");
    }
}
