//! Intervals of shares and ratios, and words for differences.

use crate::learn::stats::Interval;
use crate::learn::stats::Summary;
use crate::learn::stats::as_f64;
use crate::learn::stats::fisher_exact_p;
use crate::learn::stats::normal_quantile;
use crate::learn::stats::welch;
use crate::report::document::Cell;
use crate::report::scope::CONFIDENCE;

/// With fewer events, or non-events, than this on a side Fisher's exact test judges.
const EVENTS_MIN: u64 = 5;

/// A count as a float; exact up to 2⁵³.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
pub(super) fn real(count: u64) -> f64 {
    count as f64
}

/// A share of counted things with its Wilson score interval (Wilson 1927), which holds for few and for rare events too.
/// Nothing where nothing was counted.
pub(super) fn share(events: u64, of: u64) -> Cell {
    Cell::estimate((of > 0).then(|| real(events) / real(of)), wilson(events, of))
}

/// The Wilson score interval of a share.
pub(super) fn wilson(events: u64, of: u64) -> Option<Interval> {
    if of == 0 || events > of {
        return None;
    }
    let z = normal_quantile(0.5 + CONFIDENCE / 2.0);
    let (n, p) = (real(of), real(events) / real(of));
    let scale = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / scale;
    let half_width = z / scale * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    Some(Interval { low: (centre - half_width).max(0.0), high: (centre + half_width).min(1.0) })
}

/// A sum divided by another, over independent people: value per order, value per mail.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Ratio {
    people: usize,
    above: f64,
    below: f64,
    above_squared: f64,
    below_squared: f64,
    product: f64,
}

impl Ratio {
    /// Adds one person's sums.
    pub(super) fn add(&mut self, above: f64, below: f64) {
        self.people += 1;
        self.above += above;
        self.below += below;
        self.above_squared += above * above;
        self.below_squared += below * below;
        self.product += above * below;
    }

    /// Adds what was counted elsewhere. People on both sides count twice, which makes the interval a little wide.
    pub(super) fn join(&mut self, other: &Self) {
        self.people += other.people;
        self.above += other.above;
        self.below += other.below;
        self.above_squared += other.above_squared;
        self.below_squared += other.below_squared;
        self.product += other.product;
    }

    /// The ratio with its delta-method interval: what one person does hangs together, so people are what varies.
    pub(super) fn cell(&self) -> Cell {
        if self.below <= 0.0 {
            return Cell::None;
        }
        let ratio = self.above / self.below;
        let squares = self.above_squared - 2.0 * ratio * self.product + ratio * ratio * self.below_squared;
        let count = as_f64(self.people);
        let error = (squares.max(0.0) * count / (count - 1.0)).sqrt() / self.below;
        let half_width = normal_quantile(0.5 + CONFIDENCE / 2.0) * error;
        let interval = Interval { low: ratio - half_width, high: ratio + half_width };
        // Where everybody is alike it is not known how they vary: no width would claim that they do not.
        Cell::estimate(Some(ratio), (self.people > 1 && half_width > 0.0).then_some(interval))
    }
}

/// The two-sided probability of two shares at least as different, if both were the same: Fisher's exact test for few
/// events, else Welch's. `None` where there is nothing to compare.
pub(super) fn shares_differ_p(events: [u64; 2], of: [u64; 2]) -> Option<f64> {
    if of[0] < 2 || of[1] < 2 || events.iter().zip(of).any(|(&events, of)| events > of) {
        return None;
    }
    let few = (0..2).any(|side| events[side].min(of[side] - events[side]) < EVENTS_MIN);
    let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    if few {
        return fisher_exact_p(events.map(size), of.map(size));
    }
    let summary = |side: usize| {
        let mean = real(events[side]) / real(of[side]);
        let variance = mean * (1.0 - mean) * real(of[side]) / real(of[side] - 1);
        Summary { count: size(of[side]), mean, variance }
    };
    welch(&summary(0), &summary(1), CONFIDENCE).map(|welch| welch.p_value)
}

/// What may be said of a difference, after its p-value was adjusted.
pub(super) fn verdict(difference: f64, p_adjusted: Option<f64>) -> &'static str {
    match p_adjusted {
        None => "not judged",
        Some(p) if p >= 1.0 - CONFIDENCE || difference == 0.0 => "not significant",
        Some(_) if difference > 0.0 => "higher",
        Some(_) => "lower",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of statsmodels' `proportion_confint(…, method="wilson")`.
    #[test]
    fn wilson_intervals_are_those_of_the_literature() {
        for (events, of, low, high) in
            [(0, 10, 0.0, 0.277_533), (5, 100, 0.021_543, 0.111_750), (10, 10, 0.722_467, 1.0)]
        {
            let interval = wilson(events, of).unwrap();
            assert!((interval.low - low).abs() < 1e-6 && (interval.high - high).abs() < 1e-6, "{interval:?}");
        }
        assert_eq!((wilson(0, 0), wilson(2, 1)), (None, None));
        assert_eq!(share(0, 0), Cell::None);
    }

    #[test]
    fn a_ratio_over_people_knows_that_their_orders_hang_together() {
        let mut ratio = Ratio::default();
        for (value, orders) in [(30.0, 1.0), (20.0, 2.0), (70.0, 3.0)] {
            ratio.add(value, orders);
        }
        // 120 / 6; residuals 10, −20, 10: √(600 · 3/2) / 6 = 5
        let Cell::Value(value, Some(interval)) = ratio.cell() else { panic!("a figure with an interval") };
        assert!((value - 20.0).abs() < 1e-9);
        assert!((interval.high - 20.0 - 5.0 * 1.959_964).abs() < 1e-5);
        assert_eq!(Ratio::default().cell(), Cell::None);
        let mut alike = Ratio::default();
        (0..3).for_each(|_| alike.add(0.0, 1.0));
        assert_eq!(alike.cell(), Cell::Value(0.0, None), "nobody bought yet: that is not certain to go on");
    }

    #[test]
    fn a_difference_is_claimed_only_when_it_is_beyond_chance() {
        let p = |events, of| shares_differ_p(events, of).unwrap();
        assert!(p([50, 100], [1_000, 1_000]) < 1e-4);
        assert!(p([50, 51], [1_000, 1_000]) > 0.9);
        assert!((p([0, 3], [10, 10]) - 0.210_526).abs() < 1e-5); // Fisher
        assert_eq!(shares_differ_p([0, 0], [0, 10]), None);
        assert_eq!(
            [
                verdict(0.1, Some(0.01)),
                verdict(-0.1, Some(0.01)),
                verdict(0.1, Some(0.2)),
                verdict(0.1, None)
            ],
            ["higher", "lower", "not significant", "not judged"]
        );
    }
}
