//! A posterior that learns from sends, from each of them once, and forgets.
//!
//! # Why a fit applied twice changes nothing
//! A send is *closed* when its reward window has passed. Closed sends are absorbed for good and the head remembers up
//! to which decision time it did so: the watermark. Whatever was decided at or before the watermark is skipped, so a
//! send is absorbed at most once whichever batches it comes in. Sends that are still open are not absorbed: at every fit
//! the published posterior is made afresh from the absorbed evidence plus the open sends of that batch, each with the
//! likelihood of its age. Forgetting and the re-estimation of the priors happen only when the watermark moves.
//!
//! What this asks of the caller: a batch holds *every* send decided after the watermark and at or before
//! [`Batch::complete_until`], and the decision time of a send never changes (it is frozen at the first claim).

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::delay::DelayCurve;
use super::newton::{Effort, Outcome, Rows};
use super::posterior::{Evidence, GroupPrior, Posterior, PriorByFeature, Score, default_priors};
use super::shrink::reestimate;
use super::space::FeatureSpace;
use super::vector::SparseVector;

/// What was learnt is worth half after this time.
pub const HALF_LIFE: SignedDuration = SignedDuration::from_hours(60 * 24);

/// One send, for one head.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// The send: each is learnt from once.
    pub send_id: &'a str,
    /// When its decision was made.
    pub decided_at: Timestamp,
    /// The features of the customer and the chosen arm together.
    pub features: &'a SparseVector,
    /// When the answer came, if it did.
    pub answered_at: Option<Timestamp>,
    /// ω: how much this send counts; 1 unless there is a reason.
    pub weight: f64,
}

/// What is known at the time of a fit.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The sends.
    pub observations: &'a [Observation<'a>],
    /// No send decided up to this time, and after the watermark, is missing.
    pub complete_until: Timestamp,
    /// When this is.
    pub now: Timestamp,
}

/// What a fit did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FitReport {
    /// Closed sends learnt for good.
    pub absorbed: usize,
    /// Sends whose window is open: they shape the published posterior until the next fit.
    pub open: usize,
    /// Sends that had been absorbed before.
    pub known: usize,
    /// Sends that came twice in the batch, or that were decided after `now`.
    pub refused: usize,
}

/// One head of the model, as P(click).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    base_rate: f64,
    window: SignedDuration,
    half_life: SignedDuration,
    priors: Vec<GroupPrior>,
    evidence: Evidence,
    delay: DelayCurve,
    /// Everything decided at or before this has been absorbed.
    watermark: Option<Timestamp>,
    published: Posterior,
}

impl Head {
    /// A head that knows only its priors. `base_rate` is the share of sends expected to be answered (0 to 1), `window`
    /// how long an answer may take.
    pub fn new(space: &FeatureSpace, base_rate: f64, window: SignedDuration) -> Self {
        let mut head = Self {
            base_rate,
            window,
            half_life: HALF_LIFE,
            priors: Vec::new(),
            evidence: Evidence::default(),
            delay: DelayCurve::new(window),
            watermark: None,
            published: Posterior::default(),
        };
        head.cover(space);
        head
    }

    /// The same head, forgetting at another pace.
    #[must_use]
    pub fn with_half_life(self, half_life: SignedDuration) -> Self {
        Self { half_life, ..self }
    }

    /// Makes room for features that `space` learnt since: they start at their priors, and nothing else changes.
    pub fn cover(&mut self, space: &FeatureSpace) {
        let priors = default_priors(space, self.base_rate);
        self.priors.extend(priors.into_iter().skip(self.priors.len()));
        self.evidence.cover(space.len());
        for index in self.published.len()..space.len() {
            let prior = self.priors[space.group_of(index).expect("index is below the length").index()];
            self.published.mean.push(prior.mean);
            self.published.variance.push(1.0 / prior.precision);
        }
    }

    /// The linear predictor of these features, in log-odds.
    pub fn score(&self, features: &SparseVector) -> Score {
        self.published.score(features)
    }

    /// What is believed now.
    pub fn posterior(&self) -> &Posterior {
        &self.published
    }

