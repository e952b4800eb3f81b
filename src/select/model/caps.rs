//! What a new variant and a new account may get: pure functions over probabilities.

use serde::{Deserialize, Serialize};

/// The limits of a cold start (design §7).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ColdStart {
    /// A new variant gets at most this share of what is sent …
    pub new_variant_share_max: f64,
    /// … until it has been sent this often.
    pub new_variant_sends: u64,
    /// A new account chooses uniformly until it has sent this much.
    pub uniform_account_sends: u64,
}

impl Default for ColdStart {
    fn default() -> Self {
        Self { new_variant_share_max: 0.10, new_variant_sends: 500, uniform_account_sends: 2_000 }
    }
}

/// Whether an account has sent enough to let the model choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// Every eligible variant is equally likely.
    Uniform,
    /// The policy chooses.
    Learnt,
}

impl ColdStart {
    /// The largest share that a variant may get after this many sends; `None` when it is not new.
    pub fn share_max(self, variant_sends: u64) -> Option<f64> {
        (variant_sends < self.new_variant_sends).then_some(self.new_variant_share_max)
    }

    /// What an account does after this many sends.
    pub fn account(self, account_sends: u64) -> Account {
        if account_sends < self.uniform_account_sends { Account::Uniform } else { Account::Learnt }
    }
}

/// [`cap`] among the sends: NO SEND, which stands at `no_send`, keeps its probability.
///
/// A new variant is an unknown among the variants. That there are new ones says nothing about whether to write at all.
pub fn cap_sends(probabilities: &mut [f64], caps: &[Option<f64>], no_send: Option<usize>) {
    let is_send = |index: usize| Some(index) != no_send;
    let sends: Vec<usize> = (0..probabilities.len()).filter(|index| is_send(*index)).collect();
    let sent: f64 = sends.iter().map(|index| probabilities[*index]).sum();
    if sent <= 0.0 {
        return;
    }
    let mut shares: Vec<f64> = sends.iter().map(|index| probabilities[*index] / sent).collect();
    let caps: Vec<Option<f64>> = sends.iter().map(|index| caps[*index]).collect();
    cap(&mut shares, &caps);
    for (index, share) in sends.iter().zip(shares) {
        probabilities[*index] = share * sent;
    }
}

/// Lowers each probability to its cap (`None`: no cap) and gives the excess to the others in proportion.
///
/// `probabilities` sum to one before and after. When the caps leave no place for the excess (every arm is new), they
/// cannot all hold: then each arm gets a share in proportion to its cap.
pub fn cap(probabilities: &mut [f64], caps: &[Option<f64>]) {
    let mut held = vec![false; probabilities.len()];
    // Each round holds at least one more arm at its cap, so there are at most as many rounds as arms.
    for _ in 0..probabilities.len() {
        let mut excess = 0.0;
        for ((p, cap), held) in probabilities.iter_mut().zip(caps).zip(&mut held) {
            if let Some(cap) = cap
                && *p > *cap
            {
                excess += *p - *cap;
                *p = *cap;
                *held = true;
            }
        }
        if excess <= 0.0 {
            return;
        }
        let free: f64 = probabilities.iter().zip(&held).filter(|(_, held)| !**held).map(|(p, _)| p).sum();
        if free <= 0.0 {
            let open = held.iter().filter(|held| !**held).count();
            fill_up(probabilities, &held, excess, open, caps);
            return;
        }
        for (p, held) in probabilities.iter_mut().zip(&held) {
            if !held {
                *p *= 1.0 + excess / free;
            }
        }
    }
}

/// The excess has no probability to grow on: it goes to the arms not held in equal parts, or over all caps.
#[expect(clippy::cast_precision_loss, reason = "arms are counted in hundreds")]
fn fill_up(probabilities: &mut [f64], held: &[bool], excess: f64, open: usize, caps: &[Option<f64>]) {
    if open > 0 {
        for (p, _) in probabilities.iter_mut().zip(held).filter(|(_, held)| !**held) {
            *p += excess / open as f64;
        }
    } else {
        let total: f64 = caps.iter().flatten().sum();
        for (p, cap) in probabilities.iter_mut().zip(caps) {
            *p = cap.unwrap_or(0.0) / total;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &[f64], caps: &[Option<f64>], after: &[f64]) {
        let mut p = before.to_vec();
        cap(&mut p, caps);
        assert!(p.iter().zip(after).all(|(a, b)| (a - b).abs() < 1e-12), "{p:?} for {after:?}");
    }

    #[test]
    fn the_excess_of_a_new_variant_goes_to_the_others_in_proportion() {
        check(&[0.5, 0.3, 0.2], &[None, None, None], &[0.5, 0.3, 0.2]);
        check(&[0.5, 0.3, 0.2], &[Some(0.1), None, None], &[0.1, 0.54, 0.36]);
        check(&[0.8, 0.09, 0.11], &[Some(0.1), Some(0.1), None], &[0.1, 0.1, 0.8]);
        check(&[1.0, 0.0, 0.0], &[Some(0.1), None, None], &[0.1, 0.45, 0.45]);
    }

    #[test]
    fn the_excess_of_new_variants_is_sent_all_the_same() {
        let check = |before: [f64; 3], caps: [Option<f64>; 3], no_send, after: [f64; 3]| {
            let mut p = before;
            cap_sends(&mut p, &caps, no_send);
            assert!(p.iter().zip(after).all(|(a, b)| (a - b).abs() < 1e-12), "{p:?} for {after:?}");
        };
        let new = Some(0.1);
        check([0.58, 0.39, 0.03], [new, new, None], Some(2), [0.485, 0.485, 0.03]);
        check([0.5, 0.3, 0.2], [new, None, None], Some(2), [0.08, 0.72, 0.2]);
        check([0.2, 0.5, 0.3], [None, new, None], Some(0), [0.2, 0.08, 0.72]);
        check([0.8, 0.2, 0.0], [new, None, None], Some(2), [0.1, 0.9, 0.0]);
        check([0.0, 0.0, 1.0], [new, new, None], Some(2), [0.0, 0.0, 1.0]);
        check([0.5, 0.3, 0.2], [new, None, None], None, [0.1, 0.54, 0.36]);
    }

    #[test]
    fn when_every_variant_is_new_they_share_alike() {
        check(&[0.7, 0.2, 0.1], &[Some(0.1); 3], &[1.0 / 3.0; 3]);
        check(&[1.0], &[Some(0.1)], &[1.0]);
    }

    #[test]
    fn a_start_is_cold_until_enough_was_sent() {
        let cold = ColdStart::default();
        assert_eq!(
            [cold.share_max(0), cold.share_max(499), cold.share_max(500)],
            [Some(0.1), Some(0.1), None]
        );
        assert_eq!([cold.account(1_999), cold.account(2_000)], [Account::Uniform, Account::Learnt]);
    }
}
