//! From values to pixels, with round numbers along the way.

use crate::learn::stats::as_f64;

/// Ticks of one axis, at most.
const TICKS_MAX: usize = 12;

/// A linear scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    step: f64,
    from_px: f64,
    to_px: f64,
}

impl Scale {
    /// A scale that holds `low` to `high`, widened to round numbers, about `ticks` of them; `low` lies at `from_px`.
    pub(super) fn new((low, high): (f64, f64), ticks: usize, (from_px, to_px): (f64, f64)) -> Self {
        let (low, high) = if high > low { (low, high) } else { (low, low + low.abs().max(1.0)) };
        let step = round_step((high - low) / as_f64(ticks.max(1)));
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step, from_px, to_px }
    }

    /// Where a value lies, in pixels.
    pub(super) fn place(&self, value: f64) -> f64 {
        self.from_px + (value - self.low) / (self.high - self.low) * (self.to_px - self.from_px)
    }

    /// The round numbers.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let tick = |index: usize| {
            let value = self.low + as_f64(index) * self.step;
            if value.abs() < self.step / 1e6 { 0.0 } else { value }
        };
        (0..=TICKS_MAX).map(tick).take_while(|tick| *tick <= self.high + self.step / 1e6).collect()
    }
}

/// 1, 2 or 5 times a power of ten, not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let lead = step / power;
    let round = [1.0, 2.0, 5.0, 10.0].into_iter().find(|round| lead <= round + 1e-9);
    round.unwrap_or(10.0) * power
}

/// Every which label is shown so that none meets its neighbour.
pub(super) fn every(labels: usize, label_px: f64, width_px: f64) -> usize {
    let room = (width_px / (label_px + 10.0)).floor().max(1.0);
    let every = (as_f64(labels) / room).ceil().max(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 1 to the number of labels"
    )]
    let every = every as usize;
    every
}

/// A coordinate: a tenth of a pixel is enough.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        for ((low, high), ticks, expected) in [
            ((0.0, 97.0), 5, vec![0.0, 20.0, 40.0, 60.0, 80.0, 100.0]),
            ((-0.03, 0.11), 4, vec![-0.05, 0.0, 0.05, 0.1, 0.15]),
            ((0.0, 0.0), 4, vec![0.0, 0.5, 1.0]),
            ((3.0, 3.0), 3, vec![3.0, 4.0, 5.0, 6.0]),
        ] {
            let scale = Scale::new((low, high), ticks, (100.0, 0.0));
            let found = scale.ticks();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
            }
            assert!((scale.place(scale.ticks()[0]) - 100.0).abs() < 1e-9);
        }
    }

    #[test]
    fn labels_leave_room_for_each_other() {
        assert_eq!((every(12, 40.0, 600.0), every(12, 40.0, 300.0), every(500, 40.0, 300.0)), (1, 2, 84));
        assert_eq!(
            (number(1.0), number(0.26), number(-0.01)),
            ("1".to_owned(), "0.3".to_owned(), "0".to_owned())
        );
    }
}