    /// Sets what is believed of one weight, for tests of what follows from it.
    #[cfg(test)]
    pub(super) fn set_published(&mut self, id: super::space::FeatureId, mean: f64, variance: f64) {
        self.published.mean[id.index()] = mean;
        self.published.variance[id.index()] = variance;
    }

    /// The priors by group, as they were last re-estimated.
    pub fn priors(&self) -> &[GroupPrior] {
        &self.priors
    }

    /// How long an answer may take.
    pub fn window(&self) -> SignedDuration {
        self.window
    }

    /// Decisions up to here are learnt for good; a batch need not hold them.
    pub fn watermark(&self) -> Option<Timestamp> {
        self.watermark
    }

    /// The share of answers that arrive by an age.
    pub fn arrived(&self, age: SignedDuration) -> f64 {
        self.delay.arrived(age)
    }

    /// Learns from a batch; see the module about what a batch must hold.
    pub fn fit(&mut self, space: &FeatureSpace, batch: Batch<'_>) -> FitReport {
        self.cover(space);
        let closes =
            batch.now.saturating_sub(self.window).unwrap_or(Timestamp::MIN).min(batch.complete_until);
        let (closed, open, mut report) = self.sort(batch, closes);
        if self.watermark.is_none_or(|watermark| closes > watermark) {
            self.absorb(space, &closed, closes);
        }
        report.absorbed = closed.len();
        report.open = open.len();
        self.publish(space, &open, batch.now);
        report
    }

    /// Closed and open sends in an order that does not depend on how the batch was read.
    fn sort<'a>(
        &self,
        batch: Batch<'a>,
        closes: Timestamp,
    ) -> (Vec<Observation<'a>>, Vec<Observation<'a>>, FitReport) {
        let mut report = FitReport::default();
        let mut fresh: Vec<Observation<'a>> = Vec::with_capacity(batch.observations.len());
        let mut seen = HashSet::new();
        for observation in batch.observations {
            if self.watermark.is_some_and(|watermark| observation.decided_at <= watermark) {
                report.known += 1;
            } else if observation.decided_at > batch.now || !seen.insert(observation.send_id) {
                report.refused += 1;
            } else {
                fresh.push(*observation);
            }
        }
        fresh.sort_by_key(|observation| (observation.decided_at, observation.send_id));
        let split = fresh.partition_point(|observation| observation.decided_at <= closes);
        let open = fresh.split_off(split);
        (fresh, open, report)
    }

    fn absorb(&mut self, space: &FeatureSpace, closed: &[Observation<'_>], closes: Timestamp) {
        if let Some(watermark) = self.watermark {
            let half_lives = closes.duration_since(watermark).as_secs_f64() / self.half_life.as_secs_f64();
            self.evidence.fade((-half_lives).exp2());
            self.delay.fade((-half_lives).exp2());
        }
        self.watermark = Some(closes);
        let mut rows = Rows::default();
        for observation in closed {
            let in_window = |at: &Timestamp| at.duration_since(observation.decided_at) <= self.window;
            let answered = observation.answered_at.filter(in_window);
            if let Some(at) = answered {
                self.delay.count(at.duration_since(observation.decided_at), observation.weight);
            }
            let outcome = if answered.is_some() { Outcome::Positive } else { Outcome::Negative };
            rows.push(&[observation.features], outcome, observation.weight);
        }
        let prior = PriorByFeature::new(space, &self.priors);
        self.evidence.absorb(&prior, &rows, Effort::EXACT);
        self.priors = reestimate(space, &self.priors, &self.evidence);
    }

    fn publish(&mut self, space: &FeatureSpace, open: &[Observation<'_>], now: Timestamp) {
        let prior = PriorByFeature::new(space, &self.priors);
        let mut rows = Rows::default();
        for observation in open {
            let outcome = match observation.answered_at {
                Some(at) if at <= now => Outcome::Positive,
                _ => Outcome::Pending(self.delay.arrived(now.duration_since(observation.decided_at))),
            };
            rows.push(&[observation.features], outcome, observation.weight);
        }
        let mut evidence = self.evidence.clone();
        evidence.absorb(&prior, &rows, Effort::EXACT);
        self.published = evidence.posterior(&prior);
    }
}

#[cfg(test)]
mod tests;
