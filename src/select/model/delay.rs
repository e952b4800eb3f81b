//! How much of an answer is to be expected by a given age: F(s), learnt from answers whose window has closed.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// Ages, in seconds, between which F is a straight line: five minutes to fourteen days.
const EDGES_S: [i64; 14] = [
    300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400, 172_800, 259_200, 432_000, 604_800,
    1_209_600,
];
/// How many answers the first guess of the curve is worth.
const PRIOR_ANSWERS: f64 = 20.0;
/// The first guess: half of all answers come within this part of the window.
const HALF_WITHIN: f64 = 8.0;

/// The share of all answers that has arrived by an age.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DelayCurve {
    window_s: i64,
    /// Answers that came in each stretch between two edges.
    answers: Vec<f64>,
}

impl DelayCurve {
    /// The first guess for a window: half of the answers within its first eighth, all of them at its end.
    pub fn new(window: SignedDuration) -> Self {
        let mut curve = Self { window_s: window.as_secs().max(1), answers: vec![0.0; EDGES_S.len() + 1] };
        let mut before = 0.0;
        for stretch in 0..curve.answers.len() {
            let by = curve.guess(curve.end_s(stretch));
            curve.answers[stretch] = PRIOR_ANSWERS * (by - before);
            before = by;
        }
        curve
    }

    #[expect(clippy::cast_precision_loss, reason = "ages of days are far below 2^52 seconds")]
    fn guess(&self, age_s: i64) -> f64 {
        let share = |s: i64| 1.0 - (-(HALF_WITHIN * s as f64 / self.window_s as f64)).exp2();
        (share(age_s.clamp(0, self.window_s)) / share(self.window_s)).min(1.0)
    }

    fn end_s(&self, stretch: usize) -> i64 {
        EDGES_S.get(stretch).copied().unwrap_or(self.window_s).min(self.window_s)
    }

    /// Counts one answer by its delay; delays past the window count as the window's end.
    pub fn count(&mut self, delay: SignedDuration, weight: f64) {
        let delay_s = delay.as_secs().clamp(0, self.window_s);
        let stretch = EDGES_S.iter().position(|edge| delay_s <= *edge).unwrap_or(EDGES_S.len());
        self.answers[stretch] += weight;
    }

    /// Forgets a share of what was counted, as the posterior does.
    pub fn fade(&mut self, factor: f64) {
        let first = Self::new(SignedDuration::from_secs(self.window_s));
        for (answers, prior) in self.answers.iter_mut().zip(first.answers) {
            *answers = prior + (*answers - prior) * factor;
        }
    }

    /// The share of the answers within `window`, which may be shorter than this curve's, that have arrived by `age`.
    pub fn arrived_of(&self, age: SignedDuration, window: SignedDuration) -> f64 {
        let all = self.arrived(window);
        if age >= window || all <= 0.0 { 1.0 } else { (self.arrived(age) / all).min(1.0) }
    }

    /// What was counted, for another window: what took longer than it is left out.
    #[must_use]
    pub fn with_window(&self, window: SignedDuration) -> Self {
        let before = Self::new(SignedDuration::from_secs(self.window_s));
        let mut curve = Self::new(window);
        let mut start_s = 0;
        for stretch in 0..curve.answers.len() {
            if start_s < curve.window_s {
                curve.answers[stretch] += self.answers[stretch] - before.answers[stretch];
            }
            start_s = EDGES_S.get(stretch).copied().unwrap_or(i64::MAX);
        }
        curve
    }

    /// F(s): 0 at age 0, 1 from the end of the window on, never falling.
    #[expect(clippy::cast_precision_loss, reason = "ages of days are far below 2^52 seconds")]
    pub fn arrived(&self, age: SignedDuration) -> f64 {
        let age_s = age.as_secs();
        if age_s >= self.window_s {
            return 1.0;
        }
        let total: f64 = self.answers.iter().sum();
        let (mut arrived, mut start_s) = (0.0, 0);
        for (stretch, answers) in self.answers.iter().enumerate() {
            let end_s = self.end_s(stretch);
            if age_s < end_s {
                let part = (age_s - start_s).max(0) as f64 / (end_s - start_s).max(1) as f64;
                return ((arrived + part * answers) / total).clamp(0.0, 1.0);
            }
            arrived += answers;
            start_s = end_s;
        }
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: SignedDuration = SignedDuration::from_hours(72);

    #[test]
    fn the_first_guess_rises_from_nothing_to_all() {
        let curve = DelayCurve::new(WINDOW);
        let at: Vec<f64> = (0..=80).map(|hours| curve.arrived(SignedDuration::from_hours(hours))).collect();
        assert!(at[0].abs() < 1e-12 && at.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!((at[9] - 0.5).abs() < 0.06, "{}", at[9]);
        assert!(at[72..].iter().all(|share| (share - 1.0).abs() < 1e-12));
    }

    #[test]
    fn a_shorter_window_is_over_sooner_and_counts_what_it_sees() {
        let curve = DelayCurve::new(WINDOW);
        let (hour, day) = (SignedDuration::from_hours(1), SignedDuration::from_hours(24));
        assert!(curve.arrived_of(hour, day) > curve.arrived_of(hour, WINDOW));
        for (age, window, expected) in [(day, day, 1.0), (-hour, day, 0.0), (hour, SignedDuration::ZERO, 1.0)]
        {
            assert!((curve.arrived_of(age, window) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn what_was_counted_stays_when_the_window_changes() {
        let mut curve = DelayCurve::new(WINDOW);
        for _ in 0..200 {
            curve.count(SignedDuration::from_mins(10), 1.0);
            curve.count(SignedDuration::from_hours(60), 1.0);
        }
        let longer = curve.with_window(SignedDuration::from_hours(240));
        assert!((longer.arrived(SignedDuration::from_hours(1)) - 0.5).abs() < 0.05);
        assert!(longer.arrived(WINDOW) > 0.95 && longer.arrived(WINDOW) < 1.0);
        let shorter = curve.with_window(SignedDuration::from_hours(24));
        assert!(shorter.arrived(SignedDuration::from_hours(1)) > 0.9);
        assert!((shorter.arrived(SignedDuration::from_hours(24)) - 1.0).abs() < 1e-12);
        assert_eq!(curve.with_window(WINDOW), curve);
    }

    #[test]
    fn the_curve_follows_what_was_counted_and_forgets_it() {
        let mut curve = DelayCurve::new(WINDOW);
        for _ in 0..2_000 {
            curve.count(SignedDuration::from_mins(10), 1.0);
        }
        assert!(curve.arrived(SignedDuration::from_mins(20)) > 0.97);
        curve.fade(0.0);
        assert_eq!(curve, DelayCurve::new(WINDOW));
    }
}
