//! A rate as a row of slots: each slot is a time, and a mail needs one that suits every window that is stated.
//!
//! This is the generic cell rate algorithm (ITU-T I.371) over several windows at once: a window is the theoretical
//! arrival time of its next slot. A slot is the latest of them, and moves each on by its own interval, so no window is
//! ever ahead of what was stated, and none loses anything by waiting for another.

use std::time::Duration;

/// One stated rate: a slot every so often, and how much idle time may be made up for.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Names the rate in the database: `global/second`, `relay:main/second`, `group:gmail/day` …
    pub key: String,
    /// Time between two slots, microseconds: 200 is 5,000 a second.
    pub interval_us: f64,
    /// How much idle time may be made up for at once, microseconds.
    pub credit_us: f64,
}

/// Slots wanted that suit all of these windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Reserve {
    /// Names what the slots are for: `global`, `relay:main`, `group:gmail` …
    pub key: String,
    /// The windows, by key.
    pub windows: Vec<Window>,
    /// How many slots are wanted.
    pub slots: u32,
    /// How far ahead of its time a slot may be reserved, microseconds.
    pub ahead_us: f64,
}

/// What was granted of a [`Reserve`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Granted {
    /// The times of the slots, microseconds from now, in order; negative for idle time that is made up for.
    pub at_us: Vec<i64>,
    /// How long until the next slot can be granted, microseconds; 0 when all that were wanted were granted.
    pub wait_us: i64,
}

/// A host that asked for patience, and what its group's rate is after that.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The group of recipient domains.
    pub group: String,
    /// Mails per second from now on.
    pub rate: f64,
    /// Mails per second before the first refusal.
    pub usual: f64,
    /// The refusal before this one, as far as it was known; another that came meanwhile counts instead of this one.
    pub known_at_ms: Option<i64>,
}

/// A group that is throttled, as all workers of a database know it.
#[derive(Debug, Clone, PartialEq)]
pub struct Throttled {
    /// The group of recipient domains.
    pub group: String,
    /// Mails per second at the last refusal.
    pub rate: f64,
    /// Mails per second before the first refusal.
    pub usual: f64,
    /// When it last refused, milliseconds since the Unix epoch by the database's clock.
    pub refused_at_ms: i64,
    /// How long ago that is.
    pub age: Duration,
}

/// An arrival that lies this much further ahead than any slot is given out was written before the clock was set back, or
/// under another rate. Longer than anybody waits for a row that is locked: whoever asked meanwhile has an older time.
const ASTRAY_US: f64 = 30e6;

/// Grants slots from now on, and moves `arrivals_us`, one for each window, behind them. Every slot has a time of its
/// own, whoever gets it: the rate holds in every window, however many ask, and however late.
pub fn grant(wanted: &Reserve, arrivals_us: &mut [i64], now_us: i64) -> Granted {
    let now = real(now_us);
    let windows = || wanted.windows.iter();
    // What is astray must not stop the mail until its time comes.
    for (window, arrival) in windows().zip(arrivals_us.iter_mut()) {
        *arrival = (*arrival).min(whole(now + wanted.ahead_us + window.interval_us + ASTRAY_US));
    }
    let clamp = |(window, arrival): (&Window, &i64)| real(*arrival).max(now - window.credit_us);
    let mut arrivals: Vec<f64> = windows().zip(arrivals_us.iter()).map(clamp).collect();
    let mut at_us = Vec::new();
    let mut wait_us = 0;
    for _ in 0..wanted.slots {
        let slot = arrivals.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if slot > now + wanted.ahead_us {
            wait_us = whole((slot - wanted.ahead_us - now).ceil());
            break;
        }
        at_us.push(whole((slot - now).round()));
        for (window, arrival) in windows().zip(&mut arrivals) {
            *arrival = arrival.max(slot - window.credit_us) + window.interval_us;
        }
    }
    if !at_us.is_empty() {
        for (stored, arrival) in arrivals_us.iter_mut().zip(arrivals) {
            *stored = whole(arrival.round());
        }
    }
    Granted { at_us, wait_us }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds since 1970 fit into 53 bits until the year 2255"
)]
fn real(us: i64) -> f64 {
    us as f64
}

#[expect(clippy::cast_possible_truncation, reason = "a conversion from a float saturates")]
fn whole(us: f64) -> i64 {
    us as i64
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn window(interval_us: f64, credit_us: f64) -> Window {
        Window { key: String::new(), interval_us, credit_us }
    }

    fn wanted(windows: &[Window], slots: u32, ahead_us: f64) -> Reserve {
        Reserve { key: "k".to_owned(), windows: windows.to_vec(), slots, ahead_us }
    }

    #[test]
    fn slots_are_an_interval_apart_and_reserved_a_little_ahead_of_their_time() {
        for (slots, credit_us, arrival_us, now_us, expected) in [
            (4, 0.0, 0, 50_000, (4, Some(0), 0, 54_000)),
            // Ten milliseconds ahead, and the one that is due now.
            (40, 0.0, 0, 50_000, (11, Some(0), 1_000, 61_000)),
            (5, 0.0, 61_000, 50_000, (0, None, 1_000, 61_000)),
            (5, 0.0, 61_000, 50_999, (0, None, 1, 61_000)),
            (5, 0.0, 61_000, 52_000, (2, Some(9_000), 1_000, 63_000)),
            // Idle time counts as far as there is credit for it.
            (40, 3_000.0, 0, 50_000, (14, Some(-3_000), 1_000, 61_000)),
            (40, 3_000.0, 49_000, 50_000, (12, Some(-1_000), 1_000, 61_000)),
            // The clock was set back by an hour: half a minute is waited for, no more.
            (1, 0.0, 3_600_000_000, 0, (0, None, 30_001_000, 30_011_000)),
        ] {
            let mut arrivals = [arrival_us];
            let wanted = wanted(&[window(1_000.0, credit_us)], slots, 10_000.0);
            let granted = grant(&wanted, &mut arrivals, now_us);
            let found = (granted.at_us.len(), granted.at_us.first().copied(), granted.wait_us, arrivals[0]);
            assert_eq!(found, expected, "{slots} at {now_us}");
        }
    }

    #[test]
    fn what_a_clock_or_another_rate_left_far_ahead_stops_nobody_for_long() {
        let day_us = 86_400_000_000;
        let wanted = wanted(&[window(1_000.0, 0.0), window(864_000.0, 0.0)], 5, 500_000.0);
        let (mut arrivals, mut now_us) = ([day_us, day_us], 0);
        let granted = loop {
            let granted = grant(&wanted, &mut arrivals, now_us);
            if !granted.at_us.is_empty() {
                break granted;
            }
            now_us += granted.wait_us;
        };
        assert!(now_us <= 32_000_000, "{now_us}");
        assert_eq!((granted.at_us.len(), granted.at_us[0]), (1, 500_000));
    }

    /// When each mail of a queue that never ends may go at the earliest: as late as every window says that counts all
    /// mails before it. Written from the definition of a rate, without arrival times.
    fn reference(windows: &[Window], mails: usize) -> Vec<f64> {
        let mut times: Vec<f64> = Vec::new();
        for mail in 0..mails {
            // The k-th mail before this one went at least k intervals, less the credit, ago; idle time before the
            // first one counts as far as there is credit.
            let bound = |window: &Window| {
                let before = times.iter().enumerate().map(|(index, time)| {
                    let since = f64::from(u32::try_from(mail - index).unwrap());
                    time + since * window.interval_us - window.credit_us
                });
                before.fold(f64::NEG_INFINITY, f64::max)
            };
            let number = f64::from(u32::try_from(mail).unwrap());
            let first = windows.iter().map(|window| number * window.interval_us - window.credit_us);
            let first = first.fold(f64::NEG_INFINITY, f64::max);
            let since_first = windows.iter().map(bound).fold(f64::NEG_INFINITY, f64::max);
            let previous = times.last().copied().unwrap_or(f64::NEG_INFINITY);
            times.push(first.max(since_first).max(previous));
        }
        times
    }

    #[test]
    fn whatever_windows_are_stated_every_mail_goes_as_early_as_all_of_them_allow() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for case in 0..300 {
            let count = rng.random_range(1..=4);
            let windows: Vec<_> = (0..count)
                .map(|_| {
                    let interval_us = 10_f64.powf(rng.random_range(2.3..7.5)).round();
                    let credit = if rng.random_bool(0.3) { rng.random_range(0..20) } else { 0 };
                    window(interval_us, interval_us * f64::from(credit))
                })
                .collect();
            let expected = reference(&windows, 60);
            // Workers come at random times, want random numbers, and never fewer than there could be.
            let (mut arrivals, mut now_us, mut found) =
                (vec![0; windows.len()], 1_000_000_000_000, Vec::new());
            let start_us = now_us;
            while found.len() < 60 {
                let granted =
                    grant(&wanted(&windows, rng.random_range(1..30), 500_000.0), &mut arrivals, now_us);
                found.extend(granted.at_us.iter().map(|at| at + now_us - start_us));
                now_us += granted.wait_us.max(1).min(rng.random_range(1..400_000));
            }
            for (mail, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let off = (real(*found) - expected).abs();
                assert!(
                    off <= 60.0 + 1e-6 * expected.abs(),
                    "case {case}, mail {mail}: {found}, {expected}; {windows:?}"
                );
            }
        }
    }
}
